//! The three styles of naming a page, in one place for all lists.

use crate::domain::dialect::Dialect;
use crate::domain::error::Result;
use crate::domain::page::{Page, PageRequest};
use crate::domain::sealing::Keyring;
use crate::proto::v1;
use crate::service::paging::ListScope;

use super::fields::Fields;

/// The fields by which a list request names its page.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageFields<'a> {
    pub(super) page_size: Option<i32>,
    pub(super) page_token: Option<&'a str>,
    pub(super) limit: Option<i32>,
    pub(super) size: Option<i32>,
    pub(super) page: Option<i32>,
}

/// Takes the page fields out of any list request.
macro_rules! page_fields {
    ($message:expr) => {
        $crate::rpc::page::PageFields {
            page_size: $message.page_size,
            page_token: $message.page_token.as_deref(),
            limit: $message.limit,
            size: $message.size,
            page: $message.page,
        }
    };
}
pub(super) use page_fields;

/// Where a page stands, for the answer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) pagination: Option<v1::Pagination>,
    pub(super) next_page_token: Option<String>,
}

impl PageFields<'_> {
    /// The page asked for.
    ///
    /// # Errors
    /// INVALID_FIELD for a number out of range, a token of another list, or two styles at once.
    pub(super) fn read(self, dialect: Dialect, list: &ListScope, keyring: &Keyring) -> Result<PageRequest> {
        let mut fields = Fields::default();
        let keyset = self.page_size.is_some() || self.page_token.is_some();
        let numbered = self.limit.is_some() || self.size.is_some() || self.page.is_some();
        if keyset && numbered || self.limit.is_some() && self.size.is_some() {
            let rule = "name the page in one style: page_size with page_token, limit with page, or size with page";
            fields.refuse(if keyset { "page_size" } else { "limit" }, rule);
            return fields.finish(PageRequest::After { limit: 1, after: None });
        }
        let first = match (self.limit, self.size, dialect) {
            (Some(_), _, _) => Some(1),
            (_, Some(_), _) => Some(0),
            (None, None, Dialect::Billing) if !keyset => Some(1),
            (None, None, Dialect::Storefront) if !keyset => Some(0),
            _ => None,
        };
        let Some(first) = first else {
            if self.page.is_some() {
                fields.refuse("page", "needs limit (pages from 1) or size (pages from 0) beside it");
            }
            let limit = count(&mut fields, "page_size", self.page_size);
            // An empty token is what the last page carries: a client that sends it back begins anew.
            let token = self.page_token.filter(|token| !token.is_empty());
            let after = token.map(|token| list.read(keyring, token)).transpose()?;
            return fields.finish(PageRequest::After { limit, after });
        };
        let (name, value) = if first == 1 { ("limit", self.limit) } else { ("size", self.size) };
        let limit = count(&mut fields, name, value);
        let page = self.page.map_or(Some(first), |page| u32::try_from(page).ok().filter(|page| *page >= first));
        if page.is_none() {
            fields.refuse("page", format!("must be {first} or more"));
        }
        fields.finish(PageRequest::Numbered { limit, page: page.unwrap_or(first), first })
    }
}

/// Where a page stands; `key` is the sort key of an item.
pub(super) fn place<T>(
    page: &Page<T>,
    request: &PageRequest,
    list: &ListScope,
    keyring: &Keyring,
    key: impl Fn(&T) -> &str,
) -> Place {
    match request {
        PageRequest::After { .. } => {
            let last = page.items.last().filter(|_| page.has_more);
            let next_page_token = last.map(|item| list.token(keyring, key(item)));
            Place { pagination: None, next_page_token }
        }
        PageRequest::Numbered { limit, page: number, .. } => {
            let wire = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
            let total = i32::try_from(page.total.unwrap_or(0)).unwrap_or(i32::MAX);
            let pagination =
                v1::Pagination { page: wire(*number), limit: wire(*limit), total, has_more: page.has_more };
            Place { pagination: Some(pagination), next_page_token: None }
        }
    }
}

impl Place {
    /// The answer that `make` makes of the place; the total goes into `x-pagination-total` too, for clients that get the
    /// bare list.
    pub(super) fn answer<T>(
        self,
        make: impl FnOnce(Option<v1::Pagination>, Option<String>) -> T,
    ) -> tonic::Response<T> {
        let total = self.pagination.map(|pagination| pagination.total);
        let mut response = tonic::Response::new(make(self.pagination, self.next_page_token));
        if let Some(total) = total {
            response.metadata_mut().insert("x-pagination-total", total.into());
        }
        response
    }
}

fn count(fields: &mut Fields, name: &str, value: Option<i32>) -> u32 {
    let Some(value) = value else { return PageRequest::DEFAULT_LIMIT };
    match u32::try_from(value) {
        Ok(limit @ 1..=PageRequest::MAX_LIMIT) => limit,
        _ => {
            fields.refuse(name, format!("must be from 1 to {}", PageRequest::MAX_LIMIT));
            1
        }
    }
}
