//! Protobuf bytes to JSON, in one pass. The bytes are `prost`'s: fields come in the order of their numbers (members of a oneof
//! may come earlier), each once, the values of a list together.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::tables::{Count, EnumId, Field, Kind, Message, MessageId, Shape, Tables};
use super::super::wire::{Corrupt, LEN, Records, unzigzag};
use super::time;

/// Writes a message.
pub(in crate::edge) fn write_message(
    tables: &Tables,
    id: MessageId,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Corrupt> {
    let message = tables.message(id);
    match message.shape {
        Shape::Fields => fields(tables, message, wire, out),
        Shape::Timestamp => time::write_timestamp(wire, out),
        Shape::Duration => time::write_duration(wire, out),
        Shape::FieldMask => mask(wire, out),
        Shape::Wrapper => single(tables, &message.fields[0], wire, out),
        Shape::Struct | Shape::ListValue => {
            let field = &message.fields[0];
            let mut records = Records::new(wire);
            if records.is_empty() {
                out.extend_from_slice(if field.count == Count::Map { b"{}" } else { b"[]" });
                return Ok(());
            }
            records.tag()?;
            value(tables, field, LEN, &mut records, out)
        }
        Shape::Value => {
            let mut records = Records::new(wire);
            let (number, wire_type) = records.tag()?;
            let field = &message.fields[message.find_number(number).ok_or(Corrupt)?];
            value(tables, field, wire_type, &mut records, out)
        }
    }
}

/// Writes the value of one field of a message: its default when the message does not have it, `null` when it has none.
pub(in crate::edge) fn write_field(
    tables: &Tables,
    field: &Field,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Corrupt> {
    let mut records = Records::new(wire);
    while !records.is_empty() {
        let (number, wire_type) = records.tag()?;
        if number == field.number {
            return value(tables, field, wire_type, &mut records, out);
        }
        records.skip(wire_type)?;
    }
    match &field.default {
        Some(default) => out.extend_from_slice(&default[field.key.len()..]),
        None => out.extend_from_slice(b"null"),
    }
    Ok(())
}

fn fields(tables: &Tables, message: &Message, wire: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let mut records = Records::new(wire);
    let mut next = 0;
    out.push(b'{');
    let start = out.len();
    while !records.is_empty() {
        let (number, wire_type) = records.tag()?;
        let Some(index) = place(message, number, next) else {
            records.skip(wire_type)?;
            continue;
        };
        let field = &message.fields[index];
        if field.oneof.is_none() {
            if index < next {
                return Err(Corrupt);
            }
            defaults(&message.fields[next..index], out);
            next = index + 1;
        }
        out.extend_from_slice(&field.key);
        value(tables, field, wire_type, &mut records, out)?;
        out.push(b',');
    }
    defaults(&message.fields[next..], out);
    // Every member has a comma after it; the last one's is one too many.
    if out.len() > start {
        out.pop();
    }
    out.push(b'}');
    Ok(())
}

#[inline]
fn place(message: &Message, number: u32, next: usize) -> Option<usize> {
    match message.fields.get(next) {
        Some(field) if field.number == number => Some(next),
        _ => message.find_number(number),
    }
}

fn defaults(fields: &[Field], out: &mut Vec<u8>) {
    for default in fields.iter().filter_map(|field| field.default.as_ref()) {
        out.extend_from_slice(default);
        out.push(b',');
    }
}

/// Writes all that the field holds; its first tag is read, the rest is not.
fn value(
    tables: &Tables,
    field: &Field,
    wire_type: u8,
    records: &mut Records<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Corrupt> {
    match field.count {
        Count::One => one(tables, field.kind, records, out),
        Count::List { .. } => {
            out.push(b'[');
            if wire_type == LEN && is_packable(field.kind) {
                let mut items = Records::new(records.bytes()?);
                while !items.is_empty() {
                    one(tables, field.kind, &mut items, out)?;
                    out.push(b',');
                }
            } else {
                loop {
                    one(tables, field.kind, records, out)?;
                    out.push(b',');
                    if !records.take_tag(&field.tag) {
                        break;
                    }
                }
            }
            end(out, b']');
            Ok(())
        }
        Count::Map => {
            let Kind::Message(entry) = field.kind else { return Err(Corrupt) };
            let [key, value] = &*tables.message(entry).fields else { return Err(Corrupt) };
            out.push(b'{');
            loop {
                map_entry(tables, key, value, records.bytes()?, out)?;
                out.push(b',');
                if !records.take_tag(&field.tag) {
                    break;
                }
            }
            end(out, b'}');
            Ok(())
        }
    }
}

fn end(out: &mut Vec<u8>, bracket: u8) {
    match out.last_mut() {
        Some(comma @ b',') => *comma = bracket,
        _ => out.push(bracket),
    }
}

fn map_entry(tables: &Tables, key: &Field, value: &Field, wire: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let start = out.len();
    single(tables, key, wire, out)?;
    // Keys are text in JSON, whatever they are in protobuf.
    if out[start] != b'"' {
        out.insert(start, b'"');
        out.push(b'"');
    }
    out.push(b':');
    single(tables, value, wire, out)
}

/// Writes one field's value where the message stands for it: its default, if the message does not have it.
fn single(tables: &Tables, field: &Field, wire: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let mut records = Records::new(wire);
    while !records.is_empty() {
        let (number, wire_type) = records.tag()?;
        if number == field.number {
            return one(tables, field.kind, &mut records, out);
        }
        records.skip(wire_type)?;
    }
    match (&field.default, field.kind) {
        (Some(default), _) => out.extend_from_slice(&default[field.key.len()..]),
        (None, Kind::Message(id)) => write_message(tables, id, &[], out)?,
        (None, _) => return Err(Corrupt),
    }
    Ok(())
}

#[inline]
fn one(tables: &Tables, kind: Kind, records: &mut Records<'_>, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    match kind {
        Kind::String => string(records.bytes()?, out),
        Kind::Bool => out.extend_from_slice(if records.varint()? == 0 { b"false" } else { b"true" }),
        Kind::Enum(id) => enumeration(tables, id, records.varint()? as i32, out),
        Kind::Message(id) => write_message(tables, id, records.bytes()?, out)?,
        Kind::Int32 => integer(records.varint()? as i32, out),
        Kind::Uint32 => integer(records.varint()? as u32, out),
        Kind::Sint32 => integer(unzigzag(records.varint()?) as i32, out),
        Kind::Sfixed32 => integer(i32::from_le_bytes(records.fixed32()?), out),
        Kind::Fixed32 => integer(u32::from_le_bytes(records.fixed32()?), out),
        Kind::Int64 => quoted(records.varint()? as i64, out),
        Kind::Uint64 => quoted(records.varint()?, out),
        Kind::Sint64 => quoted(unzigzag(records.varint()?), out),
        Kind::Sfixed64 => quoted(i64::from_le_bytes(records.fixed64()?), out),
        Kind::Fixed64 => quoted(u64::from_le_bytes(records.fixed64()?), out),
        Kind::Float => {
            let float = f32::from_le_bytes(records.fixed32()?);
            if float.is_finite() { finite(float, out)? } else { not_finite(float.into(), out) }
        }
        Kind::Double => {
            let float = f64::from_le_bytes(records.fixed64()?);
            if float.is_finite() { finite(float, out)? } else { not_finite(float, out) }
        }
        Kind::Bytes => base64(records.bytes()?, out)?,
    }
    Ok(())
}

fn is_packable(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}

fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn quoted(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(b'"');
    integer(value, out);
    out.push(b'"');
}

fn finite(value: impl serde::Serialize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    serde_json::to_writer(out, &value).map_err(|_| Corrupt)
}

fn not_finite(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(match value {
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"\"NaN\"",
    });
}

fn enumeration(tables: &Tables, id: EnumId, value: i32, out: &mut Vec<u8>) {
    let table = tables.enumeration(id);
    match table.find_name(value) {
        _ if table.null => out.extend_from_slice(b"null"),
        Some(name) => {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
        None => integer(value, out),
    }
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    out.push(b'"');
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true).ok_or(Corrupt)?;
    out.resize(start + length, 0);
    BASE64_STANDARD.encode_slice(bytes, &mut out[start..]).map_err(|_| Corrupt)?;
    out.push(b'"');
    Ok(())
}

/// Writes a string, which `prost` has seen to be UTF-8, with the escapes that `serde_json` writes.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text;
    while let Some(index) = find_escape(rest) {
        out.extend_from_slice(&rest[..index]);
        escape(rest[index], out);
        rest = &rest[index + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// The first byte that needs an escape: below 0x20, a quote or a backslash.
fn find_escape(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // Eight bytes at once. Where one is less than n (up to 0x80), taking n from each borrows into its high bit, and a byte
    // is x where it is less than 1 after x is taken out of it. A byte above may be flagged by the borrow too: the scan
    // below looks closer.
    let less = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGHS;
    let (words, _) = text.as_chunks::<8>();
    let clean = words.iter().take_while(|word| {
        let word = u64::from_le_bytes(**word);
        less(word, 0x20) | less(word ^ (ONES * 0x22), 1) | less(word ^ (ONES * 0x5c), 1) == 0
    });
    let clean = 8 * clean.count();
    let place = text[clean..].iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
    place.map(|place| clean + place)
}

#[cold]
fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes the paths of a FieldMask in lowerCamelCase. A path that would not read back as it was is refused.
fn mask(wire: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let mut records = Records::new(wire);
    out.push(b'"');
    let start = out.len();
    while !records.is_empty() {
        let (number, wire_type) = records.tag()?;
        if (number, wire_type) != (1, LEN) {
            records.skip(wire_type)?;
            continue;
        }
        if out.len() > start {
            out.push(b',');
        }
        let mut bytes = records.bytes()?.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'_' => match bytes.next() {
                    Some(letter @ b'a'..=b'z') => out.push(letter.to_ascii_uppercase()),
                    _ => return Err(Corrupt),
                },
                b'a'..=b'z' | b'0'..=b'9' | b'.' => out.push(*byte),
                _ => return Err(Corrupt),
            }
        }
    }
    out.push(b'"');
    Ok(())
}
