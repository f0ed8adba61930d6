//! Examples: what a request or an answer of an operation looks like. Most fields say by their name what they hold.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::schema::{Behaviour, Use, is_always_there};
use crate::domain::dialect::Dialect;

/// What an example is an example of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    /// The RPC's name.
    pub(super) method: &'a str,
    /// The family of paths.
    pub(super) dialect: Dialect,
    /// Who sends it.
    pub(super) for_: Use,
}

impl Scene<'_> {
    /// An example of a message without some of its fields.
    pub(super) fn message(self, message: &MessageDescriptor, without: &[String]) -> Value {
        self.object(message, without, 0)
    }

    /// What a parameter of this name may hold, if it says so by its name.
    pub(super) fn parameter(self, field: &FieldDescriptor) -> Option<Value> {
        self.known(field)
    }

    /// An example of a field's value.
    pub(super) fn field(self, field: &FieldDescriptor) -> Value {
        self.value(field, 0)
    }

    fn object(self, message: &MessageDescriptor, without: &[String], depth: usize) -> Value {
        if let Some(text) = well_known(message.full_name()) {
            return text;
        }
        if depth == MAX_DEPTH {
            return json!({});
        }
        let shown = |field: &FieldDescriptor| !without.iter().any(|name| name == field.name()) && self.shows(field);
        let members = message.fields().filter(shown);
        members.map(|field| (field.json_name().to_owned(), self.value(&field, depth))).collect::<Map<_, _>>().into()
    }

    /// Whether the example has this field: an answer has what is always there, and both have what is known.
    fn shows(self, field: &FieldDescriptor) -> bool {
        match self.for_ {
            Use::Answer => {
                let by_number = field.name() == "pagination" && self.dialect == Dialect::Billing;
                is_always_there(field) || by_number || self.known(field).is_some()
            }
            Use::Request => {
                let behaviour = Behaviour::of(field);
                let known = !behaviour.output_only && field.name() != "etag" && self.known(field).is_some();
                behaviour.required || known
            }
            Use::Change => {
                let also = ["gatepost.v1.User.alias", "gatepost.v1.Client.name", "gatepost.v1.AlertRule.enabled"];
                field.name() == "description" || also.contains(&field.full_name())
            }
        }
    }

    fn value(self, field: &FieldDescriptor, depth: usize) -> Value {
        if let Some(known) = self.known(field) {
            return known;
        }
        if field.is_map() {
            return json!({});
        }
        let one = match field.kind() {
            Kind::Message(message) => self.object(&message, &[], depth + 1),
            _ if field.is_list() => return json!([]),
            Kind::Bool => json!(false),
            Kind::String | Kind::Bytes => json!(""),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => json!("0"),
            Kind::Enum(descriptor) => {
                let chosen = descriptor.values().find(|value| value.number() != 0);
                chosen.map_or(json!(0), |value| value.name().into())
            }
            _ => json!(0),
        };
        if field.is_list() { json!([one]) } else { one }
    }

    /// What a field of this name holds.
    fn known(self, field: &FieldDescriptor) -> Option<Value> {
        let message = field.parent_message().name();
        let answer = self.for_ == Use::Answer;
        Some(match (message, field.name()) {
            ("GetUsageRequest" | "ListAccessLogRequest" | "ExportAccessLogRequest", _) => return None,
            ("GetScopeUsageResponse", _) => return None,
            ("ScopeUse", "scope") => json!("read:products"),
            ("MethodUse", "method") => json!("verification"),
            ("MethodUse" | "AddressUse", "calls") => json!("42"),
            ("AddressUse", "address") => json!("203.0.113.7"),
            ("UsageCount" | "AccessLogEntry", "method") => json!("Keys/GetKey"),
            ("UsageCount" | "AccessLogEntry", "outcome") => json!("VALID"),
            ("UsageCount" | "AccessLogEntry", "calls") | ("GetUsageResponse", "total") => json!("42"),
            ("AccessLogEntry", "address") => json!("203.0.113.7"),
            ("AccessLogEntry", "user_agent") => json!("shop/1.4"),
            (_, "key_id" | "created_by") => json!(KEY_ID),
            ("AuditEvent", "id") => json!("evt_0192f6a5c7d87b3e9f1a2b3c4d5e6f71"),
            ("AuditEvent", "seq") => json!("42"),
            ("AuditEvent", "actor" | "target") => json!(KEY_ID),
            ("AuditEvent", "token_id" | "user_id") => return None,
            ("AuditEvent", "action") => json!("key.suspended"),
            ("AuditEvent", "request_id") => json!("req_0192f6a5c7d87b3e9f1a2b3c4d5e6f72"),
            ("AuditEvent", "after") => json!("{\"suspendedAt\":\"2026-02-01T12:00:00Z\"}"),
            ("LeakReport", "id") => json!("leak_0192f6a5c7d87b3e9f1a2b3c4d5e6f73"),
            ("LeakReport", "credential_id") => json!(KEY_ID),
            ("LeakReport", "type") => json!("secret_key"),
            ("LeakReport" | "ReportLeakRequest", "source") => json!("chat"),
            ("LeakReport" | "ReportLeakRequest", "url") => json!("https://chat.example.com/1"),
            ("LeakReport", "reporter") => json!("key_0192f6a5c7d87b3e9f1a2b3c4d5e6f74"),
            ("LeakReport", "action") => json!("SUSPENDED"),
            ("LeakReport", "reported_at") => json!(LATER),
            ("Alert" | "GetAlertRequest", "id") => json!("alt_0192f6a5c7d87b3e9f1a2b3c4d5e6f75"),
            ("Alert" | "ListAlertsRequest", "kind") => json!("new_network"),
            ("Alert", "credential_id") => json!(KEY_ID),
            ("Alert", "severity") => json!("WARNING"),
            ("Alert", "message") => {
                json!("key_... (Shop backend) was used from a network that it was never used from: 203.0.113.0/24. ...")
            }
            ("Alert", "observed" | "calls") => json!("3"),
            ("Alert", "threshold") => json!("2"),
            ("Alert", "user_agent") => json!("shop/1.4"),
            ("Alert", "method") => json!("Keys/ListKeys"),
            ("Alert", "first_at" | "last_at") => json!(LATER),
            ("ListAlertsRequest", _) => return None,
            ("AlertRule" | "UpdateAlertRuleRequest", "kind") => json!("many_refusals"),
            ("AlertRule", "enabled") => json!(true),
            ("AlertRule", "threshold") if answer => json!("100"),
            ("AlertRule", "window") if answer => json!("300s"),
            ("AlertRule", "cooldown") if answer => json!("3600s"),
            (_, "webhook_id") => json!(WEBHOOK_ID),
            ("WebhookDelivery" | "RedeliverWebhookRequest", "id") => json!("msg_0192f6a9e4f27a5b8c6d7e8f90a1b2c5"),
            ("WebhookDelivery", "type") => json!("webhook.test"),
            ("WebhookDelivery", "attempts") => json!(1),
            ("WebhookDelivery", "status") => json!(204),
            ("WebhookDelivery", "state") if self.method == "RedeliverWebhook" => json!("WAITING"),
            ("WebhookDelivery", "state") => json!("DELIVERED"),
            ("WebhookDelivery", "duration") => json!("0.042s"),
            ("WebhookDelivery", "payload") => {
                json!("{\"type\":\"webhook.test\",\"timestamp\":\"2026-02-01T12:00:00Z\",\"data\":{}}")
            }
            ("Webhook", "url") => json!("https://hooks.example.com/gatepost"),
            ("Webhook", "description") => json!("Tells the people on call."),
            ("Webhook", "enabled") if answer => json!(true),
            ("Webhook", "events") => json!(["*"]),
            ("TestWebhookRequest", "id") if self.dialect == Dialect::Billing => return None,
            (_, "id") if message.contains("Webhook") => json!(WEBHOOK_ID),
            (_, "secret") if message.contains("Webhook") => json!("whsec_EXAMPLE"),
            (_, "id") if message.contains("Key") => json!(KEY_ID),
            (_, "id") if message.contains("Product") => json!("prod_0192f6a61b0c7d2e8a9b4c5d6e7f8091"),
            (_, "id") if message.contains("Project") => json!("shop"),
            ("Project", "display_name") => json!("Web shop"),
            ("Project", "description") => json!("Everything the web shop calls."),
            ("Project", "key_prefix") => json!("sk"),
            ("Project", "deleted_at") if self.method == "DeleteProject" => json!(LATER),
            ("Product", "name") => json!("Trail shoe"),
            ("Product", "description") => json!("Light, with a grip for wet rock."),
            ("Product", "price") => json!("119.90"),
            ("Product", "currency") => json!("EUR"),
            ("Product", "tags") => json!(["shoes", "outdoor"]),
            ("Product", "active") => json!(true),
            ("Product", "metadata") => json!({"sku": "TS-42"}),
            ("Product", "deleted_at") if self.method == "DeleteProduct" => json!(LATER),
            ("Session", "id") | (_, "session_id") => json!(SESSION_ID),
            ("RevokeSessionRequest" | "RevokeMySessionRequest", "id") => json!(SESSION_ID),
            ("SetPasswordRequest", "id") | (_, "user_id") => json!("usr_0192f6a8d3e17f4a9c5b6d7e8f9012a3"),
            ("Grant" | "EndGrantRequest" | "EndMyGrantRequest", "id") => json!("grt_0192f6aa2b3c7d4e9f5a6b7c8d9e0f1a"),
            ("Grant", "client_name") => json!("Shop app"),
            ("Grant", "scopes") => json!(["openid", "read:products"]),
            ("Grant", "client_id") => json!("cli_0192f6a9f0b27c4d8e6f5a4b3c2d1e0f"),
            ("SignInRequest" | "SignUpRequest", "handle") => json!("ada"),
            ("CreateUserKeyRequest", "scopes") => return None,
            (_, "handle") if message.contains("UserKey") => json!("laptop"),
            (_, "alias") if message.contains("UserKey") => json!("My laptop"),
            (_, "token") if message.contains("UserKey") => json!("uk_live_EXAMPLE"),
            ("UserKey", "hint") => json!("uk_live_Ab1c...9xYz"),
            ("UserKey", "state") if self.method == "DeleteUserKey" => json!("REVOKED"),
            ("ChangePasswordRequest", "new_password") => json!("a longer way round"),
            ("SignInRequest" | "SignUpRequest" | "SetPasswordRequest", "password")
            | ("ChangePasswordRequest", "old_password") => json!("correct horse battery"),
            ("SignInResponse" | "SignUpResponse", "token") => {
                json!("eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.EXAMPLE.EXAMPLE")
            }
            (_, "issued_at") => json!("2026-01-05T09:30:00Z"),
            ("Session", "client_ip") => json!("203.0.113.7"),
            ("Session", "user_agent") => json!("Mozilla/5.0"),
            (_, "id") if message.contains("User") => json!("usr_0192f6a8d3e17f4a9c5b6d7e8f9012a3"),
            ("User", "type") => json!("HUMAN"),
            ("User", "alias") if self.for_ == Use::Change => json!("The Countess"),
            // An address is one user's, and each dialect has its example.
            ("User", "email") => json!(match self.dialect {
                Dialect::Standard => "ada@example.com",
                Dialect::Storefront => "ada@shop.example.com",
                Dialect::Billing => "ada@billing.example.com",
            }),
            ("User" | "AuthenticateRequest", "first_name") => json!("Ada"),
            ("User" | "AuthenticateRequest", "last_name") => json!("Lovelace"),
            ("AuthenticateRequest", "email") => json!("ada@shop.example.com"),
            ("User", "metadata") => json!({"crm": "C-1815"}),
            ("User", "state") if self.method == "BlockUser" => json!("BLOCKED"),
            ("User", "deleted_at") if self.method == "DeleteUser" => json!(LATER),
            (_, "id") if message.contains("Client") => json!("cli_0192f6a9f0b27c4d8e6f5a4b3c2d1e0f"),
            ("Client", "type") => json!("CONFIDENTIAL"),
            ("Client", "name") => json!("Shop app"),
            ("Client", "token_endpoint_auth_method") => json!("client_secret_basic"),
            ("Client", "redirect_uris") => json!(["https://app.example.com/callback"]),
            ("Client", "grant_types") => json!(["authorization_code", "refresh_token"]),
            ("Client", "scopes") => json!(["openid", "read:products"]),
            ("Client", "access_token_format") => json!("JWT"),
            ("Client", "access_token_lifetime") => json!("600s"),
            ("Client", "require_pkce") => json!(true),
            ("Client", "deleted_at") if self.method == "DeleteClient" => json!(LATER),
            ("Secret", "hint") => json!("cs_live_Ab1c...9xYz"),
            (_, "secret") if message.contains("Client") => json!("cs_live_EXAMPLE"),
            ("UpdateClientRequest", "update_mask") => json!("name"),
            ("UpdateUserRequest", "update_mask") => json!("alias"),
            ("SearchUsersRequest", "query") => json!("ada"),
            (_, "id") if message.contains("Issuer") => json!("iss_0192f6a9e4f28a5b8d6c7e8f90a1b2c3"),
            ("Issuer", "issuer") => json!("https://id.example.com"),
            ("Issuer", "display_name") => json!("Sign-in of the web shop"),
            ("Issuer", "description") => json!("People sign in at Example ID."),
            ("Issuer", "audiences") => json!(["web-shop"]),
            ("Issuer", "algorithms") => json!(["RS256"]),
            ("Issuer", "email_claim") if answer => json!("email"),
            ("Issuer", "first_name_claim") if answer => json!("given_name"),
            ("Issuer", "last_name_claim") if answer => json!("family_name"),
            ("Issuer", "leeway") => json!("30s"),
            (_, "name") if message.contains("Scope") => json!("read:budgets"),
            ("Scope", "description") => json!("See budgets"),
            ("Check", "name") => json!("scopes"),
            ("Check", "detail") => json!("needs read:products"),
            ("Key", "state") if self.method == "DeleteKey" => json!("REVOKED"),
            ("Key", "revoked_at") if self.method == "DeleteKey" => json!(LATER),
            ("Key", "state") if self.method == "SuspendKey" => json!("SUSPENDED"),
            ("Key", "suspended_at") if self.method == "SuspendKey" => json!(LATER),
            ("Key", "rotation") if self.method == "RotateKey" => json!({
                "mode": "IMMEDIATE", "rotatedAt": LATER, "gracePeriod": "86400s", "oldSecretExpiresAt": DAY_LATER,
            }),
            ("RateLimit" | "RateLimitStatus", "name") => json!("per-minute"),
            ("RateLimit" | "RateLimitStatus", "limit") => json!(100),
            ("RateLimit" | "RateLimitStatus", "window") => json!("60s"),
            ("RateLimitStatus", "remaining") => json!(93),
            ("RateLimitStatus", "reset") => json!("4.200s"),
            ("Credits", "remaining") => json!("1000"),
            ("Credits", "refill") => json!("MONTHLY"),
            ("Credits", "amount") => json!("1000"),
            ("Credits", "day") => json!(1),
            ("DefaultRateLimits", "type") => json!("SK"),
            ("WatchRevocationsResponse", "kind") => json!("REVOKED"),
            ("Key" | "CreateKeyRequest", "description") => json!("Reads the catalogue for the shop's pages."),
            (_, "name") => json!("Shop backend"),
            (_, "project") if is_text(field) => json!("default"),
            (_, "owner") => json!("team-shop"),
            (_, "scopes") => json!(["read:products"]),
            (_, "hint") => json!("sk_live_Ab1c...9xYz"),
            (_, "etag") if answer => json!("1"),
            (_, "secret" | "live_secret") => json!("sk_live_EXAMPLE"),
            (_, "test_secret") => json!("sk_test_EXAMPLE"),
            (_, "credential") => json!("sk_live_EXAMPLE"),
            (_, "client_ip") => json!("203.0.113.7"),
            (_, "grace_period") => json!("86400s"),
            (_, "valid") => json!(true),
            (_, "query") => json!("shoe"),
            (_, "revision") => json!("42"),
            (_, "created_at" | "updated_at") if answer => json!("2026-01-05T09:30:00Z"),
            (_, "occurred_at") => json!(LATER),
            (_, "expires_at") => json!("2036-01-05T09:30:00Z"),
            (_, "total") => json!(1),
            (_, "limit") => json!(50),
            ("Pagination", "page") => json!(i32::from(self.dialect == Dialect::Billing)),
            (_, "next_page_token") if self.dialect == Dialect::Standard => json!("bmV4dA"),
            _ => return None,
        })
    }
}

fn is_text(field: &FieldDescriptor) -> bool {
    field.kind() == Kind::String
}

/// Examples of the messages that are written as text.
fn well_known(full_name: &str) -> Option<Value> {
    Some(match full_name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!("2026-01-05T09:30:00Z"),
        "Duration" => json!("86400s"),
        "FieldMask" => json!("description"),
        "Empty" => json!({}),
        _ => Value::Null,
    })
}

/// Messages in messages at most: a message may hold itself.
const MAX_DEPTH: usize = 6;

const KEY_ID: &str = "key_0192f6a5c7d87b3e9f1a2b3c4d5e6f70";
const WEBHOOK_ID: &str = "wh_0192f6a9e4f27a5b8c6d7e8f90a1b2c4";
const SESSION_ID: &str = "ses_0192f6a9e4f27a5b8c6d7e8f90a1b2c3";
const LATER: &str = "2026-02-01T12:00:00Z";
const DAY_LATER: &str = "2026-02-02T12:00:00Z";
