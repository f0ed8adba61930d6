//! Credentials that were found where they must not be: who says so, what a project does about it, and what was done.

use super::clock::Timestamp;
use super::credential::{KeySecret, SecretRole};
use super::environment::Environment;
use super::id::{CredentialId, LeakReportId, ProjectId};
use super::key::{Key, KeyKind};
use super::secret_kind::SecretKind;
use super::secret_search::without_secrets;

/// What a project does about a leaked credential.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LeakPolicy {
    /// A key is revoked.
    Revoke,
    /// A key is suspended. It is the default: whoever found it can do as little with it as if it were revoked, and a report
    /// that was wrong, or of a key that cannot be missed today, can be undone.
    #[default]
    Suspend,
    /// Nothing is done but to write it down.
    Alert,
}

impl LeakPolicy {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Suspend => "suspend",
            Self::Alert => "alert",
        }
    }

    /// The policy of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Revoke, Self::Suspend, Self::Alert].into_iter().find(|policy| policy.as_str() == text)
    }
}

/// What was done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeakAction {
    /// The key was revoked.
    Revoked,
    /// The key was suspended, or was already.
    Suspended,
    /// The old secret of a rotation was ended; the key goes on with its new one.
    SecretEnded,
    /// The token, or the session, was ended with all that belongs to the same grant.
    TokenEnded,
    /// Nothing: the project only wants to know, or nothing can be done without its owner.
    Alerted,
    /// Nothing: it had ended.
    AlreadyEnded,
    /// Nothing: it may be public.
    Public,
}

impl LeakAction {
    const ALL: [Self; 7] = [
        Self::Revoked,
        Self::Suspended,
        Self::SecretEnded,
        Self::TokenEnded,
        Self::Alerted,
        Self::AlreadyEnded,
        Self::Public,
    ];

    /// The word in the store and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "REVOKED",
            Self::Suspended => "SUSPENDED",
            Self::SecretEnded => "SECRET_ENDED",
            Self::TokenEnded => "TOKEN_ENDED",
            Self::Alerted => "ALERTED",
            Self::AlreadyEnded => "ALREADY_ENDED",
            Self::Public => "PUBLIC",
        }
    }

    /// The action of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// Who reports leaks without a credential of ours: they are known by what they sign with.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum LeakReporter {
    /// GitHub, which scans what is published there.
    GitHub,
    /// Whoever has the secret that reports are signed with.
    Signed,
}

impl LeakReporter {
    /// The word in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github-secret-scanning",
            Self::Signed => "leak-reporter",
        }
    }

    /// The reporter of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::GitHub, Self::Signed].into_iter().find(|reporter| reporter.as_str() == text)
    }
}

/// A credential of a project was found somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakReport {
    /// Identifies the report.
    pub id: LeakReportId,
    /// The project of the credential.
    pub project: ProjectId,
    /// The environment of the credential.
    pub environment: Environment,
    /// What leaked: a key, token, grant or session, or the client whose secret it was.
    pub subject: CredentialId,
    /// What it was for.
    pub kind: SecretKind,
    /// How to recognise it without knowing it.
    pub hint: String,
    /// Where it was found.
    pub place: LeakPlace,
    /// Who said so.
    pub reporter: CredentialId,
    /// What was done about it.
    pub action: LeakAction,
    /// When it was reported first.
    pub reported_at: Timestamp,
}

/// Where a credential was found, in the words of whoever found it. Holds no secret.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LeakPlace {
    source: String,
    url: String,
}

impl LeakPlace {
    /// What stands in a report, cut to its bounds, without characters that cannot be seen and without secrets: what is found in
    /// an address stands in its report too.
    pub fn of(source: &str, url: &str) -> Self {
        let clean = |text: &str, most| {
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            // Before it is cut: a part of a secret is found by nobody.
            without_secrets(&text).chars().take(most).collect::<String>()
        };
        Self { source: clean(source, MAX_SOURCE), url: clean(url, MAX_URL) }
    }

    /// Takes what our own store holds.
    pub(crate) fn stored(source: String, url: String) -> Self {
        Self { source, url }
    }

    /// What kind of place it is: `commit`, `gist_content`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its address; empty where there is none.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Does about the leaked secret of a key what the policy says, and tells what was done. The key has changed if its version has.
pub fn act_on_key(leaked: &KeySecret, policy: LeakPolicy, now: Timestamp) -> (Key, LeakAction) {
    let mut key = leaked.key.clone();
    let action = match (key.kind, leaked.role, policy) {
        (KeyKind::Publishable, ..) => LeakAction::Public,
        _ if key.revoked_at.is_some() => LeakAction::AlreadyEnded,
        (.., LeakPolicy::Alert) => LeakAction::Alerted,
        // Who knows the old secret does not know the new one.
        (_, SecretRole::Previous, _) if key.end_grace(now) => LeakAction::SecretEnded,
        (_, SecretRole::Previous, _) => LeakAction::AlreadyEnded,
        (.., LeakPolicy::Revoke) => {
            key.revoke(now);
            LeakAction::Revoked
        }
        // It fails for a revoked key only.
        (.., LeakPolicy::Suspend) => key.suspend(now).map_or(LeakAction::AlreadyEnded, |_| LeakAction::Suspended),
    };
    (key, action)
}

/// Characters of a source that are kept.
pub const MAX_SOURCE: usize = 64;
/// Characters of an address that are kept.
pub const MAX_URL: usize = 500;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::key::RotationMode;
    use crate::domain::secret::{PlainSecret, SecretPrefix};
    use crate::store::tests::support::{at, full_key};

