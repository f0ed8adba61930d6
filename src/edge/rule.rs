//! The HTTP rules (`google.api.http`) that methods carry in their descriptors.

use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage, Value};

/// One way to reach an RPC over HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpRule {
    /// The HTTP method.
    pub verb: Verb,
    /// The path template.
    pub template: String,
    /// What of the request message the body is: `*` all, a field's name, nothing when there is no body.
    pub body: String,
    /// Which field of the response message the answer is: nothing for the whole message.
    pub response_body: String,
}

/// An HTTP method that a rule may name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// GET; HEAD is served from it.
    Get,
    /// PUT.
    Put,
    /// POST.
    Post,
    /// DELETE.
    Delete,
    /// PATCH.
    Patch,
}

impl HttpRule {
    /// The rules of a method: its own first, then its `additional_bindings`.
    ///
    /// # Errors
    ///
    /// The method has no rule, or one that is not served here (a `custom` method, bindings inside bindings).
    pub fn of(method: &MethodDescriptor) -> Result<Vec<Self>, String> {
        let wrong = |what: &str| format!("{}: {what}", method.full_name());
        let pool = method.parent_pool();
        let extension = pool.get_extension_by_name("google.api.http").ok_or("annotations.proto is not compiled in")?;
        let options = method.options();
        if !options.has_extension(&extension) {
            return Err(wrong("no google.api.http rule"));
        }
        let rule = options.get_extension(&extension);
        let rule = rule.as_message().ok_or_else(|| wrong("its google.api.http rule is not a message"))?;
        let additional = rule.get_field_by_name("additional_bindings");
        let additional = additional.as_deref().and_then(Value::as_list).unwrap_or_default();
        let mut rules = vec![Self::read(rule).map_err(|what| wrong(&what))?];
        for binding in additional.iter().filter_map(Value::as_message) {
            rules.push(Self::read(binding).map_err(|what| wrong(&what))?);
        }
        Ok(rules)
    }

    fn read(rule: &DynamicMessage) -> Result<Self, String> {
        let text = |name: &str| {
            rule.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let verbs = Verb::ALL.into_iter().map(|verb| (verb, text(verb.field())));
        let Some((verb, template)) = verbs.into_iter().find(|(_, template)| !template.is_empty()) else {
            return Err(format!("a rule of {} names no method served here", rule.descriptor().name()));
        };
        Ok(Self { verb, template, body: text("body"), response_body: text("response_body") })
    }
}

impl Verb {
    const ALL: [Self; 5] = [Self::Get, Self::Put, Self::Post, Self::Delete, Self::Patch];

    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
        }
    }

    /// The verb that serves this HTTP method.
    pub(super) fn serving(method: &http::Method) -> Option<Self> {
        match *method {
            http::Method::GET | http::Method::HEAD => Some(Self::Get),
            http::Method::PUT => Some(Self::Put),
            http::Method::POST => Some(Self::Post),
            http::Method::DELETE => Some(Self::Delete),
            http::Method::PATCH => Some(Self::Patch),
            _ => None,
        }
    }

    /// The field of `google.api.HttpRule` that holds the template.
    fn field(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Delete => "delete",
            Self::Patch => "patch",
        }
    }
}
