//! What the tests stand on: a real server on a port of its own, those who call it, and the wires they call it on.

pub(crate) mod actors;
pub(crate) mod answer;
pub(crate) mod command;
pub(crate) mod golden;
pub(crate) mod http;
pub(crate) mod jose;
pub(crate) mod leaks;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod raw_call;
pub(crate) mod redis;
pub(crate) mod rpc;
pub(crate) mod server;
pub(crate) mod serving;
pub(crate) mod tools;
pub(crate) mod wire;

pub(crate) use self::actors::Actor;
pub(crate) use self::answer::Answer;
pub(crate) use self::http::Reply;
pub(crate) use self::rpc::Rpc;
pub(crate) use self::server::TestServer;
pub(crate) use self::wire::Wire;
