//! The generated messages and services of `proto/`, and the descriptors they were made from.

pub mod dispatch;

use std::collections::HashMap;
use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The descriptors of everything in `proto/`, with source comments and custom options, as a `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Package `gatepost.v1`.
#[allow(clippy::all, clippy::allow_attributes, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("gatepost.v1");
}

/// The descriptors, decoded once.
pub fn descriptor_pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        // The bytes were written by our own build; a test decodes them.
        DescriptorPool::decode(DESCRIPTORS).expect("embedded descriptors decode")
    });
    &POOL
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Names one of our RPCs: its place in [`METHODS`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MethodId(u16);

impl MethodId {
    /// The RPC of this gRPC path (`/gatepost.v1.Auth/Verify`), if it is one of ours.
    pub fn find(path: &str) -> Option<Self> {
        static BY_PATH: LazyLock<HashMap<&str, MethodId>> =
            LazyLock::new(|| METHODS.iter().zip(0..).map(|(path, index)| (*path, MethodId(index))).collect());
        BY_PATH.get(path).copied()
    }

    /// All RPCs, in the order of [`METHODS`].
    pub fn all() -> impl Iterator<Item = Self> {
        (0..METHODS.len()).map(|index| Self(index as u16))
    }

    /// The place in [`METHODS`], for tables of what is known about each RPC.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether the answer is a stream of messages.
    pub fn is_streaming(self) -> bool {
        STREAMING[self.index()]
    }

    /// The service and the method: `Keys/GetKey`.
    pub fn name(self) -> &'static str {
        let path = self.path();
        // A path is a slash, the package, and these.
        path.get(PACKAGE.len()..).unwrap_or(path)
    }

    /// The gRPC path.
    pub fn path(self) -> &'static str {
        METHODS[self.index()]
    }
}

/// What all paths begin with.
const PACKAGE: &str = "/gatepost.v1.";
