//! One value that is neither an object nor a list, from JSON or from the text of a path or query, to protobuf bytes.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::tables::{Enum, Field, Kind, Shape, Tables};
use super::super::wire::{close, open, put_bytes, put_varint, zigzag};
use super::time;

/// What a value must be, for people: the end of a sentence that begins with the field's name.
pub(in crate::edge) type Rule = Cow<'static, str>;

/// A value as it was given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// A JSON string.
    String(&'a str),
    /// A part of a path or query, or a key of a map, where all is text.
    Text(&'a str),
}

/// Writes the field with the value that a path or query gives.
pub(in crate::edge) fn put_text(tables: &Tables, field: &Field, text: &str, out: &mut Vec<u8>) -> Result<(), Rule> {
    put(tables, field, true, Scalar::Text(text), out)
}

/// Writes one value of a field, after its tag unless it goes into a packed list.
pub(super) fn put(
    tables: &Tables,
    field: &Field,
    tagged: bool,
    value: Scalar<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Rule> {
    if tagged {
        out.extend_from_slice(&field.tag);
    }
    match field.kind {
        Kind::Bool => put_varint(out, boolean(value)?.into()),
        Kind::Int32 => put_varint(out, i64::from(integer::<i32>(value)?) as u64),
        Kind::Sint32 => put_varint(out, zigzag(integer::<i32>(value)?.into())),
        Kind::Sfixed32 => out.extend_from_slice(&integer::<i32>(value)?.to_le_bytes()),
        Kind::Uint32 => put_varint(out, integer::<u32>(value)?.into()),
        Kind::Fixed32 => out.extend_from_slice(&integer::<u32>(value)?.to_le_bytes()),
        Kind::Int64 => put_varint(out, integer::<i64>(value)? as u64),
        Kind::Sint64 => put_varint(out, zigzag(integer::<i64>(value)?)),
        Kind::Sfixed64 => out.extend_from_slice(&integer::<i64>(value)?.to_le_bytes()),
        Kind::Uint64 => put_varint(out, integer::<u64>(value)?),
        Kind::Fixed64 => out.extend_from_slice(&integer::<u64>(value)?.to_le_bytes()),
        Kind::Float => out.extend_from_slice(&float32(value)?.to_le_bytes()),
        Kind::Double => out.extend_from_slice(&float(value)?.to_le_bytes()),
        Kind::String => put_bytes(out, string(value).ok_or(STRING)?.as_bytes()),
        Kind::Bytes => put_bytes(out, &bytes(value)?),
        Kind::Enum(id) => put_varint(out, i64::from(enumeration(tables.enumeration(id), value)?) as u64),
        Kind::Message(id) => {
            let start = open(out);
            let message = tables.message(id);
            match message.shape {
                Shape::Timestamp => time::put_timestamp(string(value).ok_or(time::TIMESTAMP)?, out)?,
                Shape::Duration => time::put_duration(string(value).ok_or(time::DURATION)?, out)?,
                Shape::FieldMask => put_mask(string(value).ok_or(FIELD_MASK)?, out)?,
                Shape::Wrapper => put(tables, &message.fields[0], true, value, out)?,
                Shape::Value => put_value(tables, &message.fields, value, out)?,
                Shape::Fields | Shape::Struct => return Err(OBJECT.into()),
                Shape::ListValue => return Err(LIST.into()),
            }
            close(out, start);
        }
    }
    Ok(())
}

/// What a value of this kind must be.
pub(super) fn rule(tables: &Tables, field: &Field) -> Rule {
    match field.kind {
        Kind::Bool => BOOL.into(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => i32::RULE.into(),
        Kind::Uint32 | Kind::Fixed32 => u32::RULE.into(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => i64::RULE.into(),
        Kind::Uint64 | Kind::Fixed64 => u64::RULE.into(),
        Kind::Float => FLOAT.into(),
        Kind::Double => DOUBLE.into(),
        Kind::String => STRING.into(),
        Kind::Bytes => BYTES.into(),
        Kind::Enum(id) => enum_rule(tables.enumeration(id)),
        Kind::Message(id) => match tables.message(id).shape {
            Shape::Timestamp => time::TIMESTAMP.into(),
            Shape::Duration => time::DURATION.into(),
            Shape::FieldMask => FIELD_MASK.into(),
            Shape::Wrapper => rule(tables, &tables.message(id).fields[0]),
            Shape::Fields | Shape::Struct | Shape::Value => OBJECT.into(),
            Shape::ListValue => LIST.into(),
        },
    }
}

/// Whether JSON's `null` is a value of this kind, not the absence of one.
pub(super) fn takes_null(tables: &Tables, kind: Kind) -> bool {
    match kind {
        Kind::Enum(id) => tables.enumeration(id).null,
        kind => tables.shape(kind) == Some(Shape::Value),
    }
}

/// Writes one path of a mask, in the spelling of the proto file.
pub(super) fn put_mask_path(path: &str, out: &mut Vec<u8>) {
    out.push(0x0a);
    put_bytes(out, path.as_bytes());
}

trait Integer: TryFrom<i128> {
    const RULE: &'static str;
}

impl Integer for i32 {
    const RULE: &'static str = "must be a whole number from -2147483648 to 2147483647";
}

impl Integer for u32 {
    const RULE: &'static str = "must be a whole number from 0 to 4294967295";
}

impl Integer for i64 {
    const RULE: &'static str = "must be a whole number from -9223372036854775808 to 9223372036854775807";
}

impl Integer for u64 {
    const RULE: &'static str = "must be a whole number from 0 to 18446744073709551615";
}

fn integer<T: Integer>(value: Scalar<'_>) -> Result<T, Rule> {
    whole(value).and_then(|number| T::try_from(number).ok()).ok_or(T::RULE.into())
}

fn whole(value: Scalar<'_>) -> Option<i128> {
    match value {
        Scalar::Unsigned(number) => Some(number.into()),
        Scalar::Signed(number) => Some(number.into()),
        Scalar::Float(number) => whole_float(number),
        Scalar::String(text) | Scalar::Text(text) => {
            if text.starts_with('+') {
                None
            } else if let Ok(number) = text.parse() {
                Some(number)
            } else {
                whole_float(decimal(text)?)
            }
        }
        Scalar::Null | Scalar::Bool(_) => None,
    }
}

/// `1.0` and `1e3` are whole numbers; past 2^53 a float may stand for several, so it is none.
fn whole_float(number: f64) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
}

/// A number as JSON writes it. Rust's own parser would take more: `inf`, `+1`, `.5`.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn float(value: Scalar<'_>) -> Result<f64, Rule> {
    let number = match value {
        Scalar::Unsigned(number) => Some(number as f64),
        Scalar::Signed(number) => Some(number as f64),
        Scalar::Float(number) => Some(number),
        Scalar::String("NaN") | Scalar::Text("NaN") => Some(f64::NAN),
        Scalar::String("Infinity") | Scalar::Text("Infinity") => Some(f64::INFINITY),
        Scalar::String("-Infinity") | Scalar::Text("-Infinity") => Some(f64::NEG_INFINITY),
        Scalar::String(text) | Scalar::Text(text) => decimal(text),
        Scalar::Null | Scalar::Bool(_) => None,
    };
    number.ok_or(DOUBLE.into())
}

fn float32(value: Scalar<'_>) -> Result<f32, Rule> {
    let number = float(value).map_err(|_| FLOAT)?;
    if number.is_finite() && number.abs() > f64::from(f32::MAX) {
        return Err(FLOAT.into());
    }
    Ok(number as f32)
}

fn boolean(value: Scalar<'_>) -> Result<bool, Rule> {
    match value {
        Scalar::Bool(value) => Ok(value),
        Scalar::Text("true") => Ok(true),
        Scalar::Text("false") => Ok(false),
        _ => Err(BOOL.into()),
    }
}

fn string(value: Scalar<'_>) -> Option<&str> {
    match value {
        Scalar::String(text) | Scalar::Text(text) => Some(text),
        _ => None,
    }
}

fn bytes(value: Scalar<'_>) -> Result<Vec<u8>, Rule> {
    let text = string(value).ok_or(BYTES)?;
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    engine.decode(text).map_err(|_| BYTES.into())
}

fn enumeration(table: &Enum, value: Scalar<'_>) -> Result<i32, Rule> {
    let number = match value {
        Scalar::Null if table.null => Some(0),
        Scalar::String(name) => table.find_number(name),
        Scalar::Text(name) => table.find_number(name).or_else(|| integer(value).ok()),
        Scalar::Unsigned(_) | Scalar::Signed(_) | Scalar::Float(_) => integer(value).ok(),
        Scalar::Null | Scalar::Bool(_) => None,
    };
    number.ok_or_else(|| enum_rule(table))
}

fn enum_rule(table: &Enum) -> Rule {
    let mut rule = "must be one of ".to_owned();
    for (index, name) in table.names().enumerate() {
        rule.push_str(if index == 0 { "" } else { ", " });
        rule.push_str(name);
    }
    rule.into()
}

/// Writes the paths of a mask, `displayName,price.currency` (the spelling of the proto file is taken too).
fn put_mask(text: &str, out: &mut Vec<u8>) -> Result<(), Rule> {
    for path in text.split(',').filter(|path| !path.is_empty()) {
        let mut snake = String::with_capacity(path.len() + 4);
        for c in path.chars() {
            match c {
                'A'..='Z' => snake.extend(['_', c.to_ascii_lowercase()]),
                'a'..='z' | '0'..='9' | '_' | '.' => snake.push(c),
                _ => return Err(FIELD_MASK.into()),
            }
        }
        put_mask_path(&snake, out);
    }
    Ok(())
}

/// Writes the one of `google.protobuf.Value`'s fields that holds the value; they are in the order of their numbers.
fn put_value(tables: &Tables, fields: &[Field], value: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Rule> {
    let index = match value {
        Scalar::Null => 0,
        Scalar::Unsigned(_) | Scalar::Signed(_) | Scalar::Float(_) => 1,
        Scalar::String(_) | Scalar::Text(_) => 2,
        Scalar::Bool(_) => 3,
    };
    put(tables, &fields[index], true, value, out)
}

const STRING: &str = "must be a string";
const BOOL: &str = "must be true or false";
const FLOAT: &str = "must be a number that a 32-bit float holds, \"NaN\", \"Infinity\" or \"-Infinity\"";
const DOUBLE: &str = "must be a number, \"NaN\", \"Infinity\" or \"-Infinity\"";
const BYTES: &str = "must be base64 text";
const FIELD_MASK: &str = "must be field names separated by commas";
pub(super) const OBJECT: &str = "must be an object";
pub(super) const LIST: &str = "must be a list";
pub(super) const NOT_NULL: &str = "must not be null";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
