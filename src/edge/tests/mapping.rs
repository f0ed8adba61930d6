//! What the JSON mapping takes and refuses, case by case.

use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};

use super::super::json::{Content, Mask, Reader};
use super::{Subject, testing_pool};

/// What a body means, as the oracle writes it; or the fault.
fn meaning(json: &str) -> Result<String, String> {
    let subject = Subject::every_kind();
    let wire = subject.read(json).map_err(|fault| fault.to_string())?;
    let message = DynamicMessage::decode(subject.descriptor, &*wire).unwrap();
    let mut out = Vec::new();
    let options = SerializeOptions::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut out), &options).unwrap();
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn takes_every_spelling_of_a_value() {
    for (json, expected) in [
        (r#"{}"#, r#"{}"#),
        (" {\"aString\" : \"x\"}\n", r#"{"aString":"x"}"#),
        (r#"{"a_string":"x"}"#, r#"{"aString":"x"}"#),
        (r#"{"aString":null,"inner":null,"strings":null,"byString":null,"timestamp":null}"#, r#"{}"#),
        (r#"{"optString":null}"#, r#"{}"#),
        (r#"{"optString":"","optBool":false,"optInt64":0}"#, r#"{"optInt64":"0","optBool":false,"optString":""}"#),
        (r#"{"anInt32":1e3}"#, r#"{"anInt32":1000}"#),
        (r#"{"anInt32":"1e3"}"#, r#"{"anInt32":1000}"#),
        (r#"{"anInt32":-5.0,"aUint32":"7"}"#, r#"{"anInt32":-5,"aUint32":7}"#),
        (
            r#"{"anInt64":"-9223372036854775808","aUint64":18446744073709551615}"#,
            r#"{"anInt64":"-9223372036854775808","aUint64":"18446744073709551615"}"#,
        ),
        (r#"{"colour":"DARK_GREEN"}"#, r#"{"colour":"DARK_GREEN"}"#),
        (r#"{"colour":"dark_green"}"#, r#"{"colour":"DARK_GREEN"}"#),
        (r#"{"colour":1}"#, r#"{"colour":"RED"}"#),
        (r#"{"colour":77}"#, r#"{"colour":77}"#),
        (r#"{"colour":-3}"#, r#"{"colour":"BELOW_ZERO"}"#),
        (r#"{"someBytes":"-_-_"}"#, r#"{"someBytes":"+/+/"}"#),
        (r#"{"someBytes":"AQ"}"#, r#"{"someBytes":"AQ=="}"#),
        (r#"{"aDouble":"NaN","aFloat":"-Infinity"}"#, r#"{"aDouble":"NaN","aFloat":"-Infinity"}"#),
        (r#"{"aDouble":"1.5"}"#, r#"{"aDouble":1.5}"#),
        (r#"{"fieldMask":"aB,c_d,e.fG"}"#, r#"{"fieldMask":"aB,cD,e.fG"}"#),
        (r#"{"fieldMask":""}"#, r#"{"fieldMask":""}"#),
        (r#"{"duration":"-0.5s"}"#, r#"{"duration":"-0.500s"}"#),
        (r#"{"timestamp":"2024-02-29T23:00:00.25-01:00"}"#, r#"{"timestamp":"2024-03-01T00:00:00.250Z"}"#),
        (r#"{"byInt32":{"-1":{"text":"x"}}}"#, r#"{"byInt32":{"-1":{"text":"x"}}}"#),
        (r#"{"byBool":{"true":"7"}}"#, r#"{"byBool":{"true":"7"}}"#),
        (r#"{"value":null}"#, r#"{"value":null}"#),
        (r#"{"value":[1,"a",null,{"b":[]}]}"#, r#"{"value":[1.0,"a",null,{"b":[]}]}"#),
        (r#"{"struct":{"a":{"b":true}}}"#, r#"{"struct":{"a":{"b":true}}}"#),
        (
            r#"{"int64Value":0,"stringValue":"","boolValue":false}"#,
            r#"{"int64Value":"0","boolValue":false,"stringValue":""}"#,
        ),
        (r#"{"chosenString":null,"chosenUint64":"5"}"#, r#"{"chosenUint64":"5"}"#),
        (r#"{"@other name":"x"}"#, r#"{"@other name":"x"}"#),
        (r#"{"renamed":"x"}"#, r#"{"@other name":"x"}"#),
        (r#"{"aString":"\u00e9\ud83d\udd11\n"}"#, "{\"aString\":\"\u{e9}\u{1f511}\\n\"}"),
        (r#"{"aStr\u0069ng":"x"}"#, r#"{"aString":"x"}"#),
    ] {
        assert_eq!(meaning(json).as_deref(), Ok(expected), "{json}");
    }
}

#[test]
fn names_the_field_and_the_rule_of_what_it_refuses() {
    for (json, expected) in [
        (r#"{"aString":5}"#, "aString must be a string"),
        (r#"{"aString":{}}"#, "aString must be a string"),
        (r#"{"aBool":"true"}"#, "aBool must be true or false"),
        (r#"{"anInt32":2147483648}"#, "anInt32 must be a whole number from -2147483648 to 2147483647"),
        (r#"{"anInt32":1.5}"#, "anInt32 must be a whole number"),
        (r#"{"anInt32":""}"#, "anInt32 must be a whole number"),
        (r#"{"anInt32":" 1"}"#, "anInt32 must be a whole number"),
        (r#"{"anInt32":"+1"}"#, "anInt32 must be a whole number"),
        (r#"{"anInt32":true}"#, "anInt32 must be a whole number"),
        (r#"{"aUint64":-1}"#, "aUint64 must be a whole number from 0"),
        (r#"{"anInt64":9007199254740993.0}"#, "anInt64 must be a whole number"),
        (r#"{"anInt64":"9223372036854775808"}"#, "anInt64 must be a whole number"),
        (r#"{"aFloat":1e39}"#, "aFloat must be a number"),
        (r#"{"aDouble":"inf"}"#, "aDouble must be a number"),
        (r#"{"aDouble":"1e999"}"#, "aDouble must be a number"),
        (r#"{"colour":"BLUE"}"#, "colour must be one of BELOW_ZERO, RED, DARK_GREEN"),
        (r#"{"colour":"1"}"#, "colour must be one of"),
        (r#"{"colour":1.5}"#, "colour must be one of"),
        (r#"{"someBytes":"?"}"#, "someBytes must be base64 text"),
        (r#"{"timestamp":"yesterday"}"#, "timestamp must be an RFC 3339 time"),
        (r#"{"timestamp":{"seconds":5}}"#, "timestamp must be an RFC 3339 time"),
        (r#"{"duration":5}"#, "duration must be seconds"),
        (r#"{"fieldMask":"a b"}"#, "fieldMask must be field names"),
        (r#"{"strings":"x"}"#, "strings must be a list"),
        (r#"{"strings":{}}"#, "strings must be a list"),
        (r#"{"strings":["x",null]}"#, "strings[1] must not be null"),
        (r#"{"inner":[]}"#, "inner must be an object"),
        (r#"{"inner":"x"}"#, "inner must be an object"),
        (r#"{"byString":[]}"#, "byString must be an object"),
        (r#"{"byString":{"k":5}}"#, "byString.k must be a string"),
        (r#"{"byString":{"k":null}}"#, "byString.k must not be null"),
        (r#"{"byInt32":{"x":{}}}"#, "byInt32.x must be a whole number"),
        (r#"{"byBool":{"TRUE":1}}"#, "byBool.TRUE must be true or false"),
        (r#"{"byString":{"a":"1","b":"2","a":"3"}}"#, "byString has a key twice"),
        (r#"{"byInt32":{"1":{},"01":{}}}"#, "byInt32 has a key twice"),
        (r#"{"struct":{"a":1,"a":2}}"#, "struct has a key twice"),
        (r#"{"struct":[]}"#, "struct must be an object"),
        (r#"{"listValue":{}}"#, "listValue must be a list"),
        (r#"{"inners":[{},{"outer":{"strings":["a",7]}}]}"#, "inners[1].outer.strings[1] must be a string"),
        (r#"{"nope":1}"#, "nope is not a field of EveryKind"),
        (r#"{"inner":{"nope":1}}"#, "inner.nope is not a field of EveryKind.Inner"),
        (r#"{"AString":"x"}"#, "AString is not a field"),
        (r#"{"aString":"x","aString":"x"}"#, "aString is given twice"),
        (r#"{"aString":null,"a_string":"x"}"#, "aString is given twice"),
        (r#"{"chosenString":"x","chosenUint64":1}"#, "chosenUint64 excludes another field"),
        (r#"[]"#, "The body must be an object"),
        (r#""x""#, "The body must be an object"),
        (r#"null"#, "The body must be an object"),
        (r#"{"aString":"x"} {}"#, "The body is not valid JSON"),
        (r#"{"aString":"x",}"#, "The body is not valid JSON"),
        (r#"{aString:"x"}"#, "The body is not valid JSON"),
        (r#"{"aString":'x'}"#, "The body is not valid JSON"),
        (r#"{"anInt32":01}"#, "The body is not valid JSON"),
        (r#"{"aString":"\ud800"}"#, "The body is not valid JSON"),
        ("{\"aString\":\"\n\"}", "The body is not valid JSON"),
        ("\u{feff}{}", "The body is not valid JSON"),
        (r#"{"aString":"x"#, "The body ends before its JSON does"),
        (r#"{"#, "The body ends before its JSON does"),
    ] {
        let fault = meaning(json).expect_err(json);
        assert!(fault.starts_with(expected), "{json}: {fault}");
        assert!(fault.ends_with(')') && fault.contains("(line 1, column ") || fault.contains("(line 2, "), "{fault}");
    }
}

#[test]
fn says_where_the_fault_is() {
    let fault = Subject::every_kind().read("{\n  \"aString\": \"x\",\n  \"nope\": 1\n}").unwrap_err();
    assert_eq!((fault.field.as_str(), fault.line, fault.column), ("nope", 3, 8));
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    let subject = Subject::every_kind();
    for body in [&b"{\"aString\":\"\xff\"}"[..], b"{\"\xff\":1}", b"\xff", b"{\"aString\":\"\xc0\xaf\"}"] {
        let mut out = Vec::new();
        let read = Reader::new(&subject.tables, &mut out, true, None).read(Content::Message(subject.id), body);
        assert_eq!(read.unwrap_err().rule, "is not valid JSON");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{{}}{}", r#"{"inner":{"outer":"#.repeat(depth), "}}".repeat(depth));
    assert!(meaning(&nested(31)).is_ok());
    let fault = meaning(&nested(32)).unwrap_err();
    assert!(fault.contains("is nested too deep"), "{fault}");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let value = |depth: usize| format!(r#"{{"value":{}1{}}}"#, open.repeat(depth), close.repeat(depth));
        assert!(meaning(&value(30)).is_ok());
        assert!(meaning(&value(64)).unwrap_err().contains("is nested too deep"));
        // Also where nobody reads.
        let subject = Subject::every_kind();
        let unknown = value(100_000).replace("value", "nobody");
        let mut out = Vec::new();
        let read =
            Reader::new(&subject.tables, &mut out, true, None).read(Content::Message(subject.id), unknown.as_bytes());
        assert_eq!(read.unwrap_err().rule, "is nested too deep");
    }
}

#[test]
fn unknown_fields_are_passed_over_where_they_may_be() {
    let subject = Subject::every_kind();
    let mut out = Vec::new();
    let json = br#"{"nope":{"a":[1,{"b":null}],"a":2.5},"aString":"x","inner":{"what":true,"text":"y"}}"#;
    Reader::new(&subject.tables, &mut out, true, None).read(Content::Message(subject.id), json).unwrap();
    assert_eq!(subject.read(r#"{"aString":"x","inner":{"text":"y"}}"#).unwrap(), out);
}

#[test]
fn long_names_are_cut_in_errors() {
    let fault = meaning(&format!(r#"{{"{}":1}}"#, "\u{e9}".repeat(10_000))).unwrap_err();
    assert!(fault.len() < 200, "{}", fault.len());
}

/// The mask that a body makes.
fn mask(json: &str, bound: &[Box<str>]) -> Vec<String> {
    let subject = Subject::every_kind();
    let mut out = Vec::new();
    let reader = Reader::new(&subject.tables, &mut out, true, Some(Mask::new(bound)));
    let mask = reader.read(Content::Message(subject.id), json.as_bytes()).unwrap().unwrap();
    let mut wire = Vec::new();
    mask.put(&mut wire);
    prost_types::FieldMask::decode(&*wire).unwrap().paths
}

#[test]
fn a_body_names_the_fields_it_changes() {
    for (json, expected) in [
        (r#"{}"#, &[][..]),
        (r#"{"aString":"x","anInt32":0}"#, &["a_string", "an_int32"]),
        (r#"{"optString":null}"#, &["opt_string"]),
        (r#"{"inner":{"text":"x","number":1}}"#, &["inner.text", "inner.number"]),
        (r#"{"inner":{"outer":{"aBool":true}}}"#, &["inner.outer.a_bool"]),
        (r#"{"inner":{}}"#, &["inner"]),
        (r#"{"inner":null}"#, &["inner"]),
        (r#"{"inner":{"outer":{}},"aBool":true}"#, &["inner.outer", "a_bool"]),
        (r#"{"inner":{"fixed":"x"}}"#, &[]),
        (r#"{"inners":[{"text":"x"}],"byInt32":{"1":{"text":"x"}}}"#, &["inners", "by_int32"]),
        (
            r#"{"timestamp":"2024-01-01T00:00:00Z","struct":{"a":1},"int64Value":5}"#,
            &["timestamp", "struct", "int64_value"],
        ),
        (r#"{"etag":"e","seen":"s","aBool":true,"unknown":{"aString":"x"}}"#, &["a_bool"]),
        (r#"{"renamed":"r","aDouble":1,"inner":{"number":2}}"#, &["renamed", "inner.number"]),
    ] {
        assert_eq!(
            mask(json, &["a_double".into(), "inner.text".into()]),
            expected.iter().filter(|path| **path != "inner.text").copied().collect::<Vec<_>>(),
            "{json}"
        );
    }
}

#[test]
fn members_of_a_oneof_may_come_early() {
    // `prost` writes a oneof where its lowest member would stand, whichever is set.
    let subject = Subject::every_kind();
    let timestamp = [0xba, 0x04, 0x00];
    let (chosen, string) = ([0x98, 0x06, 0x00], [0x72, 0x01, b'x']);
    let json = subject.write(&[&string[..], &chosen, &timestamp].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["aString"], "x");
    assert_eq!(json["timestamp"], "1970-01-01T00:00:00Z");
    assert!(json.as_object().unwrap().contains_key("chosenNull"));
}

#[test]
fn bytes_that_are_no_message_are_told_apart() {
    use super::super::json::write_message;
    let subject = Subject::every_kind();
    for wire in [&[0x72, 0x05, b'x'][..], &[0x72], &[0xff; 11], &[0x0f], &[0x72, 0x01, b'x', 0x68, 0x01]] {
        let mut out = Vec::new();
        assert!(write_message(&subject.tables, subject.id, wire, &mut out).is_err(), "{wire:?}");
    }
    // A field of a later version is passed over.
    assert!(write_message(&subject.tables, subject.id, &[0xc8, 0x3e, 0x01], &mut Vec::new()).is_ok());
}

#[test]
fn what_has_no_json_form_is_refused_at_start() {
    use super::super::tables::Tables;
    let any = "syntax = \"proto3\"; import \"google/protobuf/any.proto\"; message M { google.protobuf.Any any = 1; }";
    let case = "syntax = \"proto3\"; enum E { NONE = 0; none = 1; } message M { E e = 1; }";
    let names = "syntax = \"proto3\"; message M { string a_b = 1; string c = 2 [json_name = \"a_b\"]; }";
    let wide: String = (1..130).map(|n| format!("string f{n} = {n};")).collect();
    let wide = format!("syntax = \"proto3\"; message M {{ {wide} }}");
    for source in [any, case, names, &wide] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("m.proto"), source).unwrap();
        let Ok(files) = protox::compile(["m.proto"], [directory.path()]) else {
            assert_eq!(source, names, "the compiler itself refuses names that clash");
            continue;
        };
        let pool = prost_reflect::DescriptorPool::from_file_descriptor_set(files).unwrap();
        let message = pool.get_message_by_name("M").unwrap();
        assert!(Tables::default().add(&message).is_err(), "{source}");
    }
    assert!(Tables::default().add(&testing_pool().get_message_by_name("gatepost.testing.EveryKind").unwrap()).is_ok());
}
