//! From what was presented to the credential it belongs to: checksum or signature, cache, store.
//!
//! The token of a session is a credential like the secret of a key: what counts is its row in the store, found by the hash of
//! the whole token. That it was signed here, as the checksum of a secret, only spares the store what nobody issued.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cache::{CredentialCache, Fill, Known};
use super::caller::Caller;
use super::clients::KnownClients;
use super::outside::flaw::Flaw;
use super::outside::lookup::Outside;
use super::signing::{InvalidToken, Signing};
use super::strangers::Strangers;
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::credential::{ActingUser, Credential, Form, KeySecret, SecretRole};
use crate::domain::entropy::Entropy;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AuditEventId, ClientId, CredentialId};
use crate::domain::oauth::exchange::{MOST_EXCHANGES, SubjectKind};
use crate::domain::oauth::token::AccessToken;
use crate::domain::reason::Reason;
use crate::domain::sealing::Keyring;
use crate::domain::secret::{SecretHash, SecretPrefix, SecretShape};
use crate::domain::test_keys::TestKey;
use crate::store::{Result as StoreResult, Store};

/// Finds credentials.
#[derive(Debug)]
pub struct Credentials {
    pub(super) store: Store,
    pub(super) cache: CredentialCache,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clients: KnownClients,
    pub(super) signing: Arc<Signing>,
    misses: Semaphore,
    pub(super) strangers: Strangers,
    /// Tokens of trusted issuers; none where no such token is taken.
    pub(super) outside: Option<Outside>,
    entropy: Arc<dyn Entropy>,
}

/// What is known about a presented secret.
#[derive(Clone, Debug)]
pub enum Found {
    /// It is not a credential by shape and checksum, or signature.
    Malformed,
    /// It was not issued here.
    Unknown,
    /// It is one of the reserved test keys, which are refused whatever they are presented for.
    Reserved(&'static TestKey),
    /// It is a token of an issuer, and this is wrong with it.
    Flawed(Flaw),
    /// It is a honey key, or a token that was exchanged for one: whoever presents it is answered as if nobody knew it, and it is
    /// counted, so that its project is told.
    Honey(Arc<Credential>),
    /// It was issued here, or is a good token of a user who is known here.
    Issued(Arc<Credential>),
}

impl Credentials {
    /// Finds credentials in this store, and remembers them in this cache; asks for strangers within these budgets.
    pub fn new(
        store: Store,
        cache: CredentialCache,
        keyring: Arc<Keyring>,
        signing: Arc<Signing>,
        strangers: Strangers,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (clients, misses, outside) = (KnownClients::new(&*entropy), Semaphore::new(MAX_LOOKUPS), None);
        Self { store, cache, keyring, clients, signing, misses, strangers, outside, entropy }
    }

    /// The same, and takes tokens of trusted issuers.
    pub fn trusting(mut self, outside: Outside) -> Self {
        self.outside = Some(outside);
        self
    }

    /// Finds out what a secret is that was presented at the door, from this address.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE when the store had to be asked and could not; OVERLOADED when too many look-ups are under way;
    /// TOO_MANY_UNKNOWN when it would have to be asked and the address has presented too much that it does not know.
    pub async fn find_for(&self, presented: &str, address: IpAddr) -> Result<Found> {
        self.look_up(presented, Some(address)).await
    }

    /// Finds out what a secret is that somebody presented to a caller of ours, who asks. It is charged to nobody's budget:
    /// the caller is known, the more strangers it meets the more it has to ask, and a refusal would hit its good clients.
    /// Its look-ups are bounded with all others.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE and OVERLOADED as above.
    pub async fn find(&self, presented: &str) -> Result<Found> {
        self.look_up(presented, None).await
    }

