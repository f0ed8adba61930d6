//! Query parameters: each names a field of the request that neither the path nor the body gives, `key.name` for one in a
//! message, and repeats for a list.

use tonic::Status;

use super::percent::decode_query;
use super::refusal::{invalid_field, invalid_request};
use super::route::{Body, FieldPath, Route};
use super::tables::{Count, Kind, Shape, Tables};

/// Writes the fields that the query names. Returns whether it gives the mask.
pub(super) fn put_query(tables: &Tables, route: &Route, query: &str, out: &mut Vec<u8>) -> Result<bool, Status> {
    let mut seen: Vec<FieldPath> = Vec::new();
    let mut gives_mask = false;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decode_query(name).ok_or_else(|| invalid_request(BAD_ESCAPE))?;
        let shown = &name[..name.floor_char_boundary(MAX_NAME)];
        let path = find(tables, route, &name).map_err(|rule| invalid_field(shown, rule))?;
        let field = path.last(tables, route.request);
        if field.count == Count::One {
            if seen.contains(&path) {
                return Err(invalid_field(shown, "is given twice"));
            }
            seen.push(path);
        }
        let value = decode_query(value).ok_or_else(|| invalid_field(shown, BAD_VALUE))?;
        path.put_text(tables, route.request, &value, out).map_err(|rule| invalid_field(shown, &rule))?;
        gives_mask |= route.mask.as_ref().is_some_and(|mask| path.places() == [mask.field as u8]);
    }
    Ok(gives_mask)
}

/// The field that a parameter names, if it may be given here.
fn find(tables: &Tables, route: &Route, name: &str) -> Result<FieldPath, &'static str> {
    if route.body == Body::Whole {
        return Err("belongs in the body: this path takes no query parameters");
    }
    let path = FieldPath::find(tables, route.request, name).ok_or("is not a parameter of this path")?;
    let first = path.places().first().map(|place| usize::from(*place));
    if let (Body::Field(body), Some(first)) = (route.body, first)
        && body == first
    {
        return Err("belongs in the body");
    }
    if route.variables.iter().any(|bound| bound.fields == path) {
        return Err("is given by the path");
    }
    let field = path.last(tables, route.request);
    let is_text = match field.kind {
        Kind::Message(id) => {
            matches!(tables.message(id).shape, Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper)
        }
        _ => true,
    };
    if !is_text || field.count == Count::Map {
        return Err("cannot be given as a parameter");
    }
    // The values of a list are written one by one, packed or not: parsers take both.
    Ok(path)
}

const BAD_ESCAPE: &str = "A parameter's name is not valid percent-encoded UTF-8";
const BAD_VALUE: &str = "is not valid percent-encoded UTF-8";

/// Bytes of a name that an error repeats.
const MAX_NAME: usize = 64;
