//! The door for those who report leaked credentials: GitHub's secret scanning, and whoever signs reports with a secret of the
//! installation.
//!
//! They hold no credential of ours: a signature over the very bytes of the body says who they are, which is why these are no
//! RPCs. What is done about a report is for [`crate::service::leaks`] to say. No answer repeats what was reported.

mod github;
mod signed;

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use self::github::GitHub;
pub use self::signed::Signed;
use crate::auth::credential::MAX_CREDENTIAL;
use crate::domain::error::{Error, Result};
use crate::domain::leak::{LeakAction, LeakPlace, LeakReport, LeakReporter};
use crate::domain::reason::Reason;
use crate::domain::secret_search::without_secrets;
use crate::service::leaks::{Leaks, Reporter};

/// The endpoints that are switched on.
#[derive(Debug)]
pub struct Intake {
    leaks: Leaks,
    signed: Option<Signed>,
    github: Option<GitHub>,
}

/// A path that takes reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// `/v1/leaks`: signed by the Standard Webhooks scheme.
    Signed,
    /// `/v1/leaks/github`: GitHub's secret scanning partner program.
    GitHub,
}

/// A request to one of them, without its body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Where it came from, or else the nearest proxy.
    pub address: IpAddr,
    /// Its id.
    pub request_id: &'a str,
}

impl Endpoint {
    /// The endpoint at a path.
    pub fn at(path: &str) -> Option<Self> {
        match path.strip_prefix("/v1/leaks")? {
            "" => Some(Self::Signed),
            "/github" => Some(Self::GitHub),
            _ => None,
        }
    }
}

impl Intake {
    /// The endpoints over this service: that for signed reports and that for GitHub's, where they are switched on.
    pub fn new(leaks: Leaks, signed: Option<Signed>, github: Option<GitHub>) -> Self {
        Self { leaks, signed, github }
    }

    /// Whether an endpoint is switched on. One that is not is not there.
    pub fn takes(&self, endpoint: Endpoint) -> bool {
        match endpoint {
            Endpoint::Signed => self.signed.is_some(),
            Endpoint::GitHub => self.github.is_some(),
        }
    }

    /// Takes the reports of a request: the answer's JSON. What can be refused by its headers is refused before the body is
    /// read.
    ///
    /// # Errors
    /// CALLER_NOT_ALLOWED for a signature that is not good; INVALID_REQUEST, UNSUPPORTED_MEDIA_TYPE and PAYLOAD_TOO_LARGE for
    /// what is wrong with the request; and what the service refuses, OVERLOADED among it: then some of the reports may
    /// have been taken, which does no harm when they are sent again.
    pub async fn take(
        &self,
        endpoint: Endpoint,
        request: Request<'_>,
        body: impl Body<Error: Into<BoxError>>,
    ) -> Result<Value> {
        require_json(request.headers)?;
        match endpoint {
            Endpoint::Signed => self.take_signed(request, body).await,
            Endpoint::GitHub => self.take_from_github(request, body).await,
        }
    }

    async fn take_signed(&self, request: Request<'_>, body: impl Body<Error: Into<BoxError>>) -> Result<Value> {
        let signed = self.signed.as_ref().ok_or_else(absent)?;
        let claim = signed.claim(request.headers)?;
        let body = read(body).await?;
        signed.verify(&claim, &body)?;
        let Reports { reports } = parse(&body, "{\"reports\":[{\"credential\",\"source\",\"url\"}]}")?;
        require_few(reports.len())?;
        let mut results = Vec::with_capacity(reports.len());
        for Report { credential, source, url } in &reports {
            let report = self.report(LeakReporter::Signed, request, credential, source, url).await?;
            let action = report.as_ref().map(|report| report.action.as_str());
            results.push(json!({"label": label(report.as_ref()), "action": action}));
        }
        tell(LeakReporter::Signed, request, results.len());
        Ok(json!({ "results": results }))
    }

