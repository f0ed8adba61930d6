//! Issuing tokens (RFC 6749, sections 4 to 6).

use std::time::Duration;

use super::{Applicant, AuthorizationServer, Origin};
use crate::auth::signing::{AccessClaims, IdentityClaims};
use crate::domain::clock::Timestamp;
use crate::domain::id::{CredentialId, TokenId};
use crate::domain::oauth::client::{Client, TokenFormat};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::scope::{OAuthScope, OAuthScopes, OpenIdScope};
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::oauth::token::{AccessToken, AuthorizationCode, Grant};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{PlainSecret, SecretHash, SecretPrefix, SecretShape};
use crate::domain::user::{User, UserState};
use crate::store::{NewAccessToken, NewTokens, Refreshed};

/// Tokens that were issued, for the one answer that tells them.
#[derive(Debug)]
pub struct Issued {
    /// The access token.
    pub access: PlainSecret,
    /// Whether it is bound to a key.
    pub is_bound: bool,
    /// How long it lives.
    pub expires_in: Duration,
    /// What it may do.
    pub scopes: OAuthScopes,
    /// What the next tokens are had with.
    pub refresh: Option<PlainSecret>,
    /// Who the user is, said to the client (OpenID Connect Core 1.0, section 2).
    pub id_token: Option<PlainSecret>,
}

/// What a client says with a code.
#[derive(Clone, Copy)]
pub struct CodeUse<'a> {
    /// The code.
    pub code: &'a str,
    /// Where it was sent.
    pub redirect_uri: Option<&'a str>,
    /// What the challenge was made of.
    pub verifier: Option<&'a str>,
    /// Where the tokens are to be used.
    pub resources: &'a [&'a str],
}

/// The first tokens of a grant.
pub(super) struct FirstTokens {
    pub(super) grant: Grant,
    token: AccessToken,
    access: PlainSecret,
    access_hash: SecretHash,
    refresh: Option<(PlainSecret, SecretHash)>,
    idle_until: Timestamp,
    key: Option<Thumbprint>,
}

impl FirstTokens {
    /// As they are stored.
    pub(super) fn tokens(&self) -> NewTokens<'_> {
        NewTokens {
            access: NewAccessToken { hash: &self.access_hash, token: &self.token },
            refresh: self.refresh.as_ref().map(|(_, hash)| (hash, self.idle_until)),
            refresh_key: self.key.as_ref(),
        }
    }
}

impl AuthorizationServer {
    /// Tokens for a client that acts for itself (RFC 6749, section 4.4).
    ///
    /// # Errors
    /// `unauthorized_client`, `invalid_scope`, `invalid_target`.
    pub async fn by_client_credentials(
        &self,
        client: &Applicant,
        scope: Option<&str>,
        resources: &[&str],
    ) -> Result<Issued, OAuthError> {
        require_grant(client, GrantType::ClientCredentials)?;
        let scopes = match scope {
            None => OAuthScopes { registered: client.details.scopes.registered.clone(), ..OAuthScopes::default() },
            Some(wanted) => narrowed(wanted, &client.details.scopes)?,
        };
        if !scopes.openid.is_empty() {
            return Err(OAuthError::new(
                Word::InvalidScope,
                "the scopes of OpenID Connect are about a user, and there is none",
            ));
        }
        let audiences = targets(resources, client, &[])?;
        let draft = self.draft(client, scopes, audiences);
        let (access, hash) = self.written(client, &draft, None)?;
        self.0.store.issue_access_token(&NewAccessToken { hash: &hash, token: &draft }).await?;
        Ok(self.issued(access, draft, None, None))
    }

