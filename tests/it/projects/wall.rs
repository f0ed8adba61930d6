//! Nothing of one project is seen, found or changed with any credential of another. Made from the descriptors: an RPC that
//! names a thing is tried from the day it is added.

use std::time::Duration;

use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::{EventId, ProjectId};
use gatepost::domain::scope::BUILT_IN;
use gatepost::domain::webhook::event::{WEBHOOK_TEST, WebhookEvent};
use gatepost::proto::v1::WatchRevocationsRequest;
use gatepost::proto::v1::auth_client::AuthClient;
use prost_reflect::Kind as FieldKind;
use serde_json::{Map, Value, json};
use tonic::Request;

use crate::oauth_grants::given;
use crate::support::{Actor, Answer, Rpc, TestServer, Wire, leaks};

/// In every text of the things behind the wall.
const MARK: &str = "Zanzibar";

/// A project, and what is in it.
struct Behind {
    /// Its administrators, live and test.
    admins: [Actor; 2],
    /// What things can be named by: live, test, and what is of both.
    names: Vec<String>,
    /// The secrets of its keys, and the tokens of its people.
    secrets: Vec<String>,
    /// A live person who has signed in.
    person: Actor,
    /// The id of that person.
    user: String,
    /// The id of a live webhook with two deliveries.
    webhook: String,
}

impl Behind {
    /// A new project with one of everything in each environment.
    async fn new(server: &TestServer, project: &str) -> Self {
        let request = json!({"project": {"id": project, "displayName": MARK, "description": MARK}});
        let made = server.call(Wire::Grpc, "Auth/CreateProject", &server.live(), request).await.ok();
        let mut behind = Self {
            admins: crate::support::actors::administrators(&made),
            names: vec![project.to_owned(), "read:behind".to_owned()],
            secrets: Vec::new(),
            person: Actor::anonymous(),
            user: String::new(),
            webhook: String::new(),
        };
        for (admin, environment) in behind.admins.clone().iter().zip([Environment::Live, Environment::Test]) {
            behind.fill(server, admin).await;
            behind.tell(server, admin, environment).await;
        }
        behind
    }

    async fn fill(&mut self, server: &TestServer, admin: &Actor) {
        let make = async |rpc: &str, request: Value| server.call(Wire::Grpc, rpc, admin, request).await;
        // Scopes are of both environments: the second administrator finds it there.
        make("Auth/CreateScope", json!({"scope": {"name": "read:behind", "description": MARK}})).await;
        let about = json!({"description": MARK, "owner": MARK, "metadata": {"of": MARK}});
        for (kind, more) in
            [("SK", json!({"alias": "behind", "recoverable": true})), ("RK", json!({})), ("PK", json!({}))]
        {
            let mut request = about.clone();
            request["type"] = json!(kind);
            request["name"] = json!(format!("{MARK} {kind}"));
            request["scopes"] = json!(["read:products"]);
            request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let key = server.new_key_by(admin, request).await;
            // It needs what it may do.
            server.call(Wire::Grpc, "Products/ListProducts", &key, json!({})).await.ok();
            self.names.push(key.id);
            self.secrets.push(key.secret);
        }
        for n in 0..2 {
            let product = json!({"name": format!("{MARK} {n}"), "description": MARK, "tags": [MARK]});
            let made = make("Products/CreateProduct", json!({"product": product})).await.ok();
            self.names.push(made["product"]["id"].as_str().expect("an id").to_owned());
        }
        for n in 0..2 {
            let uris = json!(["https://app.example.com/callback"]);
            let client = json!({"name": format!("{MARK} {n}"), "redirectUris": uris, "scopes": ["read:products"]});
            let made = make("Auth/CreateClient", json!({"client": client})).await.ok();
            Actor::made(made["secret"].as_str().expect("a secret"), "");
            self.names.push(made["client"]["id"].as_str().expect("an id").to_owned());
            let name = format!("https://id.example/{n}");
            let issuer = json!({"issuer": name, "displayName": MARK, "description": MARK, "audiences": [MARK]});
            let made = make("Auth/CreateIssuer", json!({"issuer": issuer})).await.ok();
            self.names.push(made["issuer"]["id"].as_str().expect("an id").to_owned());
        }
        for state in ["active", "blocked"] {
            let user = json!({"type": "SERVICE_ACCOUNT", "handle": format!("{state}-bot"), "alias": MARK, "metadata": {"of": MARK}});
            let made = make("Users/CreateUser", json!({"user": user})).await.ok();
            let id = made["user"]["id"].as_str().expect("an id").to_owned();
            if state == "blocked" {
                make("Users/BlockUser", json!({"id": id})).await.ok();
            }
            self.names.push(id);
        }
        let user = server.person(admin, "zanzibar", &["read:users"]).await;
        let person = server.sign_in(admin, "zanzibar").await;
        server.sign_in(admin, "zanzibar").await;
        self.names.extend([user.clone(), person.id.clone(), format!("{user}/{}", person.id)]);
        self.secrets.push(person.secret.clone());
        for n in 0..2 {
            self.names.push(given(server, admin, "zanzibar", &format!("{MARK} for them {n}")).await);
        }
        let key = server.user_key(&person, "zanzibar-key").await;
        self.names.extend([key.id, "zanzibar-key".to_owned()]);
        self.secrets.push(key.secret);
        for _ in 0..2 {
            self.names.push(crate::alerts::raised(server, admin).await);
        }
        if self.user.is_empty() {
            (self.user, self.person) = (user, person);
        }
    }