    pub(super) async fn look_up(&self, presented: &str, address: Option<IpAddr>) -> Result<Found> {
        if let Some(known) = self.cache.recall(presented) {
            return Ok(known.into());
        }
        // Boxed, like all that only some calls need: what is awaited in place makes the future of every call larger.
        let Some(shape) = SecretShape::parse(presented) else {
            return Box::pin(self.look_up_token(presented, address)).await;
        };
        let kept = match shape.prefix {
            SecretPrefix::ACCESS => Kept::AccessToken,
            // What a client proves itself with, or gets tokens with, opens nothing.
            SecretPrefix::CLIENT | SecretPrefix::REFRESH | SecretPrefix::CODE | SecretPrefix::DEVICE => {
                return Ok(Found::Malformed);
            }
            // Nothing is looked up for what nobody is issued.
            _ => match TestKey::find(presented) {
                Some(key) => return Ok(Found::Reserved(key)),
                None => Kept::KeySecret,
            },
        };
        let hash = self.keyring.hash(presented);
        if let Some(known) = self.cache.find(presented, &hash) {
            return Ok(known.into());
        }
        Box::pin(self.ask(kept, hash, address)).await
    }

    async fn look_up_token(&self, presented: &str, address: Option<IpAddr>) -> Result<Found> {
        if !self.signing.claims_to_be_ours(presented) {
            return Ok(Found::Malformed);
        }
        let hash = self.keyring.hash(presented);
        if let Some(known) = self.cache.find(presented, &hash) {
            return Ok(known.into());
        }
        self.may_ask(address)?;
        match self.signing.verify(presented).await? {
            // That it is past its end is for the decision to say.
            Ok(_) | Err(InvalidToken::Expired) => self.ask(Kept::Session, hash, address).await,
            Err(_) if self.signing.verify_access(presented).await? => self.ask(Kept::AccessToken, hash, address).await,
            Err(_) => {
                // A signature takes about as long to check as the store to answer.
                self.charge(address);
                Ok(Found::Malformed)
            }
        }
    }

    /// Tells that a credential is to be accepted, in a call of this caller. It starts the grace period that waits for the
    /// first use of a new secret, and proves that the answer arrived which an access token was refreshed with.
    ///
    /// # Errors
    /// NOT_FOUND for an access token that was taken back a moment ago; STORE_UNAVAILABLE.
    pub async fn used(&self, presented: &str, credential: &Credential, caller: &Caller, now: Timestamp) -> Result<()> {
        let event = |action: &str, target: &str| caller.event(action, target, now, &*self.entropy);
        self.note_use(presented, credential, now, event).await
    }

