//! From a token that was presented beside a key to the user behind it: recalled, or verified and looked up.
//!
//! A token that was found good is known again by a keyed hash, for a while. Two stamps of the cache of credentials guard it: one
//! of all that its environment trusts, one of the user it means. Whatever happens to either is told in the change log under
//! the hash of that stamp, on every node, and ends what was remembered.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use super::claims::{Introduction, Unverified};
use super::flaw::Flaw;
use super::key_set::KeySet;
use super::key_source::KeySource;
use crate::auth::cache::{Fill, Known};
use crate::auth::lookup::{Credentials, Found};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credential::{Credential, Form};
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::error::Result;
use crate::domain::id::ProjectId;
use crate::domain::issuer::{Issuer, IssuerKeys, KeyLocation, TokenRules, identity_hash, trust_hash};
use crate::domain::page::PageRequest;
use crate::domain::session::Identity;
use crate::store::MAX_ISSUERS;

/// What is remembered of issuers and their tokens.
pub struct Outside {
    source: KeySource,
    clock: Arc<dyn Clock>,
    key: Zeroizing<[u8; 32]>,
    tokens: Cache<Place, Arc<Entry>>,
    trusted: Cache<(ProjectId, Environment), Arc<Trusted>>,
}

/// The keyed hash of a token and of where it was presented.
type Place = [u8; 32];

/// A token that was found good.
#[derive(Debug)]
struct Entry {
    introduction: Arc<Introduction>,
    /// Holds while the environment trusts what it trusted.
    trust: Fill,
    /// Until when it is not verified again.
    until: Timestamp,
    /// Whom it means, if that was asked.
    who: Option<(Fill, Known)>,
}

/// All that an environment trusts, by name.
#[derive(Debug)]
struct Trusted {
    fill: Fill,
    issuers: HashMap<String, Trust>,
}

#[derive(Debug)]
struct Trust {
    rules: TokenRules,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Given(Arc<KeySet>),
    Published(KeyLocation),
}

/// Where a token was presented, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// The project of the key beside it.
    pub project: &'a ProjectId,
    /// The environment of that key.
    pub environment: Environment,
    /// Who is charged for a token that is not good; none where a caller of ours asks.
    pub address: Option<IpAddr>,
}