    /// Two webhooks, each with two deliveries that arrive nowhere.
    async fn tell(&mut self, server: &TestServer, admin: &Actor, environment: Environment) {
        let mut webhooks = Vec::new();
        for n in 0..2 {
            let url = format!("https://hooks.invalid/{n}");
            let webhook = json!({"webhook": {"url": url, "description": MARK, "events": ["*"]}});
            let made = server.call(Wire::Grpc, "Keys/CreateWebhook", admin, webhook).await.ok();
            Actor::made(made["secret"].as_str().expect("a secret"), "");
            webhooks.push(made["webhook"]["id"].as_str().expect("an id").to_owned());
        }
        for n in 0..2 {
            let event = WebhookEvent {
                id: EventId::new(server.now(), &SystemEntropy),
                kind: WEBHOOK_TEST,
                project: ProjectId::parse(&self.names[0]).expect("a name"),
                environment,
                at: server.now(),
                data: json!({"mark": MARK, "n": n}),
            };
            assert_eq!(server.store().await.enqueue_event(&event).await.expect("it is stored").deliveries, 2);
            self.names.extend(webhooks.iter().map(|webhook| format!("{webhook}/{}", event.id)));
            self.names.push(event.id.to_string());
        }
        self.names.extend(webhooks.iter().cloned());
        if self.webhook.is_empty() {
            self.webhook = webhooks.swap_remove(0);
        }
    }

    /// All that its administrators see.
    async fn seen(&self, server: &TestServer) -> Vec<Value> {
        let mut seen = Vec::new();
        for admin in &self.admins {
            let mut ask = async |rpc: &str, request: Value| {
                let mut answer = server.call(Wire::Grpc, rpc, admin, request).await.ok();
                // That its secret is asked about below is told too, sooner or later.
                for key in answer["data"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                    // And that what it is told arrives nowhere.
                    for told in ["lastUsedAt", "lastUsedIp", "lastUsedUserAgent", "failingSince"] {
                        key.remove(told);
                    }
                }
                seen.push(answer);
            };
            for list in [
                "Keys/ListKeys",
                "Auth/ListScopes",
                "Products/ListProducts",
                "Users/ListUsers",
                "Auth/ListClients",
                "Auth/ListIssuers",
                "Auth/ListGrants",
                "Keys/ListAlerts",
                "Keys/ListWebhooks",
            ] {
                ask(list, json!({"pageSize": 1000})).await;
            }
            ask("Keys/ListAlertRules", json!({})).await;
            ask("Auth/GetProject", json!({"id": self.names[0]})).await;
            if *admin.secret == *self.admins[0].secret {
                ask("Auth/ListSessions", json!({"userId": self.user})).await;
            }
            for secret in &self.secrets {
                let mut decision =
                    server.call(Wire::Grpc, "Auth/Verify", admin, json!({"credential": secret})).await.ok();
                decision.as_object_mut().expect("an object").remove("revision");
                seen.push(decision);
            }
        }
        seen
    }
}

