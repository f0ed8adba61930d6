//! What requests for keys say beside the key: filters, whose it is, and whether the request may come again.

use prost::Message;
use tonic::Request;

use super::convert;
use super::fields::Fields;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::UserId;
use crate::proto::v1;
use crate::service::idempotency::Idempotency;
use crate::store::KeyFilter;

/// The filters as the client named them, which are the same on every page.
pub(super) fn named(message: &v1::ListKeysRequest) -> String {
    let v1::ListKeysRequest { r#type, state, owner, alias, user, .. } = message;
    format!("{type:?} {state:?} {owner:?} {alias:?} {user:?}")
}

pub(super) fn filter(message: &v1::ListKeysRequest, now: Timestamp) -> Result<KeyFilter> {
    let mut fields = Fields::default();
    let filter = KeyFilter {
        kind: message.r#type.and_then(|kind| fields.known("type", kind, convert::kind_in)),
        state: message
            .state
            .and_then(|state| fields.known("state", state, convert::state_in))
            .map(|state| (state, now)),
        owner: message.owner.clone().map(|owner| fields.visible("owner", owner, 128)),
        alias: message.alias.clone().map(|alias| fields.line("alias", alias, 1, 100)),
        user: message.user.as_ref().and_then(|id| user(&mut fields, id)),
    };
    fields.finish(filter)
}

pub(super) fn user(fields: &mut Fields, id: &str) -> Option<UserId> {
    let user = UserId::parse(id);
    if user.is_none() {
        fields.refuse("user", "must be the id of a user, `usr_` and 32 hexadecimal digits");
    }
    user
}

/// The client's `Idempotency-Key` for a request to this RPC: 1 to 255 visible ASCII characters, sent once.
pub(super) fn idempotency<T: Message>(rpc: &str, request: &Request<T>) -> Result<Option<Idempotency>> {
    let mut values = request.metadata().get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bytes = value.as_encoded_bytes();
    let good = (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) && values.next().is_none();
    match std::str::from_utf8(bytes) {
        Ok(key) if good => {
            let request = [rpc.as_bytes(), &request.get_ref().encode_to_vec()].concat();
            Ok(Some(Idempotency { key: key.to_owned(), request }))
        }
        _ => Err(Error::field("Idempotency-Key", "must be 1 to 255 visible ASCII characters, sent once")),
    }
}
