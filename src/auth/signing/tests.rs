use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use super::*;
use crate::domain::clock::ManualClock;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, GrantId, ProjectId, SessionId, TokenId, UserId};
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::oauth::token::{AccessToken, Grant};
use crate::domain::sealing::MasterKey;
use crate::store::StoreOptions;

const ISSUER: &str = "https://keys.example";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Scene {
    directory: tempfile::TempDir,
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<ManualClock>,
}

impl Scene {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreOptions::file(directory.path().join("gatepost.db"))).await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_893_456_000_000_000)));
        Self { directory, store, keyring: Arc::new(MasterKey::generate(&SystemEntropy).derive()), clock }
    }

    async fn node(&self) -> Signing {
        self.node_with(ISSUER, 30 * DAY).await
    }

    async fn node_with(&self, issuer: &str, rotation: Duration) -> Signing {
        let (store, keyring) = (self.store.clone(), Arc::clone(&self.keyring));
        let entropy = Arc::new(SystemEntropy);
        Signing::open(store, keyring, self.clock.clone(), entropy, issuer, rotation).await.unwrap()
    }

    fn claims(&self, lifetime: Duration) -> SessionClaims {
        let now = self.clock.now();
        SessionClaims {
            project: ProjectId::default_project(),
            environment: Environment::Test,
            user: UserId::new(now, &SystemEntropy),
            session: SessionId::new(now, &SystemEntropy),
            issued_at: now,
            expires_at: now.plus(lifetime),
        }
    }

    async fn stored(&self) -> Vec<SigningKey> {
        self.store.list_signing_keys(self.clock.now()).await.unwrap()
    }
}

