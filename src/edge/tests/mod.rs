//! Tests of the edge, against `prost-reflect` as the oracle of the JSON mapping and against services that record what they
//! are asked.

mod calls;
mod mapping;
mod oracle;
mod routes;
mod services;
mod streams;

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::json::{Content, Fault, Reader, write_message};
use super::tables::{MessageId, Tables};

/// `every_kind.proto`, compiled.
fn testing_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let mut compiler = protox::Compiler::new(["src/edge/tests", "proto"]).unwrap();
        compiler.include_imports(true).open_file("every_kind.proto").unwrap();
        compiler.descriptor_pool()
    });
    &POOL
}

/// A message type and its table.
struct Subject {
    descriptor: MessageDescriptor,
    tables: Tables,
    id: MessageId,
}

impl Subject {
    fn new(descriptor: MessageDescriptor) -> Self {
        let mut tables = Tables::default();
        let id = tables.add(&descriptor).unwrap();
        Self { descriptor, tables, id }
    }

    fn every_kind() -> Self {
        Self::new(testing_pool().get_message_by_name("gatepost.testing.EveryKind").unwrap())
    }

    fn read(&self, json: &str) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        Reader::new(&self.tables, &mut out, false, None).read(Content::Message(self.id), json.as_bytes())?;
        Ok(out)
    }

    fn write(&self, wire: &[u8]) -> String {
        let mut out = Vec::new();
        write_message(&self.tables, self.id, wire, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