    /// The same for a credential that a client exchanges.
    ///
    /// # Errors
    /// As above.
    pub async fn exchanged(
        &self,
        presented: &str,
        credential: &Credential,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<()> {
        let event = |action: &str, target: &str| AuditEvent {
            id: AuditEventId::new(now, &*self.entropy),
            project: credential.project().clone(),
            environment: Some(credential.environment()),
            actor: Some(CredentialId::Client(client.clone())),
            token: None,
            action: action.to_owned(),
            target: target.to_owned(),
            request_id: None,
            client_ip: None,
            occurred_at: now,
            before: None,
            after: None,
        };
        self.note_use(presented, credential, now, event).await
    }

    async fn note_use(
        &self,
        presented: &str,
        credential: &Credential,
        now: Timestamp,
        event: impl FnOnce(&str, &str) -> AuditEvent,
    ) -> Result<()> {
        match &credential.form {
            Form::Key(secret) if secret.waits_for_first_use && secret.role == SecretRole::Current => {
                let event = event("key.grace_begun", secret.key.id.as_str());
                Box::pin(self.begin_grace(presented, secret, event, now)).await;
                Ok(())
            }
            Form::Token(token, _) if token.waits_for_first_use => Box::pin(self.first_use(presented, token)).await,
            _ => Ok(()),
        }
    }

    /// The `iss` of our own tokens, and the audience of those that are for ourselves.
    pub fn issuer(&self) -> &str {
        self.signing.issuer()
    }

    /// Takes a change into account: what was cached about the credential, or whatever belongs to the user, client or project,
    /// is forgotten before this returns.
    pub fn apply(&self, change: &Change) {
        let of_project = matches!(change.kind, ChangeKind::ProjectDeleted | ChangeKind::ProjectUpdated);
        if of_project {
            self.cache.invalidate_owned_by(change.project.as_str());
        }
        let owner = match &change.subject {
            Some(owner @ (CredentialId::User(_) | CredentialId::Client(_))) => Some(owner.as_str()),
            _ => None,
        };
        if let Some(owner) = owner {
            self.cache.invalidate_owned_by(owner);
        }
        self.cache.invalidate(&change.hashes);
        // One of them may be known now. And whatever is forgotten of a key, or with its project, user or client, is forgotten with what
        // nobody knows: what ended is told as one of those.
        let of_key = matches!(change.subject, Some(CredentialId::Key(_)));
        let ends_keys = of_project || owner.is_some() || of_key;
        if ends_keys || matches!(change.kind, ChangeKind::Created | ChangeKind::Rotated) {
            self.cache.invalidate_unknown();
        }
    }

    /// Loads the most recently changed credentials into the cache, a few at a time; answers how many.
    pub async fn warm_up(&self, most: usize) -> Result<usize> {
        let (mut place, mut loaded) = (None, 0);
        while loaded < most {
            // Each is read again: between the list and the cache it may have changed.
            let (part, next) = self.store.list_recent_key_secrets(place.as_ref(), WARM_UP_PART).await?;
            loaded += part.len();
            for (hash, secret) in part {
                // What nobody knows is not in memory before it is asked for either.
                let found = Known::Issued(Arc::new(Credential::new(Form::Key(secret))));
                if !self.cache.is_told_as_unknown(&found) {
                    self.load(Kept::KeySecret, hash).await?;
                }
            }
            place = next;
            if place.is_none() {
                break;
            }
        }
        Ok(loaded)
    }

    /// The cache, for the change feed and for metrics.
    pub fn cache(&self) -> &CredentialCache {
        &self.cache
    }

    async fn ask(&self, kept: Kept, hash: SecretHash, address: Option<IpAddr>) -> Result<Found> {
        // Before the wait, so that a flood does not stand in the way of others, and after it, for what others of its own have
        // spent meanwhile.
        self.may_ask(address)?;
        let _permit = self.permit().await?;
        self.may_ask(address)?;
        let known = self.load(kept, hash).await?;
        // What a honey key costs, or one that was revoked or is past its end, must not tell it from what nobody knows.
        if self.cache.is_told_as_unknown(&known) {
            self.charge(address);
        }
        Ok(known.into())
    }

    /// Asks the store about what is no credential to call with, within the same bounds; what is not found is charged to the
    /// address.
    ///
    /// # Errors
    /// As [`Credentials::find_for`].
    pub async fn ask_about<T>(
        &self,
        address: Option<IpAddr>,
        query: impl Future<Output = StoreResult<Option<T>>>,
    ) -> Result<Option<T>> {
        self.may_ask(address)?;
        let _permit = self.permit().await?;
        self.may_ask(address)?;
        let found = query.await?;
        if found.is_none() {
            self.charge(address);
        }
        Ok(found)
    }

    /// Whether this address may present one more credential that has to be looked up.
    ///
    /// # Errors
    /// TOO_MANY_UNKNOWN when it has presented too much that nobody knows.
    pub fn may_ask(&self, address: Option<IpAddr>) -> Result<()> {
        address.map_or(Ok(()), |address| self.strangers.may_ask(address))
    }

    /// Charges an address for a credential that nobody knows.
    pub fn charge(&self, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.strangers.charge(address);
        }
    }

    async fn begin_grace(&self, presented: &str, secret: &KeySecret, mut event: AuditEvent, now: Timestamp) {
        let hash = self.keyring.hash(presented);
        // The key's environment: whoever has it verified may be of the other one.
        event.environment = Some(secret.key.environment);
        // The new secret is good in any case. If the store cannot be written now, the next use tries again.
        match self.store.begin_grace(&secret.key.id, &hash, now, event).await {
            Ok(Some(change)) => self.apply(&change),
            Ok(None) => {}
            Err(error) => tracing::warn!(key_id = %secret.key.id, %error, "the grace period could not be started"),
        }
    }

