//! Who is calling, and may they? From headers to a [`caller::Caller`], with one decision behind every door.
//!
//! It knows the domain and the store, not the wires: what it refuses is a domain error.

pub mod alarm;
pub mod attempts;
mod budget;
pub mod cache;
pub mod caller;
mod clients;
pub mod credential;
pub mod decide;
pub mod dpop;
pub mod feed;
pub mod guard;
pub mod limit;
pub mod lookup;
pub mod outside;
pub mod password;
pub mod policy;
mod recent;
pub mod signing;
pub mod strangers;
pub mod usage;
pub mod user_codes;
