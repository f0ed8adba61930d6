//! Who may call what: the whole list, read by people, in `golden/policy.txt`.

use std::fmt::Write;

use gatepost::edge::rule::HttpRule;
use serde_json::json;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Actor, Rpc, TestServer, Wire, golden};

#[test]
fn the_policies_are_those_that_were_agreed() {
    let mut text = String::new();
    for rpc in Rpc::all() {
        let policy = rpc.policy();
        let mut words: Vec<String> = policy.scopes.clone();
        let flags = [
            (policy.public, "PUBLIC"),
            (policy.authenticated, "any credential"),
            (policy.publishable, "publishable keys too"),
            (policy.user, "users only"),
            (policy.introduction, "a token of a trusted issuer beside a key"),
            (policy.secret_response, "answers a secret"),
            (policy.installation, "administrators of the installation only"),
        ];
        let dear = (policy.cost > 1).then(|| format!("costs {}", policy.cost));
        words.extend(flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()).chain(dear));
        writeln!(text, "{}: {}", rpc.name(), words.join(", ")).expect("a string can be written");
        for HttpRule { verb, template, body, response_body } in rpc.rules() {
            let body = if body.is_empty() { String::new() } else { format!(" <- {body}") };
            let answer = if response_body.is_empty() { String::new() } else { format!(" -> {response_body}") };
            writeln!(text, "    {} {template}{body}{answer}", verb.as_str()).expect("a string can be written");
        }
    }
    golden::compare("policy.txt", &text);
}

#[test]
fn every_rpc_has_a_policy_that_grants_nothing_by_absence() {
    for rpc in Rpc::all() {
        let policy = rpc.policy();
        let ways = [policy.public, policy.authenticated, !policy.scopes.is_empty()];
        assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{}: {policy:?}", rpc.name());
        let admin = policy.scopes.contains(&"admin".to_owned());
        assert!(!policy.installation || admin && !policy.publishable, "{}: {policy:?}", rpc.name());
        assert!(!(policy.public && policy.user), "{}: everyone or users?", rpc.name());
        let writes = rpc.rules().iter().any(|rule| rule.verb.as_str() != "GET");
        // Who signs in or up shows more than the key beside it.
        let lets_in = ["Auth/SignIn", "Auth/SignUp"].contains(&rpc.name().as_str());
        assert!(lets_in || !(writes && policy.publishable), "{}: a publishable key would write", rpc.name());
    }
}

/// What is served, by its own word, is what the descriptors have and what every gRPC client expects to find.
#[tokio::test]
async fn only_health_and_reflection_are_open() {
    let server = TestServer::start().await;
    let mut reflection = ServerReflectionClient::new(server.clients().channel());
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .expect("reflection needs no credential")
        .into_inner();
    let answer = answers.message().await.expect("an answer").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let mut served: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    served.sort();
    let ours: Vec<_> = Rpc::all().iter().map(|rpc| rpc.0.parent_service().full_name().to_owned()).collect();
    let (guarded, open): (Vec<_>, Vec<_>) = served.into_iter().partition(|name| ours.contains(name));
    assert_eq!(guarded, ["gatepost.v1.Auth", "gatepost.v1.Keys", "gatepost.v1.Products", "gatepost.v1.Users"]);
    assert_eq!(
        open,
        ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"],
        "a service that needs no credential"
    );

    for rpc in Rpc::all() {
        let answer = server.call_rpc(Wire::Grpc, &rpc, &Actor::anonymous(), json!({})).await;
        assert_eq!(answer.reason == "MISSING_CREDENTIAL", !rpc.policy().public, "{}: {answer:?}", rpc.name());
    }
}

#[tokio::test]
async fn health_tells_the_truth_on_every_door() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.clients().channel());
    for service in ["", "gatepost.v1.Auth", "gatepost.v1.Keys", "gatepost.v1.Products"] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.expect("it is known");
        assert_eq!(answer.into_inner().status, 1, "{service} serves");
    }
    let unknown = health.check(HealthCheckRequest { service: "gatepost.v1.Nobody".to_owned() }).await;
    assert_eq!(unknown.expect_err("there is none").code(), tonic::Code::NotFound);
    for path in ["/healthz", "/readyz", "/metrics"] {
        server.get(path, &Actor::anonymous()).await.expect(200, "");
    }
}
