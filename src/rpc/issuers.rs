//! The issuers part of the Auth service on the wire.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert;
use super::fields::Fields;
use super::key_sets::{self, is_address};
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::error::{Error, Result};
use crate::domain::issuer::{Algorithm, ClaimNames, DEFAULT_LEEWAY, IssuerDetails, IssuerKeys, MAX_LEEWAY, TokenRules};
use crate::proto::v1;
use crate::service::Context;
use crate::service::issuers::Issuers;
use crate::service::paging::ListScope;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub(super) struct IssuerRpcs {
    context: Arc<Context>,
    issuers: Issuers,
}

impl IssuerRpcs {
    /// The RPCs over this context.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { issuers: Issuers::new(Arc::clone(&context)), context }
    }

    pub(super) async fn create(
        &self,
        request: Request<v1::CreateIssuerRequest>,
    ) -> Result<Response<v1::CreateIssuerResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let issuer = message.issuer.ok_or_else(|| Error::field("issuer", "is needed"))?;
            let issuer = self.issuers.create(&around.caller, new_issuer(issuer)?).await?;
            Ok(v1::CreateIssuerResponse { issuer: Some(convert::issuer(issuer)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn find(
        &self,
        request: Request<v1::GetIssuerRequest>,
    ) -> Result<Response<v1::GetIssuerResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let found = self.issuers.find(&around.caller, &message.id).await;
        let issuer = found.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetIssuerResponse { issuer: Some(convert::issuer(issuer)) }))
    }

    pub(super) async fn list(
        &self,
        request: Request<v1::ListIssuersRequest>,
    ) -> Result<Response<v1::ListIssuersResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let list = ListScope::new(&around.caller, "issuers", "");
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.issuers.list(&around.caller, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |issuer| issuer.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListIssuersResponse {
                data: page.items.into_iter().map(convert::issuer).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn update(
        &self,
        request: Request<v1::UpdateIssuerRequest>,
    ) -> Result<Response<v1::UpdateIssuerResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let issuer = message.issuer.ok_or_else(|| Error::field("issuer", "is needed"))?;
            let mut fields = Fields::under("issuer.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
            fields.finish(())?;
            let (id, etag) = (issuer.id.clone(), issuer.etag.clone());
            let change = |details: &mut _| change(details, issuer, &mask);
            let issuer = self.issuers.update(&around.caller, &id, Some(&etag), change).await?;
            Ok(v1::UpdateIssuerResponse { issuer: Some(convert::issuer(issuer)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn delete(
        &self,
        request: Request<v1::DeleteIssuerRequest>,
    ) -> Result<Response<v1::DeleteIssuerResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let deleted = self.issuers.delete(&around.caller, &message.id, message.etag.as_deref()).await;
        let issuer = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteIssuerResponse { issuer: Some(convert::issuer(issuer)) }))
    }
}

fn new_issuer(mut issuer: v1::Issuer) -> Result<IssuerDetails> {
    let mut fields = Fields::under("issuer.");
    let name = fields.visible("issuer", std::mem::take(&mut issuer.issuer), 255);
    let rules = TokenRules {
        issuer: name,
        audiences: BTreeSet::new(),
        algorithms: BTreeSet::new(),
        claims: ClaimNames::default(),
        leeway: DEFAULT_LEEWAY,
    };
    let keys = IssuerKeys::Discovered;
    let mut details = IssuerDetails { display_name: String::new(), description: String::new(), keys, rules };
    take(&mut fields, &mut details, issuer, &CHANGEABLE);
    fields.finish(details)
}

/// Changes the masked fields.
fn change(details: &mut IssuerDetails, issuer: v1::Issuer, mask: &[&str]) -> Result<()> {
    let mut fields = Fields::under("issuer.");
    take(&mut fields, details, issuer, mask);
    fields.finish(())
}

fn take(fields: &mut Fields, details: &mut IssuerDetails, issuer: v1::Issuer, mask: &[&str]) {
    let v1::Issuer { display_name, description, jwks_uri, jwks, audiences, algorithms, leeway, .. } = issuer;
    let wanted = |name| mask.contains(&name);
    if wanted("display_name") {
        details.display_name = fields.name("display_name", display_name, 0, 100);
    }
    if wanted("description") {
        details.description = fields.prose("description", description, 1_000);
    }
    if wanted("jwks_uri") || wanted("jwks") {
        let given = |name, text: Option<String>| text.filter(|text| wanted(name) && !text.is_empty());
        details.keys = keys(fields, given("jwks_uri", jwks_uri), given("jwks", jwks));
        let name = &details.rules.issuer;
        // A name that breaks its own rule has been refused for that.
        let is_name = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if details.keys == IssuerKeys::Discovered && is_name && !is_address(name) {
            let rule =
                "must be an https address where neither jwks_uri nor jwks is given: its keys are looked for below it";
            fields.refuse("issuer", rule);
        }
    }
    if wanted("audiences") {
        details.rules.audiences = read_audiences(fields, audiences);
    }
    if wanted("algorithms") {
        details.rules.algorithms = read_algorithms(fields, &algorithms);
    }
    let (named, claims) = (ClaimNames::default(), &mut details.rules.claims);
    for (name, given, default, claim) in [
        ("email_claim", issuer.email_claim, named.email, &mut claims.email),
        ("first_name_claim", issuer.first_name_claim, named.first_name, &mut claims.first_name),
        ("last_name_claim", issuer.last_name_claim, named.last_name, &mut claims.last_name),
    ] {
        if wanted(name) {
            *claim = if given.is_empty() { default } else { fields.visible(name, given, 100) };
        }
    }
    if wanted("leeway") {
        details.rules.leeway = match leeway {
            None => DEFAULT_LEEWAY,
            given => fields.duration("leeway", given, MAX_LEEWAY),
        };
    }
}

fn keys(fields: &mut Fields, uri: Option<String>, inline: Option<String>) -> IssuerKeys {
    match (uri, inline) {
        (None, None) => IssuerKeys::Discovered,
        (Some(uri), None) => {
            key_sets::address(fields, "jwks_uri", &uri);
            IssuerKeys::At(uri)
        }
        (None, Some(inline)) => {
            key_sets::inline(fields, "jwks", &inline, MAX_INLINE);
            IssuerKeys::Inline(inline)
        }
        (Some(_), Some(_)) => {
            fields.refuse("jwks", "must not be given beside jwks_uri");
            IssuerKeys::Discovered
        }
    }
}

fn read_audiences(fields: &mut Fields, given: Vec<String>) -> BTreeSet<String> {
    if !(1..=50).contains(&given.len()) {
        fields.refuse("audiences", format!("must have 1 to 50 entries, not {}", given.len()));
        return BTreeSet::new();
    }
    let one = |(index, audience)| fields.visible(&format!("audiences[{index}]"), audience, 255);
    given.into_iter().enumerate().map(one).collect()
}

fn read_algorithms(fields: &mut Fields, given: &[String]) -> BTreeSet<Algorithm> {
    if given.is_empty() {
        return Algorithm::DEFAULT.into();
    }
    if given.len() > 20 {
        fields.refuse("algorithms", format!("must have up to 20 entries, not {}", given.len()));
        return BTreeSet::new();
    }
    let mut read = BTreeSet::new();
    for (index, name) in given.iter().enumerate() {
        match Algorithm::parse(name) {
            Some(algorithm) => drop(read.insert(algorithm)),
            None => {
                let names = Algorithm::ALL.map(Algorithm::as_str).join(", ");
                fields.refuse(format!("algorithms[{index}]"), format!("must be one of {names}"));
            }
        }
    }
    read
}

const CHANGEABLE: [&str; 10] = [
    "display_name",
    "description",
    "jwks_uri",
    "jwks",
    "audiences",
    "algorithms",
    "email_claim",
    "first_name_claim",
    "last_name_claim",
    "leeway",
];
/// The longest set of keys that may be given, in bytes.
const MAX_INLINE: usize = 64 * 1024;
