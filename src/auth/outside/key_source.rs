//! The keys of issuers that publish them: fetched when first needed, kept for a while, renewed behind the back of the calls that
//! use them.
//!
//! Whoever presents a token can make this ask for keys: never more than one fetch of an issuer is under way, however many wait;
//! after a failure the next waits longer each time; and a key that nobody knows is looked for at a bounded rate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::json;
use super::jws::Jws;
use super::key_set::KeySet;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::entropy::Entropy;
use crate::domain::error::{Error, Result};
use crate::domain::issuer::KeyLocation;
use crate::domain::reason::Reason;

/// Fetches the documents of issuers.
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Fetches the JSON document at this address. The error is for the log.
    fn fetch<'a>(&'a self, url: &'a str) -> Fetching<'a>;
}

/// The answer of a [`Fetch`], later.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, String>> + Send + 'a>>;

/// A document.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What it says.
    pub body: Vec<u8>,
    /// For how long its host says it may be kept.
    pub fresh_for: Option<Duration>,
}

/// The keys of all issuers that were asked for lately.
#[derive(Debug)]
pub struct KeySource {
    shared: Arc<Shared>,
    places: Cache<KeyLocation, Arc<Place>>,
}

#[derive(Debug)]
struct Shared {
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    turns: Semaphore,
    /// Who fetches, or waits for a turn to.
    line: Arc<Semaphore>,
}

/// What is known of one issuer's keys.
#[derive(Debug, Default)]
struct Place(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    keys: Option<Keys>,
    /// Whoever waits for the fetch that is under way.
    under_way: Option<watch::Receiver<()>>,
    /// Fetches that failed since the last good one.
    failures: u32,
    /// Not before this is it tried again.
    again_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Keys {
    set: Arc<KeySet>,
    fresh_until: Timestamp,
    usable_until: Timestamp,
}

impl KeySource {
    /// A source that keeps the keys of up to `capacity` issuers.
    pub fn new(fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, capacity: usize) -> Self {
        let (turns, line) = (Semaphore::new(MAX_FETCHES), Arc::new(Semaphore::new(MAX_IN_LINE)));
        let shared = Shared { fetch, clock, entropy, turns, line };
        Self { shared: Arc::new(shared), places: Cache::new(capacity) }
    }

    /// The keys to check a token by. That the one it names is among them is likely, but not promised.
    ///
    /// # Errors
    /// ISSUER_UNAVAILABLE, with the time after which to try again, when there are none.
    pub async fn keys_for(&self, location: &KeyLocation, jws: &Jws<'_>) -> Result<Arc<KeySet>> {
        let place = self.place(location);
        let wait = {
            let now = self.shared.clock.now();
            let mut state = place.lock();
            match state.usable(now).cloned() {
                Some(keys) if keys.set.has_key_of(jws) => {
                    if keys.fresh_until <= now {
                        // Nobody waits for the new ones while the old ones serve.
                        self.renew(location, &place, &mut state, now);
                    }
                    return Ok(keys.set);
                }
                // A key that is not there: perhaps the issuer has a new one.
                Some(keys) => match self.renew(location, &place, &mut state, now) {
                    Some(wait) => wait,
                    None => return Ok(keys.set),
                },
                None => match self.renew(location, &place, &mut state, now) {
                    Some(wait) => wait,
                    None => return Err(unavailable(state.again_at.since(now))),
                },
            }
        };
        finished(wait).await;
        let now = self.shared.clock.now();
        let state = place.lock();
        state.usable(now).map(|keys| Arc::clone(&keys.set)).ok_or_else(|| unavailable(state.again_at.since(now)))
    }

    /// How many issuers' keys are kept.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody's keys are kept.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn place(&self, location: &KeyLocation) -> Arc<Place> {
        // Of two that make the same place at one time, both get the one that is kept.
        let made: Result<_, std::convert::Infallible> =
            self.places.get_or_insert_with(location, || Ok(Arc::new(Place::default())));
        match made {
            Ok(place) => place,
        }
    }

    /// Joins the fetch that is under way, or begins one; none if it is too early for that, or too many wait for theirs.
    fn renew(
        &self,
        location: &KeyLocation,
        place: &Arc<Place>,
        state: &mut State,
        now: Timestamp,
    ) -> Option<watch::Receiver<()>> {
        if let Some(under_way) = &state.under_way {
            return Some(under_way.clone());
        }
        if now < state.again_at {
            return None;
        }
        let in_line = Arc::clone(&self.shared.line).try_acquire_owned().ok()?;
        let (done, wait) = watch::channel(());
        state.under_way = Some(wait.clone());
        // A task of its own: whoever began it may hang up, and others wait for it.
        let ending = Ending { place: Arc::clone(place), _done: done, _in_line: in_line };
        tokio::spawn(renewed(Arc::clone(&self.shared), location.clone(), ending));
        Some(wait)
    }
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held but for lack of memory, and each change of the state is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self, now: Timestamp) -> Option<&Keys> {
        self.keys.as_ref().filter(|keys| now < keys.usable_until)
    }

    fn succeeded(&mut self, set: KeySet, fresh_for: Option<Duration>, now: Timestamp) {
        let fresh_until = now.plus(fresh_for.unwrap_or(FRESH).clamp(FRESH_AT_LEAST, FRESH_AT_MOST));
        self.keys = Some(Keys { set: Arc::new(set), fresh_until, usable_until: fresh_until.plus(STALE) });
        self.failures = 0;
        self.again_at = now.plus(BETWEEN_FETCHES);
    }

    fn failed(&mut self, now: Timestamp, entropy: &dyn Entropy) {
        let longest = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures += 1;
        // Between half of it and all of it, so that nodes that failed together do not come back together.
        let mut random = [0; 2];
        entropy.fill(&mut random);
        let pause = longest / 2 + longest.mul_f64(f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX) / 2.0);
        self.again_at = now.plus(pause);
    }
}

