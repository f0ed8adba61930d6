//! Cutting lists into pages.

use super::error::Result;
use crate::domain::page::{Page, PageRequest};

/// What a list statement is asked for: one more than the page holds, to know whether items follow.
pub(super) struct Cut {
    pub(super) limit: i64,
    pub(super) offset: i64,
}

impl Cut {
    pub(super) fn of(request: &PageRequest) -> Self {
        Self { limit: i64::from(request.limit()) + 1, offset: request.offset() }
    }

    /// Whether the page lies past the end, so that it need not be looked for.
    pub(super) fn is_past(&self, total: Option<u64>) -> bool {
        total.is_some_and(|total| i64::try_from(total).is_ok_and(|total| total <= self.offset))
    }
}

/// The place the page comes after, in the default style.
pub(super) fn after(request: &PageRequest) -> Option<&str> {
    match request {
        PageRequest::After { after, .. } => after.as_deref(),
        PageRequest::Numbered { .. } => None,
    }
}

/// Makes a page of what a list statement gave.
pub(super) fn page<R, T>(
    request: &PageRequest,
    mut rows: Vec<R>,
    total: Option<u64>,
    read: impl FnMut(&R) -> Result<T>,
) -> Result<Page<T>> {
    let limit = request.limit() as usize;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Ok(Page { items: rows.iter().map(read).collect::<Result<_>>()?, has_more, total })
}
