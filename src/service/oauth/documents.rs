//! Clients by the name they give themselves: their id, or the address of the document that says what they are
//! ([`crate::domain::oauth::document`]).
//!
//! A document is fetched when a request begins something for its client and it is not there, or not believed any more. Nothing is
//! begun on what was believed once: no document, no answer. All else goes by what is stored.
//!
//! Anybody can make this fetch, so that is bounded: one fetch of a document at a time however many wait, so many at one time
//! of all, and so many for each address that begins one. What could not be had is not remembered (section 5.2).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::authentication::ClientProof;
use super::registration::{MAX_CLIENTS, usable};
use super::{AuthorizationServer, Origin};
use crate::auth::outside::assertion::Assertion;
use crate::auth::outside::key_source::{Fetch, Fetched};
use crate::domain::environment::Environment;
use crate::domain::error::Result;
use crate::domain::id::{ClientId, ProjectId};
use crate::domain::oauth::client::{Client, ClientDetails};
use crate::domain::oauth::document::{ClientDocument, DocumentMetadata, DocumentUrl};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::registration::Allowance;
use crate::domain::project::Project;
use crate::service::clients::told;
use crate::store::{Conflict, StoreError};

/// Has the documents of clients.
#[derive(Debug)]
pub struct DocumentSource {
    fetch: Arc<dyn Fetch>,
    /// Of documents that are new here, which strangers name, and of those that were had before.
    turns: [Arc<Semaphore>; 2],
    under_way: Mutex<HashMap<DocumentUrl, Wait>>,
}

/// What becomes of a document that is being fetched.
type Wait = watch::Receiver<Option<Result<Client, OAuthError>>>;

