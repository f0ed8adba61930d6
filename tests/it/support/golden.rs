//! Texts that people have read and agreed to, in `tests/it/golden`. `GATEPOST_UPDATE_GOLDEN=1` writes them anew.

use std::path::PathBuf;

/// Fails unless the file holds this text.
#[track_caller]
pub(crate) fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if std::env::var_os("GATEPOST_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let agreed = std::fs::read_to_string(&path).unwrap_or_default();
    let differ = agreed.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = differ.unwrap_or(agreed.lines().count().min(text.lines().count()));
    assert!(
        agreed == text,
        "{name} differs from line {}:\n- {}\n+ {}\nIf that is meant, run the test with GATEPOST_UPDATE_GOLDEN=1 and read the difference.",
        line + 1,
        agreed.lines().nth(line).unwrap_or("(the end)"),
        text.lines().nth(line).unwrap_or("(the end)"),
    );
}
