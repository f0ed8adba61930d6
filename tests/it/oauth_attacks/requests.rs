//! Requests for a code: nobody is sent where no client wants them, and no client gets more than it registered for.

use http::Method;

use crate::oauth::{CALLBACK, VERIFIER, authorize, form_of, issuer, query_of};
use crate::support::{Actor, Reply, TestServer};

use super::scene::{Pairs, Scene, guarded};

#[tokio::test]
async fn nobody_is_sent_where_no_client_wants_them() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    for (what, uri) in REDIRECT_URIS {
        for more in [&[][..], &[("prompt", "none")], &[("response_type", "evil")], &[("response_mode", "form_post")]] {
            let parameters: Vec<_> = [("redirect_uri", *uri)].iter().chain(more).copied().collect();
            let page = scene.browser.lock().await.get(&authorize(&scene.web, &parameters)).await;
            told_here(what, &page);
        }
    }
    for (what, more) in QUERIES {
        let target = format!("{}&{more}", authorize(&scene.web, &[]));
        let page = scene.browser.lock().await.get(&target).await;
        told_here(what, &page);
    }
    for client in ["", "x", "cli_00000000000000000000000000000000", "' OR 1=1 --", scene.trial.id.get(..35).unwrap()] {
        let page = scene.browser.lock().await.get(&authorize(&scene.web, &[("client_id", client)])).await;
        told_here(client, &page);
    }
}