    /// Tokens for a code (RFC 6749, section 4.1.3; RFC 7636, section 4.6). Whoever brings a code that is not theirs spoils it;
    /// whoever brings one a second time ends what the first had.
    ///
    /// # Errors
    /// `invalid_grant` for whatever is wrong with the code; `unauthorized_client`, `invalid_target`.
    pub async fn by_code(&self, client: &Applicant, code: CodeUse<'_>) -> Result<Issued, OAuthError> {
        require_grant(client, GrantType::AuthorizationCode)?;
        let hash = self.hash(code.code, SecretPrefix::CODE).ok_or_else(bad_code)?;
        let (grant, stored) = self.0.store.find_code(&hash).await?.ok_or_else(bad_code)?;
        let now = self.0.now();
        if grant.client != client.id {
            // Whoever stole it learns nothing by it, and cannot keep it.
            self.0.store.spoil_code(&hash, now).await?;
            return Err(bad_code());
        }
        if stored.used_at.is_some() {
            self.end_stolen(&grant, "grant.code_reused", client.origin()).await?;
            return Err(bad_code());
        }
        if now >= stored.expires_at || !grant.is_open(now) {
            return Err(bad_code());
        }
        if let Err(error) = holds_for(&stored, code).and_then(|()| client.require(stored.key.as_ref(), "code")) {
            self.0.store.spoil_code(&hash, now).await?;
            return Err(error);
        }
        let first = self.first_tokens(client, grant, code.resources, now).await?;
        let (grant, tokens) = (&first.grant, first.tokens());
        if !self.0.store.redeem_code(&hash, &grant.id, grant.expires_at, &tokens, now).await? {
            // Somebody else was faster.
            self.end_stolen(grant, "grant.code_reused", client.origin()).await?;
            return Err(bad_code());
        }
        self.first_issued(client, first).await
    }

    /// The first tokens of a grant, before they are stored, and the grant as it lasts from then on.
    pub(super) async fn first_tokens(
        &self,
        client: &Applicant,
        grant: Grant,
        resources: &[&str],
        now: Timestamp,
    ) -> Result<FirstTokens, OAuthError> {
        let user = self.user_of(&grant).await?;
        let audiences = targets(resources, client, &grant.resources)?;
        let scopes = held_now(&grant.scopes, client, &user);
        let refreshable = client.details.grant_types.contains(&GrantType::RefreshToken);
        let lifetime = match refreshable {
            true => client.details.refresh_token_lifetime,
            false => client.details.access_token_lifetime,
        };
        let grant = Grant { expires_at: now.plus(lifetime), ..grant };
        let token = self.draft_of(client, &grant, scopes, audiences);
        let (access, access_hash) = self.written(client, &token, Some(&grant))?;
        let refresh = refreshable.then(|| {
            let secret = self.new_secret(client, SecretPrefix::REFRESH);
            let hash = self.0.keyring.hash(secret.expose());
            (secret, hash)
        });
        let idle_until = idle_until(client, &grant, now);
        Ok(FirstTokens { grant, token, access, access_hash, refresh, idle_until, key: client.refresh_key().copied() })
    }

    /// The first tokens of a grant, once they are stored.
    pub(super) async fn first_issued(&self, client: &Applicant, first: FirstTokens) -> Result<Issued, OAuthError> {
        self.end_surplus(&first.grant, client.origin()).await?;
        let id_token = self.id_token(&first.token, &first.grant, first.grant.nonce.as_deref()).await?;
        Ok(self.issued(first.access, first.token, first.refresh.map(|(secret, _)| secret), id_token))
    }

