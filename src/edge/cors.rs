//! Cross-origin requests (the Fetch standard's CORS protocol). Credentials here are headers, never cookies, so no answer
//! says `Access-Control-Allow-Credentials`, and any origin may be let in.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};
use http::{Method, Response, StatusCode};
use tonic::body::Body;

/// Which pages may call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origins {
    /// Any.
    Any,
    /// These, spelt as browsers send them (`https://shop.example`).
    Listed(Vec<String>),
}

/// Answers preflights and marks answers for browsers. Goes around everything, so that refusals are readable too.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Origins,
    allow_headers: HeaderValue,
}

impl Cors {
    /// CORS for these origins. `credential_headers` are the configured names of credential headers beside
    /// `authorization` and `x-api-key`.
    pub fn new(origins: Origins, credential_headers: &[HeaderName]) -> Self {
        let mut names: Vec<&str> = REQUEST_HEADERS.to_vec();
        for name in credential_headers {
            if !names.contains(&name.as_str()) {
                names.push(name.as_str());
            }
        }
        // Header names are visible ASCII, and so is the list of them.
        let allow_headers =
            HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("authorization"));
        Self { origins, allow_headers }
    }

    /// The answer to a preflight, or nothing if the request is none. No credential is looked at: browsers send none.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Body>> {
        let asks = || headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if method != Method::OPTIONS || !asks() {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let to = response.headers_mut();
        if self.allow(headers.get(ORIGIN), to) {
            to.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            to.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.allow_headers.clone());
            to.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        }
        Some(response)
    }

    /// Marks an answer, a refusal as well, for the page that asked. `origin` is the request's `Origin`.
    pub fn mark(&self, origin: Option<&HeaderValue>, to: &mut HeaderMap) {
        if self.allow(origin, to) {
            to.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }

    fn allow(&self, origin: Option<&HeaderValue>, to: &mut HeaderMap) -> bool {
        let Origins::Listed(listed) = &self.origins else {
            if origin.is_some() {
                to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            return origin.is_some();
        };
        // The answer depends on who asks, also when nobody says so: caches must know.
        if !to.get_all(VARY).iter().any(|value| value == "origin") {
            to.append(VARY, HeaderValue::from_static("origin"));
        }
        match origin.filter(|origin| listed.iter().any(|one| one.as_bytes() == origin.as_bytes())) {
            Some(origin) => {
                to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                true
            }
            None => false,
        }
    }
}

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

const REQUEST_HEADERS: [&str; 14] = [
    "authorization",
    "x-api-key",
    "x-builton-api-key",
    "content-type",
    "dpop",
    "idempotency-key",
    "if-match",
    "x-request-id",
    "x-request-timeout",
    "traceparent",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    // Clients of the Model Context Protocol send it with each request, for metadata too.
    "mcp-protocol-version",
];

const EXPOSED: &str = "x-pagination-total, etag, retry-after, ratelimit, ratelimit-policy, x-ratelimit-limit, \
    x-ratelimit-remaining, x-ratelimit-reset, x-request-id, www-authenticate, dpop-nonce, grpc-status, grpc-message, \
    grpc-status-details-bin";

/// Two hours: the most that any browser keeps a preflight's answer in seconds.
const MAX_AGE: &str = "7200";

#[cfg(test)]
mod tests {
    use super::*;

    fn request(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        headers
    }

    #[test]
    fn preflights_are_answered_for_any_origin() {
        let cors = Cors::new(Origins::Any, &[HeaderName::from_static("x-shop-key")]);
        let response = cors.preflight(&Method::OPTIONS, &request("https://shop.example")).unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let allowed = response.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert!(allowed.contains("x-builton-api-key") && allowed.ends_with("x-shop-key"));
        assert!(!response.headers().contains_key("access-control-allow-credentials"));
        assert!(!response.headers().contains_key(VARY));
    }

    #[test]
    fn only_preflights_are_answered() {
        let cors = Cors::new(Origins::Any, &[]);
        assert!(cors.preflight(&Method::POST, &request("https://shop.example")).is_none());
        assert!(cors.preflight(&Method::OPTIONS, &HeaderMap::new()).is_none());
    }

    #[test]
    fn a_list_lets_its_origins_in_and_tells_caches() {
        let cors = Cors::new(Origins::Listed(vec!["https://shop.example".to_owned()]), &[]);
        for (origin, allowed) in [
            (Some("https://shop.example"), true),
            (Some("https://evil.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let mut to = HeaderMap::new();
            cors.mark(origin.map(HeaderValue::from_static).as_ref(), &mut to);
            let given = to.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!(given, origin.filter(|_| allowed));
            assert_eq!(to.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS), allowed);
            cors.mark(None, &mut to);
            assert_eq!(to.get_all(VARY).iter().collect::<Vec<_>>(), ["origin"]);
        }
        let refused = cors.preflight(&Method::OPTIONS, &request("https://evil.example")).unwrap();
        assert!(!refused.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS));
    }
}
