//! One call on any wire: tonic's client for gRPC, and plain HTTP for gRPC-Web and JSON.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::actors::Actor;
use super::answer::Answer;
use super::http::JsonCall;
use super::rpc::{Rpc, to_json, to_wire};
use super::server::TestServer;

/// A wire.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Wire {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web, binary, over HTTP/1.1.
    GrpcWeb,
    /// gRPC-Web, base64, over HTTP/1.1.
    GrpcWebText,
    /// HTTP with JSON, over HTTP/1.1, at the first of the RPC's bindings.
    Json,
}

impl Wire {
    /// One of each kind.
    pub(crate) const THREE: [Self; 3] = [Self::Grpc, Self::GrpcWeb, Self::Json];
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Grpc, Self::GrpcWeb, Self::GrpcWebText, Self::Json];
}

/// What calls one server.
pub(crate) struct Clients {
    channel: Channel,
    /// HTTP/1.1.
    pub(crate) http: reqwest::Client,
    /// HTTP/2, known beforehand.
    pub(crate) http2: reqwest::Client,
    /// `http://127.0.0.1:1234`.
    pub(crate) origin: String,
}

impl Clients {
    /// Clients for the server at this address, which has this certificate if it speaks TLS.
    pub(super) fn new(address: SocketAddr, certificate: Option<String>) -> Self {
        let origin = match certificate {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let mut endpoint = Endpoint::from_shared(origin.clone()).expect("an origin is a URI");
        if let Some(certificate) = certificate {
            let tls =
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate)).domain_name("localhost");
            endpoint = endpoint.tls_config(tls).expect("our certificate is one");
        }
        let http =
            || reqwest::Client::builder().no_proxy().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        Self {
            channel: endpoint.connect_lazy(),
            http: http().http1_only().build().expect("a client"),
            http2: http().http2_prior_knowledge().build().expect("a client"),
            origin,
        }
    }

    /// The channel, for the generated clients.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

impl TestServer {
    /// Calls an RPC (`Keys/CreateKey`) as somebody, with the request in JSON. Of a stream, the first message is the answer.
    pub(crate) async fn call(&self, wire: Wire, rpc: &str, actor: &Actor, request: Value) -> Answer {
        self.clients().call(wire, rpc, actor, request).await
    }

    /// The same for an RPC that was found.
    pub(crate) async fn call_rpc(&self, wire: Wire, rpc: &Rpc, actor: &Actor, request: Value) -> Answer {
        self.clients().call_rpc(wire, rpc, actor, request).await
    }
}

impl Clients {
    /// Calls an RPC (`Keys/CreateKey`) as somebody, with the request in JSON. Of a stream, the first message is the answer.
    pub(crate) async fn call(&self, wire: Wire, rpc: &str, actor: &Actor, request: Value) -> Answer {
        self.call_rpc(wire, &Rpc::named(rpc), actor, request).await
    }

