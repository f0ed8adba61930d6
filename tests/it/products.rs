//! The catalogue: its life, its pages, its search, and the walls around it.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Actor, Answer, TestServer, Wire};

async fn add(server: &TestServer, actor: &Actor, product: Value) -> Value {
    server.call(Wire::Grpc, "Products/CreateProduct", actor, json!({"product": product})).await.ok()["product"].clone()
}

async fn change(server: &TestServer, wire: Wire, product: Value, mask: &str) -> Answer {
    let request = json!({"product": product, "updateMask": mask});
    server.call(wire, "Products/UpdateProduct", &server.live(), request).await
}

#[tokio::test]
async fn a_product_lives_the_same_on_every_wire() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let admin = server.live();
        let product =
            json!({"name": "Shoe", "price": "19.90", "currency": "EUR", "tags": ["a", "b"], "metadata": {"k": "v"}});
        let made = server.call(wire, "Products/CreateProduct", &admin, json!({"product": product})).await.ok();
        let made = &made["product"];
        let id = &made["id"];
        assert_eq!((&made["active"], &made["price"], &made["etag"]), (&json!(true), &json!("19.90"), &json!("v1")));
        let got = server.call(wire, "Products/GetProduct", &admin, json!({"id": id})).await.ok();
        assert_eq!(&got["product"], made);

        let changed = change(&server, wire, json!({"id": id, "active": false, "etag": "v1"}), "active").await.ok();
        assert_eq!((&changed["product"]["active"], &changed["product"]["name"]), (&json!(false), &json!("Shoe")));
        change(&server, wire, json!({"id": id, "name": "x", "etag": "v1"}), "name").await.refused("ETAG_MISMATCH");

        let deleted = server.call(wire, "Products/DeleteProduct", &admin, json!({"id": id})).await.ok();
        assert!(deleted["product"]["deletedAt"].is_string());
        server.call(wire, "Products/GetProduct", &admin, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
        let list = server.call(wire, "Products/ListProducts", &admin, json!({})).await.ok();
        assert_eq!(list["data"], json!([]));
    }
}

#[tokio::test]
async fn every_broken_rule_is_named_at_once() {
    let server = TestServer::start().await;
    let product = json!({
        "name": "", "description": "\u{7}", "price": "1.999", "currency": "EUR", "tags": ["a", "a", ""],
        "metadata": {"": "x"},
    });
    let fields = [
        "product.name",
        "product.description",
        "product.price",
        "product.tags[1]",
        "product.tags[2]",
        "product.metadata",
    ];
    for wire in [Wire::Grpc, Wire::GrpcWeb] {
        let answer = server.call(wire, "Products/CreateProduct", &server.live(), json!({"product": product})).await;
        answer.refused("INVALID_FIELD");
        answer.violates(&fields);
    }
    let one_of = [json!({"name": "x", "price": "1"}), json!({"name": "x", "currency": "EUR"})];
    for product in one_of {
        server
            .call(Wire::Json, "Products/CreateProduct", &server.live(), json!({"product": product}))
            .await
            .refused("INVALID_FIELD");
    }
}

