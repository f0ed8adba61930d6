//! Cutting lists into pages.

use super::Store;
use super::db::{Row, Value, total, values};
use super::error::Result;
use crate::domain::page::{Page, PageRequest};

/// The two statements of a list, with the values of its filter as their first placeholders. The page's last three are the
/// place it comes after, how many rows it takes and how many it passes over.
#[derive(Clone, Copy)]
pub(super) struct Statements {
    pub(super) page: &'static str,
    pub(super) count: &'static str,
}

/// What a list is read by.
#[derive(Clone, Copy)]
enum By {
    /// What all work is done by: the list is that of an index.
    All,
    /// What reports are made by: much may have to be passed over.
    Reports,
}

impl Store {
    /// One page of a list. The whole is counted for numbered pages only.
    pub(super) async fn page<T>(
        &self,
        statements: Statements,
        filter: &[Value<'_>],
        after: Value<'_>,
        request: &PageRequest,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Page<T>> {
        self.page_by(By::All, statements, filter, after, request, read).await
    }

    /// The same where much may have to be passed over for a page.
    pub(super) async fn page_of_report<T>(
        &self,
        statements: Statements,
        filter: &[Value<'_>],
        after: Value<'_>,
        request: &PageRequest,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Page<T>> {
        self.page_by(By::Reports, statements, filter, after, request, read).await
    }

    async fn page_by<T>(
        &self,
        by: By,
        statements: Statements,
        filter: &[Value<'_>],
        after: Value<'_>,
        request: &PageRequest,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Page<T>> {
        let total = match request {
            PageRequest::After { .. } => None,
            PageRequest::Numbered { .. } => Some(total(&self.rows(by, statements.count, filter).await?)?),
        };
        let offset = request.offset();
        if total.is_some_and(|total| i64::try_from(total).is_ok_and(|total| total <= offset)) {
            return Ok(Page { items: Vec::new(), has_more: false, total });
        }
        let mut values = filter.to_vec();
        // One more than the page holds, to know whether items follow.
        values.push(after);
        values.extend(values![i64::from(request.limit()) + 1, offset]);
        let mut rows = self.rows(by, statements.page, &values).await?;
        let limit = request.limit() as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Page { items: rows.iter().map(read).collect::<Result<_>>()?, has_more, total })
    }

    async fn rows(&self, by: By, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>> {
        Ok(match by {
            By::All => self.db.fetch_list(sql, values).await?,
            By::Reports => self.db.fetch_report(sql, values).await?,
        })
    }
}

/// The place a page comes after, in the default style.
pub(super) fn after(request: &PageRequest) -> Option<&str> {
    match request {
        PageRequest::After { after, .. } => after.as_deref(),
        PageRequest::Numbered { .. } => None,
    }
}
