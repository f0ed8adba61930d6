//! Searching for words: the one thing that the engines say differently.
//!
//! Both hold the same words, cut by the domain, and match them by their beginning. A word is stored behind its project and
//! environment, so that a search walks through nothing of anybody else's.

use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::store::products::{product_columns, product_tags};
use crate::store::users::user_columns;

/// The statements of a search for things of one kind.
pub(in crate::store) struct TextSearch {
    /// Forgets the words of thing `$1`.
    pub(in crate::store) remove: &'static str,
    /// Stores the words `$2`, parted by spaces, of thing `$1`, which has none.
    pub(in crate::store) put: &'static str,
    /// Counts the things of project `$1` and environment `$2` that match `$3`.
    pub(in crate::store) count: &'static str,
    /// Those things from below `$4`, newest first, `$5` at most after `$6`.
    pub(in crate::store) page: &'static str,
    term: fn(&str) -> String,
    and: &'static str,
}

impl TextSearch {
    /// The expression that matches where all these words begin a word.
    pub(in crate::store) fn expression(
        &self,
        project: &ProjectId,
        environment: Environment,
        words: &[String],
    ) -> String {
        let terms: Vec<String> = words.iter().map(|word| (self.term)(&placed(project, environment, word))).collect();
        terms.join(self.and)
    }
}

/// The words as they are stored, parted by spaces.
pub(in crate::store) fn stored_words<'a>(
    project: &ProjectId,
    environment: Environment,
    words: impl IntoIterator<Item = &'a String>,
) -> String {
    let words: Vec<String> = words.into_iter().map(|word| placed(project, environment, word)).collect();
    words.join(" ")
}

/// A word behind its project and environment. The hyphens of project names would part words in SQLite, so they become
/// hyphens (U+2010) that do not; a word itself holds neither them nor middle dots, for it is made of letters and digits.
fn placed(project: &ProjectId, environment: Environment, word: &str) -> String {
    format!("{}\u{b7}{environment}\u{b7}{word}", project.as_str().replace('-', "\u{2010}"))
}

pub(super) const SQLITE_PRODUCTS: TextSearch = TextSearch {
    remove: "DELETE FROM product_words WHERE rowid = $1",
    put: "INSERT INTO product_words (rowid, words) VALUES ($1, $2)",
    // The table as a whole is asked (`product_words MATCH`): without details, FTS5 cannot tell one column from another.
    // CROSS JOIN keeps SQLite from taking the tables in another order: the index of words gives the newest first and stops
    // after a page.
    count: "SELECT COUNT(*) AS total FROM product_words w CROSS JOIN products p ON p.seq = w.rowid
        WHERE w.product_words MATCH $3 AND p.project = $1 AND p.environment = $2 AND p.deleted_at IS NULL",
    page: concat!(
        "SELECT ",
        product_columns!(),
        ", ",
        product_tags!(),
        " FROM product_words w CROSS JOIN products p ON p.seq = w.rowid
        WHERE w.product_words MATCH $3 AND w.rowid < $4
            AND p.project = $1 AND p.environment = $2 AND p.deleted_at IS NULL
        ORDER BY w.rowid DESC LIMIT $5 OFFSET $6"
    ),
    // FTS5 strings double their quotes (sqlite.org/fts5.html, section 3.1); the words hold none, but that is not for us
    // to know.
    term: |word| format!("\"{}\"*", word.replace('"', "\"\"")),
    and: " AND ",
};

pub(super) const SQLITE_USERS: TextSearch = TextSearch {
    remove: "DELETE FROM user_words WHERE rowid = $1",
    put: "INSERT INTO user_words (rowid, words) VALUES ($1, $2)",
    count: "SELECT COUNT(*) AS total FROM user_words w CROSS JOIN users u ON u.seq = w.rowid
        WHERE w.user_words MATCH $3 AND u.project = $1 AND u.environment = $2 AND u.deleted_at IS NULL",
    page: concat!(
        "SELECT ",
        user_columns!(),
        " FROM user_words w CROSS JOIN users u ON u.seq = w.rowid
        WHERE w.user_words MATCH $3 AND w.rowid < $4
            AND u.project = $1 AND u.environment = $2 AND u.deleted_at IS NULL
        ORDER BY w.rowid DESC LIMIT $5 OFFSET $6"
    ),
    term: SQLITE_PRODUCTS.term,
    and: SQLITE_PRODUCTS.and,
};

pub(super) const POSTGRES_PRODUCTS: TextSearch = TextSearch {
    remove: "DELETE FROM product_words WHERE product = $1",
    put: "INSERT INTO product_words (product, words) VALUES ($1, array_to_tsvector(string_to_array($2, ' ')))",
    count: "SELECT COUNT(*) AS total FROM product_words w JOIN products p ON p.seq = w.product
        WHERE w.words @@ $3::tsquery AND p.project = $1 AND p.environment = $2 AND p.deleted_at IS NULL",
    page: concat!(
        "SELECT ",
        product_columns!(),
        ", ",
        product_tags!(),
        " FROM product_words w JOIN products p ON p.seq = w.product
        WHERE w.words @@ $3::tsquery AND p.seq < $4
            AND p.project = $1 AND p.environment = $2 AND p.deleted_at IS NULL
        ORDER BY p.seq DESC LIMIT $5 OFFSET $6"
    ),
    // Quoted lexemes double their quotes and backslashes (PostgreSQL, section 8.11.2).
    term: |word| format!("'{}':*", word.replace('\\', "\\\\").replace('\'', "''")),
    and: " & ",
};

pub(super) const POSTGRES_USERS: TextSearch = TextSearch {
    remove: "DELETE FROM user_words WHERE user_seq = $1",
    put: "INSERT INTO user_words (user_seq, words) VALUES ($1, array_to_tsvector(string_to_array($2, ' ')))",
    count: "SELECT COUNT(*) AS total FROM user_words w JOIN users u ON u.seq = w.user_seq
        WHERE w.words @@ $3::tsquery AND u.project = $1 AND u.environment = $2 AND u.deleted_at IS NULL",
    page: concat!(
        "SELECT ",
        user_columns!(),
        " FROM user_words w JOIN users u ON u.seq = w.user_seq
        WHERE w.words @@ $3::tsquery AND u.seq < $4
            AND u.project = $1 AND u.environment = $2 AND u.deleted_at IS NULL
        ORDER BY u.seq DESC LIMIT $5 OFFSET $6"
    ),
    term: POSTGRES_PRODUCTS.term,
    and: POSTGRES_PRODUCTS.and,
};
