//! JSON from strangers: of bounded depth, and with no member twice in one object (RFC 8725, section 2.4; RFC 7515, section 4),
//! for of two that read the last and the first, one would be deceived.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::auth) enum Fault {
    /// It is not one JSON object, or is deeper than it may be.
    NotAnObject,
    /// A member stands twice in one object.
    Duplicate,
}

/// Reads one JSON object, and no more than that. What it holds is bounded by the length of the text, which the caller bounds.
pub(in crate::auth) fn object(text: &[u8]) -> Result<Map<String, Value>, Fault> {
    let duplicate = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Strict { depth: MAX_DEPTH, duplicate: &duplicate }.deserialize(&mut reader);
    match read.and_then(|value| reader.end().map(|()| value)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Fault::NotAnObject),
        Err(_) if duplicate.get() => Err(Fault::Duplicate),
        Err(_) => Err(Fault::NotAnObject),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    duplicate: &'a Cell<bool>,
}

impl Strict<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                self.duplicate.set(true);
                return Err(A::Error::custom("a member stands twice"));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(object.into())
    }
}

/// Objects and lists in one another. The claims of the known issuers are four deep.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_one_plain_object_is_refused() {
        for bad in [
            "",
            "null",
            "[]",
            "\"a\"",
            "1",
            "{}{}",
            "{} x",
            "{",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1e999}",
            "{\"a\":\"\u{1}\"}",
            r#"{"a":"\ud800"}"#,
            "\u{feff}{}",
            "{\"a\":NaN}",
        ] {
            assert_eq!(object(bad.as_bytes()), Err(Fault::NotAnObject), "{bad:?}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Fault::NotAnObject), "not UTF-8");
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":null,"a":null}]}"#,
        ] {
            assert_eq!(object(twice.as_bytes()), Err(Fault::Duplicate), "{twice}");
        }
        assert_eq!(object(b" {\"a\":1,\"A\":2}\n").map(|object| object.len()), Ok(2));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(object(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(object(nested(MAX_DEPTH + 1).as_bytes()), Err(Fault::NotAnObject));
        let lists = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(object(lists.as_bytes()), Err(Fault::NotAnObject));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_others_read(text in r#"[\{\}\[\]",:a\\0-9e. -]{0,24}"#) {
            if let Ok(object) = object(text.as_bytes()) {
                prop_assert_eq!(Value::Object(object), serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
