//! Verify on the wire: reading the question, telling the verdict.
//!
//! The services behind us ask it for every call of theirs, so it has a way of its own beside that of all RPCs, which makes no
//! message in between: the question is read where it lies in the request, and what there is to tell of a credential is
//! encoded once and kept beside it. What cannot be read at a glance goes the common way, which says why.

use std::net::IpAddr;
use std::time::Duration;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, uint64};

use super::fields::Fields;
use super::{convert, limits};
use crate::auth::dpop::Shown;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::error::{Error, Result};
use crate::domain::limit::CALLS;
use crate::domain::limit::limits::Cost;
use crate::domain::limit::report::Report;
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::oauth::token::AccessToken;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::domain::secret::SecretShape;
use crate::domain::throttle::Throttle;
use crate::proto::dispatch::Framed;
use crate::proto::v1;
use crate::service::verify::{Held, Inquiry, Verdict};

/// The fields of a question, as they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked<'a> {
    credential: &'a str,
    publishable_key: Option<&'a str>,
    scopes: Vec<&'a str>,
    client_ip: Option<&'a str>,
    dpop: Option<&'a v1::DpopProof>,
    dpop_jkt: Option<&'a str>,
    cost: Option<u32>,
}

/// A question whose fields keep their rules.
pub(super) struct Question<'a> {
    credential: &'a str,
    publishable: Option<&'a str>,
    scopes: Vec<Scope>,
    client: Option<IpAddr>,
    held: Option<Held<'a>>,
    cost: Cost,
}

impl<'a> Asked<'a> {
    /// Reads an encoded `VerifyRequest`. None if it is not one, or not of the fields known here: those of all but a few.
    pub(super) fn at_a_glance(mut bytes: &'a [u8]) -> Option<Self> {
        let mut asked = Self::default();
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes).ok()?;
            if (number, wire_type) == (10, WireType::Varint) {
                // A number of 32 bits is the lower half of what it is sent as.
                asked.cost = Some(decode_varint(&mut bytes).ok()? as u32);
                continue;
            }
            if wire_type != WireType::LengthDelimited {
                return None;
            }
            let length = decode_varint(&mut bytes).ok()?;
            let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
            let text = std::str::from_utf8(text).ok()?;
            bytes = rest;
            match number {
                1 => asked.credential = text,
                2 => asked.publishable_key = Some(text),
                3 => asked.scopes.push(text),
                4 => asked.client_ip = Some(text),
                _ => return None,
            }
        }
        Some(asked)
    }

    /// Reads the question that stands in the request at `place`.
    pub(super) fn question(self, place: &str) -> Result<Question<'a>> {
        let mut fields = Fields::default();
        let beside = self.publishable_key.and_then(SecretShape::parse);
        if beside.is_some_and(|shape| !shape.is_publishable()) {
            fields.refuse("publishable_key", "must be a publishable key (pk_...)");
        }
        let thumbprint = self.dpop_jkt.map(Thumbprint::parse);
        let held = match (self.dpop, thumbprint) {
            (None, None) => None,
            (Some(dpop), None) => {
                let v1::DpopProof { proof, method, url } = dpop;
                for (field, text) in [("dpop.proof", proof), ("dpop.method", method), ("dpop.url", url)] {
                    if text.is_empty() {
                        fields.refuse(field, "is needed");
                    }
                }
                Some(Held::Shown(Shown { proof, method, url }))
            }
            (None, Some(Some(thumbprint))) => Some(Held::Known(thumbprint)),
            (None, Some(None)) => {
                fields.refuse("dpop_jkt", Thumbprint::RULE);
                None
            }
            (Some(_), Some(_)) => {
                fields.refuse("dpop_jkt", "must not be given beside dpop");
                None
            }
        };
        let cost = self.cost.unwrap_or(1);
        if cost > *CALLS.end() {
            fields.refuse("cost", "must be 0 to 1,000,000,000 calls");
        }
        let question = Question {
            held,
            cost: Cost::asked(cost),
            credential: self.credential,
            publishable: self.publishable_key,
            scopes: fields.scopes("scopes", &self.scopes),
            client: fields.address("client_ip", self.client_ip),
        };
        fields.finish(question).map_err(|error| error.within(place))
    }
}

