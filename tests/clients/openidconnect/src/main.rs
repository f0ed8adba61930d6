//! The crate openidconnect as it comes: programs that have people sign in, one of which registers itself.
//!
//! The one argument is JSON: {"issuer", "certificate", "sub", "clients": [{"id", "secret", "method"}], "browser": {"program",
//! "module", "directory", "arguments"}}; the last is how a browser is had that follows a link (visit.mjs). Prints {"passed":
//! programs}.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
    CoreClientRegistrationRequest, CoreGrantType, CoreIdToken, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::registration::EmptyAdditionalClientMetadata;
use openidconnect::reqwest::Certificate;
use openidconnect::reqwest::blocking::Client as Http;
use openidconnect::reqwest::redirect::Policy;
use openidconnect::{
    AccessTokenHash, AdditionalProviderMetadata, AuthType, AuthorizationCode, ClientId, ClientName, ClientSecret,
    CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    ProviderMetadata, RedirectUrl, RevocationUrl, Scope, TokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// What does not end well.
type Fault = Box<dyn Error>;

#[derive(Deserialize)]
struct Given {
    issuer: String,
    /// The server's own, in PEM.
    certificate: String,
    sub: String,
    clients: Vec<Registered>,
    browser: Browser,
}

#[derive(Deserialize)]
struct Registered {
    id: String,
    secret: Option<String>,
    method: String,
}

#[derive(Deserialize)]
struct Browser {
    program: String,
    module: String,
    directory: String,
    arguments: Value,
}

/// What the crate leaves to its users to read.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct MoreMetadata {
    revocation_endpoint: RevocationUrl,
}

impl AdditionalProviderMetadata for MoreMetadata {}

type Metadata = ProviderMetadata<
    MoreMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;
type Client = CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointSet, EndpointMaybeSet, EndpointMaybeSet>;

fn main() -> Result<(), Fault> {
    let argument = std::env::args().nth(1).ok_or("one argument is needed")?;
    let given: Given = serde_json::from_str(&argument)?;
    let certificate = Certificate::from_pem(given.certificate.as_bytes())?;
    let http = Http::builder().no_proxy().redirect(Policy::none()).add_root_certificate(certificate).build()?;
    let metadata = Metadata::discover(&IssuerUrl::new(given.issuer.clone())?, &http)?;
    let mut programs = 0;
    for registered in &given.clients {
        let program = Program::new(&given, &http, &metadata, registered)?;
        program.is_denied()?;
        program.signs_in()?;
        programs += 1;
    }
    Program::registering_itself(&given, &http, &metadata)?.signs_in()?;
    println!("{}", serde_json::json!({"passed": programs + 1}));
    Ok(())
}

/// A program on this machine that has people sign in.
struct Program<'a> {
    given: &'a Given,
    http: &'a Http,
    client: Client,
    listener: TcpListener,
}

impl<'a> Program<'a> {
    fn new(given: &'a Given, http: &'a Http, metadata: &Metadata, registered: &Registered) -> Result<Self, Fault> {
        let (listener, callback) = listen()?;
        let secret = registered.secret.clone().filter(|secret| !secret.is_empty()).map(ClientSecret::new);
        let method = match &*registered.method {
            "client_secret_post" | "none" => AuthType::RequestBody,
            _ => AuthType::BasicAuth,
        };
        let client = client(metadata, ClientId::new(registered.id.clone()), secret, callback).set_auth_type(method);
        Ok(Self { given, http, client, listener })
    }

    fn registering_itself(given: &'a Given, http: &'a Http, metadata: &Metadata) -> Result<Self, Fault> {
        let (listener, callback) = listen()?;
        let endpoint = metadata.registration_endpoint().ok_or("there is no registration_endpoint")?;
        let name = std::iter::once((None, ClientName::new("Unknown shop".to_owned()))).collect();
        let wanted = CoreClientRegistrationRequest::new(vec![callback.clone()], EmptyAdditionalClientMetadata {})
            .set_client_name(Some(name))
            .set_grant_types(Some(vec![CoreGrantType::AuthorizationCode, CoreGrantType::RefreshToken]));
        let told = wanted.register(endpoint, http)?;
        if told.registration_access_token().is_none() || told.registration_client_uri().is_none() {
            return Err("the client cannot manage its registration".into());
        }
        let secret = Some(told.client_secret().cloned().ok_or("there is no secret")?);
        let client = client(metadata, told.client_id().clone(), secret, callback);
        Ok(Self { given, http, client, listener })
    }

    /// Somebody does not agree.
    fn is_denied(&self) -> Result<(), Fault> {
        let (challenge, _) = PkceCodeChallenge::new_random_sha256();
        let (url, state, _) = self
            .client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .set_pkce_challenge(challenge)
            .url();
        let answer = self.follow(&url, "Deny")?;
        expect(&answer, "error", "access_denied")?;
        expect(&answer, "state", state.secret())
    }

