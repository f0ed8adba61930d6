//! The comments of the protos, as prose for whoever reads the description.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

/// Every comment that stands before a definition, by file and place in it.
#[derive(Debug)]
pub(super) struct Comments(HashMap<String, HashMap<Vec<i32>, String>>);

impl Comments {
    /// The comments of all files in the pool that were compiled with their source.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let files = pool.files().map(|file| {
            let source = file.file_descriptor_proto().source_code_info.as_ref();
            let locations = source.map_or(&[][..], |source| &source.location).iter();
            let comments = locations.filter_map(|location| {
                let text = prose(location.leading_comments.as_deref()?);
                Some((location.path.clone(), text))
            });
            (file.name().to_owned(), comments.collect())
        });
        Self(files.collect())
    }

    /// What a service is.
    pub(super) fn service(&self, service: &ServiceDescriptor) -> &str {
        self.at(service.parent_file().name(), service.path())
    }

    /// What an RPC does.
    pub(super) fn method(&self, method: &MethodDescriptor) -> String {
        let text = self.at(method.parent_service().parent_file().name(), method.path());
        in_json(text, &[method.input(), method.output()])
    }

    /// What a message is.
    pub(super) fn message(&self, message: &MessageDescriptor) -> String {
        in_json(self.at(message.parent_file().name(), message.path()), &with_counterpart(message))
    }

    /// What a field holds.
    pub(super) fn field(&self, field: &FieldDescriptor) -> String {
        let text = self.at(field.parent_file().name(), field.path());
        in_json(text, &with_counterpart(field.parent_message()))
    }

    /// What the values of an enum are about.
    pub(super) fn enumeration(&self, enumeration: &EnumDescriptor) -> String {
        let text = self.at(enumeration.parent_file().name(), enumeration.path());
        in_json(text, enumeration.parent_message().as_slice())
    }

    /// What a value of an enum means.
    pub(super) fn value(&self, value: &EnumValueDescriptor) -> String {
        let enumeration = value.parent_enum();
        let text = self.at(enumeration.parent_file().name(), value.path());
        in_json(text, enumeration.parent_message().as_slice())
    }

    fn at(&self, file: &str, path: &[i32]) -> &str {
        self.0.get(file).and_then(|comments| comments.get(path)).map_or("", String::as_str)
    }
}

/// The first sentence, without its full stop.
pub(super) fn first_sentence(text: &str) -> &str {
    let end = [". ", ".\n"].into_iter().filter_map(|end| text.find(end)).min();
    end.map_or_else(|| text.strip_suffix('.').unwrap_or(text), |end| &text[..end])
}

/// A comment without the line breaks of its source: one line a paragraph.
fn prose(comment: &str) -> String {
    let paragraphs = comment.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    });
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The message and, for a request, its response, and the reverse: each speaks of the other's fields.
fn with_counterpart(message: &MessageDescriptor) -> Vec<MessageDescriptor> {
    let name = message.full_name();
    let other = match (name.strip_suffix("Request"), name.strip_suffix("Response")) {
        (Some(stem), _) => Some(format!("{stem}Response")),
        (_, Some(stem)) => Some(format!("{stem}Request")),
        (None, None) => None,
    };
    let other = other.and_then(|name| message.parent_pool().get_message_by_name(&name));
    std::iter::once(message.clone()).chain(other).collect()
}

/// The text with the fields of these messages, and of the messages in them, spelt as they are in JSON: protos say
/// `page_size` where JSON says `pageSize`.
fn in_json(text: &str, messages: &[MessageDescriptor]) -> String {
    let spell = |(index, part): (usize, &str)| {
        // Every second part stands between backquotes.
        let (path, name) = part.rsplit_once('.').map_or((None, part), |(path, name)| (Some(path), name));
        let field = (index % 2 == 1).then(|| messages.iter().find_map(|message| find(message, name))).flatten();
        match (field, path) {
            (Some(field), Some(path)) => format!("{path}.{}", field.json_name()),
            (Some(field), None) => field.json_name().to_owned(),
            (None, _) => part.to_owned(),
        }
    };
    text.split('`').enumerate().map(spell).collect::<Vec<_>>().join("`")
}

/// The field of this name in the message or, one level down, in a message it holds.
fn find(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    let inner = |field: FieldDescriptor| match field.kind() {
        Kind::Message(inner) => inner.get_field_by_name(name),
        _ => None,
    };
    message.get_field_by_name(name).or_else(|| message.fields().find_map(inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    #[test]
    fn comments_are_prose_with_names_as_in_json() {
        let pool = descriptor_pool();
        let comments = Comments::of(pool);
        let message = |name: &str| pool.get_message_by_name(&format!("gatepost.v1.{name}")).unwrap();
        let field = |of: &str, name: &str| comments.field(&message(of).get_field_by_name(name).unwrap());

        assert_eq!(comments.message(&message("Key")), "An API key, without its secret.");
        let list = comments.message(&message("ListKeysRequest"));
        assert!(list.starts_with("Asks for one page of keys. The page is named") && !list.contains('\n'), "{list}");
        assert!(list.contains("`pageSize` and `pageToken` (the default"), "{list}");
        // The fields of a mask are those of the message that is changed.
        assert!(field("UpdateKeyRequest", "update_mask").contains("`allowedIps`, `metadata`, `expiresAt`"));
        assert!(field("ListKeysRequest", "page_token").starts_with("`nextPageToken` of the page before."));
        assert!(field("CreateKeyRequest", "allowed_ips").contains("see `Key.allowedIps`"));
        // The name of a check is no field, though another message has one of that name.
        assert!(field("ExplainVerifyResponse.Check", "name").contains("`client_ip`"));

        let keys = pool.get_service_by_name("gatepost.v1.Keys").unwrap();
        let create = comments.method(&keys.methods().next().unwrap());
        assert_eq!(create.lines().count(), 3, "two paragraphs: {create}");
        assert_eq!(first_sentence(&create), "Makes a key");
        assert!(comments.service(&keys).starts_with("Issues API keys"));
    }
}