impl DocumentSource {
    /// They come this way.
    pub fn new(fetch: Arc<dyn Fetch>) -> Self {
        let turns = [(); 2].map(|()| Arc::new(Semaphore::new(MAX_FETCHES)));
        Self { fetch, turns, under_way: Mutex::default() }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<DocumentUrl, Wait>> {
        // Each change of it is whole.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuthorizationServer {
    /// The client of this `client_id`, as far as it is known here.
    pub(super) async fn client_of_id(&self, client_id: &str) -> Result<Option<Client>> {
        if let Ok(url) = DocumentUrl::parse(client_id) {
            let project = ProjectId::default_project();
            return Ok(self.0.store.find_document_client(&project, Environment::Live, &url).await?);
        }
        let Some(id) = ClientId::parse(client_id) else { return Ok(None) };
        // A client has one name.
        let found = self.0.store.find_client_by_id(&id).await?;
        Ok(found.filter(|client| client.document.is_none()))
    }

    /// The same for a request that begins something: its document is had first, where that has to be.
    ///
    /// # Errors
    /// `invalid_client` where the document is not to be had, or is not good; `slow_down`, `temporarily_unavailable`.
    pub(super) async fn client_to_begin(&self, client_id: &str, origin: &Origin) -> Result<Option<Client>, OAuthError> {
        let known = self.client_of_id(client_id).await?;
        if !DocumentUrl::is_meant(client_id) || known.as_ref().is_some_and(|client| self.is_believed(client)) {
            return Ok(known);
        }
        let project = self.0.store.find_project(&ProjectId::default_project()).await?;
        let Some(project) = project.filter(|project| project.details.client_documents) else { return Ok(None) };
        let url = DocumentUrl::parse(client_id).map_err(|rule| {
            let what = format!("a client_id that is the address of a document {rule}");
            OAuthError::new(Word::InvalidClient, what)
        })?;
        let mut wait = self.begin_fetch(url, project, known, origin)?;
        let outcome = wait.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        // It ends without one only by a fault.
        outcome
            .unwrap_or_else(|| Err(OAuthError::new(Word::ServerError, "the document at the client_id was not read")))
            .map(Some)
    }

    /// The client that proves to be who it says it is, at an endpoint where it begins something.
    ///
    /// # Errors
    /// Those of [`AuthorizationServer::authenticate`], and what keeps its document from being had.
    pub async fn authenticate_to_begin(
        &self,
        proof: ClientProof<'_>,
        origin: &Origin,
    ) -> Result<Arc<Client>, OAuthError> {
        let assertion;
        let said = match proof {
            ClientProof::Secret { .. } => None,
            ClientProof::Nothing { id } => Some(id),
            ClientProof::Assertion { text, .. } => {
                assertion = Assertion::parse(text).ok();
                assertion.as_ref().map(Assertion::client)
            }
        };
        if let Some(client_id) = said.filter(|said| DocumentUrl::is_meant(said)) {
            self.0.credentials.may_ask(Some(origin.address))?;
            self.client_to_begin(client_id, origin).await?;
        }
        self.authenticate(proof, origin.address).await
    }

    /// The client that proves to be who it says it is, where it goes on with what it began. The keys of one that is known by a
    /// document are those that the document has now.
    ///
    /// # Errors
    /// As above.
    pub async fn authenticate_to_go_on(
        &self,
        proof: ClientProof<'_>,
        origin: &Origin,
    ) -> Result<Arc<Client>, OAuthError> {
        match proof {
            ClientProof::Assertion { .. } => Box::pin(self.authenticate_to_begin(proof, origin)).await,
            ClientProof::Secret { .. } | ClientProof::Nothing { .. } => self.authenticate(proof, origin.address).await,
        }
    }

    fn is_believed(&self, client: &Client) -> bool {
        client.document.as_ref().is_some_and(|document| document.is_fresh(self.0.now()))
    }

    /// Joins the fetch that is under way, or begins one.
    fn begin_fetch(
        &self,
        url: DocumentUrl,
        project: Project,
        known: Option<Client>,
        origin: &Origin,
    ) -> Result<Wait, OAuthError> {
        let mut under_way = self.0.documents.under_way();
        if let Some(wait) = under_way.get(&url) {
            return Ok(wait.clone());
        }
        let turn =
            Arc::clone(&self.0.documents.turns[usize::from(known.is_some())]).try_acquire_owned().map_err(|_| {
                OAuthError::new(
                    Word::TemporarilyUnavailable,
                    "the documents of too many clients are being fetched; try again",
                )
            })?;
        self.0.attempts.document(origin.address)?;
        let (done, wait) = watch::channel(None);
        under_way.insert(url.clone(), wait.clone());
        let fetching = Fetching { server: self.clone(), url, _turn: turn };
        let origin = origin.clone();
        // A task of its own: whoever began it may hang up, and others wait for it.
        tokio::spawn(async move {
            let outcome = fetching.run(&project, known, &origin).await;
            // Whoever comes from now on finds what was stored, or asks anew.
            drop(fetching);
            let _ = done.send(Some(outcome));
        });
        Ok(wait)
    }
}

/// A fetch that is under way. However it ends, others may begin then.
struct Fetching {
    server: AuthorizationServer,
    url: DocumentUrl,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.server.0.documents.under_way().remove(&self.url);
    }
}

impl Fetching {
    async fn run(&self, project: &Project, known: Option<Client>, origin: &Origin) -> Result<Client, OAuthError> {
        let fetched = self.server.0.documents.fetch.fetch(self.url.as_str()).await.map_err(|error| {
            tracing::info!(error, "the document of a client cannot be had");
            // What our network says is not for whoever names an address in it.
            OAuthError::new(Word::InvalidClient, UNAVAILABLE)
        })?;
        match self.learn(project, known, &fetched, origin).await {
            Err(Unlearned::Overtaken) => {
                // Another node was faster.
                let found = self.server.client_of_id(self.url.as_str()).await?;
                let what = "the client has just changed; try again";
                found.ok_or_else(|| OAuthError::new(Word::TemporarilyUnavailable, what))
            }
            Err(Unlearned::Wrong(error)) => Err(error),
            Ok(client) => Ok(client),
        }
    }

