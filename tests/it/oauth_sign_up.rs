//! People who sign up on their way to a client.

use serde_json::json;

use crate::oauth::{Browser, authorize, query_of, register, web_client};
use crate::support::{TestServer, Wire, leaks};

const GOOD: [(&str, &str); 2] = [("handle", "grace"), ("password", leaks::PASSWORD)];

async fn open(server: &TestServer, setting: &str) {
    let project = json!({"id": "default", "signUp": setting, "userScopes": ["read:users"]});
    let request = json!({"project": project, "updateMask": "signUp,userScopes"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
}

/// The address of the link to sign up on a page, if there is one.
fn link(html: &str) -> Option<String> {
    let document = scraper::Html::parse_document(html);
    let links = scraper::Selector::parse("a[href^=\"/oauth/sign-up\"]").unwrap();
    document.select(&links).next().map(|link| link.attr("href").unwrap().to_owned())
}

#[tokio::test]
async fn somebody_signs_up_and_goes_on_to_the_client() {
    let server = TestServer::start().await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let closed = browser.get(&authorize(&client, &[])).await.expect(200, "");
    assert_eq!(link(&closed.text), None, "{closed:?}");
    let target = authorize(&client, &[]).replace("/oauth/authorize", "/oauth/sign-up");
    assert_eq!(browser.get(&target).await.status, 400);

    open(&server, "OPEN").await;
    let page = browser.get(&authorize(&client, &[("prompt", "login")])).await.expect(200, "");
    let target = link(&page.text).expect("a link to sign up");
    let page = browser.get(&target).await.expect(200, "");
    assert!(
        page.text.contains("Shop &#60;b&#62;App") && !page.header("content-security-policy").is_empty(),
        "{page:?}"
    );
    let sent = browser.submit(&page, &[GOOD[0], GOOD[1], ("alias", "Grace Hopper")]).await;
    assert_eq!(sent.status, 303, "{sent:?}");
    let location = sent.header("location").to_owned();
    assert!(location.starts_with("/oauth/authorize?"), "{location}");
    let consent = browser.get(&location).await.expect(200, "");
    assert!(consent.text.contains("grace") && consent.text.contains("See users"), "{consent:?}");
    let answer = browser.submit(&consent, &[("decision", "allow")]).await;
    let answer = query_of(answer.header("location"));
    assert!(answer["code"].starts_with("ac_live_") && answer["state"] == "st+a te&1=\u{e9}", "{answer:?}");
    // They are a user like any other.
    server.sign_in(&server.live(), "grace").await;
    let events = server.get("/v1/audit-events?size=50", &server.live()).await.expect(200, "").json();
    let signed_up = events.to_string();
    assert!(signed_up.contains("user.signed_up") && !signed_up.contains(leaks::PASSWORD), "{signed_up}");
}

#[tokio::test]
async fn what_cannot_be_taken_is_told_by_field() {
    let server = TestServer::start().await;
    open(&server, "OPEN").await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let target = authorize(&client, &[]).replace("/oauth/authorize", "/oauth/sign-up");
    let page = browser.get(&target).await.expect(200, "");
    let long = "x".repeat(101);
    type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);
    let cases: [Case<'_>; 7] = [
        (&[("handle", "Grace Hopper")], 422, "The handle must be 1 to 50 lower-case letters"),
        (&[("handle", "")], 422, "The handle must be 1 to 50 lower-case letters"),
        (&[("handle", "ada")], 422, "Somebody has this handle already"),
        (&[("alias", &long)], 422, "The name must have 1 to 100 characters"),
        (&[("password", "short")], 422, "The password must have 8 to 256 characters"),
        (&[("password", "password1")], 422, "The password is one that many people have"),
        (&[("csrf", "x")], 400, "not one of ours"),
    ];
    for (wrong, status, told) in cases {
        let mut filled: Vec<(&str, &str)> = GOOD.to_vec();
        filled.retain(|(name, _)| !wrong.iter().any(|(wrong, _)| wrong == name));
        filled.extend(wrong);
        let reply = browser.submit(&page, &filled).await;
        assert_eq!(reply.status, status, "{wrong:?}: {reply:?}");
        assert!(reply.text.contains(told), "{wrong:?}: {reply:?}");
        assert!(!reply.text.contains(leaks::PASSWORD), "{wrong:?}");
    }
    // Closed while somebody filled it in; and another's browser with the very form.
    assert_eq!(Browser::new(&server).submit(&page, &GOOD).await.status, 400);
    open(&server, "CLOSED").await;
    assert_eq!(browser.submit(&page, &GOOD).await.status, 400);
    // Nobody signs up but on the way to a client.
    assert_eq!(browser.get("/oauth/sign-up").await.status, 400);
    let elsewhere = register(&server, json!({"name": "x", "grantTypes": ["client_credentials"]})).await;
    let target = authorize(&elsewhere, &[]).replace("/oauth/authorize", "/oauth/sign-up");
    assert_eq!(browser.get(&target).await.status, 400);
}

#[tokio::test]
async fn new_users_of_one_address_are_bounded() {
    let server = TestServer::start().await;
    open(&server, "OPEN").await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let target = authorize(&client, &[]).replace("/oauth/authorize", "/oauth/sign-up");
    let page = browser.get(&target).await.expect(200, "");
    let mut statuses = Vec::new();
    for number in 0..21 {
        let mut another = Browser::new(&server);
        another.cookies = browser.cookies.clone();
        let handle = format!("user-{number}");
        statuses.push(another.submit(&page, &[("handle", &handle), GOOD[1]]).await.status);
    }
    assert_eq!((statuses[0], statuses[19], statuses[20]), (303, 303, 429), "{statuses:?}");
}
