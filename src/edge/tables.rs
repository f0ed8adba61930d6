//! What the transcoder knows about messages: one table per message type, made from the descriptors at start.
//!
//! A type that the JSON mapping has no table form for (`Any`, groups, more than 128 fields) is refused here, at start, so
//! that nothing is ever transcoded half right.

use std::collections::HashMap;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind as Type, MessageDescriptor, Value};

use super::wire::{self, FIXED32, FIXED64, LEN, VARINT};

/// Names a message's table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MessageId(u16);

/// Names an enum's table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct EnumId(u16);

/// The tables of all messages that were asked for, and of those they hold.
#[derive(Debug, Default)]
pub(super) struct Tables {
    messages: Vec<Message>,
    enums: Vec<Enum>,
    by_name: HashMap<String, MessageId>,
    enums_by_name: HashMap<String, EnumId>,
}

/// One message type.
#[derive(Debug)]
pub(super) struct Message {
    /// The type's name without its package.
    pub(super) name: Box<str>,
    pub(super) shape: Shape,
    /// By number.
    pub(super) fields: Vec<Field>,
    /// Both spellings of each field's name, shortest first, then by bytes.
    names: Vec<(Box<str>, u16)>,
}

/// How a message is written in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// An object of its fields.
    Fields,
    /// RFC 3339 text.
    Timestamp,
    /// Seconds, as text.
    Duration,
    /// Paths separated by commas, as text.
    FieldMask,
    /// Its one field's value alone (`google.protobuf.Int64Value` and the like).
    Wrapper,
    /// Any object.
    Struct,
    /// Any JSON value.
    Value,
    /// Any list.
    ListValue,
}

/// One field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// The name in the proto file, `page_size`.
    pub(super) name: Box<str>,
    /// The name in JSON, `pageSize`.
    pub(super) json_name: Box<str>,
    /// The tag before one value (not before a packed list).
    pub(super) tag: Box<[u8]>,
    pub(super) kind: Kind,
    pub(super) count: Count,
    /// `"pageSize":`
    pub(super) key: Box<[u8]>,
    /// `"pageSize":0`, when the field has no presence and is always written.
    pub(super) default: Option<Box<[u8]>>,
    /// The oneof the field belongs to (not the synthetic one of `optional`).
    pub(super) oneof: Option<u8>,
    /// Whether a mask made from a body may name the field.
    pub(super) maskable: bool,
}

/// A value's type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Bool,
    Int32,
    Sint32,
    Sfixed32,
    Uint32,
    Fixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint64,
    Fixed64,
    Float,
    Double,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Count {
    One,
    List {
        packed: bool,
    },
    /// Entries; the field's kind is the entry message, key first.
    Map,
}

/// One enum type.
#[derive(Debug)]
pub(super) struct Enum {
    /// Whether it is `google.protobuf.NullValue`, which is JSON's `null`.
    pub(super) null: bool,
    values: Vec<(i32, Box<str>)>,
}

impl Tables {
    /// The table of a message type, made with the tables of all it holds if there is none yet.
    pub(super) fn add(&mut self, message: &MessageDescriptor) -> Result<MessageId, String> {
        if let Some(id) = self.by_name.get(message.full_name()) {
            return Ok(*id);
        }
        let shape = shape(message)?;
        let id = MessageId(u16::try_from(self.messages.len()).map_err(|_| "more message types than the tables hold")?);
        self.by_name.insert(message.full_name().to_owned(), id);
        let name = message.full_name().strip_prefix(message.package_name()).unwrap_or(message.full_name());
        let name = name.trim_start_matches('.').into();
        // The place is taken before the fields are looked at: a message may hold itself.
        self.messages.push(Message { name, shape, fields: Vec::new(), names: Vec::new() });

        let mut fields = message.fields().map(|field| self.field(&field)).collect::<Result<Vec<_>, _>>()?;
        fields.sort_by_key(|field| field.number);
        if fields.len() > 128 {
            return Err(format!("{}: more than 128 fields", message.full_name()));
        }
        let mut names = Vec::with_capacity(2 * fields.len());
        for (field, index) in fields.iter().zip(0..) {
            names.push((field.json_name.clone(), index));
            if field.name != field.json_name {
                names.push((field.name.clone(), index));
            }
        }
        names.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        if let Some([(name, _), _]) = names.array_windows().find(|[(a, _), (b, _)]| a == b) {
            return Err(format!("{}: two fields are called {name}", message.full_name()));
        }
        let table = &mut self.messages[usize::from(id.0)];
        table.fields = fields;
        table.names = names;
        Ok(id)
    }