/// Lets those who wait go on when a fetch is over, however it ended.
#[derive(Debug)]
struct Ending {
    place: Arc<Place>,
    _done: watch::Sender<()>,
    _in_line: OwnedSemaphorePermit,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.place.lock().under_way = None;
    }
}

async fn finished(mut wait: watch::Receiver<()>) {
    // Nothing is ever sent: the end of the sender is the word.
    let _ = wait.changed().await;
}

async fn renewed(shared: Arc<Shared>, location: KeyLocation, ending: Ending) {
    let fetched = fetch_keys(&shared, &location).await;
    let now = shared.clock.now();
    let mut state = ending.place.lock();
    match fetched {
        Ok((set, fresh_for)) => {
            if state.failures > 0 {
                tracing::info!(?location, "the keys of an issuer can be had again");
            }
            state.succeeded(set, fresh_for, now);
        }
        Err(error) => {
            state.failed(now, &*shared.entropy);
            let pause = state.again_at.since(now);
            tracing::warn!(?location, error, ?pause, failures = state.failures, "the keys of an issuer cannot be had");
        }
    }
}

async fn fetch_keys(shared: &Shared, location: &KeyLocation) -> Result<(KeySet, Option<Duration>), String> {
    // The semaphore is never closed.
    let _turn = shared.turns.acquire().await.map_err(|error| error.to_string())?;
    let found;
    let url = match location {
        KeyLocation::At(url) => url,
        KeyLocation::Discovered(issuer) => {
            found = discover(shared, issuer).await?;
            &found
        }
    };
    let fetched = shared.fetch.fetch(url).await?;
    let set = KeySet::parse(&fetched.body).map_err(|flaw| format!("what is at {url} {flaw}"))?;
    Ok((set, fetched.fresh_for))
}

