//! What comes of an agreement: the grant, and the codes and tokens that belong to it.

use super::document::DocumentUrl;
use super::exchange::Subject;
use super::pkce::CodeChallenge;
use super::scope::OAuthScopes;
use super::thumbprint::Thumbprint;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, GrantId, ProjectId, TokenId, UserId};

/// What a user agreed to: the family of all codes and tokens that come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Identifies the grant.
    pub id: GrantId,
    /// The project of the client and the user.
    pub project: ProjectId,
    /// The environment of the client and the user.
    pub environment: Environment,
    /// Who may act.
    pub client: ClientId,
    /// For whom.
    pub user: UserId,
    /// In what.
    pub scopes: OAuthScopes,
    /// Where (RFC 8707): what its tokens may be made for; none: wherever the client's may.
    pub resources: Vec<String>,
    /// When the user last proved who they are (OpenID Connect Core 1.0, section 2, `auth_time`).
    pub authenticated_at: Timestamp,
    /// What ties the tokens to the request that asked for them (`nonce`).
    pub nonce: Option<String>,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ends, whatever is refreshed.
    pub expires_at: Timestamp,
    /// When it was ended before that.
    pub revoked_at: Option<Timestamp>,
}

/// A grant as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedGrant {
    /// The grant.
    pub grant: Grant,
    /// What the client is called.
    pub client_name: String,
    /// When it gave tokens last; none if nobody has fetched any.
    pub refreshed_at: Option<Timestamp>,
}

/// A code that can be redeemed once (RFC 6749, section 4.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorizationCode {
    /// The grant it begins.
    pub grant: GrantId,
    /// Where it was sent: it must be named again, if the request named it.
    pub redirect_uri: String,
    /// Whether the request named it, rather than leaving the only one to us.
    pub redirect_uri_named: bool,
    /// What its redeemer must prove to know.
    pub challenge: Option<CodeChallenge>,
    /// The key that its redeemer must prove to hold (RFC 9449, section 10).
    pub key: Option<Thumbprint>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was redeemed, or spoiled by a wrong attempt.
    pub used_at: Option<Timestamp>,
}

/// A token in place of one that ends (RFC 6749, section 1.5). Each is good for one use, which gives the next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefreshToken {
    /// The grant it belongs to.
    pub grant: GrantId,
    /// When it ends if it is not used.
    pub idle_until: Timestamp,
    /// When it was used.
    pub spent_at: Option<Timestamp>,
    /// The key that whoever uses it must prove to hold: that of a public client (RFC 9449, section 5).
    pub key: Option<Thumbprint>,
}

/// A token that opens something.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessToken {
    /// Identifies the token (`jti`).
    pub id: TokenId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// The environment it belongs to.
    pub environment: Environment,
    /// The client it was issued to.
    pub client: ClientId,
    /// Where that client's document is, if it is known by one.
    pub client_document: Option<DocumentUrl>,
    /// The user it acts for; none where the client acts for itself.
    pub user: Option<UserId>,
    /// The grant it belongs to; none where nobody had to agree.
    pub grant: Option<GrantId>,
    /// What it may do.
    pub scopes: OAuthScopes,
    /// Where it may be used (`aud`, RFC 8707); none: only here.
    pub audiences: Vec<String>,
    /// The key that whoever uses it must prove to hold (RFC 9449); none: whoever has it may use it.
    pub key: Option<Thumbprint>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended before that.
    pub revoked_at: Option<Timestamp>,
    /// Whether it came of a refresh and was not used yet: its first use proves that the refresh's answer arrived.
    pub waits_for_first_use: bool,
    /// What it was exchanged for (RFC 8693); none where it was not.
    pub subject: Option<Box<Subject>>,
}

impl AccessToken {
    /// The `client_id` of the client, as others know it: the address of its document, if it is known by one.
    pub fn client_id(&self) -> &str {
        self.client_document.as_ref().map_or(self.client.as_str(), DocumentUrl::as_str)
    }

    /// The access tokens that it was exchanged for, one after the other, each with its client.
    pub fn behind(&self) -> Vec<&str> {
        let mut behind = Vec::new();
        let mut next = self.exchanged_for().and_then(Credential::token);
        while let Some(token) = next {
            behind.extend([token.id.as_str(), token.client.as_str()]);
            next = token.exchanged_for().and_then(Credential::token);
        }
        behind
    }

    /// What it was exchanged for, as far as that is there.
    pub fn exchanged_for(&self) -> Option<&Credential> {
        self.subject.as_ref()?.credential.as_deref()
    }
}

impl Grant {
    /// Whether tokens may come of it at this time.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}
