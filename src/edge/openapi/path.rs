//! Paths as OpenAPI writes them: variables that are one segment each, with one name per place.

use std::collections::HashMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::super::template::{Segment, Template};

/// The paths so far. Templates that take the same requests are one path in OpenAPI, so the variables of the first are
/// also those of the later ones: `/v1/keys/{id}` and `/v1/keys/{key.id}` are both `/v1/keys/{id}`.
#[derive(Debug, Default)]
pub(super) struct Paths {
    names: HashMap<String, Vec<String>>,
}

/// One path.
#[derive(Debug)]
pub(super) struct Path {
    /// `/v1/keys/{id}:rotate`.
    pub(super) text: String,
    /// Its variables, in order.
    pub(super) variables: Vec<Variable>,
}

/// A variable of a path.
#[derive(Debug)]
pub(super) struct Variable {
    /// The name in the path.
    pub(super) name: String,
    /// The field it gives, or gives a part of; none for a wildcard that gives none.
    pub(super) field: Option<FieldDescriptor>,
    /// The field's path from the request message.
    pub(super) field_path: String,
}

impl Paths {
    /// The path of a template for requests of this type.
    pub(super) fn add(&mut self, template: &Template, request: &MessageDescriptor) -> Path {
        let mut shape = String::new();
        let mut own: Vec<Variable> = Vec::new();
        for (index, segment) in template.segments.iter().enumerate() {
            shape.push('/');
            if let Segment::Literal(text) = segment {
                shape.push_str(text);
                continue;
            }
            shape.push_str("{}");
            let covering = template.variables.iter().find(|v| (v.first..v.first + v.count).contains(&index));
            let field_path = covering.map_or("", |variable| &variable.field);
            let field = find_field(request, field_path);
            let name = field.as_ref().map_or("segment", FieldDescriptor::json_name);
            let name = unused(name, own.iter().map(|variable| variable.name.as_str()));
            own.push(Variable { name, field, field_path: field_path.to_owned() });
        }
        if !template.verb.is_empty() {
            shape.extend([":", &template.verb]);
        }
        let names = own.iter().map(|variable| variable.name.clone()).collect();
        let names = self.names.entry(shape.clone()).or_insert(names);
        for (variable, name) in own.iter_mut().zip(names) {
            variable.name.clone_from(name);
        }
        let mut text = String::new();
        let mut rest = shape.as_str();
        for variable in &own {
            // A literal has no braces: the next pair is this variable's.
            let Some((before, after)) = rest.split_once("{}") else { break };
            text.extend([before, "{", &variable.name, "}"]);
            rest = after;
        }
        text.push_str(rest);
        Path { text, variables: own }
    }
}

/// The field at a dotted path of names.
fn find_field(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    match path.split_once('.') {
        None => message.get_field_by_name(path),
        Some((outer, rest)) => match message.get_field_by_name(outer)?.kind() {
            Kind::Message(inner) => find_field(&inner, rest),
            _ => None,
        },
    }
}

/// The name, or the first of `name2`, `name3`... that is not taken.
pub(super) fn unused<'a>(name: &str, taken: impl Iterator<Item = &'a str> + Clone) -> String {
    let free = |candidate: &String| taken.clone().all(|other| other != candidate);
    let numbered = (2..).map(|number: usize| format!("{name}{number}"));
    // There are more numbers than names.
    std::iter::once(name.to_owned()).chain(numbered).find(free).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    #[test]
    fn paths_that_take_the_same_requests_are_one() {
        let mut paths = Paths::default();
        let mut add = |template: &str, request: &str| {
            let request = descriptor_pool().get_message_by_name(&format!("gatepost.v1.{request}")).unwrap();
            let path = paths.add(&Template::parse(template).unwrap(), &request);
            let fields = path.variables.into_iter().map(|variable| variable.field_path).collect::<Vec<_>>();
            (path.text, fields.join(","))
        };
        let given = |text: &str, fields: &str| (text.to_owned(), fields.to_owned());
        assert_eq!(add("/v1/keys/{id}", "GetKeyRequest"), given("/v1/keys/{id}", "id"));
        assert_eq!(add("/v1/keys/{key.id}", "UpdateKeyRequest"), given("/v1/keys/{id}", "key.id"));
        assert_eq!(add("/v1/keys/{id}:rotate", "RotateKeyRequest"), given("/v1/keys/{id}:rotate", "id"));
        assert_eq!(add("/v1/keys/{key.alias}", "UpdateKeyRequest"), given("/v1/keys/{id}", "key.alias"));
        assert_eq!(
            add("/v1/{key.created_by=keys/*/parts/*}/*:x", "UpdateKeyRequest"),
            given("/v1/keys/{createdBy}/parts/{createdBy2}/{segment}:x", "key.created_by,key.created_by,")
        );
    }
}
