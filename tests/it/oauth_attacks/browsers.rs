//! What browsers post: only our own forms, from the browser and the session that they were made for, do anything.

use http::Method;

use crate::oauth::{Browser, authorize, form_of, query_of};
use crate::support::{Actor, Reply, TestServer, leaks};

use super::scene::{Scene, guarded};

#[tokio::test]
async fn what_a_browser_posts_is_of_our_forms_and_of_this_browser() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    let (server, target) = (&server, authorize(&scene.other, &[("prompt", "consent")]));
    let mut browser = Browser::new(server);
    let page = browser.get(&target).await;
    let before = browser.cookies.clone();
    // Whatever session somebody planted, signing in makes another.
    browser.cookies.insert("__Host-gatepost-session".to_owned(), scene.fill("$SESSION").await);
    let planted = browser.cookies["__Host-gatepost-session"].clone();
    let asked = browser.get(&authorize(&scene.other, &[("prompt", "login")])).await;
    let signed_in = browser.submit(&asked, &[("login", "eve"), ("password", leaks::PASSWORD)]).await;
    assert_eq!(signed_in.status, 303);
    assert_ne!(browser.cookies["__Host-gatepost-session"], planted);
    assert_eq!(browser.cookies["__Host-gatepost-form"], before["__Host-gatepost-form"]);
    let consent = browser.get(&target).await.expect(200, "");
    let (action, fields) = form_of(&consent.text);
    let allow: Vec<_> = fields.iter().cloned().chain([("decision".to_owned(), "allow".to_owned())]).collect();
    let with = |name: &str, value: &str| {
        let mut changed = allow.clone();
        changed.retain(|(known, _)| known != name);
        if !value.is_empty() {
            changed.push((name.to_owned(), value.to_owned()));
        }
        changed
    };
    let cookies =
        |browser: &Browser<'_>| browser.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ");
    let proof_of = |page: &Reply| {
        let found = form_of(&page.text).1.into_iter().find(|(name, _)| name == "csrf");
        found.expect("a form has a proof").1
    };
    scene.fill("$CODE").await;
    let (own, others) = (cookies(&browser), cookies(&*scene.browser.lock().await));
    type Case<'a> = (&'a str, Vec<(String, String)>, String, &'a [(&'a str, &'a str)]);
    let cases: Vec<Case<'_>> = vec![
        ("no proof", with("csrf", ""), own.clone(), &[]),
        ("a proof that is none", with("csrf", "x"), own.clone(), &[]),
        ("two proofs", [allow.clone(), vec![("csrf".to_owned(), "x".to_owned())]].concat(), own.clone(), &[]),
        ("no cookies", allow.clone(), String::new(), &[]),
        ("another's cookies", allow.clone(), others.clone(), &[]),
        ("two sessions", allow.clone(), format!("{own}; {others}"), &[]),
        ("from another site", allow.clone(), own.clone(), &[("sec-fetch-site", "cross-site")]),
        ("from a sister site", allow.clone(), own.clone(), &[("sec-fetch-site", "same-site")]),
    ];
    // Whoever signs in decides nothing by that, and whoever decides signs nobody in.
    let of_others: [Case<'_>; 2] = [
        ("the proof of a sign-in", with("csrf", &proof_of(&page)), own.clone(), &[]),
        ("the proof of another sign-in", with("csrf", &proof_of(&asked)), own.clone(), &[]),
    ];
    let of_a_decision: [Case<'_>; 1] = [("the proof of a decision", allow.clone(), own.clone(), &[])];
    for (path, more) in [(action.as_str(), &of_others[..]), ("/oauth/sign-in", &of_a_decision[..])] {
        for (what, form, cookie, headers) in cases.iter().chain(more) {
            let mut request =
                server.request(Method::POST, path, &Actor::anonymous()).form(form).header("cookie", cookie);
            for (name, value) in *headers {
                request = request.header(*name, *value);
            }
            let reply = server.send(request).await;
            assert_eq!((reply.status, reply.header("location")), (400, ""), "{what}: {reply:?}");
            assert_eq!(reply.header("set-cookie"), "", "{what}");
            guarded(what, &reply);
        }
        let request =
            server.request(Method::GET, &format!("{path}?decision=allow"), &Actor::anonymous()).header("cookie", &own);
        assert_eq!(server.send(request).await.status, 405, "{path}");
    }
    // A form in a type that needs no question in advance, and one that does.
    for content_type in ["text/plain", "multipart/form-data; boundary=x", ""] {
        let request = server.request(Method::POST, &action, &Actor::anonymous()).header("cookie", &own);
        let reply = server.send(request.header("content-type", content_type).body("decision=allow")).await;
        assert_eq!((reply.status, reply.header("location")), (400, ""), "{content_type}: {reply:?}");
    }
    // With all as it should be, it works.
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    assert!(query_of(sent.header("location")).contains_key("code"), "{sent:?}");
    guarded("the way back", &sent);
    for page in [
        &page,
        &consent,
        &browser.get("/oauth/authorize").await,
        &browser.submit(&consent, &[("decision", "deny")]).await,
    ] {
        guarded("a page", page);
    }
}
