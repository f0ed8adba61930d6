//! What the frameworks cost by themselves: servers that decode the requests of Verify, WhoAmI and GetProduct and give
//! back an answer they were started with. No credential is looked at and nothing is looked up.
//!
//! `floor tonic|tonic-web|axum PORT ANSWERS`: `ANSWERS` is a directory that holds what the real server answered, as
//! `verify.pb`, `whoami.pb` and `product.pb` (messages without a frame) or `verify.json`. Where it holds `NAME.limits` too,
//! the answer to that RPC says in its headers how the caller stands with two limits.

mod grpc;
mod json;
mod limits;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

// As in the real server: the ratios compare code and not allocators.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, port, answers] = arguments.as_slice() else {
        return Err("usage: floor tonic|tonic-web|axum PORT ANSWERS".into());
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let answers = PathBuf::from(answers);
    match kind.as_str() {
        "tonic" => grpc::serve(address, &answers).await,
        "tonic-web" => grpc::serve_web(address, &answers).await,
        "axum" => json::serve(address, &answers).await,
        other => Err(format!("no floor is called {other:?}").into()),
    }
}
