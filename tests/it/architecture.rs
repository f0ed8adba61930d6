//! Which part of the crate may know which: read from the sources, so that a new edge is a decision and not an accident.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each part may use beside itself. Parts that stand here alone are the whole list: a new one has to be added.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("proto", &[]),
    ("net", &[]),
    ("config", &["domain"]),
    ("store", &["domain"]),
    ("telemetry", &["config", "domain", "proto"]),
    ("auth", &["domain", "proto", "store"]),
    ("service", &["auth", "domain", "store"]),
    ("edge", &["domain", "proto"]),
    ("oauth", &["auth", "domain", "proto", "service"]),
    ("intake", &["auth", "domain", "service"]),
    // The decisions of Verify are counted where they are made into messages.
    ("rpc", &["auth", "domain", "proto", "service", "store", "telemetry"]),
    (
        "server",
        &[
            "auth",
            "config",
            "domain",
            "edge",
            "intake",
            "net",
            "oauth",
            "proto",
            "rpc",
            "service",
            "store",
            "telemetry",
        ],
    ),
    // The commands that work on the data of a server that does not run open it as the server does.
    ("cli", &["config", "domain", "proto", "server", "store", "telemetry"]),
    ("main", &["cli"]),
];

/// Libraries that only some parts may name.
const ONLY_IN: [(&str, &[&str]); 7] = [
    ("sqlx", &["store"]),
    ("redis", &["store"]),
    ("tonic", &["cli", "edge", "proto", "rpc", "server"]),
    ("hyper", &["net", "server"]),
    ("clap", &["cli", "config"]),
    ("prometheus", &["telemetry"]),
    ("askama", &["oauth"]),
];

#[test]
fn no_part_uses_what_it_must_not_know() {
    let mut wrong = Vec::new();
    for (file, part, lines) in sources() {
        let allowed = MAY_USE.iter().find(|(name, _)| *name == part).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            wrong.push(format!("{}: {part} is no known part of the crate", file.display()));
            continue;
        };
        for used in lines.iter().flat_map(|line| crate_paths(line)) {
            if used != part && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {part} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for (file, part, lines) in sources() {
        for (library, parts) in ONLY_IN {
            let names = |line: &&String| {
                let code = line.trim_start();
                let path = format!("{library}::");
                code.starts_with(&format!("use {path}"))
                    || code.contains(&format!(" {path}"))
                    || code.contains(&format!("({path}"))
            };
            if !parts.contains(&part.as_str()) && lines.iter().any(|line| names(&line)) {
                wrong.push(format!("{}: {part} names {library}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, _, lines)| lines.len() > LONGEST)
        .map(|(file, _, lines)| format!("{}: {} lines", file.display(), lines.len()))
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST} lines without tests:\n{}", long.join("\n"));
}

#[test]
fn the_parts_have_an_order() {
    // A cycle could not be told from a mistake: whoever is used must not use back, over any number of steps.
    let edges: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    for start in edges.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), edges[start].to_vec());
        while let Some(part) = next.pop() {
            assert_ne!(part, *start, "{start} may use itself through others");
            if seen.insert(part) {
                next.extend(edges[part]);
            }
        }
    }
}

/// The sources without tests: path, part of the crate, lines.
fn sources() -> Vec<(PathBuf, String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut directories) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("the sources can be read") {
            let path = entry.expect("the sources can be read").path();
            let relative = path.strip_prefix(&root).expect("it is in there").to_owned();
            let name = relative.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "tests" {
                directories.push(path);
            } else if name.ends_with(".rs") && !["tests.rs", "lib.rs"].contains(&name) {
                let first = relative.components().next().expect("a path has parts").as_os_str().to_string_lossy();
                let part = first.trim_end_matches(".rs").to_owned();
                let text = std::fs::read_to_string(&path).expect("the sources can be read");
                found.push((relative, part, without_tests(&text)));
            }
        }
    }
    assert!(found.len() > 100, "these are not the sources: {found:?}");
    found
}

/// The lines before the tests, which stand last in a file.
fn without_tests(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let starts_tests = |pair: &[String]| {
        pair[0].trim() == "#[cfg(test)]"
            && pair[1].trim_start().starts_with("mod ")
            && pair[1].trim_end().ends_with('{')
    };
    let end = lines.windows(2).position(starts_tests).unwrap_or(lines.len());
    lines[..end].to_vec()
}

/// The parts of the crate that a line names, but for comments and what is named for tests.
fn crate_paths(line: &str) -> Vec<String> {
    if line.trim_start().starts_with("//") {
        return Vec::new();
    }
    let paths = line.match_indices("crate::").map(|(at, _)| &line[at + "crate::".len()..]);
    paths
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>())
        .filter(|part| !part.is_empty())
        .collect()
}

const LONGEST: usize = 500;
