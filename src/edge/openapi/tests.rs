use std::collections::HashSet;

use http::HeaderName;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};

use crate::edge::Edge;
use crate::edge::rule::HttpRule;
use crate::proto::descriptor_pool;

fn made(pool: &DescriptorPool) -> Value {
    let headers = ["x-api-key", "x-builton-api-key"].map(HeaderName::from_static);
    let bytes = super::document(pool, &headers).unwrap();
    assert_eq!(bytes, super::document(pool, &headers).unwrap(), "the same input, other bytes");
    serde_json::from_slice(&bytes).unwrap()
}

/// A document of bindings that ours do not have.
fn forms() -> Value {
    let mut compiler = protox::Compiler::new(["src/edge/openapi", "src/edge/tests", "proto"]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file("forms.proto").unwrap();
    made(&compiler.descriptor_pool())
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    });
    operations.collect()
}

/// The names of an operation's parameters, with where they are.
fn parameters(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().unwrap().iter();
    let own = parameters.filter(|parameter| parameter["$ref"].is_null());
    own.map(|p| format!("{} {}", p["in"].as_str().unwrap(), p["name"].as_str().unwrap())).collect()
}

#[test]
fn every_binding_is_an_operation_of_its_own() {
    let document = made(descriptor_pool());
    let operations = operations(&document);
    let edge = Edge::new(descriptor_pool(), 1024).unwrap();
    assert_eq!(operations.len(), edge.routes().len());
    let ids: HashSet<_> = operations.iter().map(|(_, _, operation)| operation["operationId"].as_str()).collect();
    assert_eq!(ids.len(), operations.len());
    for method in descriptor_pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        for rule in HttpRule::of(&method).unwrap() {
            // Every second part stands between braces.
            let shape = |path: &str| path.split(['{', '}']).step_by(2).collect::<Vec<_>>().join("{}");
            let verb = rule.verb.as_str().to_ascii_lowercase();
            let found = operations.iter().find(|(m, path, _)| *m == verb && shape(path) == shape(&rule.template));
            let Some((_, _, operation)) = found else { panic!("{verb} {}", rule.template) };
            assert_eq!(operation["tags"][0], method.parent_service().name());
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            assert!(!operation["responses"]["200"]["description"].as_str().unwrap().is_empty());
        }
    }
}

#[test]
fn operations_say_what_they_take_and_answer() {
    let document = made(descriptor_pool());
    let paths = &document["paths"];
    let create = &paths["/v1/keys"]["post"];
    assert_eq!(create["operationId"], "createKey");
    let promise = json!({"$ref": "#/components/parameters/IdempotencyKey"});
    assert_eq!(create["parameters"][0], promise);
    for path in ["/v1/webhooks", "/v1/webhooks/{id}:rotate-secret"] {
        assert!(paths[path]["post"]["parameters"].as_array().unwrap().contains(&promise), "{path}");
    }
    assert_eq!(create["x-publishable"], false);

    // What the path gives is not in the body; what neither gives is in the query.
    let rotate = &document["components"]["schemas"]["RotateKeyRequest"]["properties"];
    assert_eq!(rotate.as_object().unwrap().keys().collect::<Vec<_>>(), ["gracePeriod", "mode", "etag"]);
    assert_eq!(parameters(&paths["/v1/keys/{id}"]["patch"]), ["path id", "query updateMask"]);
    assert_eq!(parameters(&paths["/v1/keys/{id}"]["delete"]), ["path id", "query etag"]);

    let ids = |path: &str, verb: &str| paths[path][verb]["operationId"].clone();
    assert_eq!(ids("/v1/keys/{id}:revoke", "post"), "deleteKeyRevoke");
    assert_eq!(ids("/v1/products/{id}", "put"), "updateProductPut");
    assert_eq!(ids("/products/{id}", "put"), "updateProductStorefrontPut");
    assert_eq!(ids("/v1/products/search", "get"), "searchProducts2");

    let storefront = &paths["/products"]["get"];
    let answer = &storefront["responses"]["200"];
    assert_eq!(answer["content"]["application/json"]["schema"]["type"], "array");
    assert!(answer["content"]["application/json"]["example"][0].is_object());
    assert!(answer["headers"]["X-Pagination-Total"].is_object());
    assert_eq!(storefront["x-publishable"], true);
    let billing = &paths["/v1/api/public/products"];
    assert_eq!(billing["get"]["security"][0], json!({"bearer": ["READ_PRODUCTS"]}));
    let page = &billing["get"]["responses"]["200"]["content"]["application/json"]["example"];
    assert_eq!(page["pagination"], json!({"page": 1, "limit": 50, "total": 1, "hasMore": false}));

    let watch = &paths["/v1/auth/revocations:watch"]["get"]["responses"]["200"]["content"];
    let forms: Vec<_> = watch.as_object().unwrap().keys().collect();
    assert_eq!(forms, ["application/x-ndjson", "text/event-stream", "application/json"]);
}