    /// Tokens in place of those that end (RFC 6749, section 6). Each refresh token is good once; see [`Refreshed`].
    ///
    /// # Errors
    /// `invalid_grant` for whatever is wrong with the token; `unauthorized_client`, `invalid_scope`, `invalid_target`.
    pub async fn by_refresh_token(
        &self,
        client: &Applicant,
        token: &str,
        scope: Option<&str>,
        resources: &[&str],
    ) -> Result<Issued, OAuthError> {
        require_grant(client, GrantType::RefreshToken)?;
        let hash = self.hash(token, SecretPrefix::REFRESH).ok_or_else(bad_refresh)?;
        let (grant, stored) = self.0.store.find_refresh_token(&hash).await?.ok_or_else(bad_refresh)?;
        let now = self.0.now();
        if grant.client != client.id || !grant.is_open(now) || now >= stored.idle_until {
            return Err(bad_refresh());
        }
        client.require(stored.key.as_ref(), "refresh token")?;
        let user = self.user_of(&grant).await?;
        let wanted = match scope {
            Some(wanted) => narrowed(wanted, &grant.scopes)?,
            None => grant.scopes.clone(),
        };
        let scopes = held_now(&wanted, client, &user);
        let audiences = targets(resources, client, &grant.resources)?;
        let draft = AccessToken { waits_for_first_use: true, ..self.draft_of(client, &grant, scopes, audiences) };
        let (access, access_hash) = self.written(client, &draft, Some(&grant))?;
        let refresh = self.new_secret(client, SecretPrefix::REFRESH);
        let refresh_hash = self.0.keyring.hash(refresh.expose());
        let tokens = NewTokens {
            access: NewAccessToken { hash: &access_hash, token: &draft },
            refresh: Some((&refresh_hash, idle_until(client, &grant, now))),
            refresh_key: client.refresh_key(),
        };
        match self.0.store.refresh(&grant.id, &hash, &tokens, now).await? {
            Refreshed::Done => {
                // OpenID Connect Core 1.0, section 12.2: the nonce was for the first.
                let id_token = self.id_token(&draft, &grant, None).await?;
                Ok(self.issued(access, draft, Some(refresh), id_token))
            }
            Refreshed::Ended => Err(bad_refresh()),
            Refreshed::Stolen => {
                self.end_stolen(&grant, "grant.refresh_token_reused", client.origin()).await?;
                Err(bad_refresh())
            }
        }
    }

    /// A token that comes of a grant, and ends with it at the latest.
    pub(super) fn draft_of(
        &self,
        client: &Applicant,
        grant: &Grant,
        scopes: OAuthScopes,
        audiences: Vec<String>,
    ) -> AccessToken {
        let draft = self.draft(client, scopes, audiences);
        let expires_at = draft.expires_at.min(whole_seconds(grant.expires_at));
        AccessToken { grant: Some(grant.id.clone()), user: Some(grant.user.clone()), expires_at, ..draft }
    }

    /// A token that nobody had to agree to.
    pub(super) fn draft(&self, client: &Applicant, scopes: OAuthScopes, audiences: Vec<String>) -> AccessToken {
        let now = whole_seconds(self.0.now());
        AccessToken {
            id: TokenId::new(now, &*self.0.entropy),
            project: client.project.clone(),
            environment: client.environment,
            client: client.id.clone(),
            client_document: client.document_url().cloned(),
            user: None,
            grant: None,
            scopes,
            audiences,
            key: client.key().copied(),
            issued_at: now,
            expires_at: now.plus(client.details.access_token_lifetime),
            revoked_at: None,
            waits_for_first_use: false,
            subject: None,
        }
    }

    /// The token as the client gets it, and its hash.
    pub(super) fn written(
        &self,
        client: &Client,
        draft: &AccessToken,
        grant: Option<&Grant>,
    ) -> Result<(PlainSecret, SecretHash), OAuthError> {
        let secret = match client.details.token_format {
            TokenFormat::Opaque => self.new_secret(client, SecretPrefix::ACCESS),
            TokenFormat::Jwt => {
                let authenticated_at = grant.map(|grant| grant.authenticated_at);
                self.0.signing.mint_access(&AccessClaims { token: draft, authenticated_at })?
            }
        };
        let hash = self.0.keyring.hash(secret.expose());
        Ok((secret, hash))
    }

    pub(super) fn new_secret(&self, client: &Client, prefix: &'static str) -> PlainSecret {
        PlainSecret::generate(&SecretPrefix::fixed(prefix), client.environment, &*self.0.entropy)
    }

    /// The hash of a secret of ours that begins so; none for anything else, which spares the store.
    pub(super) fn hash(&self, presented: &str, prefix: &str) -> Option<SecretHash> {
        let shape = SecretShape::parse(presented)?;
        (shape.prefix == prefix).then(|| self.0.keyring.hash(presented))
    }

