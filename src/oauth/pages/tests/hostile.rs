//! Texts that somebody chose to do harm.

use super::document::Document;
use super::samples::{LOGO, OWN_URL, Sample, TARGET, filled_with};
use crate::oauth::pages::{Logo, OwnUrl, PostTarget, Text};

#[test]
fn no_text_changes_what_a_page_is_made_of() {
    let plain: Vec<_> = filled_with("Acme").iter().map(|sample| Document::of(sample).skeleton()).collect();
    for (name, text) in hostile() {
        for (sample, plain) in filled_with(&text).iter().zip(&plain) {
            let document = Document::of(sample);
            let faults = document.faults();
            assert!(faults.is_empty(), "{} with {name}: {}", sample.name, faults.join("\n"));
            assert_eq!(&document.skeleton(), plain, "{} with {name}", sample.name);
        }
    }
}

#[test]
fn a_page_holds_whatever_is_left_blank() {
    for blank in ["", " ", "\u{202e}\u{200b}"] {
        for sample in filled_with(blank) {
            let document = Document::of(&sample);
            let mut faults = document.faults();
            // Words of ours are never blank; these come from whoever fills the page in, who has some to say.
            faults.retain(|fault| !fault.contains(" is empty"));
            assert!(faults.is_empty(), "{} with {blank:?}: {}", sample.name, faults.join("\n"));
            for heading in document.all("h1").into_iter().chain(document.all("li")) {
                let told = super::document::text_of(heading);
                assert!(
                    sample.name == "error" || !Text::from(told.trim()).is_blank(),
                    "{}: {}",
                    sample.name,
                    heading.html()
                );
            }
        }
    }
}

#[test]
fn values_are_carried_as_they_are() {
    for (name, text) in hostile() {
        for sample in filled_with(&text) {
            let document = Document::of(&sample);
            let carried = document.all("input[type=hidden]");
            for input in &carried {
                assert_eq!(input.attr("value"), Some(&*text), "{} with {name}", sample.name);
            }
            let has_form = !document.all("form").is_empty();
            assert_eq!(!carried.is_empty(), has_form, "{}", sample.name);
        }
    }
}

#[test]
fn what_is_shown_has_a_direction_of_its_own() {
    // Whoever sees the beginning of a text that was filled in sees it inside of <bdi>, or in the title.
    for sample in filled_with("\u{5e9}\u{5dc}\u{5d5}\u{5dd} evil") {
        let texts = Document::of(&sample).texts();
        let shown: Vec<_> = texts.iter().filter(|(_, text)| text.contains('\u{5e9}')).collect();
        assert!(shown.len() > 1, "{} shows nothing of it", sample.name);
        for (element, text) in shown {
            assert!(["bdi", "title", "span"].contains(&element.as_str()), "{}: <{element}>{text}", sample.name);
            assert!(element != "span" || text == "\u{5e9}", "{}: <{element}>{text}", sample.name);
        }
    }
}

#[test]
fn what_is_shown_is_bounded_and_can_be_seen() {
    for sample in filled_with(&"\u{202e}Wx".repeat(5_000)) {
        for (element, text) in Document::of(&sample).texts() {
            assert!(element == "style" || text.chars().count() < 800, "{}: {} characters", sample.name, text.len());
            assert!(!text.contains('\u{202e}'), "{}: <{element}>", sample.name);
        }
    }
}

#[test]
fn addresses_of_others_are_not_taken() {
    for (name, text) in hostile() {
        assert!(OwnUrl::parse(&text).is_none(), "{name}");
        assert!(Logo::parse(&text).is_none(), "{name}");
        assert!(PostTarget::parse(&text).is_none(), "{name}");
    }
    for bad in ["http://app.example/x.png", "data:text/html,x", "javascript:x", "//app.example/x.png", "https://a b"] {
        assert!(Logo::parse(bad).is_none(), "{bad}");
    }
    for bad in ["com.example.app:/cb", "javascript:x", "/cb", "https://app.example/ x", "https://me@app.example/"] {
        assert!(PostTarget::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn addresses_stay_in_their_attributes() {
    for sample in filled_with("Acme") {
        let document = Document::of(&sample);
        let target = if sample.page.posts_to_client { TARGET } else { OWN_URL };
        for (selector, name, address) in [("form", "action", target), ("a", "href", OWN_URL), ("img", "src", LOGO)] {
            for element in document.all(selector) {
                assert_eq!(element.attr(name), Some(address), "{}", sample.name);
            }
        }
    }
}

/// The pages with the texts that are worth looking at.
pub(super) fn samples() -> Vec<Sample> {
    let texts = [
        ("long", "Wx ".repeat(3_000)),
        ("unbroken", "W".repeat(10_000)),
        ("rtl", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}! \u{202e}moc.live".to_owned()),
    ];
    let named = |(name, text): &(&str, String)| {
        let mut samples = filled_with(text);
        samples.iter_mut().for_each(|sample| sample.name = format!("hostile_{name}_{}", sample.name));
        samples
    };
    texts.iter().flat_map(named).collect()
}

fn hostile() -> Vec<(&'static str, String)> {
    let short = [
        ("a script", "<script>alert(1)</script>"),
        ("an end of everything", "</title></style></script></textarea></bdi></form></main></body></html><h1>x</h1>"),
        ("a double quote", "x\" onfocus=alert(1) autofocus x=\""),
        ("a single quote", "x' onfocus=alert(1) autofocus x='"),
        ("a back quote", "`x` onfocus=alert(1)"),
        ("an end of a tag", "/><img src=x onerror=alert(1)>"),
        ("a comment", "<!-- x --><![CDATA[ x ]]>--!>"),
        ("an entity", "&lt;script&gt; &amp; &#60; &notanentity &quot"),
        ("another template language", "{{ 7*7 }} {% raw %} ${7*7} #{7*7} <%= 7 %>"),
        ("another form", "</form><form action=https://evil.example>"),
        ("a base", "<base href=https://evil.example><meta http-equiv=refresh content=0>"),
        ("a turn of direction", "\u{202e}moc.live\u{2066}x"),
        ("a script address", "javascript:alert(1)"),
        ("right to left", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}"),
    ];
    let mut all: Vec<_> = short.into_iter().map(|(name, text)| (name, text.to_owned())).collect();
    all.push(("10,000 letters", "W".repeat(10_000)));
    all.push(("10,000 marks", format!("Z{}", "\u{336}".repeat(10_000))));
    all.push(("10,000 tags", "<b>".repeat(3_334)));
    all
}