    /// The same for an RPC that was found.
    pub(crate) async fn call_rpc(&self, wire: Wire, rpc: &Rpc, actor: &Actor, request: Value) -> Answer {
        let message = rpc.request(request);
        let call = async {
            match wire {
                Wire::Grpc => self.call_grpc(rpc, &actor.headers, to_wire(&message)).await,
                Wire::GrpcWeb | Wire::GrpcWebText => {
                    self.call_grpc_web(wire, rpc, &actor.headers, to_wire(&message)).await
                }
                Wire::Json => {
                    let rule = rpc.rules().swap_remove(0);
                    self.call_json(rpc, &JsonCall::new(rpc, &rule, to_json_as_given(&message)), &actor.headers).await
                }
            }
        };
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(answer) => answer,
            Err(_) => panic!("no answer to {} on {wire:?} after {PATIENCE:?}", rpc.name()),
        }
    }

    async fn call_grpc(&self, rpc: &Rpc, headers: &HeaderMap, message: Vec<u8>) -> Answer {
        let wire = Wire::Grpc;
        let refused = |status: Status| Answer::status(wire, &status, status.metadata().clone().into_headers());
        let mut client = Grpc::new(self.channel());
        client.ready().await.unwrap_or_else(|error| panic!("no connection: {error:?}"));
        let mut request = Request::new(Bytes::from(message));
        *request.metadata_mut() = MetadataMap::from_headers(headers.clone());
        let path = rpc.path().parse().expect("a path");
        let response = match client.server_streaming(request, path, Raw).await {
            Ok(response) => response,
            Err(status) => return refused(status),
        };
        let mut headers = response.metadata().clone().into_headers();
        let mut messages = response.into_inner();
        let first = match messages.message().await {
            Ok(Some(first)) => first,
            Ok(None) if rpc.0.is_server_streaming() => Bytes::new(),
            Ok(None) => panic!("{}: a success without a message", rpc.name()),
            Err(status) => return refused(status),
        };
        if !rpc.0.is_server_streaming() {
            match messages.trailers().await {
                Ok(trailers) => headers.extend(trailers.unwrap_or_default().into_headers()),
                Err(status) => return refused(status),
            }
        }
        Answer::success(wire, rpc, headers, rpc.answer(&first), Value::Null)
    }

    async fn call_grpc_web(&self, wire: Wire, rpc: &Rpc, headers: &HeaderMap, message: Vec<u8>) -> Answer {
        let mut frame = vec![0];
        frame.put_u32(message.len() as u32);
        frame.extend(message);
        let (content_type, body) = match wire {
            Wire::GrpcWebText => ("application/grpc-web-text+proto", BASE64_STANDARD.encode(frame).into_bytes()),
            _ => ("application/grpc-web+proto", frame),
        };
        let request = self.http.post(format!("{}{}", self.origin, rpc.path()));
        let request = request.headers(headers.clone()).header("content-type", content_type);
        let request = request.header("accept", content_type).header("x-grpc-web", "1");
        let mut response = request.body(body).send().await.unwrap_or_else(|error| panic!("{}: {error:?}", rpc.name()));
        assert_eq!(response.status(), 200, "gRPC-Web says its status in the body");
        let answer_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        assert_eq!(answer_type, Some(content_type), "{:?}", response.headers());
        let mut headers = response.headers().clone();
        if let Some(status) = Status::from_header_map(&headers) {
            return Answer::status(wire, &status, headers);
        }
        let (mut sent, mut first) = (Vec::new(), None);
        loop {
            let chunk = response.chunk().await.unwrap_or_else(|error| panic!("{}: {error:?}", rpc.name()));
            let ended = chunk.is_none();
            sent.extend(chunk.unwrap_or_default());
            let mut bytes = Bytes::from(if wire == Wire::GrpcWebText { unbase64(&sent) } else { sent.clone() });
            while bytes.len() >= 5 && bytes.len() >= 5 + (&bytes[1..5]).get_u32() as usize {
                let kind = bytes.get_u8();
                let length = bytes.get_u32() as usize;
                let content = bytes.split_to(length);
                if kind == 0 {
                    first.get_or_insert(content);
                    continue;
                }
                assert_eq!(kind, 0x80, "a frame is a message or the trailers, not compressed");
                let trailers = trailers(&content);
                let status = Status::from_header_map(&trailers).expect("trailers hold a status");
                headers.extend(trailers);
                if status.code() != tonic::Code::Ok {
                    return Answer::status(wire, &status, headers);
                }
                let first = first.or_else(|| rpc.0.is_server_streaming().then(Bytes::new));
                let first = first.expect("a success has a message");
                return Answer::success(wire, rpc, headers, rpc.answer(&first), Value::Null);
            }
            match &first {
                Some(first) if rpc.0.is_server_streaming() => {
                    return Answer::success(wire, rpc, headers, rpc.answer(first), Value::Null);
                }
                _ => assert!(!ended, "{}: the body ends before its trailers", rpc.name()),
            }
        }
    }
}

/// What the request says, and no defaults that it does not.
fn to_json_as_given(message: &prost_reflect::DynamicMessage) -> Value {
    let options = prost_reflect::SerializeOptions::new().skip_default_fields(true);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    json.unwrap_or_else(|_| to_json(message))
}

/// Base64 as gRPC-Web sends it: every part is padded by itself. What is not whole yet is left out.
fn unbase64(text: &[u8]) -> Vec<u8> {
    let whole = text.chunks_exact(4);
    whole.flat_map(|four| BASE64_STANDARD.decode(four).expect("the text wire is base64")).collect()
}

fn trailers(content: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(content).expect("trailers are text");
    let lines = text.split("\r\n").filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').expect("a trailer has a name");
        assert_eq!(name, name.to_ascii_lowercase(), "gRPC-Web: trailers are in lower case");
        let name: HeaderName = name.parse().expect("a trailer's name");
        (name, HeaderValue::from_str(value.trim()).expect("a trailer's value"))
    };
    lines.map(pair).collect()
}

/// Messages as bytes: what is in them is for the descriptors to say.
#[derive(Clone, Copy)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// No call takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