    /// A client that asked for `openid` learns who the user is, with the code's tokens and again with each refresh (OpenID
    /// Connect Core 1.0, section 12.2).
    async fn id_token(
        &self,
        draft: &AccessToken,
        grant: &Grant,
        nonce: Option<&str>,
    ) -> Result<Option<PlainSecret>, OAuthError> {
        if !draft.scopes.openid.contains(&OpenIdScope::OpenId) {
            return Ok(None);
        }
        Ok(Some(self.0.signing.mint_identity(&IdentityClaims { token: draft, grant, nonce }).await?))
    }

    pub(super) fn issued(
        &self,
        access: PlainSecret,
        token: AccessToken,
        refresh: Option<PlainSecret>,
        id_token: Option<PlainSecret>,
    ) -> Issued {
        let expires_in = token.expires_at.since(token.issued_at);
        let is_bound = token.key.is_some();
        Issued { access, is_bound, expires_in, scopes: token.scopes, refresh, id_token }
    }

    /// The user of a grant, who may still act.
    async fn user_of(&self, grant: &Grant) -> Result<User, OAuthError> {
        let user = self.acting_user(grant).await?;
        user.ok_or_else(|| OAuthError::new(Word::InvalidGrant, "the user may not act any more"))
    }

    /// Whether the user of a grant may still act.
    pub(super) async fn may_act(&self, grant: &Grant) -> Result<bool, OAuthError> {
        Ok(self.acting_user(grant).await?.is_some())
    }

    async fn acting_user(&self, grant: &Grant) -> Result<Option<User>, OAuthError> {
        let user = self.0.store.find_user(&grant.project, grant.environment, &grant.user).await?;
        Ok(user.filter(|user| user.state() == UserState::Active))
    }

    /// A user's oldest grants to a client make room for new ones: whoever signs in again and again leaves no more behind than
    /// this.
    async fn end_surplus(&self, grant: &Grant, origin: &Origin) -> Result<(), OAuthError> {
        let (user, client) = (&grant.user, &grant.client);
        for old in self.0.store.list_surplus_grants(user, client, MOST_GRANTS, self.0.now()).await? {
            self.end_grant(&old, "grant.superseded", origin).await?;
        }
        Ok(())
    }

    /// Two hold what one should: neither keeps it.
    pub(super) async fn end_stolen(&self, grant: &Grant, action: &str, origin: &Origin) -> Result<(), OAuthError> {
        tracing::warn!(grant_id = %grant.id, client_id = %grant.client, action, "a grant was ended: what is good once came twice");
        self.end_grant(grant, action, origin).await
    }

    pub(super) async fn end_grant(&self, grant: &Grant, action: &str, origin: &Origin) -> Result<(), OAuthError> {
        let now = self.0.now();
        let (actor, place) = (CredentialId::Client(grant.client.clone()), (&grant.project, grant.environment));
        let event = self.event(Some(actor), place, action, grant.id.as_str(), origin);
        if let Some(change) = self.0.store.revoke_grant(grant, now, &event).await? {
            self.0.committed(&change);
        }
        Ok(())
    }
}

/// Whether whoever brings a code says what the request for it said.
fn holds_for(stored: &AuthorizationCode, code: CodeUse<'_>) -> Result<(), OAuthError> {
    let invalid = |what| Err(OAuthError::new(Word::InvalidGrant, what));
    match code.redirect_uri {
        Some(named) if named != stored.redirect_uri => return invalid("the redirect_uri is not that of the request"),
        None if stored.redirect_uri_named => return invalid("the redirect_uri of the request must be named again"),
        _ => {}
    }
    match (stored.challenge, code.verifier) {
        (Some(challenge), Some(verifier)) if challenge.is_met_by(verifier) => Ok(()),
        (Some(_), Some(_)) => invalid("the code_verifier is not the one that the challenge was made of"),
        (Some(_), None) => invalid("the request had a code_challenge, so its code_verifier is needed"),
        // RFC 9700, section 2.1.1: otherwise PKCE could be taken out of the request on its way.
        (None, Some(_)) => invalid("the request had no code_challenge, so there must be no code_verifier"),
        (None, None) => Ok(()),
    }
}

