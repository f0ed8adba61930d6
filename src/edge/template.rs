//! Path templates of `google.api.http` (its `http.proto` has the grammar): `/v1/{name=keys/*}:rotate`.

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    /// The template as it was written.
    pub(super) text: Box<str>,
    pub(super) segments: Vec<Segment>,
    pub(super) variables: Vec<Variable>,
    /// The custom verb after the last colon, or nothing.
    pub(super) verb: Box<str>,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Segment {
    /// This text.
    Literal(Box<str>),
    /// One segment, not empty.
    One,
    /// Any number of segments. Only the last may be this.
    Many,
}

/// A part of the path that is a field's value.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Variable {
    /// The field's path, `key.id`.
    pub(super) field: Box<str>,
    /// The first segment it covers.
    pub(super) first: usize,
    /// How many segments of the template it covers.
    pub(super) count: usize,
}

impl Template {
    /// Parses a template, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text}: {what}");
        let rest = text.strip_prefix('/').ok_or_else(|| wrong("a template begins with /"))?;
        // A colon in braces belongs to nothing we know; the verb's is after the last brace and the last slash.
        let tail = rest.rfind(['}', '/']).map_or(0, |index| index + 1);
        let (rest, verb) = match rest[tail..].find(':') {
            Some(colon) => (&rest[..tail + colon], &rest[tail + colon + 1..]),
            None => (rest, ""),
        };
        if !verb.is_empty() && !is_literal(verb) || rest.len() + 2 == text.len() && verb.is_empty() {
            return Err(wrong("a verb is letters, digits and the signs - . _ ~"));
        }
        let mut template = Self { text: text.into(), segments: Vec::new(), variables: Vec::new(), verb: verb.into() };
        let mut rest = rest;
        loop {
            let after = match rest.strip_prefix('{') {
                Some(variable) => {
                    let (variable, after) = variable.split_once('}').ok_or_else(|| wrong("a brace is not closed"))?;
                    template.variable(variable).map_err(|what| wrong(&what))?;
                    after
                }
                None => {
                    let end = rest.find('/').unwrap_or(rest.len());
                    template.segment(&rest[..end]).map_err(|what| wrong(&what))?;
                    &rest[end..]
                }
            };
            match after.strip_prefix('/') {
                Some(next) => rest = next,
                None if after.is_empty() => break,
                None => return Err(wrong("a variable is followed by /, a verb or nothing")),
            }
        }
        let many = template.segments.iter().position(|segment| *segment == Segment::Many);
        if many.is_some_and(|index| index + 1 != template.segments.len()) {
            return Err(wrong("** is last"));
        }
        if template.segments.len() > MAX_SEGMENTS || template.variables.len() > MAX_VARIABLES {
            return Err(wrong("a template has at most 16 segments and 4 variables"));
        }
        Ok(template)
    }

    fn variable(&mut self, text: &str) -> Result<(), String> {
        let (field, pattern) = text.split_once('=').unwrap_or((text, "*"));
        let parts = field.split('.').all(|part| !part.is_empty() && part.bytes().all(is_name_byte));
        if !parts {
            return Err(format!("{field} is not a field's path"));
        }
        if self.variables.iter().any(|other| *other.field == *field) {
            return Err(format!("{field} is given twice"));
        }
        let first = self.segments.len();
        pattern.split('/').try_for_each(|segment| self.segment(segment))?;
        self.variables.push(Variable { field: field.into(), first, count: self.segments.len() - first });
        Ok(())
    }

    fn segment(&mut self, text: &str) -> Result<(), String> {
        self.segments.push(match text {
            "*" => Segment::One,
            "**" => Segment::Many,
            text if is_literal(text) => Segment::Literal(text.into()),
            text => return Err(format!("{text:?} is not a segment")),
        });
        Ok(())
    }

    /// Whether the variable may hold slashes of the path, so that encoded ones are left as they are.
    pub(super) fn spans(&self, variable: &Variable) -> bool {
        let covered = &self.segments[variable.first..variable.first + variable.count];
        covered.len() > 1 || covered == [Segment::Many]
    }
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is_name_byte(byte) || matches!(byte, b'-' | b'.' | b'~'))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Segments of a template at most.
pub(super) const MAX_SEGMENTS: usize = 16;

/// Variables of a template at most.
pub(super) const MAX_VARIABLES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_variables_over_several_segments_and_a_verb() {
        let template = Template::parse("/v1/{name=keys/*/parts/**}:rotate").unwrap();
        let literal = |text: &str| Segment::Literal(text.into());
        let expected = [literal("v1"), literal("keys"), Segment::One, literal("parts"), Segment::Many];
        assert_eq!(template.segments, expected);
        assert_eq!(template.variables, [Variable { field: "name".into(), first: 1, count: 4 }]);
        assert_eq!(&*template.verb, "rotate");
        assert!(template.spans(&template.variables[0]));

        let template = Template::parse("/v1/{key.id}:rotate").unwrap();
        assert_eq!(template.variables, [Variable { field: "key.id".into(), first: 1, count: 1 }]);
        assert!(!template.spans(&template.variables[0]));
        assert_eq!(&*Template::parse("/v1/keys").unwrap().verb, "");
    }

    #[test]
    fn refuses_what_the_grammar_does_not_allow() {
        for text in [
            "",
            "v1",
            "/",
            "//",
            "/v1/",
            "/v1//x",
            "/v1/{",
            "/v1/{}",
            "/v1/{a",
            "/v1/{a}b",
            "/v1/{a..b}",
            "/v1/{a=}",
            "/v1/{a=**}/b",
            "/v1/**/b",
            "/v1/{a}/{a}",
            "/v1/x:",
            "/v1/x:y:z",
            "/v1/{a-b}",
            "/v1/%20",
            "/v1/a b",
            "/{a}/{b}/{c}/{d}/{e}",
            "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
            "/v1/{a={b}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
