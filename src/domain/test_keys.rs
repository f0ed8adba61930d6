//! Reserved test keys: well-formed secrets that nobody is ever issued and that always get the same refusal, so that whoever
//! integrates can test what they do about it.
//!
//! They are known by their text alone: nothing is looked up for them, they belong to no project, and there is no answer for
//! them that admits anybody. Callers of the live environment do not know them.

use std::sync::Arc;

use super::clock::Timestamp;
use super::credential::{Credential, Form, KeySecret};
use super::environment::Environment;
use super::error::Error;
use super::id::{KeyId, ProjectId};
use super::key::{Key, KeyDetails, KeyKind};
use super::limit::bucket::{Bucket, BucketId};
use super::limit::limits::{Cost, Funds, Limit, Limits};
use super::limit::purse::Purse;
use super::limit::quota::{Quota, Refill};
use super::limit::report::Report;
use super::limit::tally::{Tally, Terms};
use super::reason::Reason;

/// One of them.
#[derive(Debug)]
pub struct TestKey {
    /// What is presented. It is public.
    pub secret: &'static str,
    /// The id that it is told by: of the form of a key's, and never one of a key.
    pub id: &'static str,
    /// The answer.
    pub reason: Reason,
    /// What the answer means, for people.
    pub meaning: &'static str,
}

impl TestKey {
    /// The reserved test key that was presented, if it is one. Looks no further than it must.
    pub fn find(presented: &str) -> Option<&'static Self> {
        presented.starts_with(MARK).then(|| TEST_KEYS.iter().find(|key| key.secret == presented)).flatten()
    }

    /// The refusal at the door. `scope` is what is missing where that is the answer, `standing` how it stands with its limits.
    pub fn refusal(&self, scope: Option<String>, standing: Option<&Report>) -> Error {
        match (self.reason, standing) {
            (Reason::InsufficientScope, _) => Error::insufficient_scope(scope.unwrap_or_else(|| SCOPE.to_owned())),
            (_, Some(report)) => report.error(),
            (reason, None) => Error::new(reason, self.meaning),
        }
    }

    /// How it stands with its limits: none where they are not what it is refused for. A limit of which everything was spent this
    /// moment, or credits that come back tomorrow.
    pub fn standing(&self, now: Timestamp) -> Option<Report> {
        let nothing_changes = |_: &Limit| {};
        let limits = match self.reason {
            Reason::RateLimited => {
                let id = BucketId { text: self.id.into(), project: ProjectId::default_project() };
                let bucket = Arc::new(Bucket::new(id, 0, Tally::fresh(TERMS)));
                let limits = Limits::new(vec![Limit::new("test".into(), TERMS, bucket)], None, false)?;
                limits.spend(Cost::of_rpc(TERMS.calls), now, nothing_changes)?;
                limits
            }
            Reason::QuotaExhausted => {
                let quota = Quota::set(0, Refill::Daily(CREDITS), 1, now);
                let purse = Arc::new(Purse::empty(KeyId::stored(self.id.to_owned()), &quota, now));
                Limits::new(Vec::new(), Some(Funds { quota, purse }), false)?
            }
            _ => return None,
        };
        limits.spend(Cost::of_rpc(1), now, nothing_changes)
    }

    /// What a caller in this project is told of it: a key with its fate. None where the answer is that there is no such key.
    pub fn credential(&self, project: &ProjectId) -> Option<Credential> {
        let is = |reason| self.reason == reason;
        if is(Reason::NotFound) {
            return None;
        }
        let key = Key {
            id: KeyId::stored(self.id.to_owned()),
            project: project.clone(),
            environment: if is(Reason::EnvMismatch) { Environment::Live } else { Environment::Test },
            kind: KeyKind::Secret,
            user: None,
            details: KeyDetails {
                name: format!("Test key {}", self.reason.wording().name),
                expires_at: is(Reason::Expired).then_some(LONG_AGO),
                ..KeyDetails::default()
            },
            recoverable: false,
            hint: super::secret::hint(self.secret).into(),
            rotation: None,
            created_by: None,
            created_at: LONG_AGO,
            updated_at: LONG_AGO,
            suspended_at: is(Reason::Suspended).then_some(LONG_AGO),
            revoked_at: is(Reason::Revoked).then_some(LONG_AGO),
            version: 1,
        };
        Some(Credential::new(Form::Key(KeySecret::only_of(key))))
    }
}

