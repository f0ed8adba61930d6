//! The answer that a page makes: its HTML, and the headers that keep it to itself.

use std::fmt::Write;
use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};

use super::{Logo, STYLE};

/// A page: its template, and what its answer's Content-Security-Policy must allow.
pub trait Page: Template {
    /// Whether a form's post may end at a client. Browsers hold all redirects that follow a post against the policy of the
    /// page the form was on, those of the client too, which may send people on to anywhere: such a page holds its forms to
    /// nothing. All others hold them to ourselves.
    fn leads_on(&self) -> bool {
        false
    }

    /// The picture on it.
    fn logo(&self) -> Option<Logo<'_>> {
        None
    }

    /// The script on it.
    fn script(&self) -> Option<&'static str> {
        None
    }
}

/// The answer of a page.
pub fn response(page: &impl Page, status: StatusCode) -> Response<Bytes> {
    let policy = HeaderValue::try_from(policy(page));
    // Neither can fail: a template writes to memory, and each source was read as one that a header holds. No page is better
    // than one without its policy.
    let (Ok(html), Ok(policy)) = (page.render(), policy) else {
        let mut response = Response::new(Bytes::from_static(b"The page could not be made."));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        return response;
    };
    let mut response = Response::new(Bytes::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn policy(page: &impl Page) -> String {
    let mut policy =
        format!("default-src 'none'; style-src {}; base-uri 'none'; frame-ancestors 'none'", *STYLE_SOURCE);
    let directive = |policy: &mut String, name: &str, sources: &str| {
        // Writing to memory does not fail.
        let _ = write!(policy, "; {name} {sources}");
    };
    if !page.leads_on() {
        directive(&mut policy, "form-action", "'self'");
    }
    if let Some(logo) = page.logo() {
        directive(&mut policy, "img-src", logo.source());
    }
    if let Some(script) = page.script() {
        directive(&mut policy, "script-src", &source_of(script));
    }
    policy
}

/// The source that allows an inline style or script of these bytes, and no other (CSP Level 3, section 2.3.1).
fn source_of(inline: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, inline.as_bytes())))
}

static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| source_of(STYLE));

/// What every page's answer has, beside its policy. `Cross-Origin-Opener-Policy` is not among them: it would part a client
/// that has people sign in in a pop-up from that window, for good.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // For browsers that do not know frame-ancestors.
    (X_FRAME_OPTIONS, "DENY"),
    // The addresses hold requests and states. It also has browsers send `Origin: null` with a post.
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];
