//! Messages as ProtoJSON: lowerCamelCase names, times in RFC 3339, enums by name.

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, SerializeOptions};

use super::exit::{Exit, Failure};
use crate::proto::descriptor_pool;

/// A message in the JSON that the HTTP API would answer, over several lines. Fields that are false, zero or empty are
/// written out, so that a script finds `valid` whatever it says.
pub(super) fn to_json<M: Message + Name>(message: &M) -> Result<String, Failure> {
    let mut out = serde_json::Serializer::pretty(Vec::new());
    write(message, &mut out)?;
    String::from_utf8(out.into_inner()).map_err(|error| not_json(&error))
}

/// The same on one line.
pub(super) fn to_json_line<M: Message + Name>(message: &M) -> Result<String, Failure> {
    let mut out = serde_json::Serializer::new(Vec::new());
    write(message, &mut out)?;
    String::from_utf8(out.into_inner()).map_err(|error| not_json(&error))
}

fn write<M: Message + Name, F: serde_json::ser::Formatter>(
    message: &M,
    out: &mut serde_json::Serializer<Vec<u8>, F>,
) -> Result<(), Failure> {
    // Every generated message is in the embedded descriptors it was generated from; a test writes one of each.
    let descriptor =
        descriptor_pool().get_message_by_name(&M::full_name()).ok_or_else(|| not_json(&"its type is unknown"))?;
    let dynamic =
        DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(|error| not_json(&error))?;
    let options = SerializeOptions::new().skip_default_fields(false).stringify_64_bit_integers(true);
    dynamic.serialize_with_options(out, &options).map_err(|error| not_json(&error))?;
    Ok(())
}

fn not_json(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("the answer is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::proto::v1;

    fn written<M: Message + Name>(message: &M) -> Value {
        serde_json::from_str(&to_json(message).unwrap()).unwrap()
    }

    #[test]
    fn a_key_is_written_as_the_http_api_writes_it() {
        let key = v1::Key {
            id: "key_1".to_owned(),
            environment: v1::Environment::Live.into(),
            r#type: v1::key::Type::Rk.into(),
            state: v1::key::State::Active.into(),
            scopes: vec!["read:products".to_owned()],
            allowed_ips: vec!["10.0.0.0/8".to_owned()],
            metadata: [("team".to_owned(), "shop".to_owned())].into(),
            expires_at: Some(Timestamp { seconds: 1_767_323_045, nanos: 0 }),
            ..v1::Key::default()
        };
        let written = written(&key);
        let expected = [
            ("id", json!("key_1")),
            ("environment", json!("LIVE")),
            ("type", json!("RK")),
            ("allowedIps", json!(["10.0.0.0/8"])),
            ("metadata", json!({"team": "shop"})),
            ("expiresAt", json!("2026-01-02T03:04:05Z")),
            ("recoverable", json!(false)),
        ];
        for (field, value) in expected {
            assert_eq!(written[field], value, "{field}");
        }
        for absent in ["alias", "owner", "revokedAt", "rotation"] {
            assert!(written.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn a_decision_says_whether_it_is_valid_either_way() {
        let decision = v1::VerifyResponse { revision: 1 << 60, ..v1::VerifyResponse::default() };
        let written = written(&decision);
        assert_eq!((&written["valid"], &written["revision"]), (&json!(false), &json!("1152921504606846976")));
    }

    #[test]
    fn every_answer_can_be_written() {
        assert_eq!(written(&v1::ListKeysResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::ListScopesResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::ListProductsResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::SearchProductsResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::ListAuditEventsResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::CreateKeyResponse::default())["secret"], json!(""));
        assert_eq!(written(&v1::RotateKeyResponse::default())["secret"], json!(""));
        assert_eq!(written(&v1::RevealKeyResponse::default())["secret"], json!(""));
        assert_eq!(written(&v1::ExplainVerifyResponse::default())["checks"], json!([]));
        assert_eq!(written(&v1::WhoAmIResponse::default())["keyId"], json!(""));
        assert_eq!(written(&v1::Scope::default())["builtIn"], json!(false));
        assert_eq!(written(&v1::Product::default())["tags"], json!([]));
        assert_eq!(written(&v1::ListUsersResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::SearchUsersResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::User::default())["metadata"], json!({}));
        assert_eq!(written(&v1::ListClientsResponse::default())["data"], json!([]));
        assert_eq!(written(&v1::CreateClientResponse::default()).get("secret"), None, "a public client has none");
        assert_eq!(written(&v1::RotateClientSecretResponse::default())["secret"], json!(""));
    }
}