    /// Whoever refreshes once more takes back what was not used: the store says who was first.
    async fn first_use(&self, presented: &str, token: &AccessToken) -> Result<()> {
        let hash = self.keyring.hash(presented);
        match self.store.use_access_token(&hash, token).await? {
            Some(change) => self.apply(&change),
            None => {
                self.cache.invalidate(&[hash]);
                if let Known::Unknown = self.load(Kept::AccessToken, hash).await? {
                    return Err(Error::new(Reason::NotFound, "the token was taken back"));
                }
            }
        }
        Ok(())
    }

    async fn load(&self, kept: Kept, hash: SecretHash) -> Result<Known> {
        let fill = self.cache.begin(hash);
        let mut behind = Vec::new();
        let form = match kept {
            Kept::KeySecret => self.store.find_key_secret(&hash).await?.map(Form::Key),
            Kept::AccessToken => {
                let found = self.store.find_access_token(&hash).await?;
                self.backed(found, &mut behind).await?
            }
            Kept::Session => self.store.find_session(&hash).await?.map(|(session, user)| Form::Session(session, user)),
        };
        let known = form.map_or(Known::Unknown, |form| Known::Issued(Arc::new(Credential::new(form))));
        // Whoever refreshes once more takes back what was not used: what may be gone in a moment is not remembered.
        if !known.is_waiting_token() {
            self.cache.keep_behind(fill, known.clone(), &behind);
        }
        Ok(known)
    }

    /// An access token, with what it was exchanged for as that is now. What ties the two never changes, so the token may be read
    /// first; whatever turns the other afterwards ends what is cached of both.
    async fn backed(
        &self,
        found: Option<(AccessToken, Option<ActingUser>)>,
        behind: &mut Vec<Fill>,
    ) -> Result<Option<Form>> {
        let Some((mut token, user)) = found else { return Ok(None) };
        // One more than may be is not looked for: it is as good as gone.
        if let Some(subject) = &mut token.subject
            && behind.len() < MOST_EXCHANGES
        {
            behind.push(self.cache.begin(subject.hash));
            let form = match subject.kind {
                SubjectKind::Key => self.store.find_key_secret(&subject.hash).await?.map(Form::Key),
                SubjectKind::Token => {
                    let found = self.store.find_access_token(&subject.hash).await?;
                    Box::pin(self.backed(found, behind)).await?
                }
            };
            subject.credential = form.map(|form| Arc::new(Credential::new(form)));
            token.hold_to_subject();
        }
        Ok(Some(Form::Token(token, user)))
    }

    pub(super) async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        match timeout(LOOKUP_PATIENCE, self.misses.acquire()).await {
            // The semaphore is never closed.
            Ok(permit) => permit.map_err(|_| Error::store_unavailable()),
            Err(_) => {
                let message = "too many credentials are being looked up; try again";
                Err(Error { retry_after: Some(Duration::from_secs(1)), ..Error::new(Reason::Overloaded, message) })
            }
        }
    }
}

/// What is behind a hash in the store.
#[derive(Clone, Copy)]
enum Kept {
    AccessToken,
    KeySecret,
    Session,
}

impl From<Known> for Found {
    fn from(known: Known) -> Self {
        match known {
            Known::Issued(credential) if credential.is_honey() => Self::Honey(credential),
            Known::Issued(credential) => Self::Issued(credential),
            Known::Unknown => Self::Unknown,
        }
    }
}

/// Look-ups in the store at one time. More would only queue there.
const MAX_LOOKUPS: usize = 64;
/// How long a look-up waits for its turn.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(1);
/// Credentials loaded at once after a start.
const WARM_UP_PART: u32 = 200;
