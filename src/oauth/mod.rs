//! The endpoints of the OAuth 2.0 authorization server: a second door to the services, in the words of the RFCs instead of the
//! RPCs'. Each file is one endpoint; what they decide is decided in [`crate::service::oauth`].

mod answer;
mod authorize;
mod browser;
mod client;
mod device;
mod device_authorization;
mod introspection;
mod logout;
mod metadata;
pub mod pages;
mod par;
mod parameters;
mod registration;
mod revocation;
mod sign_in;
mod sign_up;
mod token;
mod userinfo;
mod visit;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Limited};

use self::pages::OwnUrl;
use self::parameters::Parameters;
use crate::auth::dpop::{DPOP_NONCE, Sent};
use crate::auth::guard::Guard;
use crate::domain::error::Error;
use crate::domain::limit::report::Report;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::reason::Reason;
use crate::service::oauth::{AuthorizationServer, Origin};
use crate::service::sessions::Sessions;
use crate::service::users::Users;

/// The endpoints.
#[derive(Debug)]
pub struct OAuth {
    server: AuthorizationServer,
    sessions: Sessions,
    users: Users,
    guard: Arc<Guard>,
}

/// A request to one of them.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The path of its target.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// What stands behind the `?` of its target.
    pub query: Option<&'a str>,
    /// Its target.
    pub uri: &'a Uri,
    /// Where it came from, if the trusted proxies said.
    pub client: Option<IpAddr>,
    /// Where it came from, or else the nearest proxy.
    pub address: IpAddr,
    /// Its id.
    pub request_id: &'a Arc<str>,
    /// Where is said how the credential stands with its limits, if it has any.
    pub standing: &'a OnceLock<Report>,
}

impl<'a> Request<'a> {
    /// As far as a proof that somebody holds a key is about it.
    fn sent(&self) -> Sent<'a> {
        Sent { method: self.method, uri: self.uri, headers: self.headers }
    }

    /// As the audit log tells it.
    fn origin(&self) -> Origin {
        Origin { address: self.address, request_id: Arc::clone(self.request_id) }
    }
}

/// A path of the authorization server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// `/oauth/authorize` (RFC 6749, section 3.1).
    Authorize,
    /// `/oauth/sign-in`: what the sign-in page posts.
    SignIn,
    /// `/oauth/sign-up`: the page to sign up on, and what it posts.
    SignUp,
    /// `/oauth/consent`: what the consent page posts.
    Consent,
    /// `/oauth/logout` (OpenID Connect RP-Initiated Logout 1.0).
    Logout,
    /// `/oauth/sign-out`: what the sign-out page posts.
    SignOut,
    /// `/oauth/token` (RFC 6749, section 3.2).
    Token,
    /// `/oauth/par` (RFC 9126).
    PushedRequest,
    /// `/oauth/device_authorization` (RFC 8628, section 3.1).
    DeviceAuthorization,
    /// `/oauth/device`: where the code is typed that a device shows (RFC 8628, section 3.3).
    Device,
    /// `/oauth/userinfo` (OpenID Connect Core 1.0, section 5.3).
    Userinfo,
    /// `/oauth/introspect` (RFC 7662).
    Introspection,
    /// `/oauth/revoke` (RFC 7009).
    Revocation,
    /// `/oauth/register` (RFC 7591).
    Registration,
    /// `/oauth/register/{client_id}` (RFC 7592).
    RegisteredClient,
    /// `/.well-known/oauth-authorization-server` (RFC 8414) and `/.well-known/openid-configuration` (OpenID Connect Discovery
    /// 1.0).
    Metadata,
    /// `/.well-known/oauth-protected-resource` (RFC 9728).
    ProtectedResource,
}

