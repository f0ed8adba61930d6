//! kill -9 in the middle of token calls: nothing works twice, and no token that a client was given is lost.

use std::time::Duration;

use gatepost::domain::entropy::{Entropy, SystemEntropy};
use reqwest::{Client as Http, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::oauth::{Client, authorize, exchange, form_of, query_of};
use crate::support::http::Reply;
use crate::support::serving::{Place, Serving, send};
use crate::support::{Actor, leaks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_refresh_tokens_are_good_once_whatever_ends_the_server() {
    let place = Place::new().await;
    let mut server = serve(&place).await;
    let app = App::register(&server).await;
    let (mut redeemed, mut doubts) = (0, 0);
    for round in 0..ROUNDS {
        let (begun, mut first) = mpsc::channel(1);
        let mut using = JoinSet::new();
        for _ in 0..USERS {
            using.spawn(app.at(&server).use_tokens(begun.clone()));
        }
        drop(begun);
        first.recv().await.expect("somebody gets tokens");
        tokio::time::sleep(Duration::from_millis(random(1..400))).await;
        server.kill().await;
        server = serve(&place).await;
        let app = app.at(&server);
        while let Some(chains) = using.join_next().await {
            for chain in chains.expect("nobody panics") {
                redeemed += chain.given.len();
                doubts += usize::from(chain.in_doubt);
                app.check(round, chain).await;
            }
        }
    }
    assert!(redeemed > 0 && doubts > 0, "no kill ever met a call: the loop shows nothing ({redeemed}, {doubts})");
    assert_eq!(server.stop().await.code, 0);
}

/// A server whose tokens are those of the one before it, whatever port it got.
async fn serve(place: &Place) -> Serving {
    place.command("serve --listen 127.0.0.1:0 --poll-interval 50ms --public-url https://keys.example").serve().await
}

/// A client, and a browser in which somebody is signed in who agreed to it.
#[derive(Clone)]
struct App {
    http: Http,
    origin: String,
    id: String,
    secret: String,
    cookie: String,
}

/// A code, and all that it was ever good for.
struct Chain {
    code: String,
    /// The tokens that the client was given, in order.
    given: Vec<Value>,
    /// Whether the last call was not answered.
    in_doubt: bool,
}

impl App {
    async fn register(server: &Serving) -> Self {
        let admin = server.admin("live");
        let made = async |path: &str, body: Value| server.post(path, &admin, &body).await.expect(200, "").json();
        let user = made("/v1/users", json!({"handle": "ada", "scopes": ["read:users"]})).await;
        let id = user["id"].as_str().unwrap();
        made(&format!("/v1/users/{id}:set-password"), json!({"password": leaks::PASSWORD})).await;
        let session = made("/v1/auth/sign-in", json!({"handle": "ada", "password": leaks::PASSWORD})).await;
        let client = json!({
            "name": "App", "redirectUris": [crate::oauth::CALLBACK], "scopes": ["openid", "read:users"],
            "grantTypes": ["authorization_code", "refresh_token"],
        });
        let client = made("/v1/clients", client).await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut app = Self {
            http: Http::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client"),
            origin: server.url().to_owned(),
            id: text(&client["client"]["id"]),
            secret: text(&client["secret"]),
            cookie: format!("__Host-gatepost-session={}", text(&session["token"])),
        };
        let page = app.ask().await.expect("an answer").expect(200, "");
        let form_cookie = page.header("set-cookie").split(';').next().expect("a pair").to_owned();
        app.cookie = format!("{}; {form_cookie}", app.cookie);
        let (action, mut fields) = form_of(&page.text);
        fields.push(("decision".to_owned(), "allow".to_owned()));
        let request = app.http.post(format!("{}{action}", app.origin)).header("cookie", &app.cookie).form(&fields);
        send(request).await.expect("an answer").expect(303, "");
        app
    }

    /// The same where the server is now.
    fn at(&self, server: &Serving) -> Self {
        let http = Http::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        Self { origin: server.url().to_owned(), http: http.expect("a client"), ..self.clone() }
    }

    /// Gets tokens and uses them until the server is gone.
    async fn use_tokens(self, begun: mpsc::Sender<()>) -> Vec<Chain> {
        let mut chains = Vec::new();
        loop {
            let Ok(sent) = self.ask().await else { return chains };
            let code = query_of(sent.expect(303, "").header("location"))["code"].clone();
            chains.push(Chain { code, given: Vec::new(), in_doubt: false });
            let chain = chains.last_mut().expect("there is one");
            let Ok(first) = self.redeem(&chain.code).await else {
                chain.in_doubt = true;
                return chains;
            };
            chain.given.push(first.expect(200, "").json());
            let _ = begun.try_send(());
            for turn in 0..20 {
                let last = chain.given.last().expect("there is one");
                // Some are used before they are replaced, and some are not.
                if turn % 4 == 1 && self.opens(last).await.is_err() {
                    return chains;
                }
                let Ok(next) = self.refresh(last).await else {
                    chain.in_doubt = true;
                    return chains;
                };
                chain.given.push(next.expect(200, "").json());
            }
        }
    }

    /// Holds what a client knows against a server that was killed.
    async fn check(&self, round: usize, chain: Chain) {
        let what = format!("round {round}: {} given, in doubt: {}", chain.given.len(), chain.in_doubt);
        let Some(last) = chain.given.last() else {
            let first = self.redeem(&chain.code).await.expect("an answer");
            let good = if chain.in_doubt { first.status == 200 || first.status == 400 } else { first.status == 200 };
            assert!(good, "{what}: {first:?}");
            self.redeem(&chain.code).await.expect("an answer").expect(400, "");
            return;
        };
        if !chain.in_doubt {
            assert!(self.opens(last).await.expect("an answer"), "{what}: an access token is lost");
        }
        // Whether or not it was replaced by tokens that nobody got.
        let next = self.refresh(last).await.expect("an answer");
        assert_eq!(next.status, 200, "{what}: a refresh token is lost: {next:?}");
        let next = next.json();
        assert!(self.opens(&next).await.expect("an answer"), "{what}");
        // What was good once comes again.
        for spent in &chain.given {
            let again = self.refresh(spent).await.expect("an answer");
            assert_eq!((again.status, &again.json()["error"]), (400, &json!("invalid_grant")), "{what}");
        }
        let again = self.redeem(&chain.code).await.expect("an answer");
        assert_eq!((again.status, &again.json()["error"]), (400, &json!("invalid_grant")), "{what}");
        for tokens in chain.given.iter().chain([&next]) {
            assert!(!self.opens(tokens).await.expect("an answer"), "{what}: what was stolen goes on");
        }
    }

    async fn ask(&self) -> reqwest::Result<Reply> {
        let client = Client { id: self.id.clone(), secret: String::new() };
        send(self.http.get(format!("{}{}", self.origin, authorize(&client, &[]))).header("cookie", &self.cookie)).await
    }

    async fn redeem(&self, code: &str) -> reqwest::Result<Reply> {
        send(self.token_request().form(&exchange(code))).await
    }

    async fn refresh(&self, tokens: &Value) -> reqwest::Result<Reply> {
        let token = tokens["refresh_token"].as_str().expect("a refresh token");
        send(self.token_request().form(&[("grant_type", "refresh_token"), ("refresh_token", token)])).await
    }

    async fn opens(&self, tokens: &Value) -> reqwest::Result<bool> {
        let bearer = Actor::bearer(tokens["access_token"].as_str().expect("an access token"));
        let reply = send(self.http.get(format!("{}/v1/users/me", self.origin)).headers(bearer.headers)).await?;
        assert!([200, 401].contains(&reply.status), "{reply:?}");
        Ok(reply.status == 200)
    }

    fn token_request(&self) -> RequestBuilder {
        self.http.post(format!("{}/oauth/token", self.origin)).basic_auth(&self.id, Some(&self.secret))
    }
}

fn random(range: std::ops::Range<u64>) -> u64 {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    range.start + u64::from_le_bytes(bytes) % (range.end - range.start)
}

const ROUNDS: usize = 5;
const USERS: usize = 4;
