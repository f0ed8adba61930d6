//! Checking that nobody has changed, removed or added entries of the audit log behind our back.
//!
//! What is read here is not trusted: a row is taken as the texts that lie there, whatever they mean.

use super::audit::entry_columns;
use super::db::{Failure, Row, values};
use super::error::Result;
use super::{Store, StoreError};
use crate::domain::audit_chain::{AuditKey, BROKEN, Fields, Head, Link};
use crate::domain::id::ProjectId;

/// What came of checking a project's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditCheck {
    /// The project.
    pub project: String,
    /// Entries that were found to be as they were written, before the break if there is one.
    pub whole: i64,
    /// Entries from before the chain, which were counted only.
    pub unchained: i64,
    /// The first place where the log is not as it was written.
    pub broken: Option<Break>,
}

/// Where a log is not as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Break {
    /// The number of the entry.
    pub seq: i64,
    /// The id of the entry that stands there, or comes next; none where none does.
    pub event: Option<String>,
    /// What was done to the log.
    pub kind: BreakKind,
}

/// What was done to a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BreakKind {
    /// The entry, its place or the log's head is not what was written.
    Changed,
    /// Entries are missing from here on, and others follow.
    Removed,
    /// The entry was never written by us.
    Inserted,
    /// The end of the log is missing from here on.
    Truncated,
}

impl BreakKind {
    /// The word for people and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Truncated => "truncated",
        }
    }
}

impl Store {
    /// The projects whose log has not begun: they are from before the chain.
    pub async fn list_projects_without_audit_log(&self) -> Result<Vec<ProjectId>> {
        let rows = self.db.fetch_list(WITHOUT, &[]).await?;
        rows.iter().map(|row| Ok(ProjectId::stored(row.text("project")?))).collect()
    }

    /// The projects that have, or should have, an audit log.
    pub async fn list_audited_projects(&self) -> Result<Vec<String>> {
        let rows = self.db.fetch_list(PROJECTS, &[]).await?;
        rows.iter().map(|row| row.text("project")).collect()
    }

    /// Checks a project's log from its first entry to its last, so many at a time. Entries may be added meanwhile.
    pub async fn check_audit_log(&self, project: &str, batch: u32) -> Result<AuditCheck> {
        let key = self.audit_key.get();
        let key = key.ok_or_else(|| Failure::fault("the audit log is read before the master key was checked"))?;
        let Some((head, _)) = self.head(project).await? else {
            // Every project has one from its first change on, which is its own making.
            let kind = BreakKind::Truncated;
            let broken = Some(Break { seq: 1, event: None, kind });
            return Ok(AuditCheck { project: project.to_owned(), whole: 0, unchained: 0, broken });
        };
        let mut walk = Walk { key, project, last: key.genesis(project, head.unchained), pending: None };
        let broken = self.walk(&mut walk, &head, batch).await?;
        let project = project.to_owned();
        Ok(AuditCheck { project, whole: walk.last.seq, unchained: head.unchained, broken })
    }

    async fn walk(&self, walk: &mut Walk<'_>, begun: &Head, batch: u32) -> Result<Option<Break>> {
        if let Some(broken) = self.count_unchained(walk.project, begun.unchained).await? {
            return Ok(Some(broken));
        }
        // The head is read before the last batch, so that an entry with it is one that was there.
        let mut seen = i64::MIN;
        loop {
            let Some((head, seal)) = self.head(walk.project).await? else {
                return Ok(Some(walk.here(None, BreakKind::Truncated)));
            };
            let proven = walk.key.proves(&seal, walk.project, &head);
            let rows = self.db.fetch_list(AFTER, values![walk.project, walk.last.seq.max(seen), batch]).await?;
            for row in &rows {
                let entry = Entry::read(row)?;
                seen = entry.seq;
                if let Some(broken) = walk.step(entry, &head) {
                    return Ok(Some(broken));
                }
            }
            if rows.is_empty() {
                return Ok(walk.end(&head, proven));
            }
        }
    }

    async fn count_unchained(&self, project: &str, wanted: i64) -> Result<Option<Break>> {
        let row = self.db.fetch_one(UNCHAINED, values![project]).await?;
        let kind = match row.int("total")?.cmp(&wanted) {
            std::cmp::Ordering::Equal => return Ok(None),
            std::cmp::Ordering::Less => BreakKind::Removed,
            std::cmp::Ordering::Greater => BreakKind::Inserted,
        };
        Ok(Some(Break { seq: 0, event: row.opt_text("id")?, kind }))
    }

    /// The head as it lies there, and its seal.
    async fn head(&self, project: &str) -> Result<Option<(Head, Vec<u8>)>, StoreError> {
        let Some(row) = self.db.fetch_optional(HEAD, values![project]).await? else { return Ok(None) };
        let link = row.bytes("link")?.try_into().unwrap_or(BROKEN);
        let head = Head { seq: row.int("seq")?, link, unchained: row.int("unchained")? };
        Ok(Some((head, row.bytes("seal")?.to_vec())))
    }
}