impl<'a> From<&'a v1::VerifyRequest> for Asked<'a> {
    fn from(message: &'a v1::VerifyRequest) -> Self {
        Self {
            credential: &message.credential,
            publishable_key: message.publishable_key.as_deref(),
            scopes: message.scopes.iter().map(String::as_str).collect(),
            client_ip: message.client_ip.as_deref(),
            dpop: message.dpop.as_ref(),
            dpop_jkt: message.dpop_jkt.as_deref(),
            cost: message.cost,
        }
    }
}

impl Question<'_> {
    pub(super) fn inquiry(&self) -> Inquiry<'_> {
        let Self { credential, publishable, ref scopes, client, held, cost } = *self;
        Inquiry { credential, publishable, scopes, client, held, cost }
    }
}

/// A verdict as a message.
pub(super) fn message(verdict: Verdict) -> v1::VerifyResponse {
    let mut answer = decision(&verdict);
    if let Some(credential) = &verdict.credential {
        tell(credential, &mut answer);
    }
    if let Some(report) = &verdict.limits {
        answer.rate_limits = limits::statuses(report);
    }
    let standing = standing(&verdict);
    (answer.remaining_credits, answer.retry_after) = (standing.remaining_credits, standing.retry_after);
    answer.client_ip_would_be_denied = standing.client_ip_would_be_denied;
    answer.revision = verdict.revision.0;
    let credential = verdict.credential.as_ref();
    answer.user_id = credential.and_then(|credential| credential.user_id()).map(ToString::to_string);
    answer.session_id = credential.and_then(|credential| credential.session()).map(|session| session.id.to_string());
    if let Some(token) = credential.and_then(|credential| credential.token()) {
        answer.client_id = Some(token.client.to_string());
        answer.token_id = Some(token.id.to_string());
        answer.audiences.clone_from(&token.audiences);
        answer.dpop_jkt = token.key.map(|key| key.to_string());
        answer.grant_id = token.grant.as_ref().map(ToString::to_string);
        answer.behind_ids = token.behind().into_iter().map(str::to_owned).collect();
    }
    answer
}

