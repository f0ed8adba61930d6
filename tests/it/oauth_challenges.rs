//! What somebody is told who does not prove to be a client (RFC 6749, section 5.2), or to be the one that a registration is of
//! (RFC 7592): at each endpoint alike, and in the scheme that they tried. Who tried none is told of none, as `openid-client` and others
//! tell their callers of the challenge alone where there is one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost::domain::environment::Environment;
use http::Method;
use serde_json::json;

use crate::oauth::{error, issuer, register};
use crate::support::{Actor, Reply, TestServer, Wire};

const BASIC: &str = "Basic realm=\"gatepost\", charset=\"UTF-8\"";
const INVALID: &str = ", error=\"invalid_token\"";
/// Where clients prove themselves.
const ENDPOINTS: [&str; 5] =
    ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/par", "/oauth/device_authorization"];

/// The challenges of a refusal, without where tokens are had, which those in the scheme of one tell.
fn challenges(reply: &Reply, issuer: &str) -> Vec<String> {
    let place = format!(", resource_metadata=\"{issuer}/.well-known/oauth-protected-resource\"");
    let given = reply.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap());
    given.map(|challenge| challenge.replace(&place, "")).collect()
}

#[tokio::test]
async fn a_client_that_does_not_prove_itself_is_told_how_at_every_endpoint() {
    let server = TestServer::start().await;
    let issuer = issuer(&server).await;
    let web = register(&server, json!({"name": "Job", "grantTypes": ["client_credentials"]})).await;
    let live = Environment::Live;
    let (wrong, stranger) = (Actor::stranger("cs", live).secret, Actor::stranger("sk", live));
    let weak = server.key(&["read:users"]).await;
    let basic = |text: String| Actor::anonymous().with("authorization", &format!("Basic {}", STANDARD.encode(text)));
    let other = |value: &str| Actor::anonymous().with("authorization", value);
    let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let assertion = [("client_assertion_type", assertion_type), ("client_assertion", "a.b.c")];
    let by_bearer = |flaw: &str| vec![format!("Bearer realm=\"gatepost\"{flaw}"), BASIC.to_owned()];
    let (as_client, as_bearer) = (vec![BASIC.to_owned()], by_bearer(INVALID));
    // Introspection takes keys and tokens as well, and says what they lack.
    let lacking = by_bearer(", error=\"insufficient_scope\", scope=\"verify:credentials\"");
    type Case<'a> = (&'a str, Actor, &'a [(&'a str, &'a str)], &'a [String], &'a [String]);
    let cases: &[Case<'_>] = &[
        ("nothing", Actor::anonymous(), &[], &[], &[]),
        ("the id alone", Actor::anonymous(), &[("client_id", &web.id)], &[], &[]),
        (
            "a wrong secret in the body",
            Actor::anonymous(),
            &[("client_id", &web.id), ("client_secret", &wrong)],
            &[],
            &[],
        ),
        ("an assertion that is none", Actor::anonymous(), &assertion, &[], &[]),
        ("a wrong secret", basic(format!("{}:{wrong}", web.id)), &[], &as_client, &as_client),
        ("nobody's id", basic(format!("cli_00000000000000000000000000000000:{wrong}")), &[], &as_client, &as_client),
        ("Basic without a colon", basic(web.id.clone()), &[], &as_client, &as_client),
        ("Basic that is not base64", other("basic !"), &[], &as_client, &as_client),
        ("a scheme that is not known", other("Digest username=\"x\""), &[], &as_client, &as_client),
        ("an unknown key", stranger.clone(), &[], &as_bearer, &as_bearer),
        ("an unknown key beside an id", stranger.clone(), &[("client_id", &web.id)], &as_bearer, &as_bearer),
        ("a key that may not", weak.clone(), &[], &as_bearer, &lacking),
        ("a key in a header of its own", stranger.by_header("x-api-key"), &[], &[], &as_bearer),
        ("one that may not", weak.by_header("x-api-key"), &[], &[], &lacking),
    ];
    for endpoint in ENDPOINTS {
        for (what, actor, more, expected, introspecting) in cases {
            let form: Vec<_> = [("grant_type", "client_credentials"), ("token", "x")].iter().chain(*more).collect();
            let reply = server.send(server.request(Method::POST, endpoint, actor).form(&form)).await;
            let place = format!("{what} at {endpoint}: {reply:?}");
            assert_eq!(error(&reply), (401, "invalid_client".to_owned()), "{place}");
            let expected = if endpoint == "/oauth/introspect" { introspecting } else { expected };
            assert_eq!(challenges(&reply, &issuer), **expected, "{place}");
            assert_eq!(reply.header("cache-control"), "no-store", "{place}");
        }
        // A token that is bound to a key is asked for in its own scheme.
        let bound = other(&format!("DPoP {}", stranger.secret));
        let form = [("grant_type", "client_credentials"), ("token", "x")];
        let reply = server.send(server.request(Method::POST, endpoint, &bound).form(&form)).await;
        let told = challenges(&reply, &issuer);
        assert!(reply.status == 401 && told[0].starts_with("DPoP realm=\"gatepost\", error="), "{endpoint}: {reply:?}");
        assert!(told[0].contains(", algs=\""), "{endpoint}: {told:?}");
    }
    // The secret is right, and what is asked for is not: nobody is sent for another.
    let form = [("grant_type", "password"), ("client_id", &web.id), ("client_secret", &web.secret)];
    let reply = server.send(server.request(Method::POST, "/oauth/token", &Actor::anonymous()).form(&form)).await;
    assert_eq!((reply.status, challenges(&reply, &issuer)), (400, Vec::new()), "{reply:?}");
}

#[tokio::test]
async fn registrations_ask_for_the_token_that_they_take() {
    let server = TestServer::start().await;
    let issuer = issuer(&server).await;
    let project = json!({"id": "default", "clientRegistration": "REGISTRATION_TOKEN"});
    let request = json!({"project": project, "updateMask": "clientRegistration"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
    let live = Environment::Live;
    for (method, path) in [(Method::POST, "/oauth/register"), (Method::GET, "/oauth/register/cli_1")] {
        for (actor, flaw) in
            [(Actor::anonymous(), ""), (Actor::stranger("rat", live), INVALID), (Actor::stranger("sk", live), INVALID)]
        {
            let body = json!({"redirect_uris": ["https://app.example.com/callback"]});
            let reply = server.send(server.request(method.clone(), path, &actor).json(&body)).await;
            assert_eq!(error(&reply), (401, "invalid_token".to_owned()), "{path}: {reply:?}");
            assert_eq!(challenges(&reply, &issuer), [format!("Bearer realm=\"gatepost\"{flaw}")], "{path}: {reply:?}");
        }
    }
}
