//! The gRPC services: decode, validate, call the service, encode. JSON clients reach the same functions through the edge.

mod alerts;
mod audit;
pub mod auth;
mod clients;
mod convert;
mod fields;
mod grants;
mod issuers;
mod key_fields;
mod key_requests;
mod key_sets;
pub mod keys;
mod leaks;
mod limits;
mod page;
pub mod products;
mod projects;
pub mod request;
mod sessions;
pub mod status;
mod usage;
mod user_keys;
pub mod users;
mod verify;
mod watch;
mod webhooks;

use tonic::Status;

use self::auth::AuthService;
use self::keys::KeysService;
use self::products::ProductsService;
use self::request::Arrival;
use self::users::UsersService;
use self::verify::Asked;
use crate::proto::VERIFY;
use crate::proto::dispatch::{Call, Dispatch, Reply, Services};

/// All RPCs, for the doors that call them by their ids with encoded messages.
#[derive(Clone, Debug)]
pub struct Rpcs(pub Services<KeysService, UsersService, AuthService, ProductsService>);

impl Dispatch<Arrival> for Rpcs {
    async fn dispatch(&self, call: Call<Arrival>) -> Result<Reply, Status> {
        if call.method == VERIFY
            && let Some(asked) = Asked::at_a_glance(&call.message)
        {
            return self.0.auth.verify_at_a_glance(asked, call.context).await;
        }
        self.0.dispatch(call).await
    }
}