fn header_of(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

fn kids(signing: &Signing) -> Vec<String> {
    let set: Value = serde_json::from_str(&signing.key_set()).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_token_says_what_it_was_made_with_to_every_node_and_to_whoever_reads_the_key_set() {
    let scene = Scene::new().await;
    let (one, other) = (scene.node().await, scene.node().await);
    assert_eq!(kids(&one), kids(&other), "one of them made the key");
    let claims = scene.claims(HOUR);
    let token = one.mint(&claims).unwrap();
    assert_eq!(other.verify(token.expose()).await.unwrap(), Ok(claims.clone()));
    assert!(other.claims_to_be_ours(token.expose()));
    assert!(!scene.node_with("https://other.example", DAY).await.claims_to_be_ours(token.expose()));
    assert_eq!(format!("{token:?}"), "SessionToken(..)");
    let header = header_of(token.expose());
    assert_eq!(header, json!({"typ": "JWT", "alg": "EdDSA", "kid": kids(&one)[0]}));

    // As a service would that knows the key set only.
    let set: JwkSet = serde_json::from_str(&one.key_set()).unwrap();
    let jwk = set.find(header["kid"].as_str().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["default"]);
    validation.set_issuer(&[ISSUER]);
    let read: Value =
        jsonwebtoken::decode(token.expose(), &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims;
    let said = json!({
        "iss": ISSUER, "aud": "default", "sub": claims.user.as_str(), "jti": claims.session.as_str(),
        "iat": 1_893_456_000, "exp": 1_893_459_600, "env": "test",
    });
    assert_eq!(read, said);

    scene.clock.advance(HOUR - Duration::from_secs(1));
    assert!(other.verify(token.expose()).await.unwrap().is_ok());
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(other.verify(token.expose()).await.unwrap(), Err(InvalidToken::Expired));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_is_refused() {
    let scene = Scene::new().await;
    let signing = scene.node().await;
    let claims = scene.claims(HOUR);
    let token = signing.mint(&claims).unwrap();
    let token = token.expose();
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let kid = kids(&signing).remove(0);
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = |value: Value| format!("{}.{body}.{signature}", encode(value));

    // Made with the right key, but not as we make them.
    let own = scene.stored().await.remove(0);
    let private = EncodingKey::from_ed_der(&own.private_key(&scene.keyring).unwrap());
    let said = |change: fn(&mut Value)| {
        let mut said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
        change(&mut said);
        said
    };
    let header_like = || Header { kid: Some(kid.clone()), ..Header::new(Algorithm::EdDSA) };
    let signed = |change: fn(&mut Value)| jsonwebtoken::encode(&header_like(), &said(change), &private).unwrap();
    let headed = |change: fn(&mut Header)| {
        let mut header = header_like();
        change(&mut header);
        jsonwebtoken::encode(&header, &said(|_| {}), &private).unwrap()
    };
    assert_eq!(signing.verify(&signed(|_| {})).await.unwrap(), Ok(claims), "such a token is good");

    // The public key as a secret that both sides know (RFC 8725, section 2.1).
    let public: Value = serde_json::from_str(&own.public_jwk).unwrap();
    let secret = EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(public["x"].as_str().unwrap()).unwrap());
    let confused = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
    let confused = jsonwebtoken::encode(&confused, &said(|_| {}), &secret).unwrap();

    use InvalidToken::{BadClaims, BadSignature, Malformed, UnknownKey};
    let cases = [
        ("nothing", String::new(), Malformed),
        ("no token", "sk_live_abc".to_owned(), Malformed),
        ("two parts", format!("{head}.{body}"), Malformed),
        ("four parts", format!("{token}.x"), Malformed),
        ("five parts, as an encrypted one has", format!("{token}.x.y"), Malformed),
        ("too long", format!("{token}{}", "A".repeat(5000)), Malformed),
        ("not base64", format!("{head}!.{body}.{signature}"), Malformed),
        ("padded", format!("{head}.{body}.{signature}=="), Malformed),
        ("no signature", format!("{head}.{body}."), BadSignature),
        ("a part of one", format!("{head}.{body}.{}", &signature[..40]), BadSignature),
        ("another body", format!("{head}.{}.{signature}", encode(said(|said| said["sub"] = "x".into()))), BadSignature),
        ("none", header(json!({"alg": "none", "kid": kid})), Malformed),
        ("None", header(json!({"alg": "None", "typ": "JWT", "kid": kid})), Malformed),
        ("another algorithm", header(json!({"alg": "ES256", "typ": "JWT", "kid": kid})), BadSignature),
        ("the public key as a secret", confused, BadSignature),
        ("another header", header(json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, "x": 1})), BadSignature),
        ("no name of a key", headed(|header| header.kid = None), Malformed),
        ("an unknown key", headed(|header| header.kid = Some("x".to_owned())), UnknownKey),
        ("something critical", headed(|header| header.crit = Some(vec!["exp".to_owned()])), Malformed),
        ("no type", headed(|header| header.typ = None), Malformed),
        ("another type", headed(|header| header.typ = Some("at+jwt".to_owned())), Malformed),
        ("another issuer", signed(|said| said["iss"] = "https://keys.example/".into()), BadClaims),
        ("no end", signed(|said| said["exp"] = Value::Null), BadClaims),
        ("an end in words", signed(|said| said["exp"] = "1893459600".into()), BadClaims),
        ("an end past all time", signed(|said| said["exp"] = i64::MAX.into()), BadClaims),
        ("no audience", signed(|said| drop(said.as_object_mut().unwrap().remove("aud"))), BadClaims),
        ("another environment", signed(|said| said["env"] = "prod".into()), BadClaims),
        ("begun in the future", signed(|said| said["iat"] = 1_893_456_061.into()), BadClaims),
        ("claims that are no object", jsonwebtoken::encode(&header_like(), &[1], &private).unwrap(), BadClaims),
        ("past its end", signed(|said| said["exp"] = 1_893_456_000.into()), InvalidToken::Expired),
    ];
    for (what, token, why) in cases {
        assert_eq!(signing.verify(&token).await.unwrap(), Err(why), "{what}: {token}");
    }
    assert!(!signing.claims_to_be_ours("sk_live_abc") && !signing.claims_to_be_ours("a.b.c"));
}

#[tokio::test]
async fn no_token_outlives_its_key() {
    let scene = Scene::new().await;
    let signing = scene.node().await;
    assert!(signing.mint(&scene.claims(DAY)).is_ok());
    let refused = signing.mint(&scene.claims(DAY + Duration::from_secs(1))).unwrap_err();
    assert_eq!(refused.reason, Reason::Internal);
}

#[tokio::test]
async fn keys_follow_each_other_and_no_token_is_cut_short() {
    let scene = Scene::new().await;
    let (one, other) = (scene.node_with(ISSUER, 8 * HOUR).await, scene.node_with(ISSUER, 8 * HOUR).await);
    let first = kids(&one);
    let early = one.mint(&scene.claims(DAY)).unwrap();

    scene.clock.advance(6 * HOUR);
    one.tend_for(SigningAlgorithm::EdDsa).await.unwrap();
    let both = kids(&one);
    assert_eq!((both.len(), &both[0]), (2, &first[0]), "the next is published ahead");
    let signs = |node: &Signing| header_of(node.mint(&scene.claims(DAY)).unwrap().expose())["kid"].clone();
    assert_eq!(signs(&one), *first[0], "and does not sign yet");
    assert_eq!(kids(&other), first, "nobody told the other node");
    other.tend_for(SigningAlgorithm::EdDsa).await.unwrap();
    assert_eq!(kids(&other), both);

    scene.clock.advance(2 * HOUR);
    // Neither has to be told that its time has come.
    assert_eq!((signs(&one), signs(&other)), (both[1].as_str().into(), both[1].as_str().into()));
    assert!(one.verify(early.expose()).await.unwrap().is_ok());
    let late = other.mint(&scene.claims(DAY)).unwrap();

    // The first signed until now; its last token ends in 24 hours.
    scene.clock.advance(DAY - Duration::from_secs(1));
    for node in [&one, &other] {
        node.tend_for(SigningAlgorithm::EdDsa).await.unwrap();
        assert!(kids(node).contains(&both[0]) && node.verify(late.expose()).await.unwrap().is_ok());
    }
    scene.clock.advance(Duration::from_secs(120));
    assert!(!kids(&one).contains(&both[0]), "it is past its end");
    assert_eq!(scene.store.prune_signing_keys(scene.clock.now()).await.unwrap(), 1);
    assert!(scene.stored().await.iter().all(|key| key.kid != both[0]));
}

#[tokio::test]
async fn of_many_nodes_one_makes_the_next_key() {
    let scene = Scene::new().await;
    let nodes = futures_util::future::join_all((0..8).map(|_| scene.node())).await;
    assert_eq!(scene.stored().await.len(), 1);
    scene.clock.advance(30 * DAY);
    let tended = futures_util::future::join_all(nodes.iter().map(|node| node.tend_for(SigningAlgorithm::EdDsa))).await;
    assert!(tended.iter().all(Result::is_ok));
    let keys = scene.stored().await;
    assert_eq!(keys.iter().map(|key| key.seq).collect::<Vec<_>>(), [1, 2]);
    for node in &nodes {
        assert_eq!(kids(node), keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_a_while() {
    let scene = Scene::new().await;
    let (one, other) = (scene.node().await, scene.node().await);
    let next = |seq| {
        let now = scene.clock.now();
        SigningKey::new(SigningAlgorithm::EdDsa, seq, now, now, &scene.keyring, &SystemEntropy)
    };
    let second = next(2);
    assert!(scene.store.add_signing_key(&second, second.orderly_retirement(), None).await.unwrap());
    one.tend_for(SigningAlgorithm::EdDsa).await.unwrap();
    let token = one.mint(&scene.claims(HOUR)).unwrap();
    assert!(other.verify(token.expose()).await.unwrap().is_ok(), "it reads the keys again");

    let third = next(3);
    assert!(scene.store.add_signing_key(&third, third.orderly_retirement(), None).await.unwrap());
    one.tend_for(SigningAlgorithm::EdDsa).await.unwrap();
    let token = one.mint(&scene.claims(HOUR)).unwrap();
    assert_eq!(other.verify(token.expose()).await.unwrap(), Err(InvalidToken::UnknownKey), "not so soon again");
    scene.clock.advance(ASK_AGAIN_AFTER);
    assert!(other.verify(token.expose()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_key_that_was_withdrawn_takes_its_tokens_along() {
    let scene = Scene::new().await;
    let signing = scene.node().await;
    let token = signing.mint(&scene.claims(HOUR)).unwrap();
    let now = scene.clock.now();
    let next = SigningKey::new(SigningAlgorithm::EdDsa, 2, now, now, &scene.keyring, &SystemEntropy);
    assert!(scene.store.add_signing_key(&next, next.immediate_retirement(), None).await.unwrap());
    signing.tend_for(SigningAlgorithm::EdDsa).await.unwrap();
    assert_eq!(kids(&signing), std::slice::from_ref(&next.kid));
    assert_eq!(signing.verify(token.expose()).await.unwrap(), Err(InvalidToken::UnknownKey));
    let token = signing.mint(&scene.claims(HOUR)).unwrap();
    assert!(signing.verify(token.expose()).await.unwrap().is_ok());
}

#[tokio::test]
async fn keys_are_sealed_where_they_are_kept() {
    let scene = Scene::new().await;
    scene.node().await;
    let private = scene.stored().await[0].private_key(&scene.keyring).unwrap();
    // PKCS#8 begins with what all such keys begin with; the seed stands behind it.
    let seed = &private[16..48];
    scene.store.close().await;
    for entry in std::fs::read_dir(scene.directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(32).any(|part| part == seed));
    }
    let store = Store::open(&StoreOptions::file(scene.directory.path().join("gatepost.db"))).await.unwrap();
    let keyring = Arc::new(MasterKey::generate(&SystemEntropy).derive());
    let refused = Signing::open(store, keyring, scene.clock, Arc::new(SystemEntropy), ISSUER, DAY).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Internal);
}

#[tokio::test]
async fn what_every_client_must_be_able_to_check_is_signed_with_rsa() {
    let scene = Scene::new().await;
    let nodes = [scene.node().await, scene.node().await];
    assert_eq!(kids(&nodes[0]).len(), 1, "made when it is needed, not at the start");
    let now = scene.clock.now();
    let (client, user) = (ClientId::new(now, &SystemEntropy), UserId::new(now, &SystemEntropy));
    let grant = Grant {
        id: GrantId::new(now, &SystemEntropy),
        project: ProjectId::default_project(),
        environment: Environment::Live,
        client: client.clone(),
        user: user.clone(),
        scopes: OAuthScopes::default(),
        resources: Vec::new(),
        authenticated_at: now,
        nonce: Some("n".to_owned()),
        created_at: now,
        expires_at: now.plus(DAY),
        revoked_at: None,
    };
    let token = AccessToken {
        id: TokenId::new(now, &SystemEntropy),
        project: grant.project.clone(),
        environment: grant.environment,
        client: client.clone(),
        client_document: None,
        user: Some(user.clone()),
        grant: Some(grant.id.clone()),
        scopes: OAuthScopes::default(),
        audiences: Vec::new(),
        key: None,
        issued_at: now,
        expires_at: now.plus(HOUR),
        revoked_at: None,
        waits_for_first_use: false,
        subject: None,
    };
    let claims = IdentityClaims { token: &token, grant: &grant, nonce: Some("n") };
    let minted = futures_util::future::join_all(nodes.iter().map(|node| node.mint_identity(&claims))).await;
    let identity = minted[0].as_ref().unwrap();
    let header = header_of(identity.expose());
    assert_eq!(header, json!({"typ": "JWT", "alg": "RS256", "kid": kids(&nodes[0])[1]}));
    assert_eq!(header_of(minted[1].as_ref().unwrap().expose()), header, "one of them made the key");

    // As a client would that knows the key set only.
    let set: JwkSet = serde_json::from_str(&nodes[1].key_set()).unwrap();
    let jwk = set.find(header["kid"].as_str().unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[client.as_str()]);
    validation.set_issuer(&[ISSUER]);
    let read: Value =
        jsonwebtoken::decode(identity.expose(), &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims;
    let seconds = 1_893_456_000;
    let said = json!({"iss": ISSUER, "aud": client.as_str(), "sub": user.as_str(), "iat": seconds,
        "exp": seconds + 3600, "auth_time": seconds, "nonce": "n"});
    assert_eq!(read, said);

    // It says who somebody is, and opens nothing.
    assert!(!nodes[0].verify_access(identity.expose()).await.unwrap());
    assert!(nodes[0].verify(identity.expose()).await.unwrap().is_err());
    let access = nodes[0].mint_access(&AccessClaims { token: &token, authenticated_at: None }).unwrap();
    assert!(nodes[1].verify_access(access.expose()).await.unwrap());
    assert!(nodes[1].verify(access.expose()).await.unwrap().is_err(), "nor is it a session");

    // The two lines of keys follow each other by themselves.
    scene.clock.advance(30 * DAY);
    nodes[0].tend().await.unwrap();
    let made: Vec<_> = scene.stored().await.iter().map(|key| (key.seq, key.algorithm)).collect();
    let (ed, rsa) = (SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256);
    assert_eq!(made, [(1, ed), (2, rsa), (3, ed), (4, rsa)]);
    assert!(scene.stored().await.iter().all(|key| key.expires_at.is_none() == (key.seq > 2)), "each ends its own line");
}
