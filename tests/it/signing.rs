//! The keys that sign tokens: the key set that others check them with, and how one key follows another.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepost::auth::signing::{SessionClaims, Signing};
use gatepost::domain::clock::Timestamp;
use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::{ProjectId, SessionId, UserId};
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::http::Reply;
use crate::support::serving::{Place, Serving};
use crate::support::{Actor, TestServer};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn key_set(server: &TestServer) -> Reply {
    server.get("/.well-known/jwks.json", &Actor::anonymous()).await.expect(200, "")
}

/// Those that sign sessions and access tokens.
fn kids(set: &Value) -> Vec<String> {
    let keys = set["keys"].as_array().unwrap().iter().filter(|key| key["alg"] == "EdDSA");
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn claims(now: Timestamp) -> SessionClaims {
    SessionClaims {
        project: ProjectId::default_project(),
        environment: Environment::Live,
        user: UserId::new(now, &SystemEntropy),
        session: SessionId::new(now, &SystemEntropy),
        issued_at: now,
        expires_at: now.plus(DAY),
    }
}

fn mint(signing: &Signing, now: Timestamp) -> String {
    signing.mint(&claims(now)).unwrap().expose().to_owned()
}

/// What a token says, if one of these keys signed it: RFC 7515 and RFC 8037 by hand, with nothing of the server's.
fn read(token: &str, set: &Value) -> Option<(Value, Value)> {
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    let (head, body): (Value, Value) = (json(head), json(body));
    let key = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == head["kid"])?;
    assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &head["alg"]));
    let key = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).ok()?;
    Some((head, body))
}

#[tokio::test]
async fn whoever_has_the_key_set_can_check_a_token() {
    let server = TestServer::start().await;
    let set = key_set(&server).await.json();
    let members: Vec<_> = set["keys"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["crv", "kty", "x", "kid", "use", "alg"], "and nothing private");

    let token = mint(&server.signing().await, server.now());
    let (head, body) = read(&token, &set).expect("a key of the set signed it");
    assert_eq!(head, json!({"typ": "JWT", "alg": "EdDSA", "kid": set["keys"][0]["kid"]}));
    assert_eq!((&body["iss"], &body["aud"]), (&json!("https://keys.example"), &json!("default")));
    assert_eq!(body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap(), 24 * 3600);
    let other = TestServer::start().await;
    let theirs = mint(&other.signing().await, other.now());
    assert_eq!(read(&theirs, &set), None, "of another installation");
}

#[tokio::test]
async fn the_key_set_comes_as_clients_expect() {
    let server = TestServer::builder().set("cors_origins", "https://shop.example").start().await;
    let plain = key_set(&server).await;
    assert_eq!(plain.header("content-type"), "application/json");
    assert_eq!(plain.header("cache-control"), "public, max-age=300");
    // Who reads it first, right after the start, keeps it: it is whole.
    let set = plain.json();
    let algorithms: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| &key["alg"]).collect();
    assert_eq!(algorithms, ["EdDSA", "RS256"]);
    let has = Actor::anonymous().with("if-none-match", plain.header("etag"));
    let fresh = server.get("/.well-known/jwks.json", &has).await;
    assert_eq!((fresh.status, fresh.text.as_str()), (304, ""));

    for (origin, allowed) in [("https://shop.example", "https://shop.example"), ("https://other.example", "*")] {
        let page = Actor::anonymous().with("origin", origin);
        let reply = server.get("/.well-known/jwks.json", &page).await.expect(200, "");
        assert_eq!(reply.header("access-control-allow-origin"), allowed, "a page of any origin may read it");
    }
    let posted = server.post("/.well-known/jwks.json", &Actor::anonymous(), &json!({})).await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn keys_follow_each_other_on_all_nodes_and_their_tokens_stay_good() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let first = key_set(&one).await.json();
    assert_eq!(kids(&first), kids(&key_set(&two).await.json()));
    let signing = one.signing().await;
    let early = mint(&signing, one.now());

    one.advance(29 * DAY);
    soon("the next key is published", async || kids(&key_set(&one).await.json()).len() == 2).await;
    let both = key_set(&one).await.json();
    assert_eq!(kids(&both)[0], kids(&first)[0]);
    soon("by both nodes", async || kids(&key_set(&two).await.json()) == kids(&both)).await;
    signing.tend().await.unwrap();
    let late = mint(&signing, one.now());
    assert_eq!(read(&late, &first).expect("it is signed as before").0["kid"], kids(&first)[0]);

    one.advance(DAY);
    let new = mint(&signing, one.now());
    assert_eq!(read(&new, &both).expect("it was published ahead").0["kid"], kids(&both)[1]);
    assert!(read(&early, &key_set(&two).await.json()).is_some() && read(&late, &both).is_some());
    one.advance(DAY + Duration::from_secs(3600));
    soon("the first key is gone", async || kids(&key_set(&two).await.json()) == kids(&both)[1..]).await;
}

async fn served(serving: &Serving) -> Vec<String> {
    kids(&serving.get("/.well-known/jwks.json", &Actor::anonymous()).await.json())
}

#[tokio::test]
async fn a_signing_key_is_replaced_while_the_server_runs() {
    let place = Place::new().await;
    let nothing = place.command("signing-key rotate").run().await.fails_with(2);
    assert!(nothing.contains("there is no gatepost data in"), "{nothing}");
    let serving = place.serve().await;
    let first = served(&serving).await;

    let next = place.command("signing-key rotate").run().await;
    assert!(next.stderr.contains("in ten minutes"), "{next:?}");
    let next = next.ok().lines().next().unwrap().to_owned();
    soon("it is published", async || served(&serving).await == [first[0].clone(), next.clone()]).await;
    let stolen = place.command("signing-key rotate --now").run().await;
    assert!(stolen.stderr.contains("from now on"), "{stolen:?}");
    let last = stolen.ok().lines().next().unwrap().to_owned();
    soon("it stands alone", async || served(&serving).await == [last.clone()]).await;

    let events = serving.get("/v1/audit-events?action=signing_key.rotated", &serving.admin("live")).await.json();
    let told = events["data"].as_array().unwrap().iter().map(|event| event["target"].as_str().unwrap());
    let told: Vec<_> = told.filter(|target| [&last, &next].contains(&&(*target).to_owned())).collect();
    assert_eq!(told, [&last, &next], "{events}");
    assert!(place.command("audit verify").run().await.ok().contains("default: whole"));
}
