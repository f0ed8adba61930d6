//! The names that people give to people and things, which others are shown.

/// The rule that a line of text breaks, if it does: `least` to `most` characters, none of them a control character.
pub fn broken_by_line(text: &str, least: usize, most: usize) -> Option<String> {
    let count = text.chars().count();
    if count < least || count > most {
        Some(format!("must have {least} to {most} characters, not {count}"))
    } else if text.chars().any(char::is_control) {
        Some("must not hold control characters".to_owned())
    } else if text.trim() != text {
        Some("must not begin or end with a space".to_owned())
    } else {
        None
    }
}

/// The rule that a name breaks, if it does: a line without characters that turn or break the text it is shown in.
pub fn broken_by_name(text: &str, least: usize, most: usize) -> Option<String> {
    if text.contains(['\u{2028}', '\u{2029}', '\u{feff}']) || text.contains(is_bidi_control) {
        return Some("must not hold characters that change the direction or the line of text".to_owned());
    }
    if text.contains(is_unseen) || !text.is_empty() && text.chars().all(|c| is_joiner(c) || c.is_whitespace()) {
        return Some("must not hold characters that cannot be seen".to_owned());
    }
    broken_by_line(text, least, most)
}

/// What takes no room and means nothing in a name, but makes it another one that looks the same.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{2060}'
            ..='\u{2064}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// What is not seen by itself, but joins what is, in Persian or in emoji.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Embeddings, overrides and isolates (Unicode Standard Annex 9, section 2): they show one name as another.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
