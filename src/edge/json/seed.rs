//! The visitors that `serde_json` calls for each value, name and key of a body.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::tables::{Count, Field, Kind, Message, Shape};
use super::read::Reader;
use super::scalar::{LIST, NOT_NULL, OBJECT, Scalar, put, rule, takes_null};

/// Reads the value of a field, or one of its values.
pub(super) struct ValueSeed<'r, 't, 'o> {
    pub(super) reader: &'r mut Reader<'t, 'o>,
    pub(super) field: &'t Field,
    pub(super) place: Place,
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// It is all that its field holds.
    Field,
    /// It is one of its field's values.
    Item { tagged: bool },
}

/// Reads the fields of a message that is the whole body.
pub(super) struct BodySeed<'r, 't, 'o> {
    pub(super) reader: &'r mut Reader<'t, 'o>,
    pub(super) message: &'t Message,
}

/// Reads the name of a field: its place, or nothing when the name is unknown and may be.
pub(super) struct NameSeed<'r, 't, 'o> {
    pub(super) reader: &'r mut Reader<'t, 'o>,
    pub(super) message: &'t Message,
    /// The place that is looked at first.
    pub(super) likely: usize,
}

/// Writes the key of a map's entry.
pub(super) struct KeySeed<'r, 't, 'o> {
    pub(super) reader: &'r mut Reader<'t, 'o>,
    pub(super) field: &'t Field,
}

/// Passes over a value that nobody asked for, or a name in it. Its syntax and depth are checked all the same.
pub(super) struct Skip<'r, 't, 'o> {
    pub(super) reader: &'r mut Reader<'t, 'o>,
}

impl<'t, 'o> ValueSeed<'_, 't, 'o> {
    #[inline]
    fn scalar<E: Error>(self, value: Scalar<'_>) -> Result<(), E> {
        if matches!(value, Scalar::Null) && !(self.is_single() && takes_null(self.reader.tables(), self.field.kind)) {
            return match self.place {
                Place::Field => Ok(()),
                Place::Item { .. } => Err(self.reader.fail(NOT_NULL)),
            };
        }
        if !self.is_single() {
            return Err(self.refuse());
        }
        let tagged = !matches!(self.place, Place::Item { tagged: false });
        let (tables, out) = self.reader.target();
        put(tables, self.field, tagged, value, out).map_err(|rule| self.reader.fail(rule))
    }

    /// Whether the value is one, not the list or map that makes the whole field.
    fn is_single(&self) -> bool {
        self.field.count == Count::One || matches!(self.place, Place::Item { .. })
    }

    /// Says what the field takes, to a client that gave something else.
    #[cold]
    fn refuse<E: Error>(self) -> E {
        let rule = match self.field.count {
            _ if self.is_single() => rule(self.reader.tables(), self.field),
            Count::Map => OBJECT.into(),
            _ => LIST.into(),
        };
        self.reader.fail(rule)
    }

    /// The message table of a value that is a message.
    fn message(&self) -> Option<&'t Message> {
        match self.field.kind {
            Kind::Message(id) if self.is_single() => Some(self.reader.tables().message(id)),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_, '_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        if let (Place::Field, Count::List { .. }) = (self.place, self.field.count) {
            return self.reader.items(self.field, seq);
        }
        let Some(message) = self.message() else {
            return Err(self.refuse());
        };
        match message.shape {
            Shape::ListValue => self.reader.nested(self.field, |reader| reader.items(&message.fields[0], seq)),
            Shape::Value => self.reader.nested(self.field, |reader| {
                ValueSeed { reader, field: &message.fields[VALUE_LIST], place: ONE }.visit_seq(seq)
            }),
            _ => Err(self.refuse()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if let (Place::Field, Count::Map) = (self.place, self.field.count) {
            return self.reader.entries(self.field, map);
        }
        let Some(message) = self.message() else {
            return Err(self.refuse());
        };
        match message.shape {
            Shape::Fields => self.reader.nested(self.field, |reader| reader.fields(message, map)),
            Shape::Struct => self.reader.nested(self.field, |reader| reader.entries(&message.fields[0], map)),
            Shape::Value => self.reader.nested(self.field, |reader| {
                ValueSeed { reader, field: &message.fields[VALUE_STRUCT], place: ONE }.visit_map(map)
            }),
            _ => Err(self.refuse()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.reader.fields(self.message, map)
    }
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_, '_> {
    type Value = Option<usize>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_, '_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    #[inline]
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let found = self.message.find(name, self.likely);
        if found.is_none() && !self.reader.ignores_unknown() {
            let error = self.reader.fail(format!("is not a field of {}", self.message.name));
            return Err(self.reader.within(name, error));
        }
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        let (tables, out) = self.reader.target();
        put(tables, self.field, true, Scalar::Text(key), out).map_err(|rule| {
            let error = self.reader.fail(rule);
            self.reader.within(key, error)
        })
    }
}

impl<'de> DeserializeSeed<'de> for Skip<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.reader.deeper()?;
        while seq.next_element_seed(Skip { reader: self.reader })?.is_some() {}
        self.reader.shallower();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.reader.deeper()?;
        while map.next_key_seed(Skip { reader: self.reader })?.is_some() {
            map.next_value_seed(Skip { reader: self.reader })?;
        }
        self.reader.shallower();
        Ok(())
    }
}

const ONE: Place = Place::Item { tagged: true };

// The places of `struct_value` and `list_value` in `google.protobuf.Value`.
const VALUE_STRUCT: usize = 4;
const VALUE_LIST: usize = 5;
