//! Messages and enums as JSON schemas, in the JSON mapping that the edge speaks.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comment::Comments;
use super::path::unused;

/// The schemas that the document refers to, made when they are first referred to.
#[derive(Debug)]
pub(super) struct Schemas<'c> {
    comments: &'c Comments,
    made: BTreeMap<String, Value>,
    names: BTreeMap<Identity, String>,
}

/// What a message is used for: it decides what must be there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Use {
    /// The server sends it: the fields that are always there are required.
    Answer,
    /// A client sends it: fields that are marked REQUIRED must be there.
    Request,
    /// A client sends what is to change: nothing must be there.
    Change,
}

/// What one schema was made of: the type, its use, and the fields that are left out.
type Identity = (String, Use, Vec<String>);

impl<'c> Schemas<'c> {
    /// No schemas yet.
    pub(super) fn new(comments: &'c Comments) -> Self {
        Self { comments, made: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// Adds a schema of no message. It comes first, or a message may have the name.
    pub(super) fn add(&mut self, name: &str, schema: Value) {
        self.made.insert(name.to_owned(), schema);
    }

    /// All that were made, by name.
    pub(super) fn finish(self) -> BTreeMap<String, Value> {
        self.made
    }

    /// The schema of a message without some of its fields.
    pub(super) fn message(&mut self, message: &MessageDescriptor, for_: Use, without: &[String]) -> Value {
        if let Some(schema) = well_known(message.full_name()) {
            return schema;
        }
        let identity = (message.full_name().to_owned(), for_, without.to_owned());
        if let Some(name) = self.names.get(&identity) {
            return reference(name);
        }
        let suffix = match for_ {
            Use::Answer => "",
            Use::Request if message.name().ends_with("Request") => "",
            Use::Request => "Input",
            Use::Change => "Change",
        };
        let name = self.reserve(format!("{}{suffix}", short_name(message.full_name(), message.package_name())));
        self.names.insert(identity, name.clone());
        let schema = self.object(message, for_, without);
        self.made.insert(name.clone(), schema);
        reference(&name)
    }

    /// The schema of a field's value, with what the field's comment says.
    pub(super) fn field(&mut self, field: &FieldDescriptor, for_: Use) -> Value {
        let mut schema = self.value(field, for_);
        let description = self.comments.field(field);
        if !description.is_empty() {
            schema["description"] = description.into();
        }
        schema
    }

    /// The schema of a field's value alone.
    pub(super) fn value(&mut self, field: &FieldDescriptor, for_: Use) -> Value {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return json!({"type": "object"}) };
            let values = self.kind(&entry.map_entry_value_field().kind(), for_);
            return json!({"type": "object", "additionalProperties": values});
        }
        let one = self.kind(&field.kind(), for_);
        if field.is_list() { json!({"type": "array", "items": one}) } else { one }
    }

    fn object(&mut self, message: &MessageDescriptor, for_: Use, without: &[String]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !without.iter().any(|name| name == field.name())) {
            let mut schema = self.field(&field, for_);
            let behaviour = Behaviour::of(&field);
            if behaviour.output_only {
                schema["readOnly"] = true.into();
            }
            if behaviour.input_only {
                schema["writeOnly"] = true.into();
            }
            let always = match for_ {
                Use::Answer => is_always_there(&field),
                Use::Request => behaviour.required,
                Use::Change => false,
            };
            if always {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({"type": "object"});
        let description = self.comments.message(message);
        if !description.is_empty() {
            schema["description"] = description.into();
        }
        schema["properties"] = properties.into();
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }

    fn kind(&mut self, kind: &Kind, for_: Use) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32", "minimum": 0}),
            // Text, because JavaScript's numbers end at 2^53.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}),
            Kind::Float => float("float"),
            Kind::Double => float("double"),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(descriptor) => self.enumeration(descriptor),
            Kind::Message(message) => self.message(message, for_, &[]),
        }
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> Value {
        if descriptor.full_name() == "google.protobuf.NullValue" {
            return json!({"type": "null"});
        }
        let identity = (descriptor.full_name().to_owned(), Use::Answer, Vec::new());
        if let Some(name) = self.names.get(&identity) {
            return reference(name);
        }
        let name = self.reserve(short_name(descriptor.full_name(), descriptor.package_name()));
        self.names.insert(identity, name.clone());
        let mut description = vec![self.comments.enumeration(descriptor)];
        let mut names = Vec::new();
        // "Unspecified" is what a field without a value holds: a client leaves the field out, and answers have a value.
        for value in descriptor.values().filter(|value| value.number() != 0 || !value.name().ends_with("_UNSPECIFIED"))
        {
            description.push(format!("- `{}`: {}", value.name(), self.comments.value(&value)));
            names.push(value.name().to_owned());
        }
        let schema = json!({"type": "string", "description": description.join("\n"), "enum": names});
        self.made.insert(name.clone(), schema);
        reference(&name)
    }

