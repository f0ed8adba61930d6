//! Identities from outside: tokens that others made about our users (JWT, RFC 7519), held to RFC 8725.
//!
//! Everything in a token is its sender's until its signature is found good by a key of an issuer that the project trusts. So
//! what is read before that is bounded and read strictly, and a token never says by which key, or from where, it is to be
//! checked.

pub mod assertion;
pub mod claims;
pub mod flaw;
pub(in crate::auth) mod json;
pub mod jws;
pub mod key_set;
pub mod key_source;
pub mod lookup;
mod roca;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;