/// All of them.
pub static TEST_KEYS: [TestKey; 9] = [
    TestKey {
        secret: "sk_test_GatepostTestKeyExpired0000000000000000000001DPVuT",
        id: "key_00000000000000000000000000000001",
        reason: Reason::Expired,
        meaning: "The key is past its end",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeyRevoked0000000000000000000003Kvw8A",
        id: "key_00000000000000000000000000000002",
        reason: Reason::Revoked,
        meaning: "The key is revoked",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeySuspended00000000000000000000eiQ2f",
        id: "key_00000000000000000000000000000003",
        reason: Reason::Suspended,
        meaning: "The key is suspended",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeyRateLimited000000000000000002tVVpG",
        id: "key_00000000000000000000000000000004",
        reason: Reason::RateLimited,
        meaning: "The key was used too often for a while",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeyQuotaExhausted000000000000001tBfXL",
        id: "key_00000000000000000000000000000005",
        reason: Reason::QuotaExhausted,
        meaning: "The key's quota is used up",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeyIpDenied000000000000000000000pXSRn",
        id: "key_00000000000000000000000000000006",
        reason: Reason::IpDenied,
        meaning: "The key may not be used from this address",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeyInsufficientScope000000000002VnhSt",
        id: "key_00000000000000000000000000000007",
        reason: Reason::InsufficientScope,
        meaning: "The key does not hold a scope that is needed",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeyEnvMismatch000000000000000001HW5hD",
        id: "key_00000000000000000000000000000008",
        reason: Reason::EnvMismatch,
        meaning: "The key belongs to the other environment (live or test)",
    },
    TestKey {
        secret: "sk_test_GatepostTestKeyNotFound000000000000000000003eWwMb",
        id: "key_00000000000000000000000000000009",
        reason: Reason::NotFound,
        meaning: "The key was not issued here",
    },
];

/// The scope that is missing where none was asked for.
pub const SCOPE: &str = "admin";
/// Two calls a minute: whoever has made them waits 30 seconds for the next.
const TERMS: Terms = Terms { calls: 2, window: 60_000_000 };
const CREDITS: i64 = 100;
/// What all of them begin with.
const MARK: &str = "sk_test_GatepostTestKey";
/// The begin of the year 2020.
const LONG_AGO: Timestamp = Timestamp::from_micros(1_577_836_800_000_000);

#[cfg(test)]
mod tests {
    use super::super::secret::SecretShape;
    use super::*;

    #[test]
    fn each_is_a_secret_by_shape_and_checksum_and_is_found_as_it_is_only() {
        for key in &TEST_KEYS {
            let shape = SecretShape::parse(key.secret).unwrap_or_else(|| panic!("{}", key.secret));
            assert_eq!((shape.prefix, shape.environment), ("sk", Environment::Test));
            assert_eq!(TestKey::find(key.secret).map(|found| found.id), Some(key.id));
            assert!(TestKey::find(&key.secret.to_lowercase()).is_none());
            assert!(TestKey::find(&format!("{}0", key.secret)).is_none());
            assert!(TestKey::find(&key.secret[..56]).is_none());
            let word: String = key.reason.wording().name.split('_').map(str::to_lowercase).collect();
            assert!(key.secret.to_lowercase().contains(&word), "{} names its answer", key.secret);
        }
        assert!(TestKey::find("").is_none());
    }

    #[test]
    fn their_ids_are_no_uuids_of_version_7_so_no_key_has_one() {
        for key in &TEST_KEYS {
            assert!(KeyId::parse(key.id).is_some());
            assert_ne!(&key.id[16..17], "7");
        }
    }

    #[test]
    fn those_that_were_used_too_often_say_how_they_stand_and_when_to_try_again() {
        // 2025-11-22 at 06:00, 18 hours before there are new credits.
        let now = Timestamp::from_micros(1_763_791_200_000_000);
        let told = TEST_KEYS.iter().filter_map(|key| {
            let (report, mut header) = (key.standing(now)?, String::new());
            report.write_header(&mut header);
            Some((report.refusal()?, header, report.retry_after()?.as_secs(), report.error().reason == key.reason))
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                (Reason::RateLimited, "\"test\";r=0;t=30".to_owned(), 30, true),
                (Reason::QuotaExhausted, "\"credits\";r=0;t=64800".to_owned(), 64_800, true),
            ]
        );
    }

    #[test]
    fn no_two_are_alike() {
        for (place, one) in TEST_KEYS.iter().enumerate() {
            for other in &TEST_KEYS[place + 1..] {
                assert!(one.secret != other.secret && one.id != other.id && one.reason != other.reason);
            }
        }
    }
}
