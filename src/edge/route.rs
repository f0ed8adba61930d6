//! One HTTP rule, made ready against the tables: what the path, query and body write into the request message, and what the
//! answer is.

use prost_reflect::MethodDescriptor;

use super::rule::{HttpRule, Verb};
use super::tables::{Count, Field, Kind, MessageId, Shape, Tables};
use super::template::Template;
use crate::domain::dialect::Dialect;
use crate::proto::MethodId;

/// One way to reach an RPC over HTTP.
#[derive(Debug)]
pub struct Route {
    /// The RPC.
    pub method: MethodId,
    /// The family of paths the template belongs to.
    pub dialect: Dialect,
    /// The path template, `/v1/keys/{id}`: what logs and metrics call the route.
    pub template: Box<str>,
    /// Whether the RPC streams its answers.
    pub streaming: bool,
    pub(super) request: MessageId,
    pub(super) response: MessageId,
    pub(super) body: Body,
    /// The field of the response that is the whole answer.
    pub(super) answer: Option<usize>,
    pub(super) variables: Vec<Bound>,
    pub(super) mask: Option<DerivedMask>,
    /// Whether unknown fields of the body are passed over: `PUT` is partial, and takes back what a GET gave.
    pub(super) ignore_unknown: bool,
}

/// What of the request the body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    None,
    Whole,
    Field(usize),
}

/// A field that the path gives.
#[derive(Debug)]
pub(super) struct Bound {
    /// The fields to go through from the request message, the one with the value last.
    pub(super) fields: FieldPath,
    /// The field's path, `key.id`.
    pub(super) name: Box<str>,
    /// Whether the value may hold slashes, so that encoded ones stay as they are.
    pub(super) spans: bool,
}

/// A mask that is made from the body's fields when the request does not give one.
#[derive(Debug)]
pub(super) struct DerivedMask {
    /// The request's one `google.protobuf.FieldMask`.
    pub(super) field: usize,
    /// Fields of the body that the path gives, as paths from the body.
    pub(super) bound: Vec<Box<str>>,
}

/// Places of fields in their messages' tables, from the request message down.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct FieldPath {
    places: [u8; MAX_PATH],
    length: u8,
}

impl Route {
    /// Makes a rule ready.
    pub(super) fn new(
        tables: &mut Tables,
        descriptor: &MethodDescriptor,
        method: MethodId,
        rule: &HttpRule,
        template: &Template,
    ) -> Result<Self, String> {
        let wrong = |what: String| format!("{}: {}: {what}", descriptor.full_name(), rule.template);
        if descriptor.is_client_streaming() {
            return Err(wrong("a client stream has no HTTP form".to_owned()));
        }
        let request = tables.add(&descriptor.input())?;
        let response = tables.add(&descriptor.output())?;
        let place = |message: MessageId, name: &str| {
            let found = tables.message(message).fields.iter().position(|field| *field.name == *name);
            found.ok_or_else(|| wrong(format!("there is no field {name}")))
        };
        let body = match &*rule.body {
            "" => Body::None,
            "*" => Body::Whole,
            name => Body::Field(place(request, name)?),
        };
        let answer = match &*rule.response_body {
            "" => None,
            name => Some(place(response, name)?),
        };
        let variables = template.variables.iter().map(|variable| {
            let fields = FieldPath::find(tables, request, &variable.field)
                .ok_or_else(|| wrong(format!("there is no field {}", variable.field)))?;
            let field = fields.last(tables, request);
            if field.count != Count::One || matches!(field.kind, Kind::Message(_)) {
                return Err(wrong(format!("{} is not one plain value", variable.field)));
            }
            Ok(Bound { fields, name: variable.field.clone(), spans: template.spans(variable) })
        });
        let variables = variables.collect::<Result<Vec<_>, _>>()?;
        let mask = match (rule.verb, body) {
            (Verb::Patch | Verb::Put, Body::Field(index)) => DerivedMask::find(tables, request, index, &variables),
            _ => None,
        };
        Ok(Self {
            method,
            dialect: Dialect::of_template(&rule.template),
            template: rule.template.as_str().into(),
            streaming: descriptor.is_server_streaming(),
            request,
            response,
            body,
            answer,
            variables,
            mask,
            ignore_unknown: rule.verb == Verb::Put,
        })
    }
}

impl DerivedMask {
    fn find(tables: &Tables, request: MessageId, body: usize, variables: &[Bound]) -> Option<Self> {
        let request = tables.message(request);
        if tables.shape(request.fields[body].kind) != Some(Shape::Fields) || request.fields[body].count != Count::One {
            return None;
        }
        let is_mask = |field: &Field| tables.shape(field.kind) == Some(Shape::FieldMask) && field.count == Count::One;
        let mut masks = (0..request.fields.len()).filter(|index| is_mask(&request.fields[*index]));
        let (field, None) = (masks.next()?, masks.next()) else { return None };
        let prefix = format!("{}.", request.fields[body].name);
        let bound = variables.iter().filter_map(|bound| bound.name.strip_prefix(&*prefix)).map(Into::into).collect();
        Some(Self { field, bound })
    }
}

impl FieldPath {
    /// The fields that a dotted path names, each in either spelling; all but the last are messages with fields of their own.
    pub(super) fn find(tables: &Tables, root: MessageId, path: &str) -> Option<Self> {
        let mut found = Self::default();
        let mut message = Some(root);
        for name in path.split('.') {
            let table = tables.message(message?);
            let place = table.find(name, usize::MAX)?;
            *found.places.get_mut(usize::from(found.length))? = u8::try_from(place).ok()?;
            found.length += 1;
            let field = &table.fields[place];
            message = match field.kind {
                Kind::Message(id) if field.count == Count::One && tables.message(id).shape == Shape::Fields => Some(id),
                _ => None,
            };
        }
        Some(found)
    }

    /// The places, from the request message down.
    pub(super) fn places(&self) -> &[u8] {
        &self.places[..usize::from(self.length)]
    }

    /// The field the path ends at.
    pub(super) fn last<'t>(&self, tables: &'t Tables, root: MessageId) -> &'t Field {
        let (last, outer) = self.places().split_last().unwrap_or((&0, &[]));
        let mut message = tables.message(root);
        for place in outer {
            if let Kind::Message(id) = message.fields[usize::from(*place)].kind {
                message = tables.message(id);
            }
        }
        &message.fields[usize::from(*last)]
    }

    /// Writes the field with a value given as text, inside records of the messages that hold it.
    pub(super) fn put_text(
        &self,
        tables: &Tables,
        root: MessageId,
        text: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), super::json::Rule> {
        use super::wire::{close, open};
        let (_, outer) = self.places().split_last().unwrap_or((&0, &[]));
        let mut starts = [0; MAX_PATH];
        let mut message = tables.message(root);
        for (place, start) in outer.iter().zip(&mut starts) {
            let field = &message.fields[usize::from(*place)];
            out.extend_from_slice(&field.tag);
            *start = open(out);
            if let Kind::Message(id) = field.kind {
                message = tables.message(id);
            }
        }
        super::json::put_text(tables, self.last(tables, root), text, out)?;
        for start in starts[..outer.len()].iter().rev() {
            close(out, *start);
        }
        Ok(())
    }
}

/// Messages in messages that a path or a query parameter may go through.
const MAX_PATH: usize = 8;