impl Endpoint {
    /// The endpoint at a path.
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/oauth/authorize" => Self::Authorize,
            "/oauth/sign-in" => Self::SignIn,
            "/oauth/sign-up" => Self::SignUp,
            "/oauth/consent" => Self::Consent,
            "/oauth/logout" => Self::Logout,
            "/oauth/sign-out" => Self::SignOut,
            "/oauth/token" => Self::Token,
            "/oauth/par" => Self::PushedRequest,
            "/oauth/device_authorization" => Self::DeviceAuthorization,
            "/oauth/device" => Self::Device,
            "/oauth/userinfo" => Self::Userinfo,
            "/oauth/introspect" => Self::Introspection,
            "/oauth/revoke" => Self::Revocation,
            "/oauth/register" => Self::Registration,
            _ if path.starts_with(REGISTRATIONS) => Self::RegisteredClient,
            "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => Self::Metadata,
            RESOURCE_METADATA => Self::ProtectedResource,
            _ => return None,
        })
    }

    /// The methods it takes.
    const fn methods(self) -> &'static str {
        match self {
            Self::Metadata | Self::ProtectedResource => "GET, HEAD",
            Self::SignUp | Self::Device | Self::Userinfo => "GET, HEAD, POST",
            // What these answer may be a decision: not for whoever only looks whether a link is good.
            Self::Authorize | Self::Logout => "GET, POST",
            Self::RegisteredClient => "GET, PUT, DELETE",
            Self::SignIn | Self::Consent | Self::SignOut | Self::Token | Self::PushedRequest => "POST",
            Self::DeviceAuthorization | Self::Introspection | Self::Revocation | Self::Registration => "POST",
        }
    }

    /// Whether people come there in their browsers, and are answered by pages and redirects.
    const fn is_for_people(self) -> bool {
        let in_flow = matches!(self, Self::Authorize | Self::SignIn | Self::SignUp | Self::Consent | Self::Device);
        in_flow || matches!(self, Self::Logout | Self::SignOut)
    }

    /// Whether pages of other sites may call it (RFC 9700, section 2.6: not where a browser is sent with its cookies).
    pub const fn is_for_scripts(self) -> bool {
        !self.is_for_people()
    }
}

impl OAuth {
    /// The endpoints over these services. `guard` lets in those who come with a key or a token.
    pub fn new(server: AuthorizationServer, sessions: Sessions, users: Users, guard: Arc<Guard>) -> Self {
        Self { server, sessions, users, guard }
    }

    /// Answers a request. What is wrong with it is told in the answer.
    pub async fn answer(
        &self,
        endpoint: Endpoint,
        request: Request<'_>,
        body: impl Body<Error: Into<BoxError>>,
    ) -> Response<Bytes> {
        if !endpoint.methods().split(", ").any(|method| method == request.method.as_str()) {
            return answer::method_not_allowed(endpoint.methods());
        }
        if endpoint.is_for_people() {
            // Boxed, as all that is not asked for all the time: what is awaited in place makes the future of every call larger.
            return Box::pin(self.in_browser(endpoint, request, body)).await.unwrap_or_else(|response| response);
        }
        match endpoint {
            Endpoint::Metadata => match self.server.welcome().await {
                Ok(welcome) => metadata::server(self.server.issuer(), welcome),
                Err(error) => answer::error(&error.into(), request.headers),
            },
            Endpoint::ProtectedResource => metadata::resource(self.server.issuer()),
            Endpoint::Userinfo => Box::pin(userinfo::answer(self, request)).await,
            Endpoint::Registration => {
                Box::pin(registration::register(self, request, body)).await.unwrap_or_else(|told| told)
            }
            Endpoint::RegisteredClient => {
                Box::pin(registration::manage(self, request, body)).await.unwrap_or_else(|told| told)
            }
            _ => {
                let answered = self.post(endpoint, request, body).await;
                answered.unwrap_or_else(|error| {
                    let mut response = answer::error(&error, request.headers);
                    if error.word == Word::UseDpopNonce {
                        self.offer_nonce(&mut response);
                    }
                    response
                })
            }
        }
    }

