//! One operation: a way to reach an RPC over HTTP, with what it takes and what it answers.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::super::rule::{HttpRule, Verb};
use super::comment::{Comments, first_sentence};
use super::error::{self, Errors};
use super::example::Scene;
use super::header;
use super::path::Path;
use super::schema::{Behaviour, Schemas, Use};
use super::security::{Access, Security};
use crate::domain::dialect::Dialect;

/// What all operations are described with.
#[derive(Debug)]
pub(super) struct Writer<'c> {
    pub(super) comments: &'c Comments,
    pub(super) schemas: Schemas<'c>,
    pub(super) security: Security,
    pub(super) errors: Errors,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    pub(super) method: &'a MethodDescriptor,
    pub(super) rule: &'a HttpRule,
    pub(super) path: &'a Path,
    pub(super) id: &'a str,
}

impl Writer<'_> {
    /// Describes an operation.
    ///
    /// # Errors
    ///
    /// The method has no policy, or its rule names a field that is not there.
    pub(super) fn write(&mut self, operation: Operation<'_>) -> Result<Value, String> {
        let Operation { method, rule, id, .. } = operation;
        let access = Access::of(method)?;
        let dialect = operation.dialect();
        let comment = self.comments.method(method);
        let body = operation.body()?;

        let mut written = Map::new();
        let mut set = |name: &str, value: Value| written.insert(name.to_owned(), value);
        set("operationId", id.into());
        set("tags", json!([method.parent_service().name()]));
        set("summary", first_sentence(&comment).into());
        set("description", format!("{comment}\n\n{}", access.in_words(dialect)).trim().into());
        set("security", self.security.requirement(&access, dialect));
        if access.is_guarded() {
            set("x-publishable", access.is_publishable().into());
        }
        set("parameters", self.parameters(operation, &body)?);
        if let Some(request_body) = self.request_body(operation, &body) {
            set("requestBody", request_body);
        }
        let mut responses = Map::from_iter([("200".to_owned(), self.answer(operation)?)]);
        for status in self.errors.statuses() {
            let applies = match status {
                401 | 403 | 429 => access.is_guarded(),
                // A key that is named and is not there.
                404 => !operation.path.variables.is_empty() || method.input().get_field_by_name("key_id").is_some(),
                409 => access.writes(rule.verb),
                413 | 415 => !rule.body.is_empty(),
                _ => true,
            };
            if applies {
                responses.insert(status.to_string(), error::reference(status));
            }
        }
        set("responses", responses.into());
        Ok(written.into())
    }

    fn parameters(&mut self, operation: Operation<'_>, body: &Body) -> Result<Value, String> {
        let mut parameters = Vec::new();
        for variable in &operation.path.variables {
            let schema = match &variable.field {
                Some(field) => self.schemas.value(field, Use::Request),
                None => json!({"type": "string"}),
            };
            let mut parameter = json!({"name": variable.name, "in": "path", "required": true, "schema": schema});
            if let Some(field) = &variable.field {
                parameter["description"] = self.comments.field(field).into();
                if let Some(example) = operation.scene(Use::Request).parameter(field) {
                    parameter["example"] = example;
                }
            }
            parameters.push(parameter);
        }
        if !matches!(body, Body::Whole { .. }) {
            let request = operation.method.input();
            let without = |field: &FieldDescriptor| matches!(body, Body::Field(body) if body == field);
            for field in request.fields().filter(|field| !without(field)) {
                self.query(operation, &field, "", "", &mut parameters);
            }
        }
        if REPEATABLE.contains(&operation.method.full_name()) {
            parameters.push(header::IDEMPOTENCY_KEY.in_requests());
        }
        parameters.extend([header::REQUEST_TIMEOUT.in_requests(), header::REQUEST_ID.in_requests()]);
        Ok(parameters.into())
    }

    /// Adds the parameters that a field is given by: one, or one for each field of a message. The prefixes are the path
    /// of the message it is in, in the spelling of JSON and of the protos.
    fn query(
        &mut self,
        operation: Operation<'_>,
        field: &FieldDescriptor,
        json: &str,
        proto: &str,
        to: &mut Vec<Value>,
    ) {
        let field_path = format!("{proto}{}", field.name());
        if field.is_map() || operation.path.variables.iter().any(|variable| variable.field_path == field_path) {
            return;
        }
        let name = format!("{json}{}", field.json_name());
        if let Kind::Message(message) = field.kind()
            && !is_text(&message)
        {
            let depth = proto.split('.').count();
            if !field.is_list() && depth < MAX_QUERY_DEPTH {
                let (json, proto) = (format!("{name}."), format!("{field_path}."));
                message.fields().for_each(|inner| self.query(operation, &inner, &json, &proto, to));
            }
            return;
        }
        let mut parameter = json!({"name": name, "in": "query"});
        let description = self.comments.field(field);
        if !description.is_empty() {
            parameter["description"] = description.into();
        }
        if proto.is_empty() && Behaviour::of(field).required {
            parameter["required"] = true.into();
            if let Some(example) = operation.scene(Use::Request).parameter(field) {
                parameter["example"] = example;
            }
        }
        parameter["schema"] = self.schemas.value(field, Use::Request);
        to.push(parameter);
    }

    fn request_body(&mut self, operation: Operation<'_>, body: &Body) -> Option<Value> {
        let (schema, example, required) = match body {
            Body::None => return None,
            Body::Whole { without } => {
                let request = operation.method.input();
                let needs = |field: FieldDescriptor| {
                    Behaviour::of(&field).required && !without.iter().any(|name| name == field.name())
                };
                let schema = self.schemas.message(&request, Use::Request, without);
                let example = operation.scene(Use::Request).message(&request, without);
                (schema, example, request.fields().any(needs))
            }
            Body::Field(field) => {
                let changes = matches!(operation.rule.verb, Verb::Patch | Verb::Put);
                let for_ = if changes { Use::Change } else { Use::Request };
                let example = operation.scene(for_).field(field);
                (self.schemas.value(field, for_), example, true)
            }
        };
        let content = json!({JSON: {"schema": schema, "example": example}});
        Some(json!({"required": required, "content": content}))
    }

    fn answer(&mut self, operation: Operation<'_>) -> Result<Value, String> {
        let message = operation.method.output();
        let scene = operation.scene(Use::Answer);
        let (schema, example, description) = match &*operation.rule.response_body {
            "" => {
                let description = self.comments.message(&message);
                (self.schemas.message(&message, Use::Answer, &[]), scene.message(&message, &[]), description)
            }
            name => {
                let field = operation.find(&message, name)?;
                (self.schemas.value(&field, Use::Answer), scene.field(&field), self.comments.field(&field))
            }
        };
        let mut headers = Map::from_iter([header::REQUEST_ID.in_answers()]);
        if message.get_field_by_name("pagination").is_some() {
            headers.extend([header::PAGINATION_TOTAL.in_answers()]);
        }
        if Access::of(operation.method)?.is_guarded() {
            headers.extend(header::LIMITS.map(|header| header.in_answers()));
        }
        let content = match operation.method.is_server_streaming() {
            true => streamed(&schema, &example),
            false => json!({JSON: {"schema": schema, "example": example}}),
        };
        Ok(json!({"description": description, "headers": headers, "content": content}))
    }
}