    /// A message's table.
    #[inline]
    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[usize::from(id.0)]
    }

    /// An enum's table.
    #[inline]
    pub(super) fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[usize::from(id.0)]
    }

    /// The shape of a kind that is a message.
    #[inline]
    pub(super) fn shape(&self, kind: Kind) -> Option<Shape> {
        match kind {
            Kind::Message(id) => Some(self.message(id).shape),
            _ => None,
        }
    }

    fn field(&mut self, field: &FieldDescriptor) -> Result<Field, String> {
        if field.is_group() || field.cardinality() == Cardinality::Required {
            return Err(format!("{}: groups and required fields have no place here", field.full_name()));
        }
        let (kind, wire_type) = self.kind(&field.kind())?;
        let count = if field.is_map() {
            Count::Map
        } else if field.is_list() {
            Count::List { packed: field.is_packed() }
        } else {
            Count::One
        };
        let key = format!("{}:", serde_json::Value::from(field.json_name()));
        let default = (!field.supports_presence()).then(|| format!("{key}{}", self.default_json(count, kind)));
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let oneof = match oneof.and_then(|oneof| field.parent_message().oneofs().position(|other| other == oneof)) {
            Some(index) => Some(u8::try_from(index).map_err(|_| format!("{}: too many oneofs", field.full_name()))?),
            None => None,
        };
        Ok(Field {
            number: field.number(),
            name: field.name().into(),
            json_name: field.json_name().into(),
            tag: wire::tag(field.number(), wire_type),
            kind,
            count,
            key: key.into_bytes().into(),
            default: default.map(|text| text.into_bytes().into()),
            oneof,
            maskable: field.name() != "etag" && !is_read_only(field),
        })
    }

    fn kind(&mut self, kind: &Type) -> Result<(Kind, u8), String> {
        Ok(match kind {
            Type::Bool => (Kind::Bool, VARINT),
            Type::Int32 => (Kind::Int32, VARINT),
            Type::Sint32 => (Kind::Sint32, VARINT),
            Type::Sfixed32 => (Kind::Sfixed32, FIXED32),
            Type::Uint32 => (Kind::Uint32, VARINT),
            Type::Fixed32 => (Kind::Fixed32, FIXED32),
            Type::Int64 => (Kind::Int64, VARINT),
            Type::Sint64 => (Kind::Sint64, VARINT),
            Type::Sfixed64 => (Kind::Sfixed64, FIXED64),
            Type::Uint64 => (Kind::Uint64, VARINT),
            Type::Fixed64 => (Kind::Fixed64, FIXED64),
            Type::Float => (Kind::Float, FIXED32),
            Type::Double => (Kind::Double, FIXED64),
            Type::String => (Kind::String, LEN),
            Type::Bytes => (Kind::Bytes, LEN),
            Type::Enum(descriptor) => (Kind::Enum(self.add_enum(descriptor)?), VARINT),
            Type::Message(descriptor) => (Kind::Message(self.add(descriptor)?), LEN),
        })
    }

    fn add_enum(&mut self, descriptor: &EnumDescriptor) -> Result<EnumId, String> {
        if let Some(id) = self.enums_by_name.get(descriptor.full_name()) {
            return Ok(*id);
        }
        let values: Vec<(i32, Box<str>)> = descriptor.values().map(|v| (v.number(), v.name().into())).collect();
        for (index, (number, name)) in values.iter().enumerate() {
            if values[..index].iter().any(|(n, other)| n != number && other.eq_ignore_ascii_case(name)) {
                return Err(format!("{}: {name} differs from another value by case alone", descriptor.full_name()));
            }
        }
        let null = descriptor.full_name() == "google.protobuf.NullValue";
        let id = EnumId(u16::try_from(self.enums.len()).map_err(|_| "more enum types than the tables hold")?);
        self.enums_by_name.insert(descriptor.full_name().to_owned(), id);
        self.enums.push(Enum { null, values });
        Ok(id)
    }

    fn default_json(&self, count: Count, kind: Kind) -> String {
        match (count, kind) {
            (Count::List { .. }, _) => "[]".to_owned(),
            (Count::Map, _) => "{}".to_owned(),
            (Count::One, Kind::Bool) => "false".to_owned(),
            (Count::One, Kind::String | Kind::Bytes) => "\"\"".to_owned(),
            (Count::One, Kind::Float | Kind::Double) => "0.0".to_owned(),
            (Count::One, Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64) => {
                "\"0\"".to_owned()
            }
            (Count::One, Kind::Enum(id)) => match self.enumeration(id) {
                Enum { null: true, .. } => "null".to_owned(),
                table => table.find_name(0).map_or_else(|| "0".to_owned(), |name| format!("\"{name}\"")),
            },
            (Count::One, _) => "0".to_owned(),
        }
    }
}

