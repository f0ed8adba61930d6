//! What holds for every input, for the fuzz targets in `fuzz/` and the property tests. Not for use elsewhere.

use http::Method;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use serde_json::Value;

use super::json::{Content, Reader, write_message};
use super::router::{Lookup, Router};
use super::rule::Verb;
use super::tables::{MessageId, Tables};
use super::template::{Segment, Template};
use super::{Edge, Resolution};

/// All message types of the services in a pool, ready to be given bytes.
#[derive(Debug)]
pub struct Decoders {
    tables: Tables,
    messages: Vec<(MessageId, MessageDescriptor)>,
}

impl Decoders {
    /// Tables for the requests and answers of all RPCs.
    ///
    /// # Errors
    ///
    /// A message has no JSON form here.
    pub fn new(pool: &DescriptorPool) -> Result<Self, String> {
        let mut tables = Tables::default();
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let messages = methods.flat_map(|method| [method.input(), method.output()]);
        let messages = messages.map(|message| Ok((tables.add(&message)?, message))).collect::<Result<_, String>>()?;
        Ok(Self { tables, messages })
    }

    /// Reads the bytes as every message.
    ///
    /// # Panics
    ///
    /// What was accepted does not mean the same to `prost-reflect`.
    pub fn check(&self, json: &[u8]) {
        for (id, descriptor) in &self.messages {
            check_json(&self.tables, *id, descriptor, json);
        }
    }
}

/// Reads bytes as one message. If they are accepted, `prost-reflect` decodes what was written, and writes the same JSON as
/// we do.
pub(super) fn check_json(tables: &Tables, id: MessageId, descriptor: &MessageDescriptor, json: &[u8]) {
    let mut wire = Vec::new();
    let Ok(_) = Reader::new(tables, &mut wire, false, None).read(Content::Message(id), json) else { return };
    let message = DynamicMessage::decode(descriptor.clone(), &*wire);
    let message = message.unwrap_or_else(|error| panic!("wrote what does not decode: {error}"));
    let mut ours = Vec::new();
    let written = write_message(tables, id, &message.encode_to_vec(), &mut ours);
    let mut theirs = Vec::new();
    let options = SerializeOptions::new().skip_default_fields(false);
    let oracle = message.serialize_with_options(&mut serde_json::Serializer::new(&mut theirs), &options);
    assert_eq!(written.is_ok(), oracle.is_ok(), "only one of two writes {message:?}");
    if written.is_ok() {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
        let (Ok(ours), Ok(theirs)) = (parse(&ours), parse(&theirs)) else { panic!("wrote what is not JSON") };
        assert_eq!(difference(&ours, &theirs), None);
    }
}

/// The first place where two values differ, and how.
pub(super) fn difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.keys().chain(other.keys()).find_map(|name| {
            let difference = difference(one.get(name).unwrap_or(&ABSENT), other.get(name).unwrap_or(&ABSENT))?;
            Some(format!("{name}.{difference}"))
        }),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (one, other))| Some(format!("[{index}].{}", difference(one, other)?)))
        }
        _ => (one != other).then(|| format!(" {one} is not {other}")),
    }
}

const ABSENT: Value = Value::String(String::new());

/// Resolves a path. A variable's value lies in the path, and OPTIONS and the methods of `Allow` agree with what is found.
///
/// # Panics
///
/// They do not.
pub fn check_path(edge: &Edge, path: &str) {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let allowed = match edge.resolve(&Method::OPTIONS, path) {
        Resolution::Options(allow) => allow.to_string(),
        Resolution::NotFound => String::new(),
        other => panic!("OPTIONS {path}: {other:?}"),
    };
    for method in methods {
        let is_allowed = allowed.split(", ").any(|name| name == method.as_str());
        match edge.resolve(&method, path) {
            Resolution::Found(matched) => {
                assert!(is_allowed, "{method} {path} is not in Allow");
                for (start, end) in &matched.captures[..matched.route.variables.len()] {
                    let value = path.get(*start as usize..*end as usize);
                    assert!(value.is_some_and(|value| !value.is_empty()), "{path}: {start}..{end}");
                }
            }
            Resolution::MethodNotAllowed(allow) => assert!(!is_allowed && allow.to_string() == allowed),
            Resolution::NotFound => assert!(allowed.is_empty(), "{method} {path} is nothing"),
            other => panic!("{method} {path}: {other:?}"),
        }
    }
}

/// Parses a template, and routes by it if it is one: the path that is the template itself, with the braces and what they
/// say left out, is found.
///
/// # Panics
///
/// It is not.
pub fn check_template(text: &str) {
    let Ok(template) = Template::parse(text) else { return };
    let mut router = Router::new();
    if router.add(Verb::Get, &template, 7, true).is_err() {
        panic!("one route is in its own way");
    }
    let segments = template.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => text,
        Segment::One | Segment::Many => "x",
    });
    let mut path = String::new();
    for segment in segments {
        path.extend(["/", segment]);
    }
    if !template.verb.is_empty() {
        path.extend([":", &template.verb]);
    }
    assert!(matches!(router.find(&Method::GET, &path), Lookup::Found(7, _)), "{text} does not find {path}");
}
