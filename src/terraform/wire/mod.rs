//! The messages of plugin protocol 6.10 without its state stores, written by hand so that the build needs no code
//! generator.
//!
//! Field numbers are the protocol's. Calls that have no message here are answered with `Unimplemented`.

#![expect(missing_docs, clippy::struct_excessive_bools, reason = "names and meaning are the protocol's own")]

mod actions;
mod calls;
mod ephemeral;
mod functions;
mod identity;
mod lists;
mod schemas;

pub use actions::*;
pub use calls::*;
pub use ephemeral::*;
pub use functions::*;
pub use identity::*;
pub use lists::*;
pub use schemas::*;

/// A message without fields.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Empty {}

/// A value: msgpack when there is any, else JSON.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DynamicValue {
    #[prost(bytes = "vec", tag = "1")]
    pub msgpack: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub json: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Severity {
    Invalid = 0,
    Error = 1,
    Warning = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Diagnostic {
    #[prost(enumeration = "Severity", tag = "1")]
    pub severity: i32,
    #[prost(string, tag = "2")]
    pub summary: String,
    #[prost(string, tag = "3")]
    pub detail: String,
    #[prost(message, optional, tag = "4")]
    pub attribute: Option<AttributePath>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AttributePath {
    #[prost(message, repeated, tag = "1")]
    pub steps: Vec<Step>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Step {
    #[prost(oneof = "Selector", tags = "1, 2, 3")]
    pub selector: Option<Selector>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Selector {
    #[prost(string, tag = "1")]
    AttributeName(String),
    #[prost(string, tag = "2")]
    ElementKeyString(String),
    #[prost(int64, tag = "3")]
    ElementKeyInt(i64),
}

/// A state as it was stored: JSON, or (before Terraform 0.12) a flat map.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawState {
    #[prost(bytes = "vec", tag = "1")]
    pub json: Vec<u8>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub flatmap: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ServerCapabilities {
    #[prost(bool, tag = "1")]
    pub plan_destroy: bool,
    #[prost(bool, tag = "2")]
    pub get_provider_schema_optional: bool,
    #[prost(bool, tag = "3")]
    pub move_resource_state: bool,
    #[prost(bool, tag = "4")]
    pub generate_resource_config: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ClientCapabilities {
    #[prost(bool, tag = "1")]
    pub deferral_allowed: bool,
    #[prost(bool, tag = "2")]
    pub write_only_attributes_allowed: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Deferred {
    #[prost(int32, tag = "1")]
    pub reason: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceIdentityData {
    #[prost(message, optional, tag = "1")]
    pub identity_data: Option<DynamicValue>,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// The numbers of the fields that a message has set, with the kinds of their values, in order.
    fn fields(message: &impl Message) -> Vec<(u64, u64)> {
        let bytes = message.encode_to_vec();
        let mut rest = bytes.as_slice();
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = prost::encoding::decode_varint(&mut rest).unwrap();
            fields.push((key >> 3, key & 7));
            let number = prost::encoding::decode_varint(&mut rest).unwrap();
            if key & 7 == BYTES {
                rest = &rest[usize::try_from(number).unwrap()..];
            }
        }
        fields
    }

    const VARINT: u64 = 0;
    const BYTES: u64 = 2;

    fn diagnostics() -> Vec<Diagnostic> {
        vec![Diagnostic::default()]
    }

    fn named() -> Vec<Named> {
        vec![Named { name: "a".into() }]
    }

    #[test]
    fn lists_have_the_field_numbers_of_the_protocol() {
        let value = || Some(DynamicValue::default());
        let request = ValidateListResourceConfigRequest {
            type_name: "a".into(),
            config: value(),
            include_resource_object: value(),
            limit: value(),
        };
        assert_eq!(fields(&request), [(1, BYTES), (2, BYTES), (3, BYTES), (4, BYTES)]);
        let request = ListResourceRequest {
            type_name: "a".into(),
            config: value(),
            include_resource_object: true,
            limit: 7,
        };
        assert_eq!(fields(&request), [(1, BYTES), (2, BYTES), (3, VARINT), (4, VARINT)]);
        let event = ListResourceEvent {
            identity: Some(ResourceIdentityData::default()),
            display_name: "a".into(),
            resource_object: value(),
            diagnostic: diagnostics(),
        };
        assert_eq!(fields(&event), [(1, BYTES), (2, BYTES), (3, BYTES), (4, BYTES)]);
    }

    #[test]
    fn actions_have_the_field_numbers_of_the_protocol() {
        let request = ActionRequest {
            action_type: "a".into(),
            config: Some(DynamicValue::default()),
            client_capabilities: Some(ClientCapabilities::default()),
        };
        assert_eq!(fields(&request), [(1, BYTES), (2, BYTES), (3, BYTES)]);
        let planned =
            PlanActionResponse { diagnostics: diagnostics(), deferred: Some(Deferred { reason: 2 }) };
        assert_eq!(fields(&planned), [(1, BYTES), (2, BYTES)]);
        let told = Progress { message: "a".into() };
        assert_eq!(fields(&told), [(1, BYTES)]);
        let ended = Completed { diagnostics: diagnostics() };
        assert_eq!(fields(&ended), [(1, BYTES)]);
        let event = |kind| InvokeActionEvent { r#type: Some(kind) };
        assert_eq!(fields(&event(InvokeActionEventKind::Progress(told))), [(1, BYTES)]);
        assert_eq!(fields(&event(InvokeActionEventKind::Completed(ended))), [(2, BYTES)]);
    }

    #[test]
    fn descriptions_have_the_field_numbers_of_the_protocol() {
        let schema = GetProviderSchemaResponse {
            list_resource_schemas: [("a".to_owned(), Schema::default())].into(),
            action_schemas: [("a".to_owned(), ActionSchema { schema: Some(Schema::default()) })].into(),
            ..Default::default()
        };
        assert_eq!(fields(&schema), [(9, BYTES), (11, BYTES)]);
        assert_eq!(fields(&ActionSchema { schema: Some(Schema::default()) }), [(1, BYTES)]);
        let metadata =
            GetMetadataResponse { list_resources: named(), actions: named(), ..Default::default() };
        assert_eq!(fields(&metadata), [(7, BYTES), (9, BYTES)]);
        let block = Block { deprecated: true, deprecation_message: "a".into(), ..Default::default() };
        assert_eq!(fields(&block), [(6, VARINT), (7, BYTES)]);
        let attribute = Attribute { deprecated: true, deprecation_message: "a".into(), ..Default::default() };
        assert_eq!(fields(&attribute), [(9, VARINT), (12, BYTES)]);
    }
}