#[test]
fn schemas_say_what_is_always_there_and_what_is_needed() {
    let document = made(descriptor_pool());
    let schemas = &document["components"]["schemas"];
    // Sent, made and changed are three things.
    assert_eq!(
        schemas["Product"]["required"],
        json!(["id", "name", "description", "tags", "metadata", "etag", "environment"])
    );
    assert_eq!(schemas["ProductInput"]["required"], json!(["name"]));
    assert!(schemas["ProductChange"]["required"].is_null());
    assert_eq!(schemas["Product"]["properties"]["id"]["readOnly"], true);
    assert_eq!(schemas["CreateKeyResponse"]["required"], json!(["key", "secret"]));
    assert_eq!(schemas["ListKeysResponse"]["required"], json!(["data"]));
    assert_eq!(schemas["KeyType"]["enum"], json!(["SK", "RK", "PK", "UK"]));
    let revision = &schemas["VerifyResponse"]["properties"]["revision"];
    assert_eq!((&revision["type"], &revision["format"]), (&json!("string"), &json!("uint64")));
    assert_eq!(schemas["Key"]["properties"]["createdAt"]["format"], "date-time");
}

#[test]
fn every_form_of_binding_has_a_description() {
    let document = forms();
    let find = &document["paths"]["/v1/shelves/{name}/forms/{rest}"]["get"];
    assert_eq!(
        parameters(find),
        [
            "path name",
            "path rest",
            "query shelf.place",
            "query shelf.below.name",
            "query shelf.below.place",
            "query shelf.below.below.name",
            "query shelf.below.below.place",
            "query id",
            "query colours",
            "query since",
            "query readMask",
        ]
    );
    assert_eq!(find["security"], json!([]));
    assert_eq!(find["summary"], "Finds forms");
    let statuses: Vec<_> = find["responses"].as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "400", "404", "500", "503", "504"]);
    let by_name = |name: &str| find["parameters"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap();
    assert_eq!(by_name("id")["required"], true);
    assert_eq!(by_name("colours")["schema"]["items"], json!({"$ref": "#/components/schemas/Colour"}));
    assert_eq!(by_name("since")["schema"], json!({"type": "string", "format": "date-time"}));
    assert_eq!(parameters(&document["paths"]["/forms/{id}"]["get"])[..2], ["path id", "query shelf.name"]);

    // The same message without other fields is another schema.
    let body = |path: &str, verb: &str| &document["paths"][path][verb]["requestBody"]["content"]["application/json"];
    let names = |schema: &Value| {
        let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let schema = &document["components"]["schemas"][name];
        (name.to_owned(), schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
    };
    let given = |name: &str, fields: &[&str]| (name.to_owned(), fields.iter().map(|f| (*f).to_owned()).collect());
    assert_eq!(
        names(&body("/v1/forms/{formId}:fill", "post")["schema"]),
        given("FillFormRequest", &["number", "content", "password"])
    );
    assert_eq!(
        names(&body("/v1/forms/{number}/filling", "put")["schema"]),
        given("FillFormRequest2", &["formId", "content", "password"])
    );
    assert_eq!(document["components"]["schemas"]["FillFormRequest"]["properties"]["password"]["writeOnly"], true);
    // Two templates of one shape are one path, with the names of the first.
    let filling = &document["paths"]["/v1/forms/{number}/filling"]["post"];
    assert_eq!(parameters(filling), ["path number", "query number", "query password"]);
    assert_eq!(body("/v1/forms/{number}/filling", "post")["schema"]["$ref"], "#/components/schemas/EveryKindInput");
    assert_eq!(filling["security"][0], json!({"bearer": ["write:keys", "read:keys"]}));

    assert_eq!(document["components"]["schemas"]["Form"]["required"], json!(["id", "origin"]));
}

#[test]
fn every_kind_of_field_has_a_schema() {
    let document = forms();
    let schemas = &document["components"]["schemas"];
    let field = |name: &str| &schemas["EveryKindInput"]["properties"][name];
    let types = [
        ("aDouble", json!("number")),
        ("anInt32", json!("integer")),
        ("anInt64", json!("string")),
        ("aSfixed64", json!("string")),
        ("aBool", json!("boolean")),
        ("struct", json!("object")),
        ("listValue", json!("array")),
        ("nullValue", json!("null")),
        ("int64Value", json!(["string", "null"])),
        ("@other name", json!("string")),
    ];
    for (name, wanted) in types {
        let schema = field(name);
        let found = if schema["anyOf"].is_null() { &schema["type"] } else { &schema["anyOf"][0]["type"] };
        assert_eq!(found, &wanted, "{name}");
    }
    assert_eq!(field("someBytes")["contentEncoding"], "base64");
    assert_eq!(field("byUint64")["additionalProperties"], json!({"$ref": "#/components/schemas/Colour"}));
    assert_eq!(field("timesByString")["additionalProperties"]["format"], "date-time");
    assert_eq!(field("value"), &json!({}));
    assert_eq!(schemas["Colour"]["enum"], json!(["BELOW_ZERO", "RED", "DARK_GREEN"]));
    // A message may hold itself.
    assert_eq!(schemas["EveryKindInnerInput"]["properties"]["outer"]["$ref"], "#/components/schemas/EveryKindInput");
}
