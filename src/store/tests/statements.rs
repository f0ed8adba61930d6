//! That every statement can be prepared on each engine. They are read from the sources, so that a new one takes part without
//! being named here.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, SqlSafeStr};

use super::on_both_engines;
use super::support::*;
use crate::store::{access_log, alerts, audit, key_lists, passwords, products, sessions, users};

on_both_engines!(every_statement_can_be_prepared);

async fn every_statement_can_be_prepared(db: TestDb) {
    let engine = match db.home {
        Home::File(_) => "sqlite",
        Home::Server { .. } => "postgres",
    };
    let mut statements = read_sources(engine);
    for search in [db.store.db.product_search(), db.store.db.user_search()] {
        let search = [search.remove, search.put, search.count, search.page];
        statements.extend(search.map(|sql| ("text search".to_owned(), sql.to_owned())));
    }
    // What a macro with arguments makes is taken as made; that all of it is in these lists is read from the sources.
    let lists = [
        key_lists::PLANNED,
        products::PLANNED,
        users::PLANNED,
        audit::PLANNED,
        access_log::PLANNED,
        alerts::PLANNED,
        passwords::PLANNED,
        sessions::PLANNED,
    ];
    for (sql, _) in lists.into_iter().flatten() {
        statements.push(("a list".to_owned(), (*sql).to_owned()));
    }
    assert!(statements.len() > 80, "these are not the statements: {statements:#?}");

    let mut wrong = Vec::new();
    match &db.home {
        Home::File(directory) => {
            let options = SqliteConnectOptions::new().filename(directory.path().join("gatepost.db"));
            let mut connection = options.connect().await.unwrap();
            for (place, sql) in statements {
                if let Err(error) = connection.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await {
                    wrong.push(format!("{place}: {error}: {sql}"));
                }
            }
        }
        Home::Server { url } => {
            let mut connection = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
            for (place, sql) in statements {
                if let Err(error) = connection.prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await {
                    // The last of its checks, made when all else is right: of a placeholder that is first held against NULL
                    // nothing says the type here. The store says the types of all.
                    let code = error.as_database_error().and_then(|error| error.code());
                    let untyped = matches!(code.as_deref(), Some("42P08" | "42P18"));
                    if !untyped {
                        wrong.push(format!("{place}: {error}: {sql}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All statements for an engine that stand in the sources, each with its place.
fn read_sources(engine: &str) -> Vec<(String, String)> {
    let other = if engine == "sqlite" { "postgres.rs" } else { "sqlite.rs" };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut files = Vec::new();
    for directory in [root.clone(), root.join("db")] {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.file_name().unwrap().to_string_lossy().into_owned(), path));
            }
        }
    }
    let files: Vec<_> = files.into_iter().map(|(name, path)| (name, std::fs::read_to_string(path).unwrap())).collect();
    let macros = read_macros(&files);
    let mut statements = Vec::new();
    for (file, text) in files.iter().filter(|(file, _)| file != other) {
        for (name, value) in items(text, "const ", ": &str =") {
            let sql = evaluate(value, &macros).unwrap_or_else(|| panic!("{file}: {name} cannot be read: {value}"));
            if VERBS.iter().any(|verb| sql.starts_with(verb)) {
                statements.push((format!("{file}, {name}"), sql));
            }
        }
        for (name, _) in items(text, "const ", ": Statements =") {
            for part in ["page", "count"] {
                assert!(text.contains(&format!("    ({name}.{part}, ")), "{file}: {name}.{part} is not in PLANNED");
            }
        }
        for (name, value) in items(text, "static ", ": Insertion =") {
            let arguments = value.trim().strip_prefix("insertion!(").expect("made by the macro");
            let (into, columns) = arguments.rsplit_once(',').expect("two arguments");
            let into = evaluate(into, &macros).expect("a literal");
            let columns: usize = columns.trim_end().trim_end_matches(')').trim().parse().expect("a number");
            let places: Vec<_> = (1..=columns).map(|column| format!("${column}")).collect();
            statements.push((format!("{file}, {name}"), format!("INSERT INTO {into} VALUES ({})", places.join(", "))));
        }
        // What is said where it is run.
        for call in ["fetch_all(", "fetch_one(", "fetch_optional(", "fetch_list(", "execute(", "query("] {
            for (at, _) in text.match_indices(call) {
                let argument = text[at + call.len()..].trim_start();
                if let Some((sql, _)) = literal(argument) {
                    statements.push((format!("{file}, in place"), sql));
                }
            }
        }
    }
    statements
}

/// What the macros without arguments stand for: lists of columns.
fn read_macros(files: &[(String, String)]) -> BTreeMap<String, String> {
    let mut macros = BTreeMap::new();
    // Twice, for those that are made of others.
    for _ in 0..2 {
        for (_, text) in files {
            for (at, start) in text.match_indices("macro_rules! ") {
                let (name, body) = text[at + start.len()..].split_once('{').expect("a macro has a body");
                let value = body.trim_start().strip_prefix("() => {").and_then(|body| evaluate(body, &macros));
                if let Some(value) = value {
                    macros.insert(name.trim().to_owned(), value);
                }
            }
        }
    }
    assert!(macros.contains_key("key_columns") && macros.contains_key("product_columns"), "{macros:?}");
    macros
}

/// The items of this kind and type: their names, and the text from their values on.
fn items<'a>(text: &'a str, kind: &'static str, of: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.match_indices(of).filter_map(move |(at, _)| {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        let name = &line[line.find(kind)? + kind.len()..];
        let value = &text[at + of.len()..];
        Some((name, &value[..end(value)]))
    })
}

/// Where the value ends: at the first semicolon outside of a literal.
fn end(value: &str) -> usize {
    let mut at = 0;
    while at < value.len() {
        match literal(&value[at..]) {
            Some((_, length)) => at += length,
            None if value[at..].starts_with(';') => return at,
            None => at += value[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    at
}

/// The text that literals, `concat!` and macros without arguments make; up to the brace that closes a macro.
fn evaluate(value: &str, macros: &BTreeMap<String, String>) -> Option<String> {
    let (mut text, mut rest) = (String::new(), value);
    while !rest.is_empty() && !rest.starts_with('}') {
        if let Some((literal, length)) = literal(rest) {
            text += &literal;
            rest = &rest[length..];
        } else if let Some(after) = rest.strip_prefix("concat!") {
            rest = after;
        } else if let Some((name, after)) = rest.split_once("!()").filter(|(name, _)| macros.contains_key(*name)) {
            text += &macros[name];
            rest = after;
        } else {
            rest = rest.strip_prefix(|c: char| c.is_whitespace() || "(),".contains(c))?;
        }
    }
    Some(text)
}

/// The string literal that the text begins with, and its length in the source.
fn literal(text: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 2)),
            '\\' => match chars.next()?.1 {
                '\n' => {
                    // A line goes on after the spaces of the next.
                    let spaces = chars.as_str().len() - chars.as_str().trim_start().len();
                    chars.by_ref().take(spaces).for_each(drop);
                }
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            _ => value.push(c),
        }
    }
    None
}

const VERBS: [&str; 5] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
