//! Cutting lists into pages.

use super::Store;
use super::db::{Row, Value, values};
use super::error::Result;
use crate::domain::page::{Page, PageRequest};

/// The two statements of a list, with the values of its filter as their first placeholders. The page's last three are the
/// place it comes after, how many rows it takes and how many it passes over.
#[derive(Clone, Copy)]
pub(super) struct Statements {
    pub(super) page: &'static str,
    pub(super) count: &'static str,
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
        let total = match request {
            PageRequest::After { .. } => None,
            PageRequest::Numbered { .. } => Some(self.db.count(statements.count, filter).await?),
        };
        let offset = request.offset();
        if total.is_some_and(|total| i64::try_from(total).is_ok_and(|total| total <= offset)) {
            return Ok(Page { items: Vec::new(), has_more: false, total });
        }
        let mut values = filter.to_vec();
        // One more than the page holds, to know whether items follow.
        values.push(after);
        values.extend(values![i64::from(request.limit()) + 1, offset]);
        let mut rows = self.db.fetch_list(statements.page, &values).await?;
        let limit = request.limit() as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Page { items: rows.iter().map(read).collect::<Result<_>>()?, has_more, total })
    }
}

/// The place a page comes after, in the default style.
pub(super) fn after(request: &PageRequest) -> Option<&str> {
    match request {
        PageRequest::After { after, .. } => after.as_deref(),
        PageRequest::Numbered { .. } => None,
    }
}
