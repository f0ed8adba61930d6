//! The headers of each page's answer.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::document::{Document, text_of};
use super::samples::{self, Sample};
use crate::oauth::pages::*;

#[test]
fn every_answer_has_all_headers() {
    for sample in samples::all() {
        let headers: BTreeMap<_, _> =
            sample.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("cache-control", "no-store"),
            ("content-security-policy", sample.policy()),
            ("content-type", "text/html; charset=utf-8"),
            ("permissions-policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ];
        assert_eq!(headers, BTreeMap::from(expected), "{}", sample.name);
    }
}

#[test]
fn a_policy_allows_what_is_on_the_page_and_no_more() {
    for sample in samples::all() {
        let (policy, document) = (directives(&sample), Document::of(&sample));
        let hashes = |selector: &str| {
            let source = |bytes: String| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, bytes.as_bytes())));
            let sources: Vec<_> = document.all(selector).into_iter().map(text_of).map(source).collect();
            sources.join(" ")
        };
        let pictures =
            document.all("img").into_iter().map(|picture| picture.attr("src").unwrap().split(':').next().unwrap());
        let pictures: Vec<_> = pictures.map(|scheme| format!("{scheme}:")).collect();
        let (style, script, pictures) = (hashes("style"), hashes("script"), pictures.join(" "));
        let mut expected = BTreeMap::from([
            ("default-src", "'none'"),
            ("base-uri", "'none'"),
            ("frame-ancestors", "'none'"),
            ("style-src", &style),
        ]);
        for (name, sources) in [("script-src", &script), ("img-src", &pictures)] {
            if !sources.is_empty() {
                expected.insert(name, sources);
            }
        }
        if !LEADING_ON.contains(&sample.name.as_str()) {
            expected.insert("form-action", "'self'");
        }
        assert_eq!(policy, expected, "{}", sample.name);
    }
}

#[test]
fn forms_post_the_names_that_are_read() {
    let cases: [(&str, &[&str]); 5] = [
        ("sign_in", &[field::LOGIN, field::PASSWORD]),
        ("sign_up", &[field::HANDLE, field::ALIAS, field::PASSWORD]),
        ("consent", &[field::DECISION]),
        ("device_code", &[field::USER_CODE]),
        ("device_confirm", &[field::DECISION]),
    ];
    let samples = samples::all();
    for (name, fields) in cases {
        let document = Document::of(samples.iter().find(|sample| sample.name == name).unwrap());
        let mut names: Vec<_> =
            document.all("input, button[name]").into_iter().map(|one| one.attr("name").unwrap()).collect();
        names.dedup();
        let mut unique: Vec<_> = names.iter().filter(|one| ![field::CSRF, "request"].contains(one)).collect();
        unique.sort_unstable();
        unique.dedup();
        let mut expected: Vec<_> = fields.iter().collect();
        expected.sort_unstable();
        assert_eq!(unique, expected, "{name}");
        if fields == [field::DECISION] {
            let values =
                document.all("button").into_iter().map(|button| Decision::parse(button.attr("value").unwrap()));
            let values: Vec<_> = values.collect();
            assert_eq!(values, [Decision::SwitchAccount, Decision::Deny, Decision::Allow].map(Some), "{name}");
        }
    }
}

#[test]
fn an_unknown_decision_is_none() {
    for value in ["", "Allow", "yes", "allow "] {
        assert_eq!(Decision::parse(value), None, "{value:?}");
    }
}

/// The samples that have a form whose post may end at a client.
const LEADING_ON: [&str; 11] = [
    "sign_in",
    "sign_in_wrong",
    "sign_up",
    "sign_up_wrong",
    "consent",
    "consent_document",
    "consent_few",
    "consent_nothing",
    "consent_admin",
    "sign_out",
    "form_post",
];

fn directives(sample: &Sample) -> BTreeMap<&str, &str> {
    let parsed = sample.policy().split("; ").map(|directive| directive.split_once(' ').unwrap());
    let directives: BTreeMap<_, _> = parsed.clone().collect();
    assert_eq!(directives.len(), parsed.count(), "a directive comes twice: {}", sample.policy());
    directives
}
