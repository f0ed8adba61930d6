//! The JSON mapping of protobuf (ProtoJSON), both ways, over the tables: JSON to protobuf bytes and back, with no value tree
//! in between.

mod mask;
mod read;
mod scalar;
mod seed;
mod time;
mod write;

pub(super) use mask::Mask;
pub(super) use read::{Content, Fault, Reader};
pub(super) use scalar::{Rule, put_text};
pub(super) use write::{write_field, write_message};

/// How deep objects and lists may nest in a body.
pub(super) const MAX_DEPTH: u8 = 64;
