//! A page as a browser reads it, and what can be wrong with one.

use std::collections::BTreeSet;

use scraper::{ElementRef, Html, Selector};

use super::samples::{Sample, Shape};
use crate::oauth::pages::field;

/// A page that was read.
pub(super) struct Document {
    html: Html,
    page: Shape,
}

impl Document {
    pub(super) fn of(sample: &Sample) -> Self {
        Self { html: Html::parse_document(&sample.html), page: sample.page }
    }

    /// Everything that is wrong.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.html.errors.iter().map(|error| format!("not HTML: {error}")).collect();
        self.check_frame(&mut faults);
        self.check_words(&mut faults);
        self.check_labels(&mut faults);
        self.check_forms(&mut faults);
        self.check_resources(&mut faults);
        faults
    }

    /// The elements that match.
    pub(super) fn all(&self, selector: &str) -> Vec<ElementRef<'_>> {
        self.html.select(&Selector::parse(selector).unwrap()).collect()
    }

    /// The page without its texts: elements, the names of their attributes, and how they stand in each other.
    pub(super) fn skeleton(&self) -> String {
        fn walk(element: ElementRef<'_>, depth: usize, out: &mut String) {
            let attributes: Vec<_> = element.value().attrs().map(|(name, _)| name).collect();
            out.push_str(&format!("{:depth$}{} {attributes:?}\n", "", element.value().name()));
            element.child_elements().for_each(|child| walk(child, depth + 1, out));
        }
        let mut out = String::new();
        walk(self.html.root_element(), 0, &mut out);
        out
    }

    /// Each piece of text, with the name of the element it stands in.
    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let root = self.html.root_element();
        let texts = root.descendants().filter_map(|node| {
            let text = node.value().as_text()?;
            let parent = node.parent().and_then(ElementRef::wrap)?;
            Some((parent.value().name().to_owned(), text.to_string()))
        });
        texts.collect()
    }

    /// What a person must be able to find their way by.
    fn check_frame(&self, faults: &mut Vec<String>) {
        for (selector, count) in [("h1", 1), ("main", 1), ("title", 1), ("main h1", 1), ("html[lang=en]", 1)] {
            let found = self.all(selector).len();
            if found != count {
                faults.push(format!("{found} of {selector}, not {count}"));
            }
        }
        for element in self.all("h1, h2, title, button, label, a, p, li") {
            if text_of(element).trim().is_empty() {
                faults.push(format!("{} is empty", element.html()));
            }
        }
    }

    /// Only what the stylesheet and the policy know of.
    fn check_words(&self, faults: &mut Vec<String>) {
        for element in self.all("*") {
            let value = element.value();
            if !ELEMENTS.contains(&value.name()) {
                faults.push(format!("an element <{}>", value.name()));
            }
            for (name, _) in value.attrs().filter(|(name, _)| !ATTRIBUTES.contains(name)) {
                faults.push(format!("an attribute {name} on <{}>", value.name()));
            }
        }
    }

    fn check_labels(&self, faults: &mut Vec<String>) {
        let mut ids = BTreeSet::new();
        for element in self.all("[id]") {
            let id = element.attr("id").unwrap();
            if !ids.insert(id) {
                faults.push(format!("two elements have the id {id}"));
            }
        }
        for label in self.all("label") {
            if !label.attr("for").is_some_and(|id| ids.contains(id)) {
                faults.push(format!("{} is for nothing", label.html()));
            }
        }
        for input in self.all("input:not([type=hidden])") {
            let id = input.attr("id").unwrap_or_default();
            let labels = self.all("label").into_iter().filter(|label| label.attr("for") == Some(id)).count();
            if labels != 1 {
                faults.push(format!("{} has {labels} labels", input.html()));
            }
            if input.attr("aria-invalid").is_some() && input.attr("aria-describedby").is_none() {
                faults.push(format!("{} does not say what is wrong", input.html()));
            }
        }
        for element in self.all("[aria-describedby]") {
            for id in element.attr("aria-describedby").unwrap().split(' ') {
                if !ids.contains(id) {
                    faults.push(format!("{} names an id that nothing has", element.html()));
                }
            }
        }
    }

    fn check_forms(&self, faults: &mut Vec<String>) {
        for form in self.all("form") {
            if form.attr("method") != Some("post") {
                faults.push("a form does not post".to_owned());
            }
            let own = form.attr("action").is_some_and(|to| to.starts_with('/') && !to.starts_with("//"));
            if own == self.page.posts_to_client {
                faults.push(format!("a form posts to {:?}", form.attr("action")));
            }
            let inside = |selector: &str| form.select(&Selector::parse(selector).unwrap()).count();
            if !self.page.posts_to_client && inside(&format!("input[type=hidden][name={}]", field::CSRF)) != 1 {
                faults.push("a form has no CSRF token".to_owned());
            }
            if inside("button") == 0 {
                faults.push("a form has no button".to_owned());
            }
        }
        for control in self.all("input, button") {
            if !control.ancestors().filter_map(ElementRef::wrap).any(|above| above.value().name() == "form") {
                faults.push(format!("{} is in no form", control.html()));
            }
            if control.value().name() == "input" && control.attr("name").is_none_or(str::is_empty) {
                faults.push(format!("{} has no name", control.html()));
            }
        }
        for password in self.all("input[type=password][value]") {
            faults.push(format!("{} shows a password", password.html()));
        }
    }

    /// Nothing comes from elsewhere but a client's picture, and nothing leads elsewhere but the answer for the client.
    fn check_resources(&self, faults: &mut Vec<String>) {
        for link in self.all("a") {
            if !link.attr("href").is_some_and(|to| to.starts_with('/') && !to.starts_with("//")) {
                faults.push(format!("{} leads elsewhere", link.html()));
            }
        }
        for picture in self.all("img") {
            let source = picture.attr("src").unwrap_or_default();
            let sound = (source.starts_with("https://") || source.starts_with("data:image/"))
                && picture.attr("alt").is_some()
                && picture.attr("referrerpolicy") == Some("no-referrer");
            if !sound {
                faults.push(format!("{} is not how a picture is shown", picture.html()));
            }
        }
        for element in self.all("[src]:not(img), [href]:not(a)") {
            faults.push(format!("{} comes from elsewhere", element.html()));
        }
        let scripts = self.all("script").len();
        if scripts != usize::from(self.page.posts_to_client) {
            faults.push(format!("{scripts} scripts"));
        }
    }
}

/// The text in an element.
pub(super) fn text_of(element: ElementRef<'_>) -> String {
    element.text().collect()
}

const ELEMENTS: [&str; 24] = [
    "a", "bdi", "body", "button", "div", "form", "h1", "h2", "head", "header", "html", "img", "input", "label", "li",
    "main", "meta", "p", "script", "section", "span", "style", "title", "ul",
];

/// No `style` and nothing that begins with `on`: the policy does not allow them.
const ATTRIBUTES: [&str; 24] = [
    "action",
    "alt",
    "aria-describedby",
    "aria-hidden",
    "aria-invalid",
    "autocapitalize",
    "autocomplete",
    "autofocus",
    "charset",
    "class",
    "content",
    "for",
    "href",
    "id",
    "lang",
    "method",
    "name",
    "referrerpolicy",
    "required",
    "role",
    "spellcheck",
    "src",
    "type",
    "value",
];
