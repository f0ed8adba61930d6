//! The headers of requests and answers that are no credentials.

use serde_json::{Map, Value, json};

/// A header that clients may send or read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    name: &'static str,
    /// Its name in `components`.
    component: &'static str,
    /// What it says when a client sends it; nothing if clients do not.
    sent: &'static str,
    /// What it says in an answer; nothing if answers do not have it.
    answered: &'static str,
    schema: fn() -> Value,
}

impl Header {
    /// A reference for an operation's `parameters`.
    pub(super) fn in_requests(&self) -> Value {
        json!({"$ref": format!("#/components/parameters/{}", self.component)})
    }

    /// A member of an answer's `headers`.
    pub(super) fn in_answers(&self) -> (String, Value) {
        (self.name.to_owned(), json!({"$ref": format!("#/components/headers/{}", self.component)}))
    }
}

/// `components.parameters`: the headers that clients send.
pub(super) fn parameters() -> Value {
    let sent = all().filter(|header| !header.sent.is_empty()).map(|header| {
        let Header { name, component, sent, .. } = header;
        let parameter = json!({"name": name, "in": "header", "description": sent, "schema": (header.schema)()});
        ((*component).to_owned(), parameter)
    });
    sent.collect::<Map<_, _>>().into()
}

/// `components.headers`: the headers of answers.
pub(super) fn headers() -> Value {
    let answered = all().filter(|header| !header.answered.is_empty()).map(|header| {
        let component = header.component.to_owned();
        (component, json!({"description": header.answered, "schema": (header.schema)()}))
    });
    answered.collect::<Map<_, _>>().into()
}

/// The id of a request.
pub(super) const REQUEST_ID: Header = Header {
    name: "X-Request-Id",
    component: "RequestId",
    sent: "An id for this request, instead of one that the server makes.",
    answered: "The request's id, which finds it in the server's log.",
    schema: || json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}),
};

/// How long a client waits.
pub(super) const REQUEST_TIMEOUT: Header = Header {
    name: "X-Request-Timeout",
    component: "RequestTimeout",
    sent: "How long the client waits for the answer, in seconds (`2.5`) or with a unit (`250ms`, `30s`). The call is \
           given up after that.",
    answered: "",
    schema: || json!({"type": "string", "pattern": "^[0-9.]+(ms|s)?$", "maxLength": 16}),
};

/// The key under which a client may repeat a request.
pub(super) const IDEMPOTENCY_KEY: Header = Header {
    name: "Idempotency-Key",
    component: "IdempotencyKey",
    sent: "A name for this request, chosen by the client. Sent again with the same body within 24 hours, it gets the same \
           answer and nothing is done twice; with another body it is refused.",
    answered: "",
    schema: || json!({"type": "string", "pattern": "^[!-~]{1,255}$"}),
};

/// How many items a list has.
pub(super) const PAGINATION_TOTAL: Header = Header {
    name: "X-Pagination-Total",
    component: "PaginationTotal",
    sent: "",
    answered: "Items in the whole list; where the page is named by number (`limit` or `size`).",
    schema: || json!({"type": "integer", "format": "int32", "minimum": 0}),
};

/// When to try again.
pub(super) const RETRY_AFTER: Header = Header {
    name: "Retry-After",
    component: "RetryAfter",
    sent: "",
    answered: "Seconds after which trying again may help.",
    schema: || json!({"type": "integer", "minimum": 1}),
};

/// What credential is wanted.
pub(super) const CHALLENGE: Header = Header {
    name: "WWW-Authenticate",
    component: "Challenge",
    sent: "",
    answered: "Which credential is wanted, or which scope is missing (RFC 6750, section 3).",
    schema: || json!({"type": "string"}),
};

/// How the caller's key stands with its rate limits; only where it has some.
pub(super) const LIMITS: [Header; 5] = [
    limit(
        "RateLimit",
        "RateLimit",
        "What is left of each rate limit of the key (draft-ietf-httpapi-ratelimit-headers-11): `\"per-minute\";r=93;t=5`. Only \
         where the key has some.",
        || json!({"type": "string"}),
    ),
    limit(
        "RateLimit-Policy",
        "RateLimitPolicy",
        "The rate limits of the key: `\"per-minute\";q=100;w=60`.",
        || json!({"type": "string"}),
    ),
    limit(
        "X-RateLimit-Limit",
        "XRateLimitLimit",
        "The calls that the limit allows which is nearest to its end.",
        number,
    ),
    limit("X-RateLimit-Remaining", "XRateLimitRemaining", "The calls that are left of it.", number),
    limit(
        "X-RateLimit-Reset",
        "XRateLimitReset",
        "Seconds until it is whole again or, of a refusal, until there is enough.",
        number,
    ),
];

const fn limit(name: &'static str, component: &'static str, answered: &'static str, schema: fn() -> Value) -> Header {
    Header { name, component, sent: "", answered, schema }
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn all() -> impl Iterator<Item = Header> {
    [REQUEST_ID, REQUEST_TIMEOUT, IDEMPOTENCY_KEY, PAGINATION_TOTAL, RETRY_AFTER, CHALLENGE].into_iter().chain(LIMITS)
}
