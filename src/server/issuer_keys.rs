//! Fetches the keys of trusted issuers and of clients, and clients' documents, over the network for the parts that keep them.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::World;
use crate::auth::outside::key_source::{self, Fetch, Fetching, KeySource};
use crate::config::Config;
use crate::net::{FetchSettings, Fetcher};

/// What the network has of them.
pub(super) fn fetch(config: &Config, world: &World) -> Arc<dyn Fetch> {
    Arc::new(Fetched(Fetcher::new(settings(&config.issuer_private_addresses, world))))
}

/// The same for keys that nobody vouched for: whoever names where they are may be anybody.
pub(super) fn fetch_of_strangers(config: &Config, world: &World) -> Arc<dyn Fetch> {
    Arc::new(Fetched(Fetcher::new(settings(&config.stranger_private_addresses, world))))
}

/// What the network has of the documents that say what clients are. Somebody waits for each, at a page.
pub(super) fn documents(config: &Config, world: &World) -> Arc<dyn Fetch> {
    let (connect, total) = (Duration::from_secs(2), Duration::from_secs(5));
    Arc::new(Fetched(Fetcher::new(FetchSettings {
        connect,
        total,
        max_bytes: MAX_DOCUMENT,
        ..settings(&config.stranger_private_addresses, world)
    })))
}

/// Keys that are published elsewhere: none are known yet.
pub(super) fn source(fetch: &Arc<dyn Fetch>, world: &World) -> KeySource {
    KeySource::new(Arc::clone(fetch), Arc::clone(&world.clock), Arc::clone(&world.entropy), MOST_IN_MEMORY)
}

fn settings(private_networks: &[IpNet], world: &World) -> FetchSettings {
    let private_networks = private_networks.to_vec();
    FetchSettings { private_networks, authorities: world.authorities.clone(), ..FetchSettings::default() }
}

#[derive(Debug)]
struct Fetched(Fetcher);

impl Fetch for Fetched {
    fn fetch<'a>(&'a self, url: &'a str) -> Fetching<'a> {
        Box::pin(async move {
            let document = self.0.fetch(url).await.map_err(|error| format!("{url}: {error}"))?;
            Ok(key_source::Fetched { body: document.body, fresh_for: document.fresh_for })
        })
    }
}

/// Issuers, or clients, whose keys are kept at one time.
const MOST_IN_MEMORY: usize = 1_000;
/// Bytes of a client's document (draft-ietf-oauth-client-id-metadata-document, section 8.7).
const MAX_DOCUMENT: usize = 5 * 1024;