    /// Takes in what a document says.
    async fn learn(
        &self,
        project: &Project,
        known: Option<Client>,
        fetched: &Fetched,
        origin: &Origin,
    ) -> Result<Client, Unlearned> {
        let said = DocumentMetadata::read(&self.url, &fetched.body)?;
        let allowed = Allowance::of(&project.details, self.server.issuer());
        let document = ClientDocument::had(self.url.clone(), self.server.0.now(), fetched.fresh_for);
        match known {
            Some(known) if known.kind == said.kind() => {
                let details = with_usable_keys(said.details(known.details.clone(), &allowed)?)?;
                self.renew(known, details, document, origin).await
            }
            known => {
                let details = with_usable_keys(said.details(ClientDetails::usual(said.kind()), &allowed)?)?;
                if let Some(known) = known {
                    // One that proves who it is, and one that does not, are not the same: what the one was given ends.
                    self.server.end_registration(&known, origin).await.map_err(OAuthError::from)?;
                }
                self.add(project, &said, details, document, origin).await
            }
        }
    }

    async fn renew(
        &self,
        known: Client,
        details: ClientDetails,
        document: ClientDocument,
        origin: &Origin,
    ) -> Result<Client, Unlearned> {
        let context = &self.server.0;
        let mut client = Client { document: Some(document), ..known.clone() };
        if details == known.details {
            context.store.renew_document(&client).await?;
            return Ok(client);
        }
        let now = context.now();
        client.update(details, now);
        let event = self.server.registration_event(origin, &client, Some(&client.id), "client.updated");
        let event = event.changing(Some(told(&known)), Some(told(&client)));
        context.committed(&context.store.update_client(&client, known.version, &event).await?);
        Ok(client)
    }

    async fn add(
        &self,
        project: &Project,
        said: &DocumentMetadata,
        details: ClientDetails,
        document: ClientDocument,
        origin: &Origin,
    ) -> Result<Client, Unlearned> {
        let (context, now) = (&self.server.0, self.server.0.now());
        let client = Client {
            id: ClientId::new(now, &*context.entropy),
            project: project.id.clone(),
            environment: Environment::Live,
            kind: said.kind(),
            details,
            secret: None,
            old_secret: None,
            registered_itself: true,
            document: Some(document),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        };
        let event = self.server.registration_event(origin, &client, Some(&client.id), "client.registered");
        let event = event.changing(None, Some(told(&client)));
        match context.store.add_document_client(&client, MAX_CLIENTS, &event).await? {
            Some(change) => context.committed(&change),
            None => {
                let what = "the project has as many clients that nobody vouched for as it may; ask whoever runs it";
                return Err(OAuthError::new(Word::TemporarilyUnavailable, what).into());
            }
        }
        Ok(client)
    }
}

fn with_usable_keys(details: ClientDetails) -> Result<ClientDetails, OAuthError> {
    usable(details).map_err(|error| {
        let what = format!("the document at the client_id cannot be taken: {}", error.description);
        OAuthError::new(Word::InvalidClient, what)
    })
}

/// Why a document was not taken in.
enum Unlearned {
    /// The client was stored by somebody else meanwhile.
    Overtaken,
    /// Something is wrong with it, or here.
    Wrong(OAuthError),
}

impl From<OAuthError> for Unlearned {
    fn from(error: OAuthError) -> Self {
        Self::Wrong(error)
    }
}

impl From<StoreError> for Unlearned {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(Conflict::Exists | Conflict::Version) => Self::Overtaken,
            error => Self::Wrong(error.into()),
        }
    }
}

const UNAVAILABLE: &str = "the document at the client_id cannot be had: it must be there on the public internet, over https and \
    without a redirect, as application/json of up to 5 KB";
/// Documents that are fetched at one time.
const MAX_FETCHES: usize = 64;
