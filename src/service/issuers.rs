//! Trusted issuers: whose tokens say who the users of an environment are.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::audit::fields;
use crate::domain::error::{Error, Result};
use crate::domain::id::IssuerId;
use crate::domain::issuer::{Algorithm, Issuer, IssuerDetails, IssuerKeys};
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::store::{Conflict, StoreError};

/// The issuers part of the Auth service.
#[derive(Clone, Debug)]
pub struct Issuers(Arc<Context>);

impl Issuers {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Trusts an issuer.
    pub async fn create(&self, caller: &Caller, details: IssuerDetails) -> Result<Issuer> {
        if details.rules.issuer == self.0.signing.issuer() {
            let rule = "must not be this installation itself: the tokens of its sessions need no issuer";
            return Err(Error::field("issuer.issuer", rule));
        }
        let now = self.0.now();
        let issuer = Issuer {
            id: IssuerId::new(now, &*self.0.entropy),
            project: caller.project().clone(),
            environment: caller.environment(),
            details,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let audit = self.0.audit(caller, "issuer.created", issuer.id.as_str());
        let audit = audit.changing(None, Some(shown(&issuer.details)));
        match self.0.store.create_issuer(&issuer, &audit).await {
            Ok(change) => self.0.committed(&change),
            Err(StoreError::Conflict(Conflict::Exists)) => {
                let message = format!("the issuer {:?} is trusted already; change that one", issuer.name());
                return Err(Error::new(Reason::AlreadyExists, message));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(issuer)
    }

    /// Reads an issuer.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Issuer> {
        let found = match IssuerId::parse(id) {
            Some(id) => self.0.store.find_issuer(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("issuer", id))
    }

    /// Lists the issuers, oldest first.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Issuer>> {
        Ok(self.0.store.list_issuers(caller.project(), caller.environment(), page).await?)
    }

    /// Changes what is said of an issuer by `change`: when this returns, its tokens are held against that on this node.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        change: impl FnOnce(&mut IssuerDetails) -> Result<()>,
    ) -> Result<Issuer> {
        let mut issuer = self.find(caller, id).await?;
        expect_etag(etag, &issuer.etag())?;
        let (version, mut details) = (issuer.version, issuer.details.clone());
        change(&mut details)?;
        let (before, after) = (shown(&issuer.details), shown(&details));
        issuer.update(details, self.0.now());
        let audit = self.0.audit(caller, "issuer.updated", issuer.id.as_str()).changing(Some(before), Some(after));
        self.0.committed(&self.0.store.update_issuer(&issuer, version, &audit).await?);
        Ok(issuer)
    }

    /// Trusts an issuer no more: when this returns, none of its tokens is good on this node.
    pub async fn delete(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Issuer> {
        let issuer = self.find(caller, id).await?;
        expect_etag(etag, &issuer.etag())?;
        let audit = self.0.audit(caller, "issuer.deleted", issuer.id.as_str());
        let audit = audit.changing(Some(shown(&issuer.details)), None);
        self.0.committed(&self.0.store.delete_issuer(&issuer, issuer.version, &audit).await?);
        Ok(issuer)
    }
}

/// The details as the audit log shows them; keys that were given are told by their digest.
fn shown(details: &IssuerDetails) -> Map<String, Value> {
    let rules = &details.rules;
    let (uri, inline) = match &details.keys {
        IssuerKeys::Discovered => (None, None),
        IssuerKeys::At(uri) => (Some(uri), None),
        IssuerKeys::Inline(jwks) => (None, Some(sha256(jwks))),
    };
    fields([
        ("issuer", json!(rules.issuer)),
        ("displayName", json!(details.display_name)),
        ("description", json!(details.description)),
        ("jwksUri", json!(uri)),
        ("jwksSha256", json!(inline)),
        ("audiences", json!(rules.audiences)),
        ("algorithms", rules.algorithms.iter().copied().map(Algorithm::as_str).collect()),
        ("emailClaim", json!(rules.claims.email)),
        ("firstNameClaim", json!(rules.claims.first_name)),
        ("lastNameClaim", json!(rules.claims.last_name)),
        ("leeway", json!(format!("{}s", rules.leeway.as_secs_f64()))),
    ])
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
