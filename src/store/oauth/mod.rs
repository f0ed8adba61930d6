//! What the authorization server keeps: grants, codes and tokens.

mod access_tokens;
mod grants;
mod issuing;

pub use access_tokens::NewAccessToken;
pub use grants::{NewTokens, Refreshed};
pub(super) use issuing::Issuing;

/// For the test of their plans.
#[cfg(test)]
pub(super) const PLANNED: [&[(&str, &str)]; 2] = [access_tokens::PLANNED, grants::PLANNED];