    fn reserve(&self, name: String) -> String {
        unused(&name, self.names.values().chain(self.made.keys()).map(String::as_str))
    }
}

/// What `google.api.field_behavior` says of a field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Behaviour {
    /// A request must have it.
    pub(super) required: bool,
    /// Only the server says it.
    pub(super) output_only: bool,
    /// Only clients say it.
    pub(super) input_only: bool,
}

impl Behaviour {
    /// Reads what a field is marked as.
    pub(super) fn of(field: &FieldDescriptor) -> Self {
        let pool = field.parent_pool();
        let Some(extension) = pool.get_extension_by_name("google.api.field_behavior") else { return Self::default() };
        let options = field.options();
        let marks = options.get_extension(&extension);
        let marks = marks.as_list().unwrap_or_default();
        let is = |number| marks.iter().any(|mark| mark.as_enum_number() == Some(number));
        // The numbers of google/api/field_behavior.proto.
        Self { required: is(2), output_only: is(3), input_only: is(4) }
    }
}

/// Whether every answer has the field: it has no presence, or is a message that is neither `optional` nor one of several.
/// Times that may be missing say so in words only.
pub(super) fn is_always_there(field: &FieldDescriptor) -> bool {
    let is_object = matches!(field.kind(), Kind::Message(message) if well_known(message.full_name()).is_none());
    !field.supports_presence() || is_object && field.containing_oneof().is_none()
}

/// A reference to a schema of the document.
fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// `gatepost.v1.Key.Rotation` as `KeyRotation`.
fn short_name(full_name: &str, package: &str) -> String {
    full_name.strip_prefix(package).unwrap_or(full_name).replace('.', "")
}

fn float(format: &str) -> Value {
    json!({"anyOf": [{"type": "number", "format": format}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
}

/// The JSON forms of the messages that have one of their own.
fn well_known(full_name: &str) -> Option<Value> {
    Some(match full_name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"}),
        "FieldMask" => json!({"type": "string", "pattern": "^[A-Za-z0-9.*]+(,[A-Za-z0-9.*]+)*$"}),
        "Struct" => json!({"type": "object", "additionalProperties": true}),
        "ListValue" => json!({"type": "array", "items": {}}),
        "Value" => json!({}),
        "BoolValue" => json!({"type": ["boolean", "null"]}),
        "Int32Value" => json!({"type": ["integer", "null"], "format": "int32"}),
        "UInt32Value" => json!({"type": ["integer", "null"], "format": "uint32", "minimum": 0}),
        "Int64Value" => json!({"type": ["string", "null"], "format": "int64", "pattern": "^-?[0-9]+$"}),
        "UInt64Value" => json!({"type": ["string", "null"], "format": "uint64", "pattern": "^[0-9]+$"}),
        "FloatValue" | "DoubleValue" => json!({"type": ["number", "string", "null"]}),
        "StringValue" => json!({"type": ["string", "null"]}),
        "BytesValue" => json!({"type": ["string", "null"], "contentEncoding": "base64"}),
        _ => return None,
    })
}
