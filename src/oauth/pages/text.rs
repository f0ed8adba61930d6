//! Text that somebody else may have written, as it is shown.

use std::fmt;

use unicode_normalization::char::is_combining_mark;

/// Text to show. It is escaped by the template, cut after 300 characters, and shown without what cannot be seen: control
/// characters, and those that turn the text around them (Unicode Technical Report 36, section 3.3), with which `moc.live`
/// could be made to read as another name. Runs of combining marks are cut too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Text<'a>(&'a str);

impl Text<'_> {
    /// Whether there is nothing to see in it.
    pub fn is_blank(&self) -> bool {
        self.shown().all(char::is_whitespace)
    }

    /// The first letter or digit in capitals, to stand for a picture that is not there.
    pub fn initial(&self) -> String {
        self.shown().find(|c| c.is_alphanumeric()).map_or_else(String::new, |c| c.to_uppercase().collect())
    }

    /// The characters that are shown; what is longer ends in an ellipsis.
    fn shown(&self) -> impl Iterator<Item = char> {
        let ellipsis = self.seen().nth(LONGEST).map(|_| '\u{2026}');
        self.seen().take(LONGEST).chain(ellipsis)
    }

    fn seen(&self) -> impl Iterator<Item = char> {
        let mut marks = 0;
        self.0.chars().filter(|c| !is_unseen(*c)).filter_map(move |c| {
            marks = if is_combining_mark(c) { marks + 1 } else { 0 };
            let shown = if c.is_whitespace() || c.is_control() { ' ' } else { c };
            (marks <= MOST_MARKS).then_some(shown)
        })
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.shown().try_for_each(|c| f.write_char(c))
    }
}

/// Characters that are not seen. The two joiners, U+200C and U+200D, are left in: words of some languages, and some emoji,
/// are spelt with them.
fn is_unseen(c: char) -> bool {
    let breaks = matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    (c.is_control() && !breaks)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The most characters that are shown of one text.
const LONGEST: usize = 300;

/// The most marks that one letter carries: heaps of them cover the lines above and below.
const MOST_MARKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Text::from(text).to_string()
    }

    #[test]
    fn what_is_not_seen_is_left_out() {
        assert_eq!(shown("Acme \u{202e}evil\u{2069}\u{200b}\0\u{7f} Ltd"), "Acme evil Ltd");
        assert_eq!(shown("two\nlines\tand\u{2028}more"), "two lines and more");
        assert_eq!(
            shown("\u{1f469}\u{200d}\u{1f680} \u{5e9}\u{5dc}\u{5d5}\u{5dd}"),
            "\u{1f469}\u{200d}\u{1f680} \u{5e9}\u{5dc}\u{5d5}\u{5dd}"
        );
        for blank in ["", "  ", "\u{3164}", "\u{202e}\u{2066}", "\n"] {
            assert!(Text::from(blank).is_blank(), "{blank:?}");
        }
        assert!(!Text::from(" x").is_blank());
    }

    #[test]
    fn what_goes_on_for_long_is_cut() {
        let whole = "x".repeat(LONGEST);
        assert_eq!(shown(&whole), whole);
        assert_eq!(shown(&"\u{202e}".repeat(10_000)), "");
        assert_eq!(shown(&(whole.clone() + "x")), whole.clone() + "\u{2026}");
        assert_eq!(shown(&(whole.clone() + "\u{202e}")), whole);
        assert_eq!(shown(&format!("Z{}a\u{301}", "\u{336}".repeat(10_000))), "Z\u{336}\u{336}\u{336}\u{336}a\u{301}");
    }

    #[test]
    fn an_initial_is_a_letter_or_digit() {
        for (text, initial) in
            [("acme", "A"), (" \u{202e}(\u{e9}t\u{e9})", "\u{c9}"), ("7seas", "7"), ("!?", ""), ("", "")]
        {
            assert_eq!(Text::from(text).initial(), initial, "{text:?}");
        }
    }
}
