//! The description of the HTTP API: an OpenAPI 3.1 document, made of the descriptors that the edge itself serves from.
//!
//! Operations are the bindings of `google.api.http`, what people read are the comments of the protos, scopes come from the
//! policies, errors from the table of reasons. Nothing about an RPC is written down here a second time, but for the values
//! in examples and the one header that one RPC takes. It knows no server: what is configurable is given to [`document`].

mod comment;
mod error;
mod example;
mod header;
mod operation;
mod path;
mod schema;
mod security;

use http::HeaderName;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Map, Value, json};

use self::comment::Comments;
use self::error::Errors;
use self::operation::{Operation, Writer};
use self::path::{Paths, unused};
use self::schema::Schemas;
use self::security::Security;
use super::rule::HttpRule;
use super::template::Template;
use crate::domain::dialect::Dialect;

/// Makes the document. `key_headers` are the headers that a key may come in, besides `authorization`. The same input gives
/// the same bytes.
///
/// # Errors
///
/// A method has no policy, or an HTTP rule that cannot be served.
pub fn document<'a>(
    pool: &DescriptorPool,
    key_headers: impl IntoIterator<Item = &'a HeaderName>,
) -> Result<Vec<u8>, String> {
    let comments = Comments::of(pool);
    let mut schemas = Schemas::new(&comments);
    for (name, schema) in error::schemas(pool, &comments) {
        schemas.add(name, schema);
    }
    let mut writer =
        Writer { comments: &comments, schemas, security: Security::new(key_headers), errors: Errors::new() };
    let paths = paths(pool, &mut writer)?;
    let tags = pool
        .services()
        .filter(|service| service.methods().len() > 0)
        .map(|service| json!({"name": service.name(), "description": comments.service(&service)}));
    let document = json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Gatepost",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document comes from."}],
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "securitySchemes": writer.security.schemes(),
            "parameters": header::parameters(),
            "headers": header::headers(),
            "responses": writer.errors.responses(pool, &comments),
            "schemas": writer.schemas.finish(),
        },
    });
    serde_json::to_vec(&document).map_err(|error| error.to_string())
}

/// All paths with their operations, in the order of the descriptors.
fn paths(pool: &DescriptorPool, writer: &mut Writer<'_>) -> Result<Map<String, Value>, String> {
    let mut paths = Paths::default();
    let mut ids: Vec<String> = Vec::new();
    let mut written: Map<String, Value> = Map::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let rules = HttpRule::of(&method)?;
        for rule in &rules {
            let template = Template::parse(&rule.template)?;
            let path = paths.add(&template, &method.input());
            let id = unused(&operation_id(&method, rule, &rules[0])?, ids.iter().map(String::as_str));
            let operation = writer.write(Operation { method: &method, rule, path: &path, id: &id })?;
            ids.push(id);
            let item = written.entry(path.text).or_insert_with(|| json!({}));
            item[rule.verb.as_str().to_ascii_lowercase()] = operation;
        }
    }
    Ok(written)
}

/// A name for one way to reach an RPC: the RPC's own, and what sets this way apart from the first.
fn operation_id(method: &MethodDescriptor, rule: &HttpRule, first: &HttpRule) -> Result<String, String> {
    let (head, tail) = method.name().split_at(1);
    let mut id = head.to_ascii_lowercase() + tail;
    id += match Dialect::of_template(&rule.template) {
        dialect if dialect == Dialect::of_template(&first.template) => "",
        Dialect::Standard => "Standard",
        Dialect::Storefront => "Storefront",
        Dialect::Billing => "Billing",
    };
    if rule.verb != first.verb {
        let verb = Template::parse(&rule.template)?.verb;
        let verb = if verb.is_empty() { rule.verb.as_str().to_ascii_lowercase().into() } else { verb };
        let (head, tail) = verb.split_at(1);
        id += &(head.to_ascii_uppercase() + tail);
    }
    Ok(id)
}

/// What holds for all operations.
const ABOUT: &str = "Issues, checks and governs API credentials. The same calls are served at this address over gRPC and \
    gRPC-Web, described by reflection.

**Names.** Fields are in lowerCamelCase; requests may also use the spelling of the protos. A field that does not exist is \
    an error, except in `PUT`, which is partial and takes back what a GET gave. 64-bit numbers are text. Enum values go by \
    name; fields without a value are left out. HEAD is answered wherever GET is.

**Lists** name their page in one of three styles: `pageSize` and `pageToken`, whose cost does not grow with depth; `limit` \
    with `page` from 1; `size` with `page` from 0. The paths without a version answer bare arrays.

**Changes.** `PATCH` and `PUT` change the fields that the body names, or those of `updateMask`. An `etag` that is sent back \
    guards against overwriting another's change.

**Errors** are problem documents (RFC 9457) with the members `error`, `message`, `code` and `requestId`. A path that does \
    not exist is answered 404 with the code `UNKNOWN_METHOD`; another method than those of a path, 405 with \
    `METHOD_NOT_ALLOWED` and the header `Allow`.";

#[cfg(test)]
mod tests;