    /// Somebody agrees, and all that comes of it is used.
    fn signs_in(&self) -> Result<(), Fault> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let scopes = ["profile", "email", "offline_access"].map(|scope| Scope::new(scope.to_owned()));
        let asked = self.client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let (url, state, nonce) = asked.add_scopes(scopes).set_pkce_challenge(challenge).url();
        let answer = self.follow(&url, "Allow")?;
        expect(&answer, "state", state.secret())?;
        expect(&answer, "iss", &self.given.issuer)?;
        let code = AuthorizationCode::new(parameter(&answer, "code").ok_or("there is no code")?);
        let tokens = self.client.exchange_code(code)?.set_pkce_verifier(verifier).request(self.http)?;
        let id_token = self.id_token(&tokens)?;
        let claims = id_token.claims(&self.client.id_token_verifier(), &nonce)?;
        if claims.subject().as_str() != self.given.sub {
            return Err("the id_token is another's".into());
        }
        if let Some(hash) = claims.access_token_hash() {
            let verifier = self.client.id_token_verifier();
            let key = id_token.signing_key(&verifier)?;
            if AccessTokenHash::from_token(tokens.access_token(), id_token.signing_alg()?, key)? != *hash {
                return Err("the id_token is of another access token".into());
            }
        }
        if id_token.claims(&self.client.id_token_verifier(), &Nonce::new_random()).is_ok() {
            return Err("the id_token answers another request too".into());
        }
        let user: CoreUserInfoClaims =
            self.client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()))?.request(self.http)?;
        if user.preferred_username().map(|name| name.as_str()) != Some("ada") {
            return Err(format!("somebody else: {user:?}").into());
        }
        self.goes_on(&tokens)
    }

    /// Refreshes tokens until they are revoked.
    fn goes_on(&self, tokens: &CoreTokenResponse) -> Result<(), Fault> {
        let refresh = tokens.refresh_token().ok_or("there is no refresh token")?;
        let fresh = self.client.exchange_refresh_token(refresh)?.request(self.http)?;
        // The nonce was for the first (OpenID Connect Core 1.0, section 12.2).
        let without = |nonce: Option<&Nonce>| nonce.map_or(Ok(()), |_| Err("there is a nonce".to_owned()));
        let claims = self.id_token(&fresh)?.claims(&self.client.id_token_verifier(), without)?;
        if claims.subject().as_str() != self.given.sub {
            return Err("the fresh id_token is another's".into());
        }
        let refresh = fresh.refresh_token().ok_or("there is no fresh refresh token")?;
        self.client.revoke_token(refresh.into())?.request(self.http)?;
        let refused = self.client.exchange_refresh_token(refresh)?.request(self.http);
        match refused {
            Err(openidconnect::RequestTokenError::ServerResponse(told)) if told.error().as_ref() == "invalid_grant" => {
            }
            other => return Err(format!("a revoked token was good: {other:?}").into()),
        }
        let user: Result<CoreUserInfoClaims, _> =
            self.client.user_info(fresh.access_token().clone(), None)?.request(self.http);
        if user.is_ok() { Err("what came of a revoked grant was good".into()) } else { Ok(()) }
    }

    fn id_token<'t>(&self, tokens: &'t CoreTokenResponse) -> Result<&'t CoreIdToken, Fault> {
        let id_token = tokens.id_token().ok_or("there is no id_token")?;
        match id_token.signing_alg()? {
            CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256 => Ok(id_token),
            other => Err(format!("the id_token is signed with {other:?}").into()),
        }
    }

    /// Where somebody is sent in the end who follows a link, signs in and decides.
    fn follow(&self, url: &Url, decision: &str) -> Result<Url, Fault> {
        let browser = &self.given.browser;
        let mut arguments = browser.arguments.clone();
        (arguments["url"], arguments["decision"]) = (url.as_str().into(), decision.into());
        let mut visit = Command::new(&browser.program)
            .args(["--input-type=module", "-", &arguments.to_string()])
            .current_dir(&browser.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        visit.stdin.take().ok_or("it has no standard input")?.write_all(browser.module.as_bytes())?;
        // Whoever does not get here ends with another status, and the test with this program.
        std::thread::scope(|both| {
            let here = both.spawn(|| first_target(&self.listener).map_err(|error| error.to_string()));
            let ended = visit.wait()?;
            if !ended.success() {
                eprintln!("the browser ended with {ended}");
                std::process::exit(1);
            }
            let target = here.join().map_err(|_| "nobody listened")??;
            Ok(Url::parse("http://127.0.0.1")?.join(&target)?)
        })
    }
}

fn client(metadata: &Metadata, id: ClientId, secret: Option<ClientSecret>, callback: RedirectUrl) -> Client {
    let revocation = metadata.additional_metadata().revocation_endpoint.clone();
    CoreClient::from_provider_metadata(metadata.clone(), id, secret)
        .set_redirect_uri(callback)
        .set_revocation_url(revocation)
}

fn listen() -> Result<(TcpListener, RedirectUrl), Fault> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let callback = RedirectUrl::new(format!("http://{}/callback", listener.local_addr()?))?;
    Ok((listener, callback))
}

/// The target of the first request for the callback; browsers ask for more (`/favicon.ico`).
fn first_target(listener: &TcpListener) -> Result<String, Fault> {
    loop {
        let (mut socket, _) = listener.accept()?;
        let mut lines = BufReader::new(socket.try_clone()?).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        lines.find(String::is_empty);
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: 4\r\n\r\nDone";
        // Who has gone away already wants no answer.
        let _ = socket.write_all(answer.as_bytes());
        if let Some(target) = first.split(' ').nth(1).filter(|target| target.starts_with("/callback?")) {
            return Ok(target.to_owned());
        }
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn expect(url: &Url, name: &str, wanted: &str) -> Result<(), Fault> {
    match parameter(url, name) {
        Some(value) if value == wanted => Ok(()),
        other => Err(format!("{name} is {other:?}, not {wanted}").into()),
    }
}