/// One of each kind of credential of another project and of the first one, with what it is.
async fn strangers(server: &TestServer) -> Vec<(String, Actor)> {
    let all: Vec<_> = BUILT_IN.iter().map(|scope| scope.name).filter(|name| *name != "admin").collect();
    let mut strangers = Vec::new();
    let elsewhere = server.project("elsewhere").await;
    for (environment, admin) in ["live", "test"].iter().zip(&elsewhere) {
        for (kind, scopes) in [("SK", json!(all)), ("RK", json!(all)), ("PK", json!(["read:products"]))] {
            let key = server.new_key_by(admin, json!({"type": kind, "name": "mine", "scopes": scopes})).await;
            strangers.push((format!("{environment} {kind}"), key));
        }
        strangers.push((format!("{environment} administrator"), admin.clone()));
    }
    strangers.push((INSTALLATION.to_owned(), server.live()));
    strangers.push(("test administrator of default".to_owned(), server.test()));
    strangers
}

#[tokio::test]
async fn nothing_that_can_be_named_is_reached_through_the_wall() {
    let server = TestServer::start().await;
    let behind = Behind::new(&server, "behind").await;
    let before = behind.seen(&server).await;
    let strangers = strangers(&server).await;
    // The kinds of rules are our own words: each project has all of them, and `alerts` says that they are its own.
    let names = |rpc: &Rpc| !variables(rpc).is_empty() && rpc.0.name() != "UpdateAlertRule";
    let naming: Vec<_> = Rpc::all().into_iter().filter(names).collect();
    assert!(naming.len() >= 16, "the descriptors hold the RPCs");
    for (turn, (who, stranger)) in strangers.iter().enumerate() {
        for rpc in naming.iter().filter(|rpc| !(who == INSTALLATION && governs_projects(rpc))) {
            // Each wire in its turn, and another one for each stranger.
            for (name, wire) in behind.names.iter().zip(Wire::ALL.into_iter().cycle().skip(turn % 4)) {
                let answer = server.call_rpc(wire, rpc, stranger, aimed(rpc, name)).await;
                let place = format!("{who}, {} of {name}", rpc.name());
                let refusals = ["RESOURCE_NOT_FOUND", "INSUFFICIENT_SCOPE", "CALLER_NOT_ALLOWED"];
                assert!(refusals.contains(&answer.reason.as_str()), "{place}: {answer:?}");
                assert_nothing_shown(&answer, &place);
            }
        }
        assert_eq!(behind.seen(&server).await, before, "{who} changed something");
    }

    // The very requests that were refused do something when they come from inside: they were aimed well.
    for (n, rpc) in naming.iter().enumerate() {
        let inside = Behind::new(&server, &format!("inside-{n}")).await;
        let boss = boss(server.live(), &inside, rpc);
        let mut reached = false;
        for name in &inside.names {
            let answer = server.call_rpc(Wire::Grpc, rpc, &boss, aimed(rpc, name)).await;
            if let Some(secret) = answer.body["secret"].as_str().or(answer.body["token"].as_str()) {
                Actor::made(secret, "");
            }
            reached |= answer.reason.is_empty();
        }
        assert!(reached, "{}: teach `Behind` to make what it names, and `aimed` to ask for it", rpc.name());
    }
}

