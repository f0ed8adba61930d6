//! The network: one port that speaks HTTP/1.1 and HTTP/2, with or without TLS, to any service of hyper's.
//!
//! It owns sockets and time: accepting, the limits and time-outs of connections, TLS, gathering writes, running streams,
//! draining. It must not know what it serves: no proto, no credential, no route. What a request may take (its deadline,
//! its body) is the service's business.
//!
//! One connection: [`serve()`] accepts it and spawns a task for it, which shakes hands (`tls`), waits for the first bytes
//! and sees which protocol they are (`protocol`), and then polls hyper, the streams that hyper hands out (`inline`) and
//! the socket (`coalesce`) in turn until either side ends it. What the task stores in its `liveness` the accept loop
//! looks over, and tells connections that overstay to end.
//!
//! The other way round, `fetch` gets small documents from addresses that somebody configured, and keeps them from leading into
//! the server's own network.
//!
//! Both `coalesce_writes` and `inline_streams` may be switched off; the result is then hyper's plain server.

mod client_address;
mod coalesce;
mod connection;
mod fetch;
mod inline;
mod listener;
mod liveness;
mod protocol;
mod serve;
mod service;
mod settings;
mod socket;
#[cfg(test)]
mod tests;
mod tls;

pub use client_address::{ClientAddress, client_address, forwarded_https};
pub use fetch::{Document, FetchError, FetchSettings, Fetcher, Post, Reply};
pub use listener::{Listener, Open};
pub use serve::{DrainReport, serve};
pub use service::{Connection, Service};
pub use settings::Settings;
pub use tls::{Tls, TlsError};
