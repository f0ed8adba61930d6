//! A server with clients of all kinds, and what the rows of attacks name.

use std::time::Duration;

use ::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost::domain::environment::Environment;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::oauth::{Browser, CALLBACK, CHALLENGE, Client, VERIFIER, authorize, exchange, post, query_of, register};
use crate::support::{Actor, Reply, TestServer, Wire, http};

/// Names and values: parameters, or headers.
pub(super) type Pairs = &'static [(&'static str, &'static str)];

/// A server with clients of all kinds, and Ada, who agreed to one of them.
pub(super) struct Scene<'a> {
    pub(super) server: &'a TestServer,
    /// An administrator of another project.
    pub(super) elsewhere: Actor,
    pub(super) web: Client,
    pub(super) other: Client,
    /// One that opted out of PKCE.
    pub(super) lax: Client,
    pub(super) job: Client,
    pub(super) public: Client,
    pub(super) trial: Client,
    pub(super) foreign: Client,
    pub(super) browser: Mutex<Browser<'a>>,
}

impl<'a> Scene<'a> {
    pub(super) async fn new(server: &'a TestServer) -> Self {
        for person in ["ada", "eve"] {
            server.person(&server.live(), person, &["read:users", "write:users"]).await;
        }
        let elsewhere = server.other_project("elsewhere", Environment::Live).await;
        let app = |grants: &[&str], more: Value| {
            let mut client = json!({
                "name": "App", "redirectUris": [CALLBACK, OTHER_CALLBACK, LOOPBACK], "grantTypes": grants,
                "scopes": ["openid", "read:users", "write:users"],
            });
            client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client
        };
        let usual = ["authorization_code", "refresh_token"];
        let all = ["authorization_code", "refresh_token", "client_credentials"];
        let job = json!({"redirectUris": [], "scopes": ["read:users"]});
        Self {
            web: register(server, app(&usual, json!({}))).await,
            other: register(server, app(&usual, json!({}))).await,
            lax: register(server, app(&usual, json!({"requirePkce": false}))).await,
            job: register(server, app(&["client_credentials"], job)).await,
            public: register(server, app(&usual, json!({"type": "PUBLIC"}))).await,
            trial: register_by(server, &server.test(), app(&all, json!({}))).await,
            foreign: register_by(server, &elsewhere, app(&all, json!({}))).await,
            browser: Mutex::new(Browser::new(server)),
            server,
            elsewhere,
        }
    }

