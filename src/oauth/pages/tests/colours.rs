//! Whether what is written can be read: the contrast of the stylesheet's colours (WCAG 2.2, 1.4.3 and 1.4.11, level AA).

use std::collections::BTreeMap;

use crate::oauth::pages::STYLE;

#[test]
fn colours_that_meet_can_be_told_apart() {
    let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    for (scheme, part) in [("light", light), ("dark", dark)] {
        let colours = colours(part);
        for (least, pairs) in [(4.5, &TEXT[..]), (3.0, &EDGES[..])] {
            for (front, back) in pairs {
                let ratio = contrast(colours[front], colours[back]);
                assert!(ratio >= least, "{scheme}: {front} on {back} is {ratio:.2}, not {least}");
            }
        }
    }
}

#[test]
fn every_colour_is_in_both_schemes() {
    let (light, dark) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let names = |part| colours(part).into_keys().collect::<Vec<_>>();
    assert_eq!(names(light), names(dark));
    for name in names(light) {
        assert!(STYLE.contains(&format!("var(--{name})")), "{name} is used nowhere");
    }
}

#[test]
fn the_ratio_is_the_standards() {
    let close = |a: f64, b: f64| (a - b).abs() < 0.01;
    assert!(close(contrast([0; 3], [255; 3]), 21.0));
    assert!(close(contrast([0x77; 3], [255; 3]), 4.48));
}

/// The colours that a scheme names.
fn colours(part: &str) -> BTreeMap<&str, [u8; 3]> {
    let lines = part.lines().filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": #"));
    let byte = |hex: &str, at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let colours: BTreeMap<_, _> = lines.map(|(name, hex)| (name, [byte(hex, 0), byte(hex, 2), byte(hex, 4)])).collect();
    assert!(colours.len() > 10, "these are not the colours");
    colours
}

fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: [u8; 3]) -> f64 {
    let [r, g, b] = colour.map(|byte| {
        let part = f64::from(byte) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Text, and what is behind it.
const TEXT: [(&str, &str); 13] = [
    ("ink", "card"),
    ("ink", "ground"),
    ("ink", "error-ground"),
    ("muted", "card"),
    ("muted", "ground"),
    ("link", "card"),
    ("on-accent", "accent"),
    ("on-accent", "accent-over"),
    ("error", "card"),
    ("error", "error-ground"),
    ("ink", "card"),
    ("link", "ground"),
    ("muted", "error-ground"),
];

/// Edges of what can be used, and what is around them.
const EDGES: [(&str, &str); 5] =
    [("edge", "card"), ("accent", "card"), ("focus", "card"), ("focus", "ground"), ("error", "card")];
