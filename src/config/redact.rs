//! Hides passwords in what is shown. What is not understood is hidden whole.

/// Stands for what is not shown.
pub(super) const HIDDEN: &str = "(not shown)";

/// A URL without its password: `postgres://me:secret@db/keys` becomes `postgres://me:***@db/keys`.
pub(super) fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        // A path is no secret; anything else may be a password in the wrong place.
        return if text.starts_with("sqlite:") && !text.contains('@') { text.to_owned() } else { HIDDEN.to_owned() };
    };
    if !scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c)) {
        return HIDDEN.to_owned();
    }
    // The last `@` is taken, for a password may hold one that was not escaped.
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let user = match user {
        Some(user) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{MASK}@"),
            None => format!("{user}@"),
        },
        None => String::new(),
    };
    let rest = match rest.split_once('?') {
        Some((path, query)) => format!("{path}?{}", query.split('&').map(parameter).collect::<Vec<_>>().join("&")),
        None => rest.to_owned(),
    };
    format!("{scheme}://{user}{rest}")
}

/// A query parameter; its value is hidden unless it is known to be harmless.
fn parameter(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) if HARMLESS.contains(&name) => format!("{name}={value}"),
        Some((name, _)) => format!("{name}={MASK}"),
        None => text.to_owned(),
    }
}

const MASK: &str = "***";

/// Parameters of a PostgreSQL URL that hold no secret.
const HARMLESS: [&str; 8] =
    ["application_name", "dbname", "host", "hostaddr", "port", "sslmode", "sslrootcert", "user"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let cases = [
            ("postgres://me:hunter2@db:5432/keys", "postgres://me:***@db:5432/keys"),
            ("postgres://me:hunter2@hunter2@db/keys", "postgres://me:***@db/keys"),
            ("postgres://me:hunter2/hunter2@db/keys", "postgres://me:***@db/keys"),
            ("postgres://me:hun?ter2=hunter2@db/keys", "postgres://me:***@db/keys"),
            ("postgres://me:hunter2:hunter2@db", "postgres://me:***@db"),
            ("postgres://db/keys?user=me&password=hunter2", "postgres://db/keys?user=me&password=***"),
            (
                "postgres://db/keys?sslmode=require&sslPassword=hunter2",
                "postgres://db/keys?sslmode=require&sslPassword=***",
            ),
            ("host=db password=hunter2", HIDDEN),
            ("hunter2", HIDDEN),
            ("sqlite:hunter2@x", HIDDEN),
            ("my hunter2://x", HIDDEN),
            ("https://:hunter2@collector:4317", "https://:***@collector:4317"),
        ];
        for (given, shown) in cases {
            assert_eq!(url(given), shown, "{given}");
            assert!(!url(given).contains("hunter2"), "{given}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for plain in ["postgres://me@db/keys?sslmode=require", "sqlite:/var/lib/gatepost.db", "http://localhost:4317"] {
            assert_eq!(url(plain), plain);
        }
    }
}
