//! Fetches the keys of trusted issuers over the network, for the part that keeps them.

use crate::auth::outside::key_source::{Fetch, Fetched, Fetching};
use crate::net::Fetcher;

/// What the network has of issuers.
#[derive(Debug)]
pub(super) struct IssuerKeys(pub(super) Fetcher);

impl Fetch for IssuerKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> Fetching<'a> {
        Box::pin(async move {
            let document = self.0.fetch(url).await.map_err(|error| format!("{url}: {error}"))?;
            Ok(Fetched { body: document.body, fresh_for: document.fresh_for })
        })
    }
}
