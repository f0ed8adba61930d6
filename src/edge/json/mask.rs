//! The field mask that a body stands for: which fields it names.
//!
//! A field the body names is changed, also one given as `null` (it is cleared). Objects that are messages are gone into, so
//! that `{"a":{"b":1}}` changes `a.b` and leaves the rest of `a`; maps, lists and well-known types change whole. Left out,
//! so that a client can send back the object it was given: fields that `google.api.field_behavior` marks OUTPUT_ONLY or
//! IMMUTABLE, fields that the path gives, and `etag`, which guards a change and is not part of it (AIP-154).

use super::super::tables::{Count, Field, Shape, Tables};
use super::scalar::put_mask_path;

/// Collects the paths while the body is read.
#[derive(Debug)]
pub(in crate::edge) struct Mask<'t> {
    paths: Vec<String>,
    /// The path of the object that is being read, with a dot after it.
    prefix: String,
    /// Paths that the request's path gives.
    bound: &'t [Box<str>],
    /// Whether fields are collected where the reader is now.
    active: bool,
    /// How many fields were seen.
    seen: usize,
}

/// What to undo after a field's value.
#[must_use]
pub(super) enum Step {
    Nothing,
    Leaf,
    Inner { prefix: usize, seen: usize },
}

impl<'t> Mask<'t> {
    /// An empty mask.
    pub(in crate::edge) fn new(bound: &'t [Box<str>]) -> Self {
        Self { paths: Vec::new(), prefix: String::new(), bound, active: true, seen: 0 }
    }

    /// Writes the fields of a `google.protobuf.FieldMask`.
    pub(in crate::edge) fn put(&self, out: &mut Vec<u8>) {
        for path in &self.paths {
            put_mask_path(path, out);
        }
    }

    pub(super) fn enter(&mut self, tables: &Tables, field: &Field) -> Step {
        if !self.active {
            return Step::Nothing;
        }
        self.seen += 1;
        if field.maskable && field.count == Count::One && tables.shape(field.kind) == Some(Shape::Fields) {
            let step = Step::Inner { prefix: self.prefix.len(), seen: self.seen };
            self.prefix.extend([&field.name, "."]);
            return step;
        }
        self.push(field);
        self.active = false;
        Step::Leaf
    }

    pub(super) fn leave(&mut self, field: &Field, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Leaf => self.active = true,
            Step::Inner { prefix, seen } => {
                self.prefix.truncate(prefix);
                if self.seen == seen {
                    self.push(field);
                }
            }
        }
    }

    fn push(&mut self, field: &Field) {
        let path = format!("{}{}", self.prefix, field.name);
        if field.maskable && !self.bound.iter().any(|bound| **bound == *path) {
            self.paths.push(path);
        }
    }
}