impl Message {
    /// The field with this name, in either spelling. `likely` is looked at first.
    #[inline]
    pub(super) fn find(&self, name: &str, likely: usize) -> Option<usize> {
        if self.fields.get(likely).is_some_and(|field| *field.json_name == *name) {
            return Some(likely);
        }
        let place = self.names.binary_search_by(|(other, _)| (other.len(), &**other).cmp(&(name.len(), name))).ok()?;
        Some(usize::from(self.names[place].1))
    }

    /// The field with this number.
    pub(super) fn find_number(&self, number: u32) -> Option<usize> {
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

impl Enum {
    /// The name of a number; the first, if it has several.
    #[inline]
    pub(super) fn find_name(&self, number: i32) -> Option<&str> {
        self.values.iter().find(|(other, _)| *other == number).map(|(_, name)| &**name)
    }

    /// The number of a name, in any case.
    #[inline]
    pub(super) fn find_number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(_, other)| other.eq_ignore_ascii_case(name)).map(|(number, _)| *number)
    }

    /// The names a client may choose from: without the one that says that nothing was chosen.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter(|(number, _)| *number != 0 || self.values.len() == 1).map(|(_, name)| &**name)
    }
}

fn shape(message: &MessageDescriptor) -> Result<Shape, String> {
    let Some(name) = message.full_name().strip_prefix("google.protobuf.") else {
        return Ok(Shape::Fields);
    };
    Ok(match name {
        "Timestamp" => Shape::Timestamp,
        "Duration" => Shape::Duration,
        "FieldMask" => Shape::FieldMask,
        "BoolValue" | "Int32Value" | "UInt32Value" | "Int64Value" | "UInt64Value" | "FloatValue" | "DoubleValue"
        | "StringValue" | "BytesValue" => Shape::Wrapper,
        "Struct" => Shape::Struct,
        "Value" => Shape::Value,
        "ListValue" => Shape::ListValue,
        "Empty" | "Struct.FieldsEntry" => Shape::Fields,
        _ => return Err(format!("{} has no JSON form here", message.full_name())),
    })
}

/// Whether `google.api.field_behavior` says that an update cannot change the field.
fn is_read_only(field: &FieldDescriptor) -> bool {
    const OUTPUT_ONLY: i32 = 3;
    const IMMUTABLE: i32 = 5;
    let pool = field.parent_pool();
    let Some(extension) = pool.get_extension_by_name("google.api.field_behavior") else {
        return false;
    };
    let options = field.options();
    let behaviours = options.get_extension(&extension);
    behaviours.as_list().is_some_and(|list| {
        list.iter().filter_map(Value::as_enum_number).any(|value| value == OUTPUT_ONLY || value == IMMUTABLE)
    })
}
