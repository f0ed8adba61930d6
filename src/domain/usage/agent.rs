//! What a client calls itself, as far as it is kept.

use crate::domain::secret_search::without_secrets;

/// What is kept of what a client calls itself. Some clients are told a secret in the wrong place of a command line: its hint is kept.
pub fn kept_agent(given: &str) -> Box<str> {
    // Before it is cut: a part of a secret is found by nobody. No secret of ours that begins in what is kept ends behind this, and
    // of a signed token no signature is in what is kept then.
    let clean = without_secrets(cut(given, LOOKED_AT));
    cut(&clean, MOST_USER_AGENT).into()
}

/// The same, unless that is what is known already.
pub fn agent_unless_known(given: &str, known: Option<&str>) -> Option<Box<str>> {
    if known == Some(cut(given, MOST_USER_AGENT)) {
        return None;
    }
    let kept = kept_agent(given);
    (known != Some(&*kept)).then_some(kept)
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Bytes of what a client calls itself that are kept.
pub const MOST_USER_AGENT: usize = 200;
/// Bytes of it that are looked at, so that it costs no more the longer it is.
const LOOKED_AT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::environment::Environment;
    use crate::domain::secret::{PlainSecret, SecretPrefix};

    #[test]
    fn it_is_kept_without_secrets_and_cut_after_they_are_gone() {
        let secret =
            PlainSecret::generate(&SecretPrefix::fixed(SecretPrefix::SECRET), Environment::Live, &SystemEntropy);
        let (secret, hint) = (secret.expose(), secret.hint());
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl";
        let x = |many: usize| "x".repeat(many);
        for (given, kept) in [
            ("curl/8".to_owned(), "curl/8".to_owned()),
            (format!("curl {secret}"), format!("curl {hint}")),
            (format!("curl {token} {secret};a {token}"), format!("curl ... {hint};a ...")),
            (x(1_000), x(200)),
            // It would be cut in two.
            (format!("{} {secret}", x(190)), format!("{} {hint}", x(190))[..200].to_owned()),
            (format!("{} {secret}", x(200)), x(200)),
            (format!("{}{token}", " ".repeat(195)), format!("{}...", " ".repeat(195))),
            ("\u{e4}".repeat(150), "\u{e4}".repeat(100)),
        ] {
            assert_eq!(agent_unless_known(&given, Some("other")).as_deref(), Some(&*kept));
            assert_eq!(agent_unless_known(&given, None).as_deref(), Some(&*kept));
            assert_eq!(agent_unless_known(&given, Some(&kept)), None, "{kept}");
        }
    }
}
