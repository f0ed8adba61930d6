//! JSON to protobuf bytes. `serde_json` owns the syntax; which fields there are, what each holds, how often and how deep
//! is checked here, against the tables.

use std::fmt::Display;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess};
use serde_json::error::Category;

use super::super::tables::{Count, Field, Kind, Message, MessageId, Tables};
use super::super::wire::{LEN, close, open, put_varint};
use super::MAX_DEPTH;
use super::mask::Mask;
use super::scalar::{OBJECT, Rule};
use super::seed::{BodySeed, KeySeed, NameSeed, Place, Skip, ValueSeed};

/// Reads one body, written as tables `'t` say, into a buffer `'o`.
pub(in crate::edge) struct Reader<'t, 'o> {
    tables: &'t Tables,
    out: &'o mut Vec<u8>,
    /// Whether fields that the tables do not know are passed over.
    ignore_unknown: bool,
    mask: Option<Mask<'t>>,
    depth: u8,
    records: u8,
    fault: Option<Fault>,
}

/// What the body holds.
#[derive(Clone, Copy)]
pub(in crate::edge) enum Content<'t> {
    /// The fields of a message, written as they are.
    Message(MessageId),
    /// The value of one field, written with its tag.
    Field(&'t Field),
}

/// Why a body was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::edge) struct Fault {
    /// The path of the field, in the client's spelling (`requests[3].clientIp`). Empty: the body itself.
    pub(in crate::edge) field: String,
    /// What is wrong with it: the end of a sentence that begins with the field's name.
    pub(in crate::edge) rule: Rule,
    /// Where reading ended, counted from 1.
    pub(in crate::edge) line: usize,
    /// Where reading ended, in bytes.
    pub(in crate::edge) column: usize,
}

impl<'t, 'o> Reader<'t, 'o> {
    /// Reads into `out`; collects a mask if one is given.
    pub(in crate::edge) fn new(
        tables: &'t Tables,
        out: &'o mut Vec<u8>,
        ignore_unknown: bool,
        mask: Option<Mask<'t>>,
    ) -> Self {
        Self { tables, out, ignore_unknown, mask, depth: 0, records: 0, fault: None }
    }

    /// Reads all of `json`, and returns the mask.
    pub(in crate::edge) fn read(mut self, content: Content<'t>, json: &[u8]) -> Result<Option<Mask<'t>>, Fault> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let result = match content {
            Content::Message(id) => {
                let message = self.tables.message(id);
                BodySeed { reader: &mut self, message }.deserialize(&mut deserializer)
            }
            Content::Field(field) => {
                let seed = ValueSeed { reader: &mut self, field, place: Place::Field };
                seed.deserialize(&mut deserializer)
            }
        };
        match result.and_then(|()| deserializer.end()) {
            Ok(()) => Ok(self.mask),
            Err(error) => {
                let mut fault = self.fault.unwrap_or_else(|| Fault::of_body(error.classify()));
                (fault.line, fault.column) = (error.line(), error.column());
                Err(fault)
            }
        }
    }

    /// An object that is a message.
    pub(super) fn fields<'de, A: MapAccess<'de>>(&mut self, message: &'t Message, mut map: A) -> Result<(), A::Error> {
        self.deeper()?;
        let mut seen = 0_u128;
        let mut oneofs = Vec::new();
        let mut likely = 0;
        while let Some(found) = map.next_key_seed(NameSeed { reader: self, message, likely })? {
            let Some(index) = found else {
                map.next_value_seed(Skip { reader: self })?;
                continue;
            };
            let field = &message.fields[index];
            if seen & (1 << index) != 0 {
                let error = self.fail("is given twice");
                return Err(self.within(&field.json_name, error));
            }
            seen |= 1 << index;
            likely = index + 1;

            let step = self.mask.as_mut().map(|mask| mask.enter(self.tables, field));
            let before = self.out.len();
            let seed = ValueSeed { reader: self, field, place: Place::Field };
            map.next_value_seed(seed).map_err(|error| self.within(&field.json_name, error))?;
            if let (Some(mask), Some(step)) = (&mut self.mask, step) {
                mask.leave(field, step);
            }
            if let Some(oneof) = field.oneof.filter(|_| self.out.len() > before) {
                if oneofs.contains(&oneof) {
                    let error = self.fail("excludes another field that is given");
                    return Err(self.within(&field.json_name, error));
                }
                oneofs.push(oneof);
            }
        }
        self.shallower();
        Ok(())
    }

