//! HTTP with JSON: an RPC's request spread over path, query and body as its binding says, and calls made by hand.

use gatepost::edge::rule::HttpRule;
use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::actors::Actor;
use super::answer::Answer;
use super::leaks;
use super::rpc::Rpc;
use super::server::TestServer;
use super::wire::{Clients, PATIENCE};

/// A request at one binding of an RPC.
#[derive(Clone, Debug)]
pub(crate) struct JsonCall {
    /// The HTTP method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// The body, if the binding has one.
    pub(crate) body: Option<Value>,
    /// The response's field that the answer is; empty for the whole.
    response_body: String,
}

/// An HTTP answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) text: String,
}

impl JsonCall {
    /// Spreads a request, in lowerCamelCase JSON, as the rule says. A path variable that it does not give is `none`.
    pub(crate) fn new(rpc: &Rpc, rule: &HttpRule, mut request: Value) -> Self {
        let target = expand(&rule.template, |field| {
            let value = take(&mut request, &json_path(&rpc.0.input(), field));
            value.map_or_else(|| "none".to_owned(), |value| plain(&value))
        });
        let mut rest = std::mem::take(request.as_object_mut().expect("a request is an object"));
        let body = match rule.body.as_str() {
            "" => None,
            "*" => Some(Value::Object(std::mem::take(&mut rest))),
            field => {
                let name = json_path(&rpc.0.input(), field).remove(0);
                Some(rest.remove(&name).unwrap_or_else(|| Value::Object(Map::new())))
            }
        };
        let mut query = Vec::new();
        flatten("", &Value::Object(rest), &mut query);
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let target = if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) };
        let method = rule.verb.as_str().parse().expect("an HTTP method");
        let response_body = match rule.response_body.as_str() {
            "" => String::new(),
            field => json_path(&rpc.0.output(), field).remove(0),
        };
        Self { method, target, body, response_body }
    }
}

impl Reply {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's value; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Fails unless it has this status and, for a problem, this `code`.
    #[track_caller]
    pub(crate) fn expect(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        if !code.is_empty() {
            assert_eq!(self.json()["code"], code, "{self:?}");
        }
        self
    }
}

impl Clients {
    /// Makes a call at one binding, over HTTP/1.1.
    pub(crate) async fn call_json(&self, rpc: &Rpc, call: &JsonCall, headers: &HeaderMap) -> Answer {
        let url = format!("{}{}", self.origin, call.target);
        let mut request = self.http.request(call.method.clone(), url).headers(headers.clone());
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let mut response = request.send().await.unwrap_or_else(|error| panic!("{call:?}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let streams = rpc.0.is_server_streaming() && status == 200;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap_or_else(|error| panic!("{call:?}: {error:?}")) {
            body.extend(chunk);
            if streams && body.contains(&b'\n') {
                break;
            }
        }
        let first = if streams { body.split(|byte| *byte == b'\n').next().unwrap_or_default() } else { &body };
        let first = if streams && first.is_empty() { b"{}" } else { first };
        let document: Value = serde_json::from_slice(first)
            .unwrap_or_else(|error| panic!("{call:?}: {error}: {status} {}", String::from_utf8_lossy(&body)));
        if status != 200 {
            return Answer::problem(status, document, headers);
        }
        let message = match call.response_body.as_str() {
            "" => document.clone(),
            field => Value::Object(Map::from_iter([(field.to_owned(), document.clone())])),
        };
        Answer::success(super::wire::Wire::Json, rpc, headers, rpc.answer_again(message), document)
    }
}

impl TestServer {
    /// Makes a call at one binding, over HTTP/1.1.
    pub(crate) async fn call_json(&self, rpc: &Rpc, call: &JsonCall, headers: &HeaderMap) -> Answer {
        self.clients().call_json(rpc, call, headers).await
    }

    /// Sends a request made by hand, over HTTP/1.1.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap_or_else(|error| panic!("{error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|error| panic!("{error:?}"));
        // Creating, rotating and revealing show a secret, each in its place.
        let mut shown = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.clone()));
        leaks::take_what_is_meant(&mut shown);
        let mut watched = headers.clone();
        leaks::take_headers_that_are_meant(&mut watched);
        let seen = format!("{shown} {watched:?}");
        assert_eq!(leaks::find_secret(seen.as_bytes()), None, "an answer holds a secret: {seen}");
        Reply { status, headers, text }
    }

    /// Begins a request of somebody's at a path, over HTTP/1.1.
    pub(crate) fn request(&self, method: Method, target: &str, actor: &Actor) -> reqwest::RequestBuilder {
        let url = format!("{}{target}", self.clients().origin);
        self.clients().http.request(method, url).headers(actor.headers.clone())
    }

    /// GET of somebody's.
    pub(crate) async fn get(&self, target: &str, actor: &Actor) -> Reply {
        self.send(self.request(Method::GET, target, actor)).await
    }

    /// POST of somebody's with a JSON body.
    pub(crate) async fn post(&self, target: &str, actor: &Actor, body: &Value) -> Reply {
        self.send(self.request(Method::POST, target, actor).json(body)).await
    }

    /// Sends bytes over a connection of their own and reads all that comes back until it closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let talk = async {
            let mut socket = tokio::net::TcpStream::connect(self.address()).await?;
            socket.write_all(bytes).await?;
            let mut answer = Vec::new();
            // A server that answers early may reset the connection after its answer.
            let _ = socket.read_to_end(&mut answer).await;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, talk).await.expect("the server closes the connection");
        String::from_utf8_lossy(&answer.expect("the server can be reached")).into_owned()
    }
}

/// Puts values into a path template: `/v1/keys/{key.id}:rotate`.
fn expand(template: &str, mut value: impl FnMut(&str) -> String) -> String {
    let (mut path, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let (variable, after) = after.split_once('}').expect("a brace is closed");
        let field = variable.split_once('=').map_or(variable, |(field, _)| field);
        path += before;
        path += &escape(&value(field));
        rest = after;
    }
    path + rest
}

/// `key.allowed_ips` as lowerCamelCase names.
fn json_path(message: &MessageDescriptor, path: &str) -> Vec<String> {
    let mut message = Some(message.clone());
    let name = |part: &str| {
        let of = message.take().expect("only messages have fields");
        let field = of.get_field_by_name(part).unwrap_or_else(|| panic!("{} has no field {part}", of.full_name()));
        message = match field.kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        };
        field.json_name().to_owned()
    };
    path.split('.').map(name).collect()
}

fn take(from: &mut Value, path: &[String]) -> Option<Value> {
    let (last, outer) = path.split_last()?;
    let mut at = from;
    for name in outer {
        at = at.get_mut(name)?;
    }
    at.as_object_mut()?.remove(last)
}

fn flatten(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                flatten(&name, value, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(name, item, out)),
        other => out.push((name.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
