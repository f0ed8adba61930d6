//! Text for a terminal: what others wrote must not move the cursor, and times read alike everywhere.

use std::borrow::Cow;
use std::time::Duration;

use prost_types::{Duration as WireDuration, Timestamp};

/// A text that others wrote, without characters that a terminal acts on. A key may be called anything.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_active(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// A time in seconds and UTC, RFC 3339; nothing for none.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.map_or(String::new(), |time| Timestamp { nanos: 0, ..*time }.to_string())
}

/// A span of time in words (`1h 30m`); nothing for none.
pub(super) fn span(span: Option<&WireDuration>) -> String {
    let span = span.and_then(|span| Duration::try_from(*span).ok());
    span.map(|span| humantime::format_duration(span).to_string()).unwrap_or_default()
}

/// Control characters, and those that turn the direction of writing or hide (Unicode, "Trojan Source").
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_replaced() {
        assert_eq!(plain("shop \u{e9} 日本"), "shop \u{e9} 日本");
        assert_eq!(plain("a\x1b[31mb\r\n\u{202e}c\u{9b}"), "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}c\u{fffd}");
    }

    #[test]
    fn times_are_in_seconds_and_utc() {
        assert_eq!(time(Some(&Timestamp { seconds: 1_767_323_045, nanos: 999_999_000 })), "2026-01-02T03:04:05Z");
        assert_eq!(time(None), "");
    }

    #[test]
    fn spans_are_told_in_their_units() {
        let span_of = |seconds| span(Some(&WireDuration { seconds, nanos: 0 }));
        assert_eq!((span_of(5_400), span_of(-1), span(None)), ("1h 30m".to_owned(), String::new(), String::new()));
    }
}
