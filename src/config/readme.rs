//! Holds the README's generated parts equal to the code. `UPDATE_README=1 cargo test` writes them.

use std::{env, fs};

/// Fails if what stands between `<!-- name -->` and `<!-- /name -->` in the README is not `expected`.
pub(crate) fn assert_section(name: &str, expected: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(path).expect("there is a README");
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = readme.split_once(&start).unwrap_or_else(|| panic!("the README has no {start}"));
    let (section, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the README has no {end}"));
    if section != expected && env::var_os("UPDATE_README").is_some() {
        fs::write(path, format!("{before}{start}{expected}{end}{after}")).expect("the README can be written");
        return;
    }
    assert_eq!(section, expected, "README.md, section {name}: UPDATE_README=1 cargo test --lib readme writes it");
}