/// OpenID Connect Discovery 1.0, sections 4 and 4.3: the description must be of the issuer that was asked for.
async fn discover(shared: &Shared, issuer: &str) -> Result<String, String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let fetched = shared.fetch.fetch(&url).await?;
    let description = json::object(&fetched.body).map_err(|_| format!("what is at {url} is not a JSON object"))?;
    let member = |name| description.get(name).and_then(Value::as_str);
    if member("issuer") != Some(issuer) {
        return Err(format!("what is at {url} describes another issuer"));
    }
    member("jwks_uri").map(str::to_owned).ok_or_else(|| format!("what is at {url} has no jwks_uri"))
}

fn unavailable(again_in: Duration) -> Error {
    // Told in whole seconds, as Retry-After is.
    let retry_after = Some(Duration::from_secs(again_in.as_secs() + 1));
    let message = "the keys of the token's issuer cannot be had at the moment; try again";
    Error { retry_after, ..Error::new(Reason::IssuerUnavailable, message) }
}

/// How long keys are fresh when their host does not say; and the bounds of what it may say.
const FRESH: Duration = Duration::from_secs(10 * 60);
const FRESH_AT_LEAST: Duration = Duration::from_secs(5 * 60);
const FRESH_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// How long keys that are not fresh any more serve where no new ones can be had. It is how long an issuer may be down unnoticed,
/// and how long a key that it has taken back may live on if somebody keeps us from hearing of it.
const STALE: Duration = Duration::from_secs(4 * 3600);
/// The shortest time from a good fetch to the next: how often a token can make us look for a key that nobody knows.
const BETWEEN_FETCHES: Duration = Duration::from_secs(30);
/// What is waited after one failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Fetches under way at one time, of all issuers.
const MAX_FETCHES: usize = 16;
/// Fetches that are under way or wait for that: whoever comes then is told to come again.
const MAX_IN_LINE: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use serde_json::json;

    use super::super::jws::Purpose;
    use super::super::tests::Signer;
    use super::*;
    use crate::domain::clock::ManualClock;
    use crate::domain::entropy::SystemEntropy;

    /// A net of documents; what is not in it cannot be had.
    #[derive(Debug, Default)]
    struct Documents {
        texts: Mutex<HashMap<String, (String, Option<Duration>)>>,
        fetches: AtomicUsize,
        slow: Mutex<Duration>,
    }

    impl Fetch for Documents {
        fn fetch<'a>(&'a self, url: &'a str) -> Fetching<'a> {
            Box::pin(async move {
                self.fetches.fetch_add(1, SeqCst);
                let slow = *self.slow.lock().unwrap();
                tokio::time::sleep(slow).await;
                let texts = self.texts.lock().unwrap();
                let (text, fresh_for) = texts.get(url).cloned().ok_or("the host is down")?;
                Ok(Fetched { body: text.into_bytes(), fresh_for })
            })
        }
    }

    struct Scene {
        documents: Arc<Documents>,
        clock: Arc<ManualClock>,
        source: Arc<KeySource>,
    }

    const URL: &str = "https://id.example/keys";

    impl Scene {
        fn new() -> Self {
            let documents = Arc::new(Documents::default());
            let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000_000)));
            let source = KeySource::new(
                Arc::clone(&documents) as Arc<dyn Fetch>,
                Arc::clone(&clock) as Arc<dyn Clock>,
                Arc::new(SystemEntropy),
                8,
            );
            Self { documents, clock, source: Arc::new(source) }
        }

        fn publish(&self, url: &str, text: impl ToString, fresh_for: Option<Duration>) {
            self.documents.texts.lock().unwrap().insert(url.to_owned(), (text.to_string(), fresh_for));
        }

        fn publish_keys(&self, signers: &[&Signer], fresh_for: Option<Duration>) {
            let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
            self.publish(URL, json!({ "keys": keys }), fresh_for);
        }

        fn take_down(&self) {
            self.documents.texts.lock().unwrap().clear();
        }

        fn fetches(&self) -> usize {
            self.documents.fetches.load(SeqCst)
        }

        /// Whether a token of this signer is found good, or else why there are no keys.
        async fn knows(&self, signer: &Signer) -> Result<bool, Reason> {
            self.knows_at(&KeyLocation::At(URL.to_owned()), signer).await
        }

        async fn knows_at(&self, location: &KeyLocation, signer: &Signer) -> Result<bool, Reason> {
            let token = signer.sign(&json!({}));
            let jws = Jws::parse(&token, Purpose::Identity).unwrap();
            let keys = self.source.keys_for(location, &jws).await.map_err(|error| error.reason)?;
            Ok(jws.verify(&keys, |_| true).is_ok())
        }

        async fn until_fetched(&self, fetches: usize) {
            while self.fetches() < fetches
                || self.source.place(&KeyLocation::At(URL.to_owned())).lock().under_way.is_some()
            {
                tokio::task::yield_now().await;
            }
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn keys_are_fetched_once_and_kept_while_they_are_fresh() {
        for (told, minutes) in
            [(None, 10), (Some(Duration::ZERO), 5), (Some(20 * MINUTE), 20), (Some(MINUTE * 9000), 1440)]
        {
            let (scene, signer) = (Scene::new(), Signer::ed25519("one"));
            scene.publish_keys(&[&signer], told);
            assert_eq!(scene.knows(&signer).await, Ok(true));
            scene.clock.advance(MINUTE * minutes - Duration::from_secs(1));
            assert_eq!((scene.knows(&signer).await, scene.fetches()), (Ok(true), 1), "{told:?}");
            scene.clock.advance(Duration::from_secs(1));
            assert_eq!(scene.knows(&signer).await, Ok(true), "the old keys serve while the new ones come");
            scene.until_fetched(2).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_waiters_make_one_fetch() {
        let (scene, signer) = (Arc::new(Scene::new()), Arc::new(Signer::ed25519("one")));
        *scene.documents.slow.lock().unwrap() = Duration::from_millis(200);
        scene.publish_keys(&[&signer], None);
        // Whoever comes first hangs up.
        let first = tokio::spawn({
            let (scene, signer) = (Arc::clone(&scene), Arc::clone(&signer));
            async move { scene.knows(&signer).await }
        });
        while scene.fetches() == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        let waiters: Vec<_> = (0..1000)
            .map(|_| {
                let (scene, signer) = (Arc::clone(&scene), Arc::clone(&signer));
                tokio::spawn(async move { scene.knows(&signer).await })
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), Ok(true));
        }
        assert_eq!(scene.fetches(), 1);
    }

    #[tokio::test]
    async fn a_new_key_is_found_and_unknown_ones_are_looked_for_at_a_bounded_rate() {
        let (scene, old, new, stranger) =
            (Scene::new(), Signer::ed25519("old"), Signer::ed25519("new"), Signer::ed25519("stranger"));
        scene.publish_keys(&[&old], None);
        assert_eq!(scene.knows(&old).await, Ok(true));
        scene.publish_keys(&[&new], None);
        assert_eq!((scene.knows(&new).await, scene.fetches()), (Ok(false), 1), "too soon after the last fetch");
        scene.clock.advance(BETWEEN_FETCHES);
        assert_eq!((scene.knows(&new).await, scene.fetches()), (Ok(true), 2));
        for _ in 0..100 {
            assert_eq!(scene.knows(&stranger).await, Ok(false));
            assert_eq!(scene.knows(&old).await, Ok(false), "what was taken back is not known any more");
        }
        assert_eq!(scene.fetches(), 2);
        scene.clock.advance(BETWEEN_FETCHES);
        for _ in 0..100 {
            assert_eq!(scene.knows(&stranger).await, Ok(false));
        }
        assert_eq!(scene.fetches(), 3);
    }

    #[tokio::test]
    async fn failures_are_repeated_more_and_more_slowly() {
        let (scene, signer) = (Scene::new(), Signer::ed25519("one"));
        let mut pauses = Vec::new();
        for attempt in 1..=12 {
            assert_eq!(scene.knows(&signer).await, Err(Reason::IssuerUnavailable));
            assert_eq!(scene.knows(&signer).await, Err(Reason::IssuerUnavailable), "answered without a fetch");
            assert_eq!(scene.fetches(), attempt);
            let again_at = scene.source.place(&KeyLocation::At(URL.to_owned())).lock().again_at;
            let pause = again_at.since(scene.clock.now());
            pauses.push(pause);
            scene.clock.advance(pause);
        }
        for (failures, pause) in pauses.into_iter().enumerate() {
            let longest = Duration::from_secs(2 << failures).min(LONGEST_PAUSE);
            assert!((longest / 2..=longest).contains(&pause), "{failures}: {pause:?}");
        }
        scene.publish_keys(&[&signer], None);
        assert_eq!(scene.knows(&signer).await, Ok(true));
    }

    #[tokio::test]
    async fn stale_keys_serve_for_a_while_when_the_issuer_is_down() {
        let (scene, signer) = (Scene::new(), Signer::ed25519("one"));
        scene.publish_keys(&[&signer], None);
        assert_eq!(scene.knows(&signer).await, Ok(true));
        scene.take_down();
        scene.clock.advance(FRESH);
        assert_eq!(scene.knows(&signer).await, Ok(true));
        scene.until_fetched(2).await;
        assert_eq!(scene.knows(&signer).await, Ok(true));
        scene.clock.advance(STALE - Duration::from_secs(1));
        assert_eq!(scene.knows(&signer).await, Ok(true));
        scene.until_fetched(3).await;
        scene.clock.advance(Duration::from_secs(1));
        assert_eq!(scene.knows(&signer).await, Err(Reason::IssuerUnavailable));
    }

    #[tokio::test]
    async fn an_issuer_describes_where_its_keys_are() {
        let (issuer, description) = ("https://id.example/", "https://id.example/.well-known/openid-configuration");
        let location = KeyLocation::Discovered(issuer.to_owned());
        let signer = Signer::ed25519("one");
        for (text, wanted) in [
            (json!({"issuer": issuer, "jwks_uri": URL}).to_string(), Ok(true)),
            (json!({"issuer": "https://id.example", "jwks_uri": URL}).to_string(), Err(Reason::IssuerUnavailable)),
            (json!({"issuer": issuer}).to_string(), Err(Reason::IssuerUnavailable)),
            (json!({"jwks_uri": URL}).to_string(), Err(Reason::IssuerUnavailable)),
            (
                format!("{{\"issuer\":\"{issuer}\",\"jwks_uri\":\"{URL}\",\"jwks_uri\":\"{URL}\"}}"),
                Err(Reason::IssuerUnavailable),
            ),
            ("[]".to_owned(), Err(Reason::IssuerUnavailable)),
        ] {
            let scene = Scene::new();
            scene.publish_keys(&[&signer], None);
            scene.publish(description, &text, None);
            assert_eq!(scene.knows_at(&location, &signer).await, wanted, "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_set_of_keys_changes_nothing() {
        let (scene, signer) = (Scene::new(), Signer::ed25519("one"));
        scene.publish_keys(&[&signer], None);
        assert_eq!(scene.knows(&signer).await, Ok(true));
        for bad in [json!({"keys": []}), json!([]), json!({"keys": [signer.jwk(), signer.jwk()]})] {
            scene.publish(URL, &bad, None);
            scene.clock.advance(FRESH);
            let before = scene.fetches();
            assert_eq!(scene.knows(&signer).await, Ok(true));
            scene.until_fetched(before + 1).await;
            assert_eq!(scene.knows(&signer).await, Ok(true), "{bad}");
        }
    }

    #[tokio::test]
    async fn few_issuers_are_kept() {
        let (scene, signer) = (Scene::new(), Signer::ed25519("one"));
        for n in 0..100 {
            let url = format!("https://id.example/{n}");
            scene.publish(&url, json!({"keys": [signer.jwk()]}), None);
            assert_eq!(scene.knows_at(&KeyLocation::At(url), &signer).await, Ok(true));
        }
        assert!((1..=8).contains(&scene.source.len()));
    }
}