    fn secret_of(key: Key, role: SecretRole) -> KeySecret {
        KeySecret { role, ..KeySecret::only_of(key) }
    }

    #[test]
    fn the_policy_decides_what_becomes_of_a_key() {
        let plain = full_key(at(1));
        let of_kind = |kind| Key { kind, ..plain.clone() };
        let mut revoked = plain.clone();
        revoked.revoke(at(2));
        let mut suspended = plain.clone();
        suspended.suspend(at(2)).unwrap();
        let rotated = |mode, grace| {
            let mut key = plain.clone();
            key.rotate("sk_live_abcd...wxyz".to_owned(), Duration::from_secs(grace), mode, at(2)).unwrap();
            key
        };
        let open = rotated(RotationMode::Immediate, 100);
        let (over, waiting) = (rotated(RotationMode::Immediate, 1), rotated(RotationMode::FirstUse, 100));
        use LeakAction::*;
        use LeakPolicy::*;
        use SecretRole::*;
        for (name, key, role, policy, wanted, changes) in [
            ("current, revoke", &plain, Current, Revoke, Revoked, true),
            ("current, suspend", &plain, Current, Suspend, Suspended, true),
            ("current, alert", &plain, Current, Alert, Alerted, false),
            ("user key", &of_kind(KeyKind::User), Current, Suspend, Suspended, true),
            ("publishable", &of_kind(KeyKind::Publishable), Current, Revoke, Public, false),
            ("revoked", &revoked, Current, Revoke, AlreadyEnded, false),
            ("suspended, suspend", &suspended, Current, Suspend, Suspended, false),
            ("suspended, revoke", &suspended, Current, Revoke, Revoked, true),
            ("old secret, revoke", &open, Previous, Revoke, SecretEnded, true),
            ("old secret, suspend", &open, Previous, Suspend, SecretEnded, true),
            ("old secret, alert", &open, Previous, Alert, Alerted, false),
            ("old secret, past its end", &over, Previous, Revoke, AlreadyEnded, false),
            ("old secret, waiting", &waiting, Previous, Suspend, SecretEnded, true),
            ("new secret, beside the old one", &open, Current, Revoke, Revoked, true),
        ] {
            let (after, action) = act_on_key(&secret_of(key.clone(), role), policy, at(5));
            assert_eq!((action, after.version > key.version), (wanted, changes), "{name}");
            assert_eq!(after.revoked_at.is_some(), wanted == Revoked || name == "revoked", "{name}");
            if wanted == SecretEnded {
                assert_eq!(after.rotation.unwrap().old_expires_at, Some(at(5)), "{name}");
            }
        }
    }

    #[test]
    fn a_place_is_cut_and_holds_no_secret() {
        let secret =
            PlainSecret::generate(&SecretPrefix::fixed("sk"), Environment::Live, &super::super::entropy::SystemEntropy);
        let url = format!("https://a.example/?key={0}&again={0}#x", secret.expose());
        let place = LeakPlace::of("a\nb", &url);
        assert_eq!(place.source(), "ab");
        assert_eq!(place.url(), format!("https://a.example/?key={0}&again={0}#x", secret.hint()));
        let token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln";
        assert_eq!(
            LeakPlace::of("", &format!("https://a.example/{token}?t={token}")).url(),
            "https://a.example/...?t=..."
        );
        let long = LeakPlace::of(&"s".repeat(1000), &"u".repeat(9000));
        assert_eq!((long.source().len(), long.url().len()), (MAX_SOURCE, MAX_URL));
    }

    #[test]
    fn words_are_read_again() {
        for action in LeakAction::ALL {
            assert_eq!(LeakAction::parse(action.as_str()), Some(action));
        }
        for policy in [LeakPolicy::Revoke, LeakPolicy::Suspend, LeakPolicy::Alert] {
            assert_eq!(LeakPolicy::parse(policy.as_str()), Some(policy));
        }
        for reporter in [LeakReporter::GitHub, LeakReporter::Signed] {
            assert_eq!(LeakReporter::parse(reporter.as_str()), Some(reporter));
        }
        assert!(
            LeakPolicy::parse("").is_none() && LeakAction::parse("").is_none() && LeakReporter::parse("").is_none()
        );
    }
}