pub(super) fn require_grant(client: &Client, grant: GrantType) -> Result<(), OAuthError> {
    if client.details.grant_types.contains(&grant) {
        return Ok(());
    }
    let description = format!("the client is not registered for the grant type {}", grant.as_str());
    Err(OAuthError::new(Word::UnauthorizedClient, description))
}

/// The scopes wanted, all of which must be among those there are.
pub(super) fn narrowed(wanted: &str, there: &OAuthScopes) -> Result<OAuthScopes, OAuthError> {
    let invalid = |what: String| OAuthError::new(Word::InvalidScope, what);
    if wanted.len() > MAX_SCOPE {
        return Err(invalid(format!("scope has up to {MAX_SCOPE} characters")));
    }
    let mut scopes = Vec::new();
    for word in wanted.split(' ').filter(|word| !word.is_empty()) {
        let scope = OAuthScope::parse(word).ok_or_else(|| invalid(OAuthScope::RULE.to_owned()))?;
        let held = match &scope {
            OAuthScope::OpenId(scope) => there.openid.contains(scope),
            OAuthScope::Registered(scope) => there.registered.holds(scope.plain()),
        };
        if !held {
            return Err(invalid(format!("there is no scope {word} to have here")));
        }
        scopes.push(scope);
    }
    Ok(scopes.into_iter().collect())
}

/// What is left of scopes that were agreed to: what the client may still ask for and the user still holds.
fn held_now(agreed: &OAuthScopes, client: &Client, user: &User) -> OAuthScopes {
    let held = |scope: &&crate::domain::scope::Scope| {
        client.details.scopes.registered.holds(scope.plain()) && user.details.scopes.holds(scope.plain())
    };
    let openid: Vec<OpenIdScope> =
        agreed.openid.iter().copied().filter(|scope| client.details.scopes.openid.contains(scope)).collect();
    OAuthScopes {
        openid: openid.into_iter().collect(),
        registered: ScopeSet::new(agreed.registered.iter().filter(held).cloned()),
    }
}

/// Where tokens are to be used (RFC 8707, section 2.2): what is named, of what was agreed to and the client may ask for. If
/// nothing is named, all that was agreed to.
pub(super) fn targets(named: &[&str], client: &Client, agreed: &[String]) -> Result<Vec<String>, OAuthError> {
    let mut audiences = Vec::new();
    for resource in named {
        let registered = client.details.resources.iter().any(|known| known.as_str() == *resource);
        if !registered || !(agreed.is_empty() || agreed.iter().any(|known| known == resource)) {
            return Err(OAuthError::new(Word::InvalidTarget, "the client may not ask for tokens for this resource"));
        }
        if !audiences.iter().any(|known| known == resource) {
            audiences.push((*resource).to_owned());
        }
    }
    if !named.is_empty() || agreed.is_empty() {
        return Ok(audiences);
    }
    // All that was agreed to, as far as the client may still ask for it. Nothing of it must not mean everything.
    let registered = |known: &&String| client.details.resources.iter().any(|own| own.as_str() == **known);
    let left: Vec<String> = agreed.iter().filter(registered).cloned().collect();
    if left.is_empty() {
        let what = "the client may not ask for tokens for any resource that was agreed to";
        return Err(OAuthError::new(Word::InvalidTarget, what));
    }
    Ok(left)
}

/// Times in tokens are in whole seconds.
pub(super) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros().div_euclid(1_000_000) * 1_000_000)
}

fn idle_until(client: &Client, grant: &Grant, now: Timestamp) -> Timestamp {
    now.plus(client.details.refresh_token_idle_lifetime).min(grant.expires_at)
}

fn bad_code() -> OAuthError {
    OAuthError::new(Word::InvalidGrant, "the code is not good: unknown, used, past its end, or not this client's")
}

fn bad_refresh() -> OAuthError {
    OAuthError::new(Word::InvalidGrant, "the refresh token is not good: unknown, ended, or not this client's")
}

const MAX_SCOPE: usize = 4_000;
/// Open grants of one user to one client: one for each device, and more than anybody has.
const MOST_GRANTS: u32 = 100;