    /// Gives whoever proves to hold a key the nonce for the next proof (RFC 9449, section 8).
    fn offer_nonce(&self, response: &mut Response<Bytes>) {
        // It is base64url.
        if let Ok(nonce) = HeaderValue::try_from(self.server.possession().nonce()) {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
    }

    /// Why whoever calls with a credential is not let in; where a nonce is needed, with the nonce.
    fn refused(&self, error: &Error) -> Response<Bytes> {
        let mut response = answer::refused(error);
        if error.reason == Reason::UseDpopNonce {
            self.offer_nonce(&mut response);
        }
        response
    }

    /// Somebody's browser is here: what is wrong is told by pages and redirects.
    async fn in_browser(
        &self,
        endpoint: Endpoint,
        request: Request<'_>,
        body: impl Body<Error: Into<BoxError>>,
    ) -> Result<Response<Bytes>, Response<Bytes>> {
        if *request.method != Method::POST {
            let query = request.query.unwrap_or_default();
            return match endpoint {
                Endpoint::Device => device::answer(self, request, query).await,
                Endpoint::SignUp => sign_up::answer(self, request, query).await,
                Endpoint::Logout => logout::answer(self, request, query).await,
                _ => authorize::answer(self, request, query).await,
            };
        }
        let wrong = |error| visit::error_page(request, &error);
        let body = read(body).await.map_err(wrong)?;
        if matches!(endpoint, Endpoint::Authorize | Endpoint::Logout) {
            let query = String::from_utf8(body.to_vec()).unwrap_or_default();
            return match endpoint {
                Endpoint::Logout => logout::posted(self, request, &query).await,
                _ => authorize::answer(self, request, &query).await,
            };
        }
        let form = Parameters::of_body(request.headers, &body).map_err(wrong)?;
        match endpoint {
            Endpoint::SignIn => sign_in::posted(self, request, &form).await,
            Endpoint::Device => device::posted(self, request, &form).await,
            Endpoint::SignUp => sign_up::posted(self, request, &form).await,
            Endpoint::SignOut => logout::confirmed(self, request, &form).await,
            _ => authorize::decided(self, request, &form).await,
        }
    }

    async fn post(
        &self,
        endpoint: Endpoint,
        request: Request<'_>,
        body: impl Body<Error: Into<BoxError>>,
    ) -> Result<Response<Bytes>, OAuthError> {
        parameters::refuse_secrets_in(request.query)?;
        let body = read(body).await?;
        let parameters = Parameters::of_body(request.headers, &body)?;
        match endpoint {
            Endpoint::DeviceAuthorization => Box::pin(device_authorization::answer(self, request, &parameters)).await,
            Endpoint::Introspection => introspection::answer(self, request, &parameters).await,
            Endpoint::Revocation => Box::pin(revocation::answer(self, request, &parameters)).await,
            Endpoint::PushedRequest => Box::pin(par::answer(self, request, parameters)).await,
            _ => Box::pin(token::answer(self, request, &parameters)).await,
        }
    }
}

/// Whatever stands against reading a body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn read(body: impl Body<Error: Into<BoxError>>) -> Result<Bytes, OAuthError> {
    let invalid = |what: &str| OAuthError::new(Word::InvalidRequest, what);
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(invalid("the body has more than 64 KiB")),
        Err(_) => Err(invalid("the body ended early")),
    }
}

/// Where this service is described as one that takes the tokens (RFC 9728, section 3).
pub const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// What the address of a client's registration begins with.
const REGISTRATIONS: &str = "/oauth/register/";

const AUTHORIZE: OwnUrl<'static> = own("/oauth/authorize");
const SIGN_IN: OwnUrl<'static> = own("/oauth/sign-in");
const SIGN_UP: OwnUrl<'static> = own("/oauth/sign-up");
const CONSENT: OwnUrl<'static> = own("/oauth/consent");
const DEVICE: OwnUrl<'static> = own("/oauth/device");
const LOGOUT: OwnUrl<'static> = own("/oauth/logout");
const SIGN_OUT: OwnUrl<'static> = own("/oauth/sign-out");

/// An address of our own, checked when this is compiled.
const fn own(path: &'static str) -> OwnUrl<'static> {
    match OwnUrl::parse(path) {
        Some(url) => url,
        None => panic!("it leads elsewhere"),
    }
}

const MAX_BODY: usize = 64 * 1024;
