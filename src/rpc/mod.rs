//! The gRPC services: decode, validate, call the service, encode. JSON clients reach the same functions through the edge.

mod audit;
pub mod auth;
mod convert;
mod fields;
pub mod keys;
mod page;
pub mod products;
pub mod request;
pub mod status;
mod verify;

use bytes::Bytes;
use tonic::{Request, Status};

use self::auth::AuthService;
use self::keys::KeysService;
use self::products::ProductsService;
use self::verify::Asked;
use crate::proto::dispatch::{Dispatch, Reply, Services};
use crate::proto::{MethodId, VERIFY};

/// All RPCs, for the doors that call them by their ids with encoded messages.
#[derive(Clone, Debug)]
pub struct Rpcs(pub Services<KeysService, AuthService, ProductsService>);

impl Dispatch for Rpcs {
    async fn dispatch(&self, method: MethodId, mut request: Request<Bytes>) -> Result<Reply, Status> {
        if method == VERIFY {
            let bytes = request.get_ref().clone();
            if let Some(asked) = Asked::at_a_glance(&bytes) {
                return self.0.auth.verify_at_a_glance(asked, request.extensions_mut()).await;
            }
        }
        self.0.dispatch(method, request).await
    }
}
