//! Which route a method and path take.

use http::Method;
use proptest::prelude::*;

use super::super::router::{Lookup, Router};
use super::super::rule::Verb;
use super::super::template::Template;
use super::super::{Edge, Resolution, fuzzing};
use crate::proto::descriptor_pool;

fn edge() -> Edge {
    Edge::new(descriptor_pool(), 1 << 20).unwrap()
}

/// The RPC's name, the template and the variables' raw values; or the methods allowed; or nothing.
fn told(method: &Method, path: &str) -> String {
    match edge().resolve(method, path) {
        Resolution::Found(matched) => {
            let rpc = matched.route.method.path().rsplit_once('/').unwrap().1;
            let values = matched.route.variables.iter().zip(matched.captures);
            let values =
                values.map(|(bound, (from, to))| format!(" {}={}", bound.name, &path[from as usize..to as usize]));
            format!("{rpc} {}{}", matched.route.template, values.collect::<String>())
        }
        Resolution::Options(allow) => format!("OPTIONS {allow}"),
        Resolution::MethodNotAllowed(allow) => format!("405 {allow}"),
        Resolution::NotFound => "404".to_owned(),
    }
}

#[test]
fn our_own_rules_resolve() {
    for (method, path, expected) in [
        ("POST", "/v1/auth/verify", "Verify /v1/auth/verify"),
        ("POST", "/v1/auth/verify:batch", "BatchVerify /v1/auth/verify:batch"),
        ("GET", "/v1/auth/revocations:watch", "WatchRevocations /v1/auth/revocations:watch"),
        ("GET", "/v1/keys/key_1", "GetKey /v1/keys/{id} id=key_1"),
        ("HEAD", "/v1/keys/key_1", "GetKey /v1/keys/{id} id=key_1"),
        ("PATCH", "/v1/keys/key_1", "UpdateKey /v1/keys/{key.id} key.id=key_1"),
        ("PUT", "/v1/keys/key_1", "UpdateKey /v1/keys/{key.id} key.id=key_1"),
        ("POST", "/v1/keys/key_1:rotate", "RotateKey /v1/keys/{id}:rotate id=key_1"),
        ("POST", "/v1/keys/a:b:rotate", "RotateKey /v1/keys/{id}:rotate id=a:b"),
        ("GET", "/v1/keys/a:b", "GetKey /v1/keys/{id} id=a:b"),
        ("GET", "/v1/keys/:rotate", "GetKey /v1/keys/{id} id=:rotate"),
        ("GET", "/v1/scopes/read:budgets", "GetScope /v1/scopes/{name} name=read:budgets"),
        ("GET", "/v1/keys/a%2Fb", "GetKey /v1/keys/{id} id=a%2Fb"),
        ("GET", "/products", "ListProducts /products"),
        ("GET", "/products/search", "SearchProducts /products/search"),
        ("GET", "/v1/products:search", "SearchProducts /v1/products:search"),
        ("GET", "/products/searches", "GetProduct /products/{id} id=searches"),
        ("DELETE", "/products/search", "DeleteProduct /products/{id} id=search"),
        ("GET", "/v1/api/public/products", "ListProducts /v1/api/public/products"),
    ] {
        assert_eq!(told(&method.parse().unwrap(), path), expected, "{method} {path}");
    }
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    for (method, path, expected) in [
        ("DELETE", "/v1/keys", "405 GET, HEAD, POST, OPTIONS"),
        ("GET", "/v1/keys/key_1:rotate", "405 POST, OPTIONS"),
        ("DELETE", "/v1/keys/key_1:rotate", "405 POST, OPTIONS"),
        ("GET", "/v1/auth/verify", "405 POST, OPTIONS"),
        ("POST", "/v1/keys/key_1", "405 GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("TRACE", "/v1/keys", "405 GET, HEAD, POST, OPTIONS"),
        ("BREW", "/v1/keys", "405 GET, HEAD, POST, OPTIONS"),
        ("OPTIONS", "/v1/keys", "OPTIONS GET, HEAD, POST, OPTIONS"),
        // A stream is not begun for a client that wants its headers alone.
        ("HEAD", "/v1/auth/revocations:watch", "405 GET, OPTIONS"),
    ] {
        assert_eq!(told(&method.parse().unwrap(), path), expected, "{method} {path}");
    }
}

#[test]
fn what_is_nowhere_is_not_found() {
    for path in [
        "",
        "/",
        "*",
        "v1/keys",
        "/v1",
        "/v1/",
        "/v1/keys/",
        "//v1/keys",
        "/v1//keys",
        "/v1/keys//",
        "/v1/keys/a/b",
        "/v1/keys:rotate",
        "/V1/keys",
        "/v1/key",
        "/v1/keysx",
        "/v1/auth/verify:",
        "/v1/auth/verify:nothing",
        "/products/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t",
        "/healthz",
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            assert_eq!(told(&method, path), "404", "{method} {path}");
        }
    }
}