    /// An object that is a map.
    pub(super) fn entries<'de, A: MapAccess<'de>>(&mut self, field: &'t Field, mut map: A) -> Result<(), A::Error> {
        self.deeper()?;
        let Kind::Message(entry) = field.kind else {
            return Err(self.fail(OBJECT));
        };
        let [key_field, value_field] = &*self.tables.message(entry).fields else {
            return Err(self.fail(OBJECT));
        };
        self.enter_record()?;
        // Where each key's record lies in the output.
        let mut keys = Vec::new();
        loop {
            let begin = self.out.len();
            self.out.extend_from_slice(&field.tag);
            let start = open(self.out);
            if map.next_key_seed(KeySeed { reader: self, field: key_field })?.is_none() {
                self.out.truncate(begin);
                break;
            }
            let key = start..self.out.len();
            let seed = ValueSeed { reader: self, field: value_field, place: Place::Item { tagged: true } };
            map.next_value_seed(seed).map_err(|error| self.within_entry(key_field, start, error))?;
            let length = self.out.len();
            close(self.out, start);
            let moved = self.out.len() - length;
            keys.push(key.start + moved..key.end + moved);
        }
        let bytes = &*self.out;
        keys.sort_unstable_by(|a, b| bytes[a.clone()].cmp(&bytes[b.clone()]));
        if keys.array_windows().any(|[a, b]| bytes[a.clone()] == bytes[b.clone()]) {
            return Err(self.fail("has a key twice"));
        }
        self.records -= 1;
        self.shallower();
        Ok(())
    }

    /// A list's values, one by one or packed.
    pub(super) fn items<'de, A: SeqAccess<'de>>(&mut self, field: &'t Field, mut seq: A) -> Result<(), A::Error> {
        self.deeper()?;
        let packed = field.count == (Count::List { packed: true });
        let start = packed.then(|| {
            put_varint(self.out, u64::from(field.number) << 3 | u64::from(LEN));
            open(self.out)
        });
        let mut index = 0_usize;
        loop {
            let seed = ValueSeed { reader: self, field, place: Place::Item { tagged: !packed } };
            match seq.next_element_seed(seed) {
                Ok(Some(())) => index += 1,
                Ok(None) => break,
                Err(error) => return Err(self.within(&format!("[{index}]"), error)),
            }
        }
        if let Some(start) = start {
            close(self.out, start);
        }
        self.shallower();
        Ok(())
    }

    /// A value that is a record of records.
    pub(super) fn nested<E: Error>(
        &mut self,
        field: &Field,
        write: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter_record()?;
        self.out.extend_from_slice(&field.tag);
        let start = open(self.out);
        write(self)?;
        close(self.out, start);
        self.records -= 1;
        Ok(())
    }

    /// Goes into a record of records. A `google.protobuf.Value` takes up to three of them for one object or list.
    fn enter_record<E: Error>(&mut self) -> Result<(), E> {
        if self.records == MAX_RECORDS {
            return Err(self.fail(TOO_DEEP));
        }
        self.records += 1;
        Ok(())
    }

    pub(super) fn tables(&self) -> &'t Tables {
        self.tables
    }

    pub(super) fn target(&mut self) -> (&'t Tables, &mut Vec<u8>) {
        (self.tables, self.out)
    }

    pub(super) fn ignores_unknown(&self) -> bool {
        self.ignore_unknown
    }

    pub(super) fn deeper<E: Error>(&mut self) -> Result<(), E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(TOO_DEEP));
        }
        self.depth += 1;
        Ok(())
    }

    pub(super) fn shallower(&mut self) {
        self.depth -= 1;
    }

    /// Keeps the fault, and makes serde stop.
    #[cold]
    pub(super) fn fail<E: Error>(&mut self, rule: impl Into<Rule>) -> E {
        self.fault = Some(Fault { field: String::new(), rule: rule.into(), line: 0, column: 0 });
        E::custom("")
    }

    /// Puts the name of what holds the faulty value before the value's path.
    #[cold]
    pub(super) fn within<E>(&mut self, name: &str, error: E) -> E {
        if let Some(fault) = &mut self.fault {
            let dot = if fault.field.is_empty() || fault.field.starts_with('[') { "" } else { "." };
            // A client may have made the name up, at any length.
            let name = name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or_default();
            fault.field = format!("{name}{dot}{}", fault.field);
        }
        error
    }

    /// Puts an entry's key before the path; it has just been written, as a record of one byte of tag and a value.
    #[cold]
    fn within_entry<E>(&mut self, key_field: &Field, start: usize, error: E) -> E {
        let key = match key_field.kind {
            Kind::String => crate::edge::wire::Records::new(&self.out[start + 1..]).bytes().ok(),
            _ => None,
        };
        let key = String::from_utf8_lossy(key.unwrap_or(b"*")).into_owned();
        self.within(&key, error)
    }
}

impl Fault {
    /// The body's own faults: it is not JSON, or not an object.
    fn of_body(category: Category) -> Self {
        let rule = match category {
            Category::Syntax | Category::Io => "is not valid JSON",
            Category::Eof => "ends before its JSON does",
            Category::Data => OBJECT,
        };
        Self { field: String::new(), rule: rule.into(), line: 0, column: 0 }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.field.is_empty() { "The body" } else { &self.field };
        write!(f, "{name} {} (line {}, column {})", self.rule, self.line, self.column)
    }
}

const TOO_DEEP: &str = "is nested too deep";

/// How deep records may nest: `prost` reads 100 levels.
const MAX_RECORDS: u8 = 96;

/// Bytes of a name that an error repeats.
const MAX_NAME: usize = 64;