    /// A text with what its names stand for.
    pub(super) async fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            let end = after.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(after.len());
            filled.push_str(before);
            match end {
                0 => filled.push('$'),
                _ => filled.push_str(&Box::pin(self.value(&after[..end])).await),
            }
            rest = &after[end..];
        }
        filled + rest
    }

    async fn value(&self, name: &str) -> String {
        let token = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
        match name {
            "SELF" => self.fill("grant_type=client_credentials&client_id=$JOB_ID&client_secret=$JOB_SECRET").await,
            "BARE" => "grant_type=authorization_code".to_owned(),
            "REDEEM" => self.fill("$BARE&redirect_uri=$CALLBACK&code_verifier=$VERIFIER").await,
            "AGAIN" => "grant_type=refresh_token&refresh_token".to_owned(),
            "CALLBACK" => http::escape(CALLBACK),
            "VERIFIER" => VERIFIER.to_owned(),
            "CHALLENGE" => CHALLENGE.to_owned(),
            "SESSION" => self.server.sign_in(&self.server.live(), "ada").await.secret,
            "KEY" => self.server.key(&["read:users"]).await.secret,
            "CODE" => self.code(&self.web, &[]).await,
            "LAX_CODE" => self.code(&self.lax, &[("code_challenge", ""), ("code_challenge_method", "")]).await,
            "USED" => self.used_code().await.0,
            "OF_USED_CODE" => {
                let (code, tokens) = self.used_code().await;
                post(self.server, "/oauth/token", Some(&self.web), &exchange(&code)).await.expect(400, "");
                token(&tokens, "access_token")
            }
            "ACCESS" => token(&self.tokens().await, "access_token"),
            "ID_TOKEN" => token(&self.tokens().await, "id_token"),
            "REFRESH" => token(&self.tokens().await, "refresh_token"),
            "EXPIRED" => {
                let access = token(&self.tokens().await, "access_token");
                self.server.advance(Duration::from_secs(600));
                access
            }
            "REVOKED" => {
                let access = token(&self.tokens().await, "access_token");
                post(self.server, "/oauth/revoke", Some(&self.web), &[("token", &access)]).await.expect(200, "");
                access
            }
            "REPLACED" => {
                let replaced = token(&self.tokens().await, "refresh_token");
                let form = [("grant_type", "refresh_token"), ("refresh_token", replaced.as_str())];
                let tokens = post(self.server, "/oauth/token", Some(&self.web), &form).await.expect(200, "").json();
                let bearer = Actor::bearer(&token(&tokens, "access_token"));
                self.server.get("/v1/users/me", &bearer).await.expect(200, "");
                replaced
            }
            _ => self.of_client(name),
        }
    }

    /// `WEB_ID`, `WEB_SECRET`, and `WEB`, which is how it proves itself in a header.
    fn of_client(&self, name: &str) -> String {
        let (client, part) = name.split_once('_').unwrap_or((name, ""));
        let client = match client {
            "WEB" => &self.web,
            "OTHER" => &self.other,
            "LAX" => &self.lax,
            "JOB" => &self.job,
            "PUBLIC" => &self.public,
            "TRIAL" => &self.trial,
            "FOREIGN" => &self.foreign,
            _ => panic!("nothing is called ${name}"),
        };
        match part {
            "ID" => client.id.clone(),
            "SECRET" => client.secret.clone(),
            _ => format!("Basic {}", STANDARD.encode(format!("{}:{}", client.id, client.secret))),
        }
    }

    /// A code that Ada gives.
    async fn code(&self, client: &Client, more: &[(&str, &str)]) -> String {
        let mut browser = self.browser.lock().await;
        let mut page = browser.get(&authorize(client, more)).await;
        if page.text.contains("name=\"password\"") {
            page = browser.sign_in(&page, "ada").await;
        }
        if page.status == 200 {
            page = browser.submit(&page, &[("decision", "allow")]).await;
        }
        query_of(page.header("location"))["code"].clone()
    }

    /// A code that was redeemed, and what for.
    async fn used_code(&self) -> (String, Value) {
        let code = self.code(&self.web, &[]).await;
        let tokens = post(self.server, "/oauth/token", Some(&self.web), &exchange(&code)).await;
        (code, tokens.expect(200, "").json())
    }

    /// Tokens of Ada's.
    pub(super) async fn tokens(&self) -> Value {
        self.used_code().await.1
    }

    /// An access token of a client for itself.
    pub(super) async fn own(&self, client: &Client) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", "read:users")];
        let tokens = post(self.server, "/oauth/token", Some(client), &form).await.expect(200, "").json();
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// A post with everything filled in. Time goes on before it, so that nobody is held back for the attacks before.
    pub(super) async fn send(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.server.advance(Duration::from_secs(2));
        let (target, body) = (self.fill(target).await, self.fill(body).await);
        let mut request = self.server.request(Method::POST, &target, &Actor::anonymous()).body(body);
        for (name, value) in headers {
            request = request.header(*name, self.fill(value).await);
        }
        self.server.send(request).await
    }
}

async fn register_by(server: &TestServer, admin: &Actor, client: Value) -> Client {
    let made = server.call(Wire::Grpc, "Auth/CreateClient", admin, json!({"client": client})).await.ok();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Client { id: text(&made["client"]["id"]), secret: text(&made["secret"]) }
}

/// Nobody frames it, keeps it, or learns of its address.
#[track_caller]
pub(super) fn guarded(what: &str, answer: &Reply) {
    for (header, part) in [
        ("content-security-policy", "frame-ancestors 'none'"),
        ("content-security-policy", "default-src 'none'"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert!(answer.header(header).contains(part), "{what}: {header}: {answer:?}");
    }
    assert_eq!(answer.header("access-control-allow-origin"), "", "{what}");
}

/// A refusal holds no token, and nobody keeps it.
#[track_caller]
pub(super) fn gave_nothing(what: &str, reply: &Reply) {
    let told =
        ["access_token\":", "refresh_token\":", "id_token\":", "eyJ"].iter().any(|part| reply.text.contains(part));
    assert!(!told, "{what}: {reply:?}");
    assert_eq!(reply.header("cache-control"), "no-store", "{what}: {reply:?}");
}

const OTHER_CALLBACK: &str = "https://app.example.com/other";
const LOOPBACK: &str = "http://127.0.0.1/cb";
