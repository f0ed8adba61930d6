//! Every reason a call can be refused or fail for, and the one table that says how each is told on the wires.
//!
//! gRPC takes `grpc` and the reason's name (`google.rpc.ErrorInfo.reason`); HTTP takes `http`, `error` and `title`. Nothing
//! else in the crate maps a reason to a status.

/// Why a call was refused or failed. The names are the values of `DecisionCode` and `ErrorReason` in `error_reason.proto`;
/// a test holds the two together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// A thing of this name exists already.
    AlreadyExists,
    /// This kind of caller may not call this RPC.
    CallerNotAllowed,
    /// The caller's deadline passed first, or a report took longer than any may.
    DeadlineExceeded,
    /// A live credential met test data, or the reverse.
    EnvMismatch,
    /// The etag given is not the current one.
    EtagMismatch,
    /// The caller asked to hand out more than it holds.
    ExceedsCaller,
    /// The credential is past its end.
    Expired,
    /// The request did not come over HTTPS.
    HttpsRequired,
    /// The idempotency key was used before with another request, or the secret that it was answered was replaced since.
    IdempotencyKeyReused,
    /// A needed scope is missing.
    InsufficientScope,
    /// A fault of the server.
    Internal,
    /// What is to prove that the caller holds the key of its token does not, or is missing.
    InvalidDpopProof,
    /// A field of the request breaks its rule.
    InvalidField,
    /// The request itself is wrong.
    InvalidRequest,
    /// The thing's state does not allow this.
    InvalidState,
    /// The client's address is not on the key's allow-list.
    IpDenied,
    /// The keys of a token's issuer cannot be had.
    IssuerUnavailable,
    /// What was presented is not a credential.
    Malformed,
    /// The path exists, but not with this HTTP method.
    MethodNotAllowed,
    /// No credential was presented.
    MissingCredential,
    /// The credential was not issued here.
    NotFound,
    /// The server is at its bound of work in flight.
    Overloaded,
    /// The body is larger than the server takes.
    PayloadTooLarge,
    /// The credits of the credential are spent.
    QuotaExhausted,
    /// A limit of the credential is spent.
    RateLimited,
    /// Nothing with this id exists for the caller.
    ResourceNotFound,
    /// The change log no longer reaches back to this revision.
    RevisionTooOld,
    /// The credential was ended for good.
    Revoked,
    /// No user of this name with this password may sign in.
    SignInFailed,
    /// The store could not be asked.
    StoreUnavailable,
    /// The credential is held by its owner.
    Suspended,
    /// Too many wrong passwords were tried on one account, or too much from one address.
    TooManyAttempts,
    /// Too many credentials that nobody issued came from one address.
    TooManyUnknown,
    /// No such path or RPC.
    UnknownMethod,
    /// The body's type or encoding is not taken here.
    UnsupportedMediaType,
    /// What proves that the caller holds a key has to hold a nonce of ours.
    UseDpopNonce,
}

/// How a reason is told.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// The name on the wire, as in `error_reason.proto`.
    pub name: &'static str,
    /// The HTTP status.
    pub http: u16,
    /// The gRPC status code.
    pub grpc: i32,
    /// The word in the HTTP body's `error`.
    pub error: &'static str,
    /// The problem document's `title` (RFC 9457, section 3.1.3).
    pub title: &'static str,
}

impl Reason {
    /// All reasons, by name.
    pub const ALL: [Self; 36] = [
        Self::AlreadyExists,
        Self::CallerNotAllowed,
        Self::DeadlineExceeded,
        Self::EnvMismatch,
        Self::EtagMismatch,
        Self::ExceedsCaller,
        Self::Expired,
        Self::HttpsRequired,
        Self::IdempotencyKeyReused,
        Self::InsufficientScope,
        Self::Internal,
        Self::InvalidDpopProof,
        Self::InvalidField,
        Self::InvalidRequest,
        Self::InvalidState,
        Self::IpDenied,
        Self::IssuerUnavailable,
        Self::Malformed,
        Self::MethodNotAllowed,
        Self::MissingCredential,
        Self::NotFound,
        Self::Overloaded,
        Self::PayloadTooLarge,
        Self::QuotaExhausted,
        Self::RateLimited,
        Self::ResourceNotFound,
        Self::RevisionTooOld,
        Self::Revoked,
        Self::SignInFailed,
        Self::StoreUnavailable,
        Self::Suspended,
        Self::TooManyAttempts,
        Self::TooManyUnknown,
        Self::UnknownMethod,
        Self::UnsupportedMediaType,
        Self::UseDpopNonce,
    ];

