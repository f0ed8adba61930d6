//! Identifiers: a prefix that says what is named and a UUIDv7 (RFC 9562, section 5.7), so that ids sort by age.

use std::fmt;

use uuid::Uuid;

use super::clock::Timestamp;
use super::entropy::Entropy;
use super::leak::LeakReporter;

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Box<str>);

        impl $name {
            /// A new id for something made at `now`.
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(format!(concat!($prefix, "_{}"), uuid_v7(now, entropy).simple()).into())
            }

            /// Reads an id that a client sent; none if it cannot be one.
            pub fn parse(text: &str) -> Option<Self> {
                is_prefixed_uuid(text, concat!($prefix, "_")).then(|| Self(text.into()))
            }

            /// Takes an id that our own store holds.
            pub(crate) fn stored(text: String) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

prefixed_id!(
    /// Names a key: `key_` and 32 hexadecimal digits.
    KeyId,
    "key"
);
prefixed_id!(
    /// Names a product: `prod_` and 32 hexadecimal digits.
    ProductId,
    "prod"
);
prefixed_id!(
    /// Names a user: `usr_` and 32 hexadecimal digits.
    UserId,
    "usr"
);
prefixed_id!(
    /// Names an entry of the audit log: `evt_` and 32 hexadecimal digits.
    AuditEventId,
    "evt"
);
prefixed_id!(
    /// Names a trusted issuer: `iss_` and 32 hexadecimal digits.
    IssuerId,
    "iss"
);
prefixed_id!(
    /// Names a session: `ses_` and 32 hexadecimal digits.
    SessionId,
    "ses"
);
prefixed_id!(
    /// Names an OAuth client: `cli_` and 32 hexadecimal digits, so that it is never taken for a user (RFC 9068, section 5).
    ClientId,
    "cli"
);
prefixed_id!(
    /// Names what a user agreed to, and all tokens that come of it: `grt_` and 32 hexadecimal digits.
    GrantId,
    "grt"
);
prefixed_id!(
    /// Names an access token: `tok_` and 32 hexadecimal digits.
    TokenId,
    "tok"
);
prefixed_id!(
    /// Names a report of a leaked credential: `leak_` and 32 hexadecimal digits.
    LeakReportId,
    "leak"
);
prefixed_id!(
    /// Names an alert: `alt_` and 32 hexadecimal digits.
    AlertId,
    "alt"
);

prefixed_id!(
    /// Names a webhook: `wh_` and 32 hexadecimal digits.
    WebhookId,
    "wh"
);
prefixed_id!(
    /// Names something that webhooks are told of, and each delivery of it: `msg_` and 32 hexadecimal digits (the `webhook-id` of
    /// Standard Webhooks). `evt_` names entries of the audit log.
    EventId,
    "msg"
);

/// Names what somebody calls with, or the user they act as.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CredentialId {
    /// A key.
    Key(KeyId),
    /// A session.
    Session(SessionId),
    /// A user, whatever they called with.
    User(UserId),
    /// An OAuth client.
    Client(ClientId),
    /// All tokens of a grant.
    Grant(GrantId),
    /// An access token.
    Token(TokenId),
    /// A trusted issuer: the tokens of all its users.
    Issuer(IssuerId),
    /// Who reports leaks, and is known by a signature.
    Reporter(LeakReporter),
}

impl CredentialId {
    /// Reads an id that a client sent; none if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let key = || KeyId::parse(text).map(Self::Key);
        let session = || SessionId::parse(text).map(Self::Session);
        let user = || UserId::parse(text).map(Self::User);
        let issuer = || IssuerId::parse(text).map(Self::Issuer);
        let client = || ClientId::parse(text).map(Self::Client);
        let reporter = || LeakReporter::parse(text).map(Self::Reporter);
        key().or_else(session).or_else(user).or_else(issuer).or_else(client).or_else(reporter)
    }

    /// Takes an id that our own store holds; its prefix tells what it names.
    pub(crate) fn stored(text: String) -> Self {
        if text.starts_with("ses_") {
            Self::Session(SessionId::stored(text))
        } else if text.starts_with("usr_") {
            Self::User(UserId::stored(text))
        } else if text.starts_with("cli_") {
            Self::Client(ClientId::stored(text))
        } else if text.starts_with("grt_") {
            Self::Grant(GrantId::stored(text))
        } else if text.starts_with("tok_") {
            Self::Token(TokenId::stored(text))
        } else if text.starts_with("iss_") {
            Self::Issuer(IssuerId::stored(text))
        } else if let Some(reporter) = LeakReporter::parse(&text) {
            Self::Reporter(reporter)
        } else {
            Self::Key(KeyId::stored(text))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(id) => id.as_str(),
            Self::Session(id) => id.as_str(),
            Self::User(id) => id.as_str(),
            Self::Client(id) => id.as_str(),
            Self::Grant(id) => id.as_str(),
            Self::Token(id) => id.as_str(),
            Self::Issuer(id) => id.as_str(),
            Self::Reporter(reporter) => reporter.as_str(),
        }
    }

    /// The key, if it names one.
    pub fn key(&self) -> Option<&KeyId> {
        match self {
            Self::Key(id) => Some(id),
            Self::Session(_) | Self::User(_) | Self::Issuer(_) => None,
            Self::Client(_) | Self::Grant(_) | Self::Token(_) | Self::Reporter(_) => None,
        }
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<KeyId> for CredentialId {
    fn from(id: KeyId) -> Self {
        Self::Key(id)
    }
}

/// Names a project: the word people chose for it, 1 to 40 lower-case letters, digits and inner hyphens.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProjectId(Box<str>);

impl ProjectId {
    /// The project that the first start makes.
    pub const DEFAULT: &'static str = "default";

    /// Reads a project's name; none if it breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-';
        let bytes = text.as_bytes();
        let ok = (1..=40).contains(&bytes.len())
            && bytes.iter().all(inner)
            && bytes[0].is_ascii_lowercase()
            && bytes[bytes.len() - 1] != b'-';
        ok.then(|| Self(text.into()))
    }

    /// Takes a name that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// The project that the first start makes.
    pub fn default_project() -> Self {
        Self(Self::DEFAULT.into())
    }

    /// Whether it is the project that the first start makes.
    pub fn is_default(&self) -> bool {
        &*self.0 == Self::DEFAULT
    }

    /// The rule a name keeps, for error messages.
    pub const RULE: &'static str =
        "a project's name is 1 to 40 lower-case letters, digits and inner hyphens, a letter first";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(now.millis()).unwrap_or(0), &random).into_uuid()
}

fn is_prefixed_uuid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}
