//! Percent-decoding, once (RFC 3986, section 2.1). What is not an escape, or not UTF-8 after it, is refused.

use std::borrow::Cow;

/// Decodes a variable of one segment.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('%') { unescape(text.as_bytes(), |_| false).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) }
}

/// Decodes a variable of several segments: an encoded slash stays encoded, so that it is not taken for one that parts
/// segments (`google/api/http.proto`).
pub(super) fn decode_segments(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('%') {
        unescape(text.as_bytes(), |byte| byte == b'/').map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(text))
    }
}

/// Decodes a name or value of a query, where `+` is a space.
pub(super) fn decode_query(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        return decode(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()));
    }
    decode(text)
}

fn unescape(text: &[u8], keep: impl Fn(u8) -> bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        if *byte != b'%' {
            out.push(*byte);
            rest = tail;
            continue;
        }
        let [high, low, tail @ ..] = tail else { return None };
        let byte = hex(*high)? << 4 | hex(*low)?;
        if keep(byte) {
            out.extend_from_slice(&rest[..3]);
        } else {
            out.push(byte);
        }
        rest = tail;
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once() {
        assert_eq!(decode("a%2Fb%252F+%c3%A9").as_deref(), Some("a/b%2F+\u{e9}"));
        assert_eq!(decode_segments("a%2Fb%2fc%20").as_deref(), Some("a%2Fb%2fc "));
        assert_eq!(decode_query("a+b%2Bc").as_deref(), Some("a b+c"));
    }

    #[test]
    fn refuses_bad_escapes_and_bad_text() {
        for text in ["%", "%2", "a%2", "%zz", "%2g", "%+2", "%ff", "%c3", "%c3%28"] {
            assert_eq!(decode(text), None, "{text}");
            assert_eq!(decode_query(text), None, "{text}");
        }
    }
}
