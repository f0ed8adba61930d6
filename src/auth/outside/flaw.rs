//! What can be wrong with a token.

use std::fmt;

use crate::domain::reason::Reason;

/// What is wrong with a token. It is for logs and for those who may see why: who presents a token is told only that it is not
/// good.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Flaw {
    /// It is longer than the longest token.
    TooLong,
    /// It is not three parts of base64url, none of them empty where it must not be.
    NotCompact,
    /// It has the five parts, or the header, of an encrypted token.
    Encrypted,
    /// Its header is not one JSON object, or one that is too deep.
    HeaderNotJson,
    /// Its claims are not one JSON object, or one that is too deep.
    ClaimsNotJson,
    /// A member stands twice in one object.
    DuplicateMember,
    /// A member of the header is not of its type.
    HeaderMember,
    /// It is not signed, by a shared secret, or in a way unknown here.
    AlgorithmUnsupported,
    /// Its issuer does not sign in this way.
    AlgorithmNotListed,
    /// It asks for extensions that have to be understood (RFC 7515, section 4.1.11).
    Critical,
    /// It is of a type that says nothing about who is calling.
    WrongType,
    /// It holds another token.
    Nested,
    /// No trusted issuer made it.
    UnknownIssuer,
    /// None of the issuer's keys is the one it names.
    UnknownKey,
    /// It names no key, and more than one could be meant.
    KeyNotNamed,
    /// The signature is not one of the issuer's key over it.
    BadSignature,
    /// A claim that must be there is not.
    ClaimMissing(&'static str),
    /// A claim is not of its type or breaks its rule.
    ClaimInvalid(&'static str),
    /// It is for others.
    WrongAudience,
    /// It is past its end.
    Expired,
    /// It is not good yet, or was made in the future.
    NotYetValid,
    /// It is good once, and was used.
    Used,
}

impl Flaw {
    /// The decision code it stands for.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::Expired,
            Self::UnknownIssuer | Self::UnknownKey | Self::BadSignature | Self::WrongAudience | Self::NotYetValid => {
                Reason::NotFound
            }
            _ => Reason::Malformed,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::TooLong => "the token is too long",
            Self::NotCompact => "the token is not three parts of base64url",
            Self::Encrypted => "the token is encrypted",
            Self::HeaderNotJson => "the token's header is not a JSON object",
            Self::ClaimsNotJson => "the token's claims are not a JSON object",
            Self::DuplicateMember => "the token says a thing twice",
            Self::HeaderMember => "a member of the token's header is not of its type",
            Self::AlgorithmUnsupported => "the token is not signed by an asymmetric algorithm that is known here",
            Self::AlgorithmNotListed => "the token is signed by an algorithm that its issuer does not list",
            Self::Critical => "the token asks for an extension",
            Self::WrongType => "the token is not of a type that says who is calling",
            Self::Nested => "the token holds another token",
            Self::UnknownIssuer => "the token's issuer is not trusted",
            Self::UnknownKey => "the token names a key that its issuer does not have",
            Self::KeyNotNamed => "the token does not say which of its issuer's keys signed it",
            Self::BadSignature => "the token's signature is not good",
            Self::ClaimMissing(name) => return write!(f, "the token has no {name}"),
            Self::ClaimInvalid(name) => return write!(f, "the token's {name} breaks its rule"),
            Self::WrongAudience => "the token is for another audience",
            Self::Expired => "the token is past its end",
            Self::NotYetValid => "the token is not valid yet",
            Self::Used => "the token was used before",
        };
        f.write_str(text)
    }
}