#[tokio::test]
async fn keyset_pages_neither_repeat_nor_lose_anything_while_things_change() {
    let server = TestServer::start().await;
    let admin = server.live();
    for n in 0..23 {
        add(&server, &admin, json!({"name": format!("P{n:02}")})).await;
    }
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut request = json!({"pageSize": 5});
        if !token.is_null() {
            request["pageToken"] = token;
        }
        let page = server.call(Wire::Grpc, "Products/ListProducts", &admin, request).await.ok();
        seen.extend(page["data"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()));
        token = page["nextPageToken"].clone();
        if token.is_null() {
            break;
        }
        // What is added now is newer than every page still to come.
        add(&server, &admin, json!({"name": "new"})).await;
    }
    let wanted: Vec<String> = (0..23).rev().map(|n| format!("P{n:02}")).collect();
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn a_page_is_named_in_one_style_and_a_token_belongs_to_its_list() {
    let server = TestServer::start().await;
    let admin = server.live();
    for n in 0..3 {
        add(&server, &admin, json!({"name": format!("P{n}"), "tags": ["t"]})).await;
    }
    let list = async |request| server.call(Wire::Json, "Products/ListProducts", &admin, request).await;
    for bad in [
        json!({"pageSize": 1, "limit": 1}),
        json!({"limit": 1, "size": 1}),
        json!({"page": 1}),
        json!({"pageSize": 0}),
        json!({"pageSize": 1001}),
        json!({"limit": 1, "page": 0}),
        json!({"size": 1, "page": -1}),
        json!({"pageToken": "junk"}),
        json!({"pageToken": "!"}),
    ] {
        list(bad.clone()).await.refused("INVALID_FIELD");
    }
    let token = list(json!({"pageSize": 1})).await.ok()["nextPageToken"].clone();
    list(json!({"pageSize": 1, "pageToken": token, "tag": "t"})).await.refused("INVALID_FIELD");
    let test = server
        .call(Wire::Json, "Products/ListProducts", &server.test(), json!({"pageSize": 1, "pageToken": token}))
        .await;
    test.refused("INVALID_FIELD");
    assert_eq!(list(json!({"pageSize": 2, "pageToken": token})).await.ok()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn search_finds_words_wherever_they_stand() {
    let server = TestServer::start().await;
    let admin = server.live();
    add(&server, &admin, json!({"name": "Café-Crème", "description": "warm drink"})).await;
    add(&server, &admin, json!({"name": "Running shoes", "tags": ["sport"]})).await;
    add(&server, &admin, json!({"name": "O'Reilly \"book\"", "description": "AND OR NOT NEAR *"})).await;
    add(&server, &admin, json!({"name": "日本 茶 2.5kg"})).await;
    for (query, wanted) in [
        ("cafe", "Café-Crème"),
        ("CRÈME drink", "Café-Crème"),
        ("shoe", "Running shoes"),
        ("sport run", "Running shoes"),
        ("reilly", "O'Reilly \"book\""),
        ("\"book\" OR not", "O'Reilly \"book\""),
        ("日本", "日本 茶 2.5kg"),
        ("5kg", "日本 茶 2.5kg"),
    ] {
        let found = server.call(Wire::Json, "Products/SearchProducts", &admin, json!({"query": query})).await.ok();
        let names: Vec<_> = found["data"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, [wanted], "{query}");
    }
    for nothing in ["unning", "cafe shoe", "zzz"] {
        let found = server.call(Wire::Json, "Products/SearchProducts", &admin, json!({"query": nothing})).await.ok();
        assert_eq!(found["data"], json!([]), "{nothing}");
    }
    for bad in ["", "  ", "--", &"x ".repeat(101)] {
        server
            .call(Wire::Json, "Products/SearchProducts", &admin, json!({"query": bad}))
            .await
            .refused("INVALID_FIELD");
    }
    let test = server.call(Wire::Json, "Products/SearchProducts", &server.test(), json!({"query": "shoe"})).await.ok();
    assert_eq!(test["data"], json!([]), "test keys see test data only");
}

#[tokio::test]
async fn nobody_reaches_over_a_wall() {
    let server = TestServer::start().await;
    let product = add(&server, &server.live(), json!({"name": "Mine"})).await;
    let other = server.other_project("elsewhere", gatepost::domain::environment::Environment::Live).await;
    for stranger in [server.test(), other] {
        for (rpc, request) in [
            ("Products/GetProduct", json!({"id": product["id"]})),
            ("Products/DeleteProduct", json!({"id": product["id"]})),
            ("Products/UpdateProduct", json!({"product": {"id": product["id"], "name": "x"}, "updateMask": "name"})),
        ] {
            server.call(Wire::Grpc, rpc, &stranger, request).await.refused("RESOURCE_NOT_FOUND");
        }
        let list = server.call(Wire::Grpc, "Products/ListProducts", &stranger, json!({})).await.ok();
        assert_eq!(list["data"].as_array().map_or(0, Vec::len), 0);
    }
}

#[tokio::test]
async fn of_two_changes_to_one_version_one_wins() {
    let server = TestServer::start().await;
    let product = add(&server, &server.live(), json!({"name": "Mine"})).await;
    let body = |n: usize| json!({"id": product["id"], "name": format!("Name {n}"), "etag": "v1"});
    let all = futures_util::future::join_all((0..8).map(|n| change(&server, Wire::Grpc, body(n), "name"))).await;
    assert_eq!(all.iter().filter(|answer| answer.reason.is_empty()).count(), 1);
    assert!(all.iter().all(|answer| answer.reason.is_empty() || answer.reason == "ETAG_MISMATCH"));
}

#[tokio::test]
async fn what_was_got_can_be_put_back() {
    let server = TestServer::start().await;
    let product = add(&server, &server.live(), json!({"name": "Mine", "price": "5", "currency": "JPY"})).await;
    let target = format!("/v1/products/{}", product["id"].as_str().unwrap());
    let got = server.get(&target, &server.live()).await.json();
    let put = server.send(server.request(Method::PUT, &target, &server.live()).json(&got)).await.expect(200, "").json();
    assert_eq!((&put["name"], &put["price"], &put["etag"]), (&got["name"], &got["price"], &json!("v2")));
    let stale = server.request(Method::PUT, &target, &server.live()).json(&got);
    server.send(stale).await.expect(409, "ETAG_MISMATCH");
}