/// What of the request message the body is.
#[derive(Debug)]
enum Body {
    None,
    /// All but the fields that the path gives.
    Whole {
        without: Vec<String>,
    },
    Field(FieldDescriptor),
}

impl Operation<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::of_template(&self.rule.template)
    }

    fn scene(&self, for_: Use) -> Scene<'_> {
        Scene { method: self.method.name(), dialect: self.dialect(), for_ }
    }

    fn body(&self) -> Result<Body, String> {
        Ok(match &*self.rule.body {
            "" => Body::None,
            "*" => {
                let mut without: Vec<String> = self.path.variables.iter().map(|v| v.field_path.clone()).collect();
                without.sort();
                Body::Whole { without }
            }
            name => Body::Field(self.find(&self.method.input(), name)?),
        })
    }

    fn find(&self, message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
        let wrong = || format!("{}: {}: there is no field {name}", self.method.full_name(), self.rule.template);
        message.get_field_by_name(name).ok_or_else(wrong)
    }
}

/// The forms of a stream that a client may ask for with `Accept`; lines if it does not say.
fn streamed(schema: &Value, example: &Value) -> Value {
    let text = |description: &str, example: String| json!({"schema": {"type": "string", "description": description}, "example": example});
    json!({
        "application/x-ndjson": text(
            "A line of JSON for each message. A stream that fails ends with the line `{\"error\":{...}}`, a problem document in it.",
            format!("{example}\n"),
        ),
        "text/event-stream": text(
            "An event for each message, with JSON as its data. A stream that fails ends with an event `error`.",
            format!("data: {example}\n\n"),
        ),
        JSON: {
            "schema": {
                "type": "array",
                "description": "One array, open until the stream ends. The connection of a stream that fails is cut.",
                "items": schema,
            },
            "example": [example],
        },
    })
}

/// Whether a message is one parameter's text.
fn is_text(message: &MessageDescriptor) -> bool {
    let name = message.full_name().strip_prefix("google.protobuf.");
    name.is_some_and(|name| matches!(name, "Timestamp" | "Duration" | "FieldMask") || name.ends_with("Value"))
}

const JSON: &str = "application/json";

/// The RPCs that may be repeated under an `Idempotency-Key`.
const REPEATABLE: [&str; 3] =
    ["gatepost.v1.Keys.CreateKey", "gatepost.v1.Keys.CreateWebhook", "gatepost.v1.Keys.RotateWebhookSecret"];

/// Messages in messages that parameters are listed for: a message may hold itself.
const MAX_QUERY_DEPTH: usize = 4;
