//! Random messages, both ways, held against `prost-reflect`.

use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage, SerializeOptions, Value};

use super::super::fuzzing::{check_json, difference};
use super::Subject;
use crate::proto::descriptor_pool;

/// The messages of our own RPCs, and the test message of every kind ten times over, to be chosen more often.
fn subjects() -> &'static [Subject] {
    static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| {
        let ours = descriptor_pool().services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let ours = ours.flat_map(|method| [method.input(), method.output()]).map(Subject::new);
        ours.chain(std::iter::repeat_with(Subject::every_kind).take(10)).collect()
    });
    &SUBJECTS
}

fn oracle_json(message: &DynamicMessage, options: &SerializeOptions) -> String {
    let mut json = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), options).unwrap();
    String::from_utf8(json).unwrap()
}

fn parsed(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn messages_are_written_as_the_oracle_writes_them(which: prop::sample::Index, entropy in vec(any::<u8>(), 0..600)) {
        let subject = which.get(subjects());
        let message = Entropy(&entropy).message(&subject.descriptor, 0);
        let ours = subject.write(&message.encode_to_vec());
        let theirs = oracle_json(&message, &SerializeOptions::new().skip_default_fields(false));
        prop_assert_eq!(difference(&parsed(&ours), &parsed(&theirs)), None);
    }

    #[test]
    fn what_the_oracle_writes_is_read_as_it_was(
        which: prop::sample::Index,
        entropy in vec(any::<u8>(), 0..600),
        (numbers, names, defaults, digits) in any::<(bool, bool, bool, bool)>(),
    ) {
        let subject = which.get(subjects());
        let message = Entropy(&entropy).message(&subject.descriptor, 0);
        let options = SerializeOptions::new()
            .use_enum_numbers(numbers)
            .use_proto_field_name(names)
            .skip_default_fields(defaults)
            .stringify_64_bit_integers(digits);
        let json = oracle_json(&message, &options);
        let wire = subject.read(&json).map_err(|fault| TestCaseError::fail(format!("{fault}: {json}")))?;
        let read = DynamicMessage::decode(subject.descriptor.clone(), &*wire).unwrap();
        // Not a number equals nothing, itself neither: the texts are compared.
        let every = SerializeOptions::new().skip_default_fields(false);
        let (read, message) = (oracle_json(&read, &every), oracle_json(&message, &every));
        prop_assert_eq!(difference(&parsed(&read), &parsed(&message)), None);
    }

    #[test]
    fn what_is_written_is_read_back(which: prop::sample::Index, entropy in vec(any::<u8>(), 0..600)) {
        let subject = which.get(subjects());
        let message = Entropy(&entropy).message(&subject.descriptor, 0);
        let json = subject.write(&message.encode_to_vec());
        let wire = subject.read(&json).map_err(|fault| TestCaseError::fail(format!("{fault}: {json}")))?;
        let read = DynamicMessage::decode(subject.descriptor.clone(), &*wire).unwrap();
        prop_assert_eq!(difference(&parsed(&subject.write(&read.encode_to_vec())), &parsed(&json)), None);
    }

    /// Text near JSON: whatever is accepted means the same to the oracle, written again.
    #[test]
    fn what_is_accepted_is_a_message(
        entropy in vec(any::<u8>(), 0..300),
        edits in vec((any::<prop::sample::Index>(), prop::sample::select(PIECES)), 0..4),
    ) {
        let subject = &subjects()[subjects().len() - 1];
        let message = Entropy(&entropy).message(&subject.descriptor, 0);
        let mut json = subject.write(&message.encode_to_vec());
        for (place, piece) in edits {
            let place = json.floor_char_boundary(place.index(json.len()));
            let end = json.ceil_char_boundary((place + piece.len() / 2).min(json.len()));
            json.replace_range(place..end, piece);
        }
        check_json(&subject.tables, subject.id, &subject.descriptor, json.as_bytes());
    }
}

const PIECES: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "1",
    "-",
    ".5",
    "e9",
    "\\",
    "\\u0000",
    "\"a\":",
    "\u{e9}",
    "0",
    " ",
    "\"aString\":\"x\",",
    "\"an_int32\":",
    "\"NaN\"",
    "[[[[",
    "{\"a\":{\"a\":{",
];

/// Bytes that choose; when they run out, every choice is the first.
struct Entropy<'a>(&'a [u8]);

