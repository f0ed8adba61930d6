//! Fetches the keys of trusted issuers and of clients over the network, for the parts that keep them.

use std::sync::Arc;

use super::World;
use crate::auth::outside::key_source::{Fetch, Fetched, Fetching, KeySource};
use crate::config::Config;
use crate::net::{FetchSettings, Fetcher};

/// What the network has of them.
pub(super) fn fetch(config: &Config) -> Arc<dyn Fetch> {
    let private_networks = config.issuer_private_addresses.clone();
    Arc::new(IssuerKeys(Fetcher::new(FetchSettings { private_networks, ..FetchSettings::default() })))
}

/// Keys that are published elsewhere: none are known yet.
pub(super) fn source(fetch: &Arc<dyn Fetch>, world: &World) -> KeySource {
    KeySource::new(Arc::clone(fetch), Arc::clone(&world.clock), Arc::clone(&world.entropy), MOST_IN_MEMORY)
}

#[derive(Debug)]
struct IssuerKeys(Fetcher);

impl Fetch for IssuerKeys {
    fn fetch<'a>(&'a self, url: &'a str) -> Fetching<'a> {
        Box::pin(async move {
            let document = self.0.fetch(url).await.map_err(|error| format!("{url}: {error}"))?;
            Ok(Fetched { body: document.body, fresh_for: document.fresh_for })
        })
    }
}

/// Issuers, or clients, whose keys are kept at one time.
const MOST_IN_MEMORY: usize = 1_000;
