//! The RPCs as the descriptors have them, so that a test can go over all of them, those that are new as well.

use gatepost::edge::rule::HttpRule;
use gatepost::proto::descriptor_pool;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions, Value as Field};
use serde_json::Value;

/// One RPC.
#[derive(Clone, Debug)]
pub(crate) struct Rpc(pub(crate) MethodDescriptor);

/// What the policy of an RPC says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Policy {
    pub(crate) public: bool,
    pub(crate) authenticated: bool,
    pub(crate) scopes: Vec<String>,
    pub(crate) publishable: bool,
    pub(crate) user: bool,
    pub(crate) secret_response: bool,
    pub(crate) installation: bool,
    pub(crate) introduction: bool,
    pub(crate) cost: u32,
}

impl Rpc {
    /// All RPCs of the descriptors.
    pub(crate) fn all() -> Vec<Self> {
        descriptor_pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()).map(Self).collect()
    }

    /// The RPC of this name, `Keys/CreateKey`.
    pub(crate) fn named(name: &str) -> Self {
        Self::all().into_iter().find(|rpc| rpc.name() == name).unwrap_or_else(|| panic!("there is no RPC {name}"))
    }

    /// `Keys/CreateKey`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.0.parent_service().name(), self.0.name())
    }

    /// The path of its gRPC calls.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.0.parent_service().full_name(), self.0.name())
    }

    /// Its HTTP bindings, the first one first.
    pub(crate) fn rules(&self) -> Vec<HttpRule> {
        HttpRule::of(&self.0).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Who may call it. Everything false and empty if its descriptor says nothing.
    pub(crate) fn policy(&self) -> Policy {
        let extension = descriptor_pool().get_extension_by_name("gatepost.v1.policy").expect("policy.proto is there");
        let options = self.0.options();
        let policy = options.get_extension(&extension);
        let policy = policy.as_message().expect("a message");
        let flag = |name: &str| policy.get_field_by_name(name).and_then(|field| field.as_bool()).expect(name);
        let scopes = policy.get_field_by_name("scopes").expect("scopes");
        let scopes = scopes.as_list().expect("a list").iter().filter_map(Field::as_str).map(str::to_owned);
        Policy {
            public: flag("public"),
            authenticated: flag("authenticated"),
            scopes: scopes.collect(),
            publishable: flag("publishable"),
            user: flag("user"),
            secret_response: flag("secret_response"),
            installation: flag("installation"),
            introduction: flag("introduction"),
            // Read as they were sent: what was not given costs 1.
            cost: match policy.has_field_by_name("cost") {
                true => policy.get_field_by_name("cost").and_then(|field| field.as_u32()).expect("cost"),
                false => 1,
            },
        }
    }

    /// Its request, from JSON.
    pub(crate) fn request(&self, json: Value) -> DynamicMessage {
        from_json(self.0.input(), json).unwrap_or_else(|error| panic!("a request of {}: {error}", self.name()))
    }

    /// Its answer, from protobuf, as JSON.
    pub(crate) fn answer(&self, wire: &[u8]) -> Value {
        let message = DynamicMessage::decode(self.0.output(), wire);
        to_json(&message.unwrap_or_else(|error| panic!("an answer of {}: {error}", self.name())))
    }

    /// Its answer, from JSON, as JSON in the form that [`Self::answer`] gives. Fails on what the answer does not have.
    pub(crate) fn answer_again(&self, json: Value) -> Value {
        let shown = json.to_string();
        let message = from_json(self.0.output(), json);
        to_json(&message.unwrap_or_else(|error| panic!("an answer of {}: {error}: {shown}", self.name())))
    }
}

/// A message from JSON, by the public mapping.
pub(crate) fn from_json(descriptor: MessageDescriptor, json: Value) -> Result<DynamicMessage, serde_json::Error> {
    DynamicMessage::deserialize(descriptor, json)
}

/// A message as JSON, by the public mapping, with the fields that have no presence.
pub(crate) fn to_json(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("a message has a JSON form")
}

/// A message as protobuf.
pub(crate) fn to_wire(message: &DynamicMessage) -> Vec<u8> {
    message.encode_to_vec()
}