/// An entry as it lies there.
struct Entry {
    seq: i64,
    occurred_at: i64,
    texts: [Option<String>; 13],
    link: Vec<u8>,
}

impl Entry {
    fn read(row: &Row) -> Result<Self> {
        let mut texts: [Option<String>; 13] = Default::default();
        for (text, column) in texts.iter_mut().zip(COLUMNS) {
            *text = row.opt_text(column)?;
        }
        let (seq, occurred_at) = (row.int("seq")?, row.int("occurred_at")?);
        Ok(Self { seq, occurred_at, texts, link: row.bytes("link")?.to_vec() })
    }

    fn id(&self) -> Option<String> {
        self.texts[0].clone()
    }

    /// Whether it was written as the entry of this number after the one that carries `before`.
    fn follows(&self, key: &AuditKey, before: &Link, seq: i64) -> bool {
        let fields: Fields<'_> = self.texts.each_ref().map(|text| text.as_deref());
        self.link == key.link(before, seq, self.occurred_at, &fields)
    }

    fn own_link(&self) -> Link {
        self.link.as_slice().try_into().unwrap_or(BROKEN)
    }
}

/// A walk along a project's log.
struct Walk<'a> {
    key: &'a AuditKey,
    project: &'a str,
    /// The end of what was found to be whole.
    last: Head,
    /// An entry that does not follow, until the next one says why.
    pending: Option<Entry>,
}

impl Walk<'_> {
    /// Takes the next entry; the break, if it shows one.
    fn step(&mut self, entry: Entry, head: &Head) -> Option<Break> {
        let next = self.last.seq + 1;
        if let Some(strange) = self.pending.take() {
            return Some(self.explain(&strange, Some(&entry), head, true));
        }
        if entry.seq > next && entry.seq <= head.seq {
            return Some(self.here(Some(&entry), BreakKind::Removed));
        }
        if entry.seq == next && entry.follows(self.key, &self.last.link, next) {
            self.last = Head { seq: next, link: entry.own_link(), ..self.last };
            return None;
        }
        self.pending = Some(entry);
        None
    }

    /// Says at the end of all entries whether they are all there were.
    fn end(&mut self, head: &Head, proven: bool) -> Option<Break> {
        if let Some(strange) = self.pending.take() {
            return Some(self.explain(&strange, None, head, proven));
        }
        if head.seq > self.last.seq {
            return Some(self.here(None, BreakKind::Truncated));
        }
        let as_written = *head == self.last && proven;
        (!as_written).then_some(Break { seq: self.last.seq, event: None, kind: BreakKind::Changed })
    }

    /// What was done, when an entry does not follow the last good one; `after` is the one behind it. Behind the last one, a
    /// head that is not proven was made for it.
    fn explain(&self, strange: &Entry, after: Option<&Entry>, head: &Head, proven: bool) -> Break {
        let next = self.last.seq + 1;
        let belongs = |entry: &Entry| entry.follows(self.key, &self.last.link, next);
        let kind = if strange.seq > head.seq || strange.seq < next {
            BreakKind::Inserted
        } else if strange.follows(self.key, &BROKEN, next) {
            // It was written when the head could not be proven: what the head was of is gone.
            BreakKind::Truncated
        } else {
            match after {
                // Genuine, but in the place of the other.
                Some(after) if belongs(after) && strange.follows(self.key, &after.own_link(), next + 1) => {
                    BreakKind::Changed
                }
                Some(after) if belongs(after) => BreakKind::Inserted,
                None if !proven => BreakKind::Inserted,
                _ => BreakKind::Changed,
            }
        };
        self.here(Some(strange), kind)
    }

    fn here(&self, entry: Option<&Entry>, kind: BreakKind) -> Break {
        Break { seq: self.last.seq + 1, event: entry.and_then(Entry::id), kind }
    }
}

/// The columns that are tied, in order.
const COLUMNS: [&str; 13] = [
    "id",
    "project",
    "environment",
    "actor",
    "action",
    "noun",
    "target",
    "request_id",
    "client_ip",
    "fields_before",
    "fields_after",
    "acting_token",
    "acting_user",
];

const PROJECTS: &str = "SELECT id AS project FROM projects UNION SELECT project FROM audit_chains
    UNION SELECT DISTINCT project FROM audit_events ORDER BY project";
const WITHOUT: &str =
    "SELECT id AS project FROM projects WHERE id NOT IN (SELECT project FROM audit_chains) ORDER BY id";
const HEAD: &str = "SELECT seq, link, unchained, seal FROM audit_chains WHERE project = $1";
const UNCHAINED: &str = "SELECT COUNT(*) AS total, MAX(id) AS id FROM audit_events WHERE project = $1 AND seq < 1";
const AFTER: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM audit_events e WHERE e.project = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3"
);

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] =
    &[(HEAD, "sqlite_autoindex_audit_chains_1"), (UNCHAINED, "audit_events_chained"), (AFTER, "audit_events_chained")];