/// The same message encoded. Fields stand in the order of their numbers: the decision's, the credential's, the revision, the
/// credential's user, session, token and grant and, last, how it stands with its limits.
pub(super) fn encoded(verdict: &Verdict) -> Framed {
    let decision = decision(verdict);
    let credential = verdict.credential.as_deref();
    let told = credential.map(told).unwrap_or_default();
    let user = credential.and_then(Credential::user_id);
    let session = credential.and_then(Credential::session);
    let token = credential.and_then(Credential::token);
    let audiences = token.map(|token| &token.audiences[..]).unwrap_or_default();
    let key = credential.and_then(Credential::bound_to).map(ToString::to_string);
    let grant = token.and_then(|token| token.grant.as_ref());
    let behind = token.map(AccessToken::behind).unwrap_or_default();
    let limits = verdict.limits.as_ref();
    let room = limits.map_or(0, limits::room_for_statuses)
        + STANDING
        + audiences.iter().map(|audience| audience.len() + ID).sum::<usize>()
        + REVISION
        + (5 + behind.len()) * ID
        + key.as_ref().map_or(0, |key| key.len() + ID);
    Framed::written(decision.encoded_len() + told.len() + room, |out| {
        decision.encode_raw(out);
        out.extend_from_slice(told);
        if verdict.revision.0 != 0 {
            uint64::encode(13, &verdict.revision.0, out);
        }
        let user = user.map(|user| (14, user.as_str()));
        let session = session.map(|session| (15, session.id.as_str()));
        let token = token.map(|token| [(16, token.client.as_str()), (17, token.id.as_str())]);
        let audiences = audiences.iter().map(|audience| (18, audience.as_str()));
        let key = key.iter().map(|key| (19, key.as_str()));
        let grant = grant.map(|grant| (20, grant.as_str()));
        let behind = behind.iter().map(|id| (21, *id));
        let token = token.into_iter().flatten().chain(audiences).chain(key).chain(grant).chain(behind);
        for (number, text) in user.into_iter().chain(session).chain(token) {
            encode_key(number, WireType::LengthDelimited, out);
            encode_varint(text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
        if let Some(report) = limits {
            limits::write_statuses(25, report, out);
        }
        if limits.is_some() || verdict.address_reported {
            standing(verdict).encode_raw(out);
        }
    })
}

/// Writes down that a credential would have been refused by an address list that only reports; not more often than a disk and a
/// person can bear.
pub(super) fn write_down_address(verdict: &Verdict, request_id: &str, now: Timestamp) {
    static LINES: Throttle = Throttle::new(Duration::from_millis(10));
    let Some(untold) = LINES.pass(now.since(Timestamp::default())) else { return };
    tracing::info!(
        request_id,
        code = Reason::IpDenied.wording().name,
        key_id = verdict.credential.as_ref().map(|credential| credential.id().to_string()),
        untold,
        "would be refused: the key's address list only reports"
    );
}

/// What there is to tell of a credential, encoded.
fn told(credential: &Credential) -> &[u8] {
    credential.told.get_or_init(|| {
        let mut answer = v1::VerifyResponse::default();
        tell(credential, &mut answer);
        answer.encode_to_vec().into()
    })
}

fn decision(verdict: &Verdict) -> v1::VerifyResponse {
    v1::VerifyResponse {
        valid: verdict.objection.is_none(),
        code: code(verdict.objection).into(),
        message: match (&verdict.limits, verdict.objection) {
            (Some(report), objection) if is_of_limits(objection) => report.error().message,
            _ => words(verdict.objection, verdict.missing_scope.as_deref()),
        },
        ..v1::VerifyResponse::default()
    }
}

/// How the credential stands with its credits and its address list, and when to try again: fields that come after all others.
fn standing(verdict: &Verdict) -> v1::VerifyResponse {
    let report = verdict.limits.as_ref();
    let of_limits = report.filter(|_| is_of_limits(verdict.objection));
    v1::VerifyResponse {
        retry_after: of_limits.and_then(Report::retry_after).and_then(|wait| wait.try_into().ok()),
        remaining_credits: report.and_then(Report::credits).map(|credits| credits.remaining),
        client_ip_would_be_denied: verdict.address_reported,
        ..v1::VerifyResponse::default()
    }
}

fn is_of_limits(objection: Option<Reason>) -> bool {
    matches!(objection, Some(Reason::RateLimited | Reason::QuotaExhausted))
}

fn tell(credential: &Credential, answer: &mut v1::VerifyResponse) {
    answer.project = Some(credential.project().to_string());
    answer.environment = Some(convert::environment(credential.environment()).into());
    answer.scopes = convert::scopes(credential.scopes());
    answer.expires_at = credential.expires_at().map(convert::time);
    let Some(key) = credential.key_behind() else { return };
    answer.key_id = Some(key.id.to_string());
    answer.key_type = Some(convert::kind(key.kind).into());
    answer.name = Some(key.details.name.clone());
    answer.owner.clone_from(&key.details.owner);
    answer.metadata = key.details.metadata.to_map();
}

fn code(objection: Option<Reason>) -> v1::DecisionCode {
    let Some(reason) = objection else { return v1::DecisionCode::Valid };
    // The names of the reasons that a decision can have are values of DecisionCode; a test holds them together.
    v1::DecisionCode::from_str_name(reason.wording().name).unwrap_or(v1::DecisionCode::Unspecified)
}

fn words(objection: Option<Reason>, missing_scope: Option<&str>) -> String {
    match (objection, missing_scope) {
        (None, _) => String::new(),
        (Some(Reason::InsufficientScope), Some(scope)) => Error::insufficient_scope(scope.to_owned()).message,
        (Some(Reason::MissingCredential), _) => "No credential was presented".to_owned(),
        (Some(Reason::StoreUnavailable), _) => "Nothing could be decided: the store cannot be reached".to_owned(),
        (Some(Reason::Malformed), _) => "This is not a credential: its shape or checksum is wrong".to_owned(),
        (Some(Reason::NotFound), _) => "No credential of this project is like this".to_owned(),
        (Some(Reason::Revoked), _) => "The key is revoked".to_owned(),
        (Some(Reason::Expired), _) => "The key, or this old secret of it, is past its end".to_owned(),
        (Some(Reason::InvalidDpopProof), _) => {
            "The token is bound to a key that is not proven to be held, or a proof came with one that is not bound"
                .to_owned()
        }
        (Some(reason), _) => crate::auth::guard::explanation(reason).to_owned(),
    }
}

/// Room for a revision: its tag and the longest varint.
const REVISION: usize = 11;
/// Room for credits, an address list's word and a duration.
const STANDING: usize = 36;
/// Room for an id: its tag, its length and itself. Enough for the tag and length of any other text.
const ID: usize = 38;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::change::Revision;
    use crate::domain::credential::{ActingUser, Form, KeySecret, SecretRole};
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::environment::Environment;
    use crate::domain::id::{ProjectId, SessionId, UserId};
    use crate::domain::key::Key;
    use crate::domain::limit::limits::tests::limits as test_limits;
    use crate::domain::scope::ScopeSet;
    use crate::domain::session::Session;
    use crate::domain::user::Standing;
    use crate::store::tests::support::{at, full_key};

    #[test]
    fn every_reason_a_decision_can_have_is_a_code() {
        for reason in DECISIONS {
            assert_ne!(code(Some(reason)), v1::DecisionCode::Unspecified, "{reason:?}");
        }
        assert_eq!(code(None), v1::DecisionCode::Valid);
    }

    #[test]
    fn both_ways_tell_the_same() {
        let user = UserId::new(at(0), &SystemEntropy);
        let acting = ActingUser { standing: Standing::Good, scopes: ScopeSet::new(Scope::parse("read:products")) };
        let key = Credential::new(Form::Key(KeySecret {
            role: SecretRole::Previous,
            secret_expires_at: Some(at(60)),
            user: Some(Box::new(acting.clone())),
            ..KeySecret::only_of(Key { user: Some(user.clone()), ..full_key(at(0)) })
        }));
        let session = Session {
            id: SessionId::new(at(0), &SystemEntropy),
            project: ProjectId::default_project(),
            environment: Environment::Live,
            user,
            created_at: at(0),
            expires_at: at(60),
            revoked_at: None,
        };
        let session = Credential::new(Form::Session(session, acting));
        let (key, session) = (Arc::new(key), Arc::new(session));
        let limits = test_limits(&[("minute", 2, 60), ("day", 100, 86_400)]);
        let standings = [None, Some(1), Some(2), Some(3)]
            .map(|cost| cost.map(|cost| limits.spend(Cost::asked(cost), at(0), |_| ()).unwrap()));
        for objection in DECISIONS.map(Some).into_iter().chain([None]) {
            for credential in [None, Some(Arc::clone(&key)), Some(Arc::clone(&session))] {
                for revision in [0, 1, 300, u64::MAX] {
                    let missing_scope = Some("READ_PRODUCTS".to_owned());
                    for limits in &standings {
                        let (missing_scope, credential, limits) =
                            (missing_scope.clone(), credential.clone(), limits.clone());
                        let verdict = Verdict {
                            objection,
                            missing_scope,
                            credential,
                            reserved: false,
                            touched: None,
                            limits,
                            address_reported: revision == 300,
                            revision: Revision(revision),
                        };
                        // Twice, because the second is told from memory.
                        assert_eq!(encoded(&verdict).message(), encoded(&verdict).message());
                        assert_eq!(encoded(&verdict).message(), message(verdict).encode_to_vec());
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn both_ways_read_the_same(
            credential in ".{0,20}",
            publishable_key in proptest::option::of(".{0,20}"),
            scopes in proptest::collection::vec(".{0,20}", 0..4),
            client_ip in proptest::option::of(".{0,20}"),
            cost in proptest::option::of(any::<u32>()),
        ) {
            let message =
                v1::VerifyRequest { credential, publishable_key, scopes, client_ip, cost, ..v1::VerifyRequest::default() };
            let bytes = message.encode_to_vec();
            prop_assert_eq!(Asked::at_a_glance(&bytes), Some(Asked::from(&message)));
        }

        #[test]
        fn what_is_read_at_a_glance_is_what_the_message_says(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let whole = v1::VerifyRequest::decode(&*bytes);
            if let Some(asked) = Asked::at_a_glance(&bytes) {
                let message = whole.expect("what is read at a glance can be read");
                prop_assert_eq!(asked, Asked::from(&message));
            }
        }
    }

    const DECISIONS: [Reason; 13] = [
        Reason::InvalidDpopProof,
        Reason::MissingCredential,
        Reason::StoreUnavailable,
        Reason::Malformed,
        Reason::NotFound,
        Reason::Revoked,
        Reason::Expired,
        Reason::Suspended,
        Reason::IpDenied,
        Reason::EnvMismatch,
        Reason::InsufficientScope,
        Reason::RateLimited,
        Reason::QuotaExhausted,
    ];
}