/// What a router of these GET templates finds: the template's number and the variables' values.
fn found<'p>(templates: &[&str], path: &'p str) -> Option<(usize, Vec<&'p str>)> {
    let templates: Vec<_> = templates.iter().map(|template| Template::parse(template).unwrap()).collect();
    let mut router = Router::new();
    for (index, template) in templates.iter().enumerate() {
        router.add(Verb::Get, template, index, true).unwrap();
    }
    match router.find(&Method::GET, path) {
        Lookup::Found(index, captures) => {
            let captures = &captures[..templates[index].variables.len()];
            Some((index, captures.iter().map(|(from, to)| &path[*from as usize..*to as usize]).collect()))
        }
        Lookup::Other(_) | Lookup::Nothing => None,
    }
}

#[test]
fn variables_span_segments() {
    let templates = ["/v1/{name=keys/*}:go", "/v1/{name=keys/*/parts/**}", "/v1/{a}/x/{b=**}", "/v2/{all=**}:end"];
    assert_eq!(found(&templates, "/v1/keys/7:go"), Some((0, vec!["keys/7"])));
    assert_eq!(found(&templates, "/v1/keys/7/parts/a/b"), Some((1, vec!["keys/7/parts/a/b"])));
    assert_eq!(found(&templates, "/v1/keys/x/tail/more"), Some((2, vec!["keys", "tail/more"])));
    assert_eq!(found(&templates, "/v2/a/b:end"), Some((3, vec!["a/b"])));
    assert_eq!(found(&templates, "/v2/a:b/c:end"), Some((3, vec!["a:b/c"])));
    assert_eq!(found(&templates, "/v2/a/b"), None);
    assert_eq!(found(&templates, "/v2/a/:end"), None);
    let long = format!("/v2/{}:end", "s/".repeat(40) + "t");
    assert_eq!(found(&templates, &long).map(|(index, _)| index), Some(3));
}

#[test]
fn the_better_branch_is_left_when_it_leads_nowhere() {
    let templates = ["/a/b/c", "/a/{x}/d", "/{y}/b/e", "/{z=**}"];
    assert_eq!(found(&templates, "/a/b/c"), Some((0, vec![])));
    assert_eq!(found(&templates, "/a/b/d"), Some((1, vec!["b"])));
    assert_eq!(found(&templates, "/a/b/e"), Some((2, vec!["a"])));
    assert_eq!(found(&templates, "/a/b/f"), Some((3, vec!["a/b/f"])));
}

#[test]
fn two_rules_for_one_path_are_refused() {
    let add = |router: &mut Router, text: &str, index: usize| {
        router.add(Verb::Get, &Template::parse(text).unwrap(), index, true)
    };
    let mut router = Router::new();
    add(&mut router, "/v1/{id}", 0).unwrap();
    add(&mut router, "/v1/{id}:go", 1).unwrap();
    assert_eq!(add(&mut router, "/v1/{name}", 2), Err(0));
    assert_eq!(add(&mut router, "/v1/{name=*}:go", 3), Err(1));
}

proptest! {
    #[test]
    fn any_path_resolves_to_something_sound(path in "(/(v1|keys|products|scopes|auth|verify|search|api|public|[a-z:%.]{0,4}|:rotate|:batch)){0,9}/?(:[a-z]{0,6})?") {
        fuzzing::check_path(&edge(), &path);
    }

    #[test]
    fn any_text_resolves_to_something_sound(path in "\\PC{0,40}") {
        fuzzing::check_path(&edge(), &path);
    }

    #[test]
    fn any_template_that_parses_finds_its_own_path(
        text in "(/(v1|\\*|\\*\\*|[a-z]{1,2}|\\{[a-z]{1,2}(\\.[a-z])?(=[a-z*/]{0,6})?\\})){0,5}(:[a-z:]{0,3})?",
    ) {
        fuzzing::check_template(&text);
    }
}
