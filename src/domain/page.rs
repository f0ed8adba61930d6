//! Pages of lists: by a place in the order (the default, whose cost does not grow with depth) or by number.

/// Which page of a list is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PageRequest {
    /// The page after a place in the order.
    After {
        /// Items at most, 1 to 1,000.
        limit: u32,
        /// The sort key of the last item of the page before; none for the first page.
        after: Option<String>,
    },
    /// The page of a number.
    Numbered {
        /// Items at most, 1 to 1,000.
        limit: u32,
        /// The page as the client counts it.
        page: u32,
        /// The number of the first page: 0 or 1.
        first: u32,
    },
}

impl PageRequest {
    /// Items a page holds at most.
    pub const MAX_LIMIT: u32 = 1_000;
    /// Items a page holds unless the request says.
    pub const DEFAULT_LIMIT: u32 = 50;

    /// Items at most.
    pub fn limit(&self) -> u32 {
        match self {
            Self::After { limit, .. } | Self::Numbered { limit, .. } => *limit,
        }
    }

    /// Items to pass over: none in the default style.
    pub fn offset(&self) -> i64 {
        match self {
            Self::After { .. } => 0,
            Self::Numbered { limit, page, first } => i64::from(*limit) * i64::from(page.saturating_sub(*first)),
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Whether items follow.
    pub has_more: bool,
    /// Items in the whole list; counted for numbered pages only.
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), has_more: self.has_more, total: self.total }
    }
}