    async fn take_from_github(&self, request: Request<'_>, body: impl Body<Error: Into<BoxError>>) -> Result<Value> {
        let github = self.github.as_ref().ok_or_else(absent)?;
        let claim = github.claim(request.headers).await?;
        let body = read(body).await?;
        claim.verify(&body)?;
        let matches: Vec<Match> = parse(&body, "[{\"token\",\"type\",\"url\",\"source\"}]")?;
        require_few(matches.len())?;
        let mut results = Vec::with_capacity(matches.len());
        for Match { token, r#type, url, source } in &matches {
            let report = self.report(LeakReporter::GitHub, request, token, source, url).await?;
            let kind: String = r#type.chars().filter(|c| !c.is_control()).take(MAX_TYPE).collect();
            // The form without the token itself.
            results.push(json!({
                "token_hash": hex(digest(&SHA256, token.as_bytes()).as_ref()),
                "token_type": without_secrets(&kind),
                "label": label(report.as_ref()),
            }));
        }
        tell(LeakReporter::GitHub, request, results.len());
        Ok(Value::Array(results))
    }

    async fn report(
        &self,
        who: LeakReporter,
        request: Request<'_>,
        credential: &str,
        source: &str,
        url: &str,
    ) -> Result<Option<LeakReport>> {
        let credential = credential.trim();
        if credential.len() > MAX_CREDENTIAL {
            return Ok(None);
        }
        let reporter = Reporter::Outside { who, address: request.address, request_id: request.request_id };
        self.leaks.report(reporter, credential, &LeakPlace::of(source, url)).await
    }
}

/// Whatever stands against reading a body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The generic form.
#[derive(Deserialize)]
struct Reports {
    reports: Vec<Report>,
}

#[derive(Deserialize)]
struct Report {
    credential: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    url: String,
}

/// One of GitHub's.
#[derive(Deserialize)]
struct Match {
    token: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    source: String,
}

/// The words of GitHub for whether it was worth telling.
fn label(report: Option<&LeakReport>) -> &'static str {
    match report {
        Some(report) if report.action != LeakAction::Public => "true_positive",
        _ => "false_positive",
    }
}

/// The value of a header that must be there once, as visible ASCII.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().filter(|value| !value.is_empty()),
        _ => None,
    };
    value.ok_or_else(|| Error::new(Reason::InvalidRequest, format!("the header {name} is needed, once")))
}

fn require_json(headers: &HeaderMap) -> Result<()> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    // What is signed is what is sent: nothing is unpacked.
    if !essence.eq_ignore_ascii_case(b"application/json") || headers.contains_key(CONTENT_ENCODING) {
        let message = "The body's type must be application/json, not compressed";
        return Err(Error::new(Reason::UnsupportedMediaType, message));
    }
    Ok(())
}

async fn read(body: impl Body<Error: Into<BoxError>>) -> Result<Bytes> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::new(Reason::PayloadTooLarge, format!("The body may have up to {MAX_BODY} bytes")))
        }
        Err(_) => Err(Error::new(Reason::InvalidRequest, "the body ended early")),
    }
}

/// Reads a body. What is wrong with it is not told in the parser's words, which may repeat it.
fn parse<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|_| Error::new(Reason::InvalidRequest, format!("the body must be JSON of this form: {form}")))
}

fn require_few(reports: usize) -> Result<()> {
    if reports > MOST_REPORTS {
        let message = format!("one request may hold up to {MOST_REPORTS} reports");
        return Err(Error::new(Reason::PayloadTooLarge, message));
    }
    Ok(())
}

fn tell(who: LeakReporter, request: Request<'_>, reports: usize) {
    tracing::info!(request_id = request.request_id, reporter = who.as_str(), reports, "leak reports were taken");
}

/// What was signed is not what was sent, or by somebody else.
fn not_proven() -> Error {
    Error::new(Reason::CallerNotAllowed, "the signature does not prove who sent this")
}

fn absent() -> Error {
    Error::new(Reason::UnknownMethod, "There is nothing at this path")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of a body.
const MAX_BODY: usize = 1024 * 1024;
/// Reports in a body.
const MOST_REPORTS: usize = 1_000;
/// Characters of a type that are told again.
const MAX_TYPE: usize = 100;