#[tokio::test]
async fn a_request_for_too_much_is_refused_in_the_name_of_the_server() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    let issuer = issuer(scene.server).await;
    for (what, changes, word) in REQUESTS {
        let sent = scene.browser.lock().await.get(&authorize(&scene.web, changes)).await;
        assert_eq!(sent.status, 303, "{what}: {sent:?}");
        assert!(sent.header("location").starts_with("https://app.example.com/callback?"), "{what}: {sent:?}");
        let answer = query_of(sent.header("location"));
        let told = (answer["error"].as_str(), answer["state"].as_str(), answer["iss"].as_str());
        assert_eq!(told, (*word, "st+a te&1=\u{e9}", issuer.as_str()), "{what}");
        assert!(!answer.contains_key("code"), "{what}");
        if changes.iter().any(|(name, _)| *name == "response_mode") {
            continue;
        }
        // The same by a form.
        let posted: Vec<_> = changes.iter().copied().chain([("response_mode", "form_post")]).collect();
        let page = scene.browser.lock().await.get(&authorize(&scene.web, &posted)).await.expect(200, "");
        let (action, fields) = form_of(&page.text);
        assert_eq!(action, CALLBACK, "{what}");
        for (name, value) in [("error", *word), ("state", "st+a te&1=\u{e9}"), ("iss", &issuer)] {
            assert!(fields.contains(&(name.to_owned(), value.to_owned())), "{what}: {name} in {fields:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_back_to_a_client_does_nothing_on_its_way() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    // Nobody is signed in, which the client is told: `error`, `error_description`, `state` and `iss`.
    for state in STATES {
        let asked = [("state", *state), ("prompt", "none")];
        let sent = scene.browser.lock().await.get(&authorize(&scene.web, &asked)).await;
        assert_eq!((sent.status, sent.header("set-cookie")), (303, ""), "{state}: {sent:?}");
        let answer = query_of(sent.header("location"));
        assert_eq!((answer["state"].as_str(), answer.len()), (*state, 4), "{state}: {sent:?}");
        let posted = [("state", *state), ("prompt", "none"), ("response_mode", "form_post")];
        let page = scene.browser.lock().await.get(&authorize(&scene.web, &posted)).await.expect(200, "");
        let (action, fields) = form_of(&page.text);
        assert_eq!((action.as_str(), fields.len()), (CALLBACK, 4), "{state}: {page:?}");
        // Browsers make one line break of either.
        let state = state.replace("\r\n", "\n");
        let told = fields.iter().any(|(name, value)| name == "state" && value.replace("\r\n", "\n") == state);
        assert!(told, "{state}: {fields:?}");
        assert_eq!(page.text.matches("<script>").count(), 1, "{state}: {page:?}");
    }
}

#[tokio::test]
async fn nobody_else_says_what_the_server_is_called() {
    let server = TestServer::start().await;
    let name = issuer(&server).await;
    for (header, value) in [
        ("host", "evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/evil"),
    ] {
        for path in ["/.well-known/openid-configuration", "/.well-known/oauth-protected-resource"] {
            let request = server.request(Method::GET, path, &Actor::anonymous()).header(header, value);
            let told = server.send(request).await.expect(200, "");
            assert!(told.text.contains(&name) && !told.text.contains("evil"), "{header}: {told:?}");
        }
    }
}

/// Nobody was sent anywhere, and whoever is here is told on a page.
#[track_caller]
fn told_here(what: &str, page: &Reply) {
    assert_eq!((page.status, page.header("location")), (400, ""), "{what}: {page:?}");
    assert!(page.header("content-type").starts_with("text/html"), "{what}: {page:?}");
    assert!(!page.text.contains("<form"), "{what}: {page:?}");
    guarded(what, page);
}

/// `redirect_uri` as presented, where [`CALLBACK`], [`LOOPBACK`] and [`OTHER_CALLBACK`] are registered. Nobody is sent anywhere.
const REDIRECT_URIS: &[(&str, &str)] = &[
    ("another host", "https://evil.example/callback"),
    ("the host as a prefix", "https://app.example.com.evil.example/callback"),
    ("the host as a suffix", "https://evilapp.example.com/callback"),
    ("the host as a user", "https://app.example.com@evil.example/callback"),
    ("the host as a user with a password", "https://app.example.com:443@evil.example/callback"),
    ("a user of the host", "https://evil@app.example.com/callback"),
    ("the host as a fragment of another", "https://evil.example#app.example.com/callback"),
    ("the host behind a backslash", "https://evil.example\\@app.example.com/callback"),
    ("a subdomain", "https://x.app.example.com/callback"),
    ("the parent domain", "https://example.com/callback"),
    ("the host in capitals", "https://APP.example.com/callback"),
    ("the host with a dot at its end", "https://app.example.com./callback"),
    ("the host in other letters", "https://\u{430}pp.example.com/callback"),
    ("the host in punycode", "https://xn--pp-7lc.example.com/callback"),
    ("the host in wide letters", "https://app.example\u{3002}com/callback"),
    ("the default port", "https://app.example.com:443/callback"),
    ("another port", "https://app.example.com:8443/callback"),
    ("another scheme", "http://app.example.com/callback"),
    ("no scheme", "//app.example.com/callback"),
    ("a scheme in capitals", "HTTPS://app.example.com/callback"),
    ("a scheme that runs code", "javascript:alert(1)//https://app.example.com/callback"),
    ("a document", "data:text/html,<script>alert(1)</script>"),
    ("a longer path", "https://app.example.com/callback/evil"),
    ("a longer last segment", "https://app.example.com/callback.evil"),
    ("a shorter path", "https://app.example.com/"),
    ("a slash at the end", "https://app.example.com/callback/"),
    ("a path in capitals", "https://app.example.com/CALLBACK"),
    ("up and down", "https://app.example.com/evil/../callback"),
    ("up", "https://app.example.com/callback/../evil"),
    ("up, encoded", "https://app.example.com/callback/%2e%2e/evil"),
    ("up, encoded twice", "https://app.example.com/callback/%252e%252e/evil"),
    ("a slash, encoded", "https://app.example.com%2fcallback"),
    ("a letter, encoded", "https://app.example.com/%63allback"),
    ("path parameters", "https://app.example.com/callback;evil"),
    ("an added query", "https://app.example.com/callback?next=https://evil.example"),
    ("an empty query", "https://app.example.com/callback?"),
    ("a fragment", "https://app.example.com/callback#evil"),
    ("an empty fragment", "https://app.example.com/callback#"),
    ("a blank before", " https://app.example.com/callback"),
    ("a blank behind", "https://app.example.com/callback "),
    ("a line break and a header", "https://app.example.com/callback\r\nset-cookie: a=b"),
    ("a tab within", "https://app.exam\tple.com/callback"),
    ("two of them", "https://app.example.com/callback https://evil.example/callback"),
    ("two of them with a comma", "https://app.example.com/callback,https://evil.example/callback"),
    ("a port of this machine with a user", "http://127.0.0.1:8000@evil.example/cb"),
    ("this machine as a prefix", "http://127.0.0.1.evil.example/cb"),
    ("this machine by its name", "http://localhost:8000/cb"),
    ("this machine in IPv6", "http://[::1]:8000/cb"),
    ("this machine in IPv6 that is IPv4", "http://[::ffff:127.0.0.1]:8000/cb"),
    ("this machine in short", "http://127.1:8000/cb"),
    ("this machine in octal", "http://0177.0.0.1:8000/cb"),
    ("this machine, another path", "http://127.0.0.1:8000/evil"),
    ("this machine, a port too many", "http://127.0.0.1:65536/cb"),
];

/// Changes to a good request for a code, and the word that the client is told with its state and our name.
const REQUESTS: &[(&str, Pairs, &str)] = &[
    ("no PKCE", &[("code_challenge", ""), ("code_challenge_method", "")], "invalid_request"),
    ("no PKCE, though a method", &[("code_challenge", "")], "invalid_request"),
    ("PKCE that is plain", &[("code_challenge_method", "plain"), ("code_challenge", VERIFIER)], "invalid_request"),
    ("PKCE that is plain by absence", &[("code_challenge_method", "")], "invalid_request"),
    ("PKCE in small letters", &[("code_challenge_method", "s256")], "invalid_request"),
    ("PKCE of an unknown kind", &[("code_challenge_method", "S512")], "invalid_request"),
    (
        "a challenge that is too short",
        &[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c")],
        "invalid_request",
    ),
    (
        "a challenge with padding",
        &[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=")],
        "invalid_request",
    ),
    ("a token at once", &[("response_type", "token")], "unsupported_response_type"),
    ("an id_token at once", &[("response_type", "id_token")], "unsupported_response_type"),
    ("a token beside the code", &[("response_type", "code token")], "unsupported_response_type"),
    ("an id_token beside the code", &[("response_type", "code id_token")], "unsupported_response_type"),
    ("nothing", &[("response_type", "none")], "unsupported_response_type"),
    ("an answer in the fragment", &[("response_mode", "fragment")], "invalid_request"),
    ("an answer to a window", &[("response_mode", "web_message")], "invalid_request"),
    ("a scope of others", &[("scope", "openid write:keys")], "invalid_scope"),
    ("all scopes", &[("scope", "admin")], "invalid_scope"),
    ("all scopes by a star", &[("scope", "*")], "invalid_scope"),
    ("a scope that is none", &[("scope", "openid\tread:users")], "invalid_scope"),
    ("a scope with quotes", &[("scope", "openid \"read:users\"")], "invalid_scope"),
    ("no scope", &[("scope", "")], "invalid_scope"),
    ("a resource of others", &[("resource", "https://evil.example/")], "invalid_target"),
    ("a request object", &[("request", "eyJhbGciOiJub25lIn0.e30.")], "request_not_supported"),
    ("no page and a page", &[("prompt", "none login")], "invalid_request"),
    ("a prompt that is none", &[("prompt", "evil")], "invalid_request"),
    ("an age before one's birth", &[("max_age", "-1")], "invalid_request"),
];

/// What a client, or somebody in its name, may want back.
const STATES: &[&str] = &[
    "a\r\nset-cookie: evil=1\r\n\r\n<script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "'--></style></script><script>alert(1)</script>",
    "x&code=evil&iss=https://evil.example",
    "x#code=evil",
    "%0d%0aset-cookie:%20evil=1",
    "+ %2B %20",
    "\u{202e}\u{1f6d2}\u{e9}",
    "{{7*7}}${7*7}",
];

/// Additions to the raw query of a good request. Which of two holds is for nobody to choose: nobody is sent anywhere.
const QUERIES: &[(&str, &str)] = &[
    ("two redirect URIs", "redirect_uri=https%3A%2F%2Fevil.example%2Fcallback"),
    ("the same redirect URI twice", "redirect_uri=https%3A%2F%2Fapp.example.com%2Fcallback"),
    ("two redirect URIs, one name encoded", "redirect%5Furi=https%3A%2F%2Fevil.example%2Fcallback"),
    ("two clients", "client_id=cli_00000000000000000000000000000000"),
    ("two response types", "response_type=token"),
    ("two scopes", "scope=admin"),
    ("two states", "state=x"),
    ("two challenges", "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
    ("two methods of PKCE", "code_challenge_method=plain"),
    ("two modes", "response_mode=form_post&response_mode=query"),
    ("a NUL", "x=%00"),
    ("bytes that are no text", "x=%ff%fe"),
    ("a character in two ways", "x=%c0%af"),
];