impl Entropy<'_> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    fn number(&mut self) -> u64 {
        // Small, near the ends, or anything.
        match self.byte() % 4 {
            0 => self.byte().into(),
            1 => u64::MAX - u64::from(self.byte()),
            2 => 1 << (self.byte() % 64),
            _ => (0..8).fold(0, |sum, _| sum << 8 | u64::from(self.byte())),
        }
    }

    fn text(&mut self) -> String {
        const CHARS: [char; 16] = [
            'a',
            'Z',
            '0',
            ' ',
            '"',
            '\\',
            '/',
            '\n',
            '\u{0}',
            '\u{7f}',
            '\u{e9}',
            '\u{2028}',
            '\u{1f511}',
            '\u{ffff}',
            '<',
            '\u{1b}',
        ];
        let length = self.byte() % 12;
        (0..length).map(|_| CHARS[usize::from(self.byte() % 16)]).collect()
    }

    fn message(&mut self, descriptor: &MessageDescriptor, depth: u8) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                let seconds = (self.number() % 315_537_897_600) as i64 - 62_135_596_800;
                message.set_field_by_name("seconds", Value::I64(seconds));
                let nanos = self.nanos();
                message.set_field_by_name("nanos", Value::I32(nanos));
                return message;
            }
            "google.protobuf.Duration" => {
                let sign = if self.byte() & 1 == 0 { 1 } else { -1 };
                let seconds = (self.number() % 315_576_000_001) as i64;
                message.set_field_by_name("seconds", Value::I64(sign * seconds));
                let nanos = self.nanos();
                message.set_field_by_name("nanos", Value::I32(sign as i32 * nanos));
                return message;
            }
            "google.protobuf.FieldMask" => {
                let paths = ["a", "display_name", "price.currency_code", "x1"];
                let paths = (0..self.byte() % 4).map(|_| Value::String(paths[usize::from(self.byte() % 4)].to_owned()));
                message.set_field_by_name("paths", Value::List(paths.collect()));
                return message;
            }
            "google.protobuf.Value" => {
                // A value must be one of its kinds; not a number has no JSON here.
                let kinds = if depth > 6 { 4 } else { 6 };
                let field = descriptor.get_field(1 + u32::from(self.byte() % kinds)).unwrap();
                let value = match field.kind() {
                    Kind::Double => Value::F64(f64::from(self.number() as i32) / 4.0),
                    Kind::Enum(_) => Value::EnumNumber(0),
                    kind => self.value(&kind, depth),
                };
                message.set_field(&field, value);
                return message;
            }
            // The oracle writes these as `null`, against the mapping, which has them like the floats in them.
            "google.protobuf.DoubleValue" => {
                message.set_field_by_name("value", Value::F64(f64::from(self.number() as i32) / 8.0));
                return message;
            }
            "google.protobuf.FloatValue" => {
                message.set_field_by_name("value", Value::F32(f32::from(self.byte()) / 8.0));
                return message;
            }
            _ => {}
        }
        for field in descriptor.fields() {
            if depth > 6 || self.byte() % 3 != 1 {
                continue;
            }
            let value = if field.is_map() {
                let Kind::Message(entry) = field.kind() else { unreachable!("entries are messages") };
                let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
                let count = self.byte() % 4;
                Value::Map((0..count).map(|_| (self.key(&key), self.value(&value, depth))).collect())
            } else if field.is_list() {
                let count = self.byte() % 4;
                Value::List((0..count).map(|_| self.value(&field.kind(), depth)).collect())
            } else {
                self.value(&field.kind(), depth)
            };
            message.set_field(&field, value);
        }
        message
    }

    fn value(&mut self, kind: &Kind, depth: u8) -> Value {
        match kind {
            Kind::Double => Value::F64(self.float()),
            Kind::Float => Value::F32(self.float() as f32),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(self.number() as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.number() as i64),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.number() as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.number()),
            Kind::Bool => Value::Bool(self.byte() % 2 == 1),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes((0..self.byte() % 9).map(|_| self.byte()).collect::<Vec<_>>().into()),
            Kind::Enum(descriptor) if descriptor.full_name() == "google.protobuf.NullValue" => Value::EnumNumber(0),
            Kind::Enum(descriptor) => {
                let values: Vec<i32> = descriptor.values().map(|value| value.number()).collect();
                let index = usize::from(self.byte()) % (values.len() + 1);
                Value::EnumNumber(values.get(index).copied().unwrap_or_else(|| self.number() as i32))
            }
            Kind::Message(descriptor) => Value::Message(self.message(descriptor, depth + 1)),
        }
    }

    fn key(&mut self, kind: &Kind) -> MapKey {
        match self.value(kind, 0) {
            Value::I32(key) => MapKey::I32(key),
            Value::I64(key) => MapKey::I64(key),
            Value::U32(key) => MapKey::U32(key),
            Value::U64(key) => MapKey::U64(key),
            Value::Bool(key) => MapKey::Bool(key),
            Value::String(key) => MapKey::String(key),
            other => unreachable!("{other:?} is no key"),
        }
    }

    fn float(&mut self) -> f64 {
        match self.byte() % 8 {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => -0.0,
            4 => 1e300,
            _ => f64::from(self.number() as i32) / 8.0,
        }
    }

    fn nanos(&mut self) -> i32 {
        match self.byte() % 4 {
            0 => 0,
            1 => i32::from(self.byte()) * 1_000_000,
            2 => i32::from(self.byte()) * 1000,
            _ => (self.number() % 1_000_000_000) as i32,
        }
    }
}

#[test]
fn subjects_are_all_messages_of_ours() {
    let names: Vec<_> = subjects().iter().map(|subject| subject.descriptor.name().to_owned()).collect();
    assert!(names.contains(&"VerifyResponse".to_owned()) && names.len() > 50);
    let subject = Subject::every_kind();
    let message = Entropy(&[1; 64]).message(&subject.descriptor, 0);
    assert!(message.descriptor().fields().any(|field| message.has_field(&field)));
}
