//! Errors in the words of the RFCs. What goes wrong inside is told as `server_error` or `temporarily_unavailable`, and the
//! log has the rest.

use std::time::Duration;

use crate::domain::error::Error;
use crate::domain::reason::Reason;

/// An error that a client is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OAuthError {
    /// The word.
    pub word: Word,
    /// What happened and what to do, for people: printable ASCII without `"` and `\` (RFC 6749, section 5.2).
    pub description: String,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

/// The words that the RFCs have for errors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// A parameter is missing, comes twice or breaks its rule.
    InvalidRequest,
    /// The client is not who it says it is.
    InvalidClient,
    /// What is to prove that the client holds a key does not (RFC 9449, section 5).
    InvalidDpopProof,
    /// The code, refresh token or device code is not good, or not this client's.
    InvalidGrant,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// The grant is not known here.
    UnsupportedGrantType,
    /// The scope is unknown, or more than there is to have.
    InvalidScope,
    /// A resource or audience is unknown here (RFC 8707, RFC 8693).
    InvalidTarget,
    /// A redirect URI cannot be registered (RFC 7591, section 3.2.2).
    InvalidRedirectUri,
    /// What a client says of itself cannot be taken (RFC 7591, section 3.2.2).
    InvalidClientMetadata,
    /// Nobody's word for a client counts here (RFC 7591, section 3.2.2).
    UnapprovedSoftwareStatement,
    /// Only `code` is an answer that is given here.
    UnsupportedResponseType,
    /// A request by reference is not taken here (RFC 9101).
    RequestNotSupported,
    /// A request at an address of the client's is not taken here (OpenID Connect Core 1.0, section 6).
    RequestUriNotSupported,
    /// There is no pushed request of this name, or none any more (RFC 9101, section 7; RFC 9126, section 4).
    InvalidRequestUri,
    /// The user does not agree, or may not.
    AccessDenied,
    /// The user would have to sign in, and must not be asked (OpenID Connect Core 1.0, section 3.1.2.6).
    LoginRequired,
    /// The user would have to agree, and must not be asked.
    ConsentRequired,
    /// Nobody has decided about the device yet (RFC 8628, section 3.5).
    AuthorizationPending,
    /// The device asks too often.
    PolledTooFast,
    /// It is too late for the device.
    ExpiredToken,
    /// Too much was asked for.
    SlowDown,
    /// The proof has to hold a nonce of ours (RFC 9449, section 8).
    UseDpopNonce,
    /// A fault of the server.
    ServerError,
    /// The server cannot do it now.
    TemporarilyUnavailable,
}

impl Word {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::UnapprovedSoftwareStatement => "unapproved_software_statement",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::AuthorizationPending => "authorization_pending",
            Self::PolledTooFast | Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

impl OAuthError {
    /// An error with this word and description.
    pub fn new(word: Word, description: impl Into<String>) -> Self {
        let tellable = |c: char| if (' '..='~').contains(&c) && c != '"' && c != '\\' { c } else { '\'' };
        let description: String = description.into();
        Self { word, description: description.chars().map(tellable).collect(), retry_after: None }
    }
}

/// What a store or a service refuses, as a client is told it.
impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        let word = match error.reason {
            Reason::StoreUnavailable | Reason::Overloaded | Reason::DeadlineExceeded | Reason::IssuerUnavailable => {
                Word::TemporarilyUnavailable
            }
            Reason::TooManyUnknown | Reason::TooManyAttempts | Reason::RateLimited | Reason::QuotaExhausted => {
                Word::SlowDown
            }
            Reason::InvalidDpopProof => Word::InvalidDpopProof,
            Reason::UseDpopNonce => Word::UseDpopNonce,
            Reason::InvalidField | Reason::InvalidRequest => Word::InvalidRequest,
            _ => Word::ServerError,
        };
        let description = match word {
            Word::ServerError => "the server failed; its log says why".to_owned(),
            _ => error.message,
        };
        Self { retry_after: error.retry_after, ..Self::new(word, description) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_what_the_rfc_lets_it_be() {
        let told = OAuthError::new(Word::InvalidRequest, "say \"x\\y\" \u{e9}\n").description;
        assert_eq!(told, "say 'x'y' ''");
    }

    #[test]
    fn faults_are_not_told() {
        let fault = OAuthError::from(Error::new(Reason::Internal, "table tokens is gone"));
        assert_eq!((fault.word, fault.description.contains("table")), (Word::ServerError, false));
        let busy = Error { retry_after: Some(Duration::from_secs(2)), ..Error::new(Reason::Overloaded, "busy") };
        let busy = OAuthError::from(busy);
        assert_eq!((busy.word, busy.retry_after), (Word::TemporarilyUnavailable, Some(Duration::from_secs(2))));
    }
}