impl Outside {
    /// Remembers tokens whose issuers' keys come from this source.
    pub fn new(source: KeySource, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut *key);
        let (tokens, trusted) = (Cache::new(MAX_TOKENS), Cache::new(MAX_ENVIRONMENTS));
        Self { source, clock, key, tokens, trusted }
    }

    fn place(&self, presented: &str, beside: &Beside<'_>) -> Place {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // Neither of the first two holds a zero.
        for part in [beside.project.as_str(), beside.environment.as_str(), presented] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Finds out what was presented beside a key of a project and environment: one of our own credentials, or a token of an
    /// issuer that is trusted there.
    ///
    /// # Errors
    /// As [`Credentials::find_for`]; and ISSUER_UNAVAILABLE when the keys of a token's issuer cannot be had.
    pub async fn find_beside(&self, presented: &str, beside: &Beside<'_>) -> Result<Found> {
        let Some(outside) = self.outside.as_ref().filter(|_| looks_like_a_token(presented)) else {
            return self.look_up(presented, beside.address).await;
        };
        // One of our own sessions, if it was here lately; then it need not be read.
        if let Some(known) = self.cache.recall(presented) {
            return Ok(known.into());
        }
        let place = outside.place(presented, beside);
        if let Some(known) = self.recall_token(outside, &place) {
            return Ok(known.into());
        }
        if self.signing.claims_to_be_ours(presented) {
            return self.look_up(presented, beside.address).await;
        }
        Box::pin(self.find_token(outside, place, presented, beside)).await
    }

    /// Whether this would be taken for a token from outside.
    pub fn is_from_outside(&self, presented: &str) -> bool {
        self.outside.is_some() && looks_like_a_token(presented) && !self.signing.claims_to_be_ours(presented)
    }

    /// What a token from outside tells of its user, whether that user is known here or not.
    ///
    /// # Errors
    /// As [`Self::find_beside`].
    pub async fn introduce(&self, presented: &str, beside: &Beside<'_>) -> Result<Result<Arc<Introduction>, Flaw>> {
        let Some(outside) = &self.outside else { return Ok(Err(Flaw::UnknownIssuer)) };
        let verified = self.verified(outside, outside.place(presented, beside), presented, beside).await?;
        Ok(verified.map(|entry| Arc::clone(&entry.introduction)))
    }

    fn recall_token(&self, outside: &Outside, place: &Place) -> Option<Known> {
        let entry = outside.tokens.get(place)?;
        let (fill, known) = entry.who.as_ref()?;
        let current = entry.until > outside.clock.now() && self.cache.holds(&entry.trust);
        (current && self.cache.is_current(fill, known)).then(|| known.clone())
    }

    async fn find_token(&self, outside: &Outside, place: Place, presented: &str, beside: &Beside<'_>) -> Result<Found> {
        let entry = match self.verified(outside, place, presented, beside).await? {
            Ok(entry) => entry,
            Err(flaw) => return Ok(Found::Flawed(flaw)),
        };
        let (project, environment) = (beside.project, beside.environment);
        let Introduction { issuer, subject, expires_at, .. } = &*entry.introduction;
        let _permit = self.permit().await?;
        let fill = self.cache.begin(identity_hash(project, environment, issuer, subject));
        let known = match self.store.find_identity(project, environment, issuer, subject).await? {
            Some((user, acting)) => {
                let identity = Identity { project: project.clone(), environment, user, expires_at: *expires_at };
                Known::Issued(Arc::new(Credential::new(Form::Identity(identity, acting))))
            }
            None => Known::Unknown,
        };
        if let (Known::Unknown, Some(address)) = (&known, beside.address) {
            self.strangers.charge(address);
        }
        let Entry { introduction, trust, until, .. } = &*entry;
        let who = Some((fill, known.clone()));
        let entry = Entry { introduction: Arc::clone(introduction), trust: *trust, until: *until, who };
        outside.tokens.insert(place, Arc::new(entry));
        Ok(known.into())
    }

    /// The token, if it is good, as it is remembered from now on.
    async fn verified(
        &self,
        outside: &Outside,
        place: Place,
        presented: &str,
        beside: &Beside<'_>,
    ) -> Result<Result<Arc<Entry>, Flaw>> {
        let now = outside.clock.now();
        let remembered = outside.tokens.get(&place);
        if let Some(entry) = remembered.filter(|entry| entry.until > now && self.cache.holds(&entry.trust)) {
            return Ok(Ok(entry));
        }
        if let Some(address) = beside.address {
            self.strangers.may_ask(address)?;
        }
        let verified = self.verify_token(outside, presented, beside, now).await?;
        if let (Err(_), Some(address)) = (&verified, beside.address) {
            self.strangers.charge(address);
        }
        Ok(verified.map(|(introduction, trust)| {
            let until = introduction.expires_at.min(now.plus(VERIFIED_FOR));
            let entry = Arc::new(Entry { introduction: Arc::new(introduction), trust, until, who: None });
            outside.tokens.insert(place, Arc::clone(&entry));
            entry
        }))
    }

    async fn verify_token(
        &self,
        outside: &Outside,
        presented: &str,
        beside: &Beside<'_>,
        now: Timestamp,
    ) -> Result<Result<(Introduction, Fill), Flaw>> {
        let token = match Unverified::parse(presented) {
            Ok(token) => token,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let trusted = self.trusted(outside, beside).await?;
        let Some(trust) = trusted.issuers.get(token.issuer()) else { return Ok(Err(Flaw::UnknownIssuer)) };
        let keys = match &trust.keys {
            Keys::Given(keys) => Arc::clone(keys),
            Keys::Published(location) => outside.source.keys_for(location, token.jws()).await?,
        };
        Ok(token.verify(&keys, &trust.rules, now).map(|introduction| (introduction, trusted.fill)))
    }

    /// All that is trusted where the token was presented.
    async fn trusted(&self, outside: &Outside, beside: &Beside<'_>) -> Result<Arc<Trusted>> {
        let place = (beside.project.clone(), beside.environment);
        if let Some(trusted) = outside.trusted.get(&place).filter(|trusted| self.cache.holds(&trusted.fill)) {
            return Ok(trusted);
        }
        let _permit = self.permit().await?;
        let fill = self.cache.begin(trust_hash(beside.project, beside.environment));
        let all = PageRequest::After { limit: MAX_ISSUERS, after: None };
        let listed = self.store.list_issuers(beside.project, beside.environment, &all).await?;
        let issuers = listed.items.into_iter().filter_map(trust).collect();
        let trusted = Arc::new(Trusted { fill, issuers });
        outside.trusted.insert(place, Arc::clone(&trusted));
        Ok(trusted)
    }
}

fn trust(issuer: Issuer) -> Option<(String, Trust)> {
    let name = issuer.name().to_owned();
    let keys = match issuer.details.keys {
        IssuerKeys::Discovered => Keys::Published(KeyLocation::Discovered(name.clone())),
        IssuerKeys::At(url) => Keys::Published(KeyLocation::At(url)),
        IssuerKeys::Inline(text) => match KeySet::parse(text.as_bytes()) {
            Ok(keys) => Keys::Given(Arc::new(keys)),
            Err(flaw) => {
                // It kept the rules when it was stored.
                tracing::error!(issuer = %issuer.id, %flaw, "the keys of an issuer cannot be read; its tokens are refused");
                return None;
            }
        },
    };
    Some((name, Trust { rules: issuer.details.rules, keys }))
}

/// Keys hold no dot; tokens hold two and more.
pub(in crate::auth) fn looks_like_a_token(presented: &str) -> bool {
    presented.bytes().filter(|byte| *byte == b'.').count() >= 2
}

/// Tokens remembered, of a few hundred bytes each.
const MAX_TOKENS: usize = 1 << 14;
/// Environments whose issuers are remembered.
const MAX_ENVIRONMENTS: usize = 1 << 10;
/// How long a signature that was found good is not checked again: how long a token outlives the key it was signed by, where the
/// issuer has taken that back.
const VERIFIED_FOR: Duration = Duration::from_secs(10 * 60);
