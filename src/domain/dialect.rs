//! The spellings of the HTTP API: one set of RPCs, three families of paths.

/// Which family of paths a request came in by. It decides how a list is paged when the request does not say, and how a
/// needed scope is spelt in a refusal; never what is allowed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Dialect {
    /// gRPC, gRPC-Web and `/v1/...`: keyset pages, scopes as `read:products`.
    #[default]
    Standard,
    /// Paths without a version (`/products`): bare arrays, `size` with `page` from 0, `X-Pagination-Total`.
    Storefront,
    /// `/v1/api/public/...`: `limit` with `page` from 1, scopes as `READ_PRODUCTS`.
    Billing,
}

impl Dialect {
    /// The dialect of a path template of `google.api.http`.
    pub fn of_template(template: &str) -> Self {
        if template.starts_with("/v1/api/public/") {
            Self::Billing
        } else if template.starts_with("/v1/") {
            Self::Standard
        } else {
            Self::Storefront
        }
    }
}