#[tokio::test]
async fn lists_and_searches_show_nothing_from_behind_the_wall() {
    let server = TestServer::start().await;
    let behind = Behind::new(&server, "behind").await;
    let strangers = strangers(&server).await;
    let words: Vec<_> = behind.names.iter().map(String::as_str).chain([MARK, "behind", ""]).collect();
    let mut asked = 0;
    for rpc in Rpc::all().into_iter().filter(|rpc| variables(rpc).is_empty() && rpc.rules()[0].verb.as_str() == "GET") {
        for (who, stranger) in strangers.iter().filter(|(who, _)| !(who == INSTALLATION && governs_projects(&rpc))) {
            let input = rpc.0.input();
            let texts = input.fields().filter(|field| field.kind() == FieldKind::String && !field.is_list());
            let mut requests: Vec<_> =
                texts.flat_map(|field| words.iter().map(move |word| json!({field.json_name(): word}))).collect();
            requests.push(json!({}));
            for (n, request) in requests.into_iter().enumerate() {
                let answer = server.call_rpc(Wire::ALL[n % 4], &rpc, stranger, request).await;
                let place = format!("{who}, {}", rpc.name());
                assert_nothing_shown(&answer, &place);
                for name in behind.names.iter().filter(|_| answer.reason.is_empty()) {
                    assert!(!answer.body.to_string().contains(name.as_str()), "{place}: {name}: {answer:?}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 300, "the descriptors hold the lists: {asked}");
}

#[tokio::test]
async fn page_tokens_open_no_other_project() {
    let server = crate::usage::prompt().start().await;
    let behind = Behind::new(&server, "behind").await;
    // Two entries of the access log.
    for rpc in ["Auth/WhoAmI", "Users/GetMe"] {
        server.call(Wire::Grpc, rpc, &behind.person, json!({})).await.ok();
    }
    let log = json!({"userId": behind.user});
    let written = async || {
        let listed = server.call(Wire::Grpc, "Keys/ListAccessLog", &behind.admins[0], log.clone()).await.ok();
        listed["data"].as_array().is_some_and(|entries| entries.len() > 1)
    };
    crate::nodes::soon("that the access log is written", written).await;
    // Two reports of a leak.
    for name in ["one", "two"] {
        let leaked = server.new_key_by(&behind.admins[0], json!({"name": name})).await;
        server.call(Wire::Grpc, "Keys/ReportLeak", &behind.admins[0], json!({"credential": leaked.secret})).await.ok();
    }
    let strangers = strangers(&server).await;
    let mut tokens = 0;
    for rpc in Rpc::all() {
        let input = rpc.0.input();
        if input.get_field_by_name("page_token").is_none() {
            continue;
        }
        let boss = boss(server.live(), &behind, &rpc);
        let mut request = json!({"pageSize": 1});
        if input.get_field_by_name("user_id").is_some() {
            request["userId"] = json!(behind.user);
        }
        if input.get_field_by_name("webhook_id").is_some() {
            request["webhookId"] = json!(behind.webhook);
        }
        if input.get_field_by_name("query").is_some() {
            request["query"] = json!(MARK);
        }
        let first = server.call_rpc(Wire::Grpc, &rpc, &boss, request.clone()).await.ok();
        let token = first["nextPageToken"].as_str().unwrap_or_else(|| panic!("{}: {first}", rpc.name()));
        tokens += 1;
        request["pageToken"] = json!(token);
        let others = strangers.iter().map(|(who, stranger)| (who.as_str(), stranger));
        for (who, stranger) in others.chain([("the other environment", &behind.admins[1])]) {
            if rpc.policy().installation && who == INSTALLATION {
                continue;
            }
            for wire in Wire::THREE {
                let answer = server.call_rpc(wire, &rpc, stranger, request.clone()).await;
                let refusals = ["INVALID_FIELD", "INSUFFICIENT_SCOPE", "CALLER_NOT_ALLOWED"];
                assert!(refusals.contains(&answer.reason.as_str()), "{who}, {}: {answer:?}", rpc.name());
                assert_nothing_shown(&answer, who);
            }
        }
    }
    assert!(tokens >= 5, "the descriptors hold the lists");
}

#[tokio::test]
async fn a_credential_says_nothing_in_another_project() {
    let server = TestServer::start().await;
    let behind = Behind::new(&server, "walled").await;
    for (who, stranger) in &strangers(&server).await {
        for secret in &behind.secrets {
            let asked = json!({"credential": secret, "scopes": ["read:products"]});
            let requests = [
                ("Auth/Verify", asked.clone()),
                ("Auth/BatchVerify", json!({"requests": [asked.clone()]})),
                ("Auth/ExplainVerify", asked),
                ("Auth/Verify", json!({"credential": stranger.secret, "publishableKey": secret})),
            ];
            for (n, (rpc, request)) in requests.into_iter().enumerate() {
                for wire in Wire::THREE {
                    let answer = server.call(wire, rpc, stranger, request.clone()).await;
                    assert_nothing_shown(&answer, who);
                    for name in &behind.names {
                        assert!(!answer.body.to_string().contains(name.as_str()), "{who}: {answer:?}");
                    }
                    let body = answer.body.to_string();
                    assert!(!body.contains("\"valid\":true"), "{who}, {rpc} {n}: {answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_has_the_same_name_in_two_projects_is_two_things() {
    let server = TestServer::start().await;
    let behind = Behind::new(&server, "behind").await;
    let before = behind.seen(&server).await;
    let elsewhere = server.project("elsewhere").await;
    for ((theirs, mine), key) in behind.admins.iter().zip(&elsewhere).zip(["live", "test"]) {
        let promise = |actor: &Actor| actor.clone().with("idempotency-key", "the-same");
        let request = json!({"name": "once", "alias": format!("once-{key}")});
        let first = server.new_key_by(&promise(theirs), request.clone()).await;
        let own = server.new_key_by(&promise(mine), request.clone()).await;
        assert!(first.id != own.id && first.secret != own.secret, "an idempotency key is its project's own");
        server.call(Wire::Grpc, "Keys/DeleteKey", mine, json!({"id": own.id})).await.ok();
        server.call(Wire::Grpc, "Auth/WhoAmI", &first, json!({})).await.ok();
        // The key that was made is taken away again, as far as lists tell.
        let taken = server.new_key_by(mine, json!({"name": "k", "alias": "behind", "scopes": ["read:products"]})).await;
        server.call(Wire::Grpc, "Keys/DeleteKey", mine, json!({"id": taken.id})).await.ok();
    }
    let scope = json!({"scope": {"name": "READ_BEHIND", "description": "mine"}});
    server.call(Wire::Grpc, "Auth/CreateScope", &elsewhere[0], scope).await.ok();
    server.call(Wire::Grpc, "Auth/DeleteScope", &elsewhere[0], json!({"name": "read:behind"})).await.ok();

    let now = behind.seen(&server).await;
    for (before, now) in before.iter().zip(&now) {
        let lists_keys = before["data"][0]["hint"].is_string();
        assert!(lists_keys || before == now, "{now}");
        if lists_keys {
            let kept = |list: &Value| -> Vec<Value> {
                let keys = list["data"].as_array().expect("a list").iter();
                keys.filter(|key| key["name"] != "once").cloned().collect()
            };
            assert_eq!(kept(before), kept(now));
        }
    }
}

#[tokio::test]
async fn a_watch_tells_nothing_from_behind_the_wall() {
    let server = TestServer::start().await;
    let behind = Behind::new(&server, "behind").await;
    let strangers = strangers(&server).await;
    for (who, stranger) in strangers.iter().filter(|(who, _)| !who.ends_with("PK")) {
        // Younger than everything behind the wall, so that all that could be told comes before it.
        let seen = server.call(Wire::Grpc, "Auth/WhoAmI", stranger, json!({})).await.ok();
        let admin = match (seen["project"].as_str(), seen["environment"].as_str()) {
            (Some("default"), Some("LIVE")) => server.live(),
            (Some("default"), _) => server.test(),
            (_, environment) => {
                let name = format!("{} administrator", environment.expect("one").to_lowercase());
                strangers.iter().find(|(who, _)| *who == name).expect("it is there").1.clone()
            }
        };
        let last = server.new_key_by(&admin, json!({"name": "last"})).await;
        let mut request = Request::new(WatchRevocationsRequest { from_revision: Some(0) });
        let bearer = format!("Bearer {}", stranger.secret).parse().expect("a header's value");
        request.metadata_mut().insert("authorization", bearer);
        let mut client = AuthClient::new(server.clients().channel());
        let mut watch = client.watch_revocations(request).await.expect("it begins").into_inner();
        loop {
            let event = tokio::time::timeout(Duration::from_secs(20), watch.message()).await.expect("in time");
            let event = event.expect("it goes on").expect("a watch does not end without a word");
            let key = event.key_id.unwrap_or_default();
            assert!(!behind.names.contains(&key), "{who} is told of {key}");
            if key == last.id {
                break;
            }
        }
    }
}

/// A request that names something in the path, and would change its description, or what comes nearest, where it changes
/// anything.
fn aimed(rpc: &Rpc, name: &str) -> Value {
    let mut request = Map::new();
    let words = match rpc.0.name() {
        "UpdateUser" => "alias",
        "UpdateClient" => "name",
        _ => "description",
    };
    if rpc.0.input().get_field_by_name("password").is_some() {
        request.insert("password".to_owned(), json!(leaks::OTHER_PASSWORD));
    }
    let (outer, inner) = name.split_once('/').unwrap_or((name, name));
    for path in variables(rpc) {
        match path.split_once('.') {
            None if ["user_id", "webhook_id"].contains(&path.as_str()) => request.insert(path.clone(), json!(outer)),
            None => request.insert(path.clone(), json!(inner)),
            Some((outer, inner)) => request.insert(outer.to_owned(), json!({inner: name, words: "taken"})),
        };
    }
    if rpc.0.input().get_field_by_name("update_mask").is_some() {
        request.insert("updateMask".to_owned(), json!(words));
    }
    request.into()
}

/// Who may do this inside of a project.
fn boss(installation: Actor, inside: &Behind, rpc: &Rpc) -> Actor {
    match rpc.policy() {
        policy if policy.installation => installation,
        policy if policy.user => inside.person.clone(),
        _ => inside.admins[0].clone(),
    }
}

/// The variables in the path of an RPC's first binding: `id`, `key.id`.
fn variables(rpc: &Rpc) -> Vec<String> {
    let template = rpc.rules().swap_remove(0).template;
    let parts = template.split('{').skip(1).filter_map(|part| part.split(['}', '=']).next());
    parts.map(str::to_owned).collect()
}

/// Administrators of the installation read and change all projects, and their own log tells of it: what is in them is behind
/// the wall for them too.
fn governs_projects(rpc: &Rpc) -> bool {
    ["CreateProject", "GetProject", "ListProjects", "UpdateProject", "DeleteProject", "ListAuditEvents"]
        .contains(&rpc.0.name())
}

#[track_caller]
fn assert_nothing_shown(answer: &Answer, place: &str) {
    // An echo of the question in an error is no answer.
    let shown = format!("{} {:?}", answer.body, answer.headers);
    assert!(!shown.contains(MARK), "{place}: {answer:?}");
    assert!(
        answer.reason.is_empty() || !answer.message.contains(MARK) || answer.message.contains("there is no"),
        "{place}: {answer:?}"
    );
}

/// Who may do more than others.
const INSTALLATION: &str = "administrator of the installation";
