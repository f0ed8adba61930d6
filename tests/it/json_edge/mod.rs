//! What the HTTP/JSON door promises to its clients, against the real server.

mod bodies;
mod browsers;
mod paths;
mod requests;