    /// How this reason is told on every wire.
    pub const fn wording(self) -> Wording {
        let (name, http, grpc, error, title) = match self {
            Self::AlreadyExists => ("ALREADY_EXISTS", 409, ALREADY_EXISTS, "already_exists", "Already exists"),
            Self::CallerNotAllowed => {
                ("CALLER_NOT_ALLOWED", 403, PERMISSION_DENIED, "caller_not_allowed", "Not for this kind of credential")
            }
            Self::DeadlineExceeded => {
                ("DEADLINE_EXCEEDED", 504, DEADLINE_EXCEEDED, "deadline_exceeded", "Deadline exceeded")
            }
            Self::EnvMismatch => ("ENV_MISMATCH", 403, PERMISSION_DENIED, "environment_mismatch", "Wrong environment"),
            Self::EtagMismatch => ("ETAG_MISMATCH", 409, ABORTED, "etag_mismatch", "Changed in the meantime"),
            Self::ExceedsCaller => {
                ("EXCEEDS_CALLER", 403, PERMISSION_DENIED, "exceeds_caller", "More than the caller holds")
            }
            Self::Expired => ("EXPIRED", 401, UNAUTHENTICATED, "unauthorized", "Unauthorized"),
            Self::HttpsRequired => ("HTTPS_REQUIRED", 403, PERMISSION_DENIED, "https_required", "HTTPS required"),
            Self::IdempotencyKeyReused => {
                ("IDEMPOTENCY_KEY_REUSED", 409, ALREADY_EXISTS, "idempotency_key_reused", "Idempotency key used before")
            }
            Self::InsufficientScope => {
                ("INSUFFICIENT_SCOPE", 403, PERMISSION_DENIED, "insufficient_scope", "Insufficient scope")
            }
            Self::Internal => ("INTERNAL", 500, INTERNAL, "internal", "Internal error"),
            Self::InvalidField => ("INVALID_FIELD", 400, INVALID_ARGUMENT, "invalid_field", "Invalid field"),
            Self::InvalidDpopProof => {
                ("INVALID_DPOP_PROOF", 401, UNAUTHENTICATED, "invalid_dpop_proof", "Not the holder of the key")
            }
            Self::InvalidRequest => ("INVALID_REQUEST", 400, INVALID_ARGUMENT, "invalid_request", "Invalid request"),
            Self::InvalidState => ("INVALID_STATE", 400, FAILED_PRECONDITION, "invalid_state", "Not in this state"),
            Self::IpDenied => ("IP_DENIED", 403, PERMISSION_DENIED, "ip_not_allowed", "Address not allowed"),
            Self::IssuerUnavailable => {
                ("ISSUER_UNAVAILABLE", 503, UNAVAILABLE, "issuer_unavailable", "Identity provider unavailable")
            }
            Self::Malformed => ("MALFORMED", 401, UNAUTHENTICATED, "unauthorized", "Unauthorized"),
            Self::MethodNotAllowed => {
                ("METHOD_NOT_ALLOWED", 405, UNIMPLEMENTED, "method_not_allowed", "Method not allowed")
            }
            Self::MissingCredential => ("MISSING_CREDENTIAL", 401, UNAUTHENTICATED, "unauthorized", "Unauthorized"),
            Self::NotFound => ("NOT_FOUND", 401, UNAUTHENTICATED, "unauthorized", "Unauthorized"),
            Self::Overloaded => ("OVERLOADED", 503, UNAVAILABLE, "overloaded", "Overloaded"),
            Self::PayloadTooLarge => {
                ("PAYLOAD_TOO_LARGE", 413, RESOURCE_EXHAUSTED, "payload_too_large", "Payload too large")
            }
            Self::QuotaExhausted => (
                "QUOTA_EXHAUSTED",
                429,
                RESOURCE_EXHAUSTED,
                "quota_exhausted",
                "Request cannot be satisfied as assigned quota has been exceeded",
            ),
            Self::RateLimited => (
                "RATE_LIMITED",
                429,
                RESOURCE_EXHAUSTED,
                "rate_limit_exceeded",
                "Request cannot be satisfied as assigned quota has been exceeded",
            ),
            Self::ResourceNotFound => ("RESOURCE_NOT_FOUND", 404, NOT_FOUND, "not_found", "Not found"),
            Self::RevisionTooOld => ("REVISION_TOO_OLD", 400, OUT_OF_RANGE, "revision_too_old", "Revision too old"),
            Self::Revoked => ("REVOKED", 401, UNAUTHENTICATED, "unauthorized", "Unauthorized"),
            Self::SignInFailed => ("SIGN_IN_FAILED", 401, UNAUTHENTICATED, "invalid_credentials", "Sign-in failed"),
            Self::StoreUnavailable => {
                ("STORE_UNAVAILABLE", 503, UNAVAILABLE, "store_unavailable", "Temporarily unavailable")
            }
            Self::Suspended => ("SUSPENDED", 403, PERMISSION_DENIED, "key_suspended", "Key suspended"),
            Self::TooManyAttempts => {
                ("TOO_MANY_ATTEMPTS", 429, RESOURCE_EXHAUSTED, "rate_limit_exceeded", "Too many attempts")
            }
            Self::TooManyUnknown => {
                ("TOO_MANY_UNKNOWN", 429, RESOURCE_EXHAUSTED, "rate_limit_exceeded", "Too many unknown credentials")
            }
            Self::UnknownMethod => ("UNKNOWN_METHOD", 404, UNIMPLEMENTED, "not_found", "No such path"),
            Self::UnsupportedMediaType => {
                ("UNSUPPORTED_MEDIA_TYPE", 415, INVALID_ARGUMENT, "unsupported_media_type", "Unsupported media type")
            }
            Self::UseDpopNonce => ("USE_DPOP_NONCE", 401, UNAUTHENTICATED, "use_dpop_nonce", "A nonce is needed"),
        };
        Wording { name, http, grpc, error, title }
    }

    /// The reason with this name on the wire.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.wording().name == name)
    }
}

// gRPC status codes (grpc/grpc doc/statuscodes.md), as numbers so that the domain knows no transport.
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const ABORTED: i32 = 10;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;
