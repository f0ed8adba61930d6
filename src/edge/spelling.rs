//! The names of fields in a service's refusal, as a client of the JSON knows them. A service names fields by their paths in
//! the request message (`key.allowed_ips[2]`); where the body is the key, its client wrote `allowedIps`.

use tonic::Status;
use tonic_types::{FieldViolation, StatusExt};

use super::route::{Body, Route};
use super::tables::{Count, Kind, Message, Shape, Tables};

/// The same refusal with the client's names. A message that only tells the violations is told again.
pub(super) fn for_client(tables: &Tables, route: &Route, status: Status) -> Status {
    let mut details = status.get_error_details();
    let Some(bad) = details.bad_request() else { return status };
    let old = &bad.field_violations;
    let new: Vec<_> = old
        .iter()
        .map(|violation| FieldViolation::new(client_name(tables, route, &violation.field), &violation.description))
        .collect();
    let message = if status.message() == sentence(old) { sentence(&new) } else { status.message().to_owned() };
    details.set_bad_request(new);
    Status::with_error_details_and_metadata(status.code(), message, details, status.metadata().clone())
}

/// A field's path in the request, in lowerCamelCase and from the body on if the body is one field.
fn client_name(tables: &Tables, route: &Route, path: &str) -> String {
    let mut message = Some(tables.message(route.request));
    let mut rest = path;
    if let (Body::Field(index), Some(request)) = (route.body, message)
        && let field = &request.fields[index]
        && let Some(inner) = path.strip_prefix(&*field.name).and_then(|rest| rest.strip_prefix('.'))
        && !route.variables.iter().any(|bound| *bound.name == *path)
    {
        rest = inner;
        message = inside(tables, field.kind, field.count);
    }
    let mut name = String::with_capacity(rest.len());
    while let Some(table) = message {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let Some(place) = table.find(&rest[..end], usize::MAX) else { break };
        let field = &table.fields[place];
        let dot = rest[end..].find('.').map_or(rest.len(), |dot| end + dot + 1);
        name.push_str(&field.json_name);
        name.push_str(&rest[end..dot]);
        rest = &rest[dot..];
        message = inside(tables, field.kind, field.count);
    }
    // Past a map's key or a name that is no field, nothing is known: it stays as it is.
    name.push_str(rest);
    name
}

fn inside(tables: &Tables, kind: Kind, count: Count) -> Option<&Message> {
    match kind {
        Kind::Message(id) if count != Count::Map && tables.message(id).shape == Shape::Fields => {
            Some(tables.message(id))
        }
        _ => None,
    }
}

fn sentence(violations: &[FieldViolation]) -> String {
    let told: Vec<_> =
        violations.iter().map(|violation| format!("{}: {}", violation.field, violation.description)).collect();
    told.join("; ")
}
