//! What the authorization server keeps: grants, codes, tokens, and what was used up.

mod access_tokens;
mod devices;
mod grants;
mod issuing;
mod pushed_requests;
pub(super) mod registrations;
mod used_proofs;

pub use access_tokens::NewAccessToken;
pub use devices::{DeviceStarted, MAX_DEVICE_REQUESTS};
pub use grants::{NewTokens, Refreshed};
pub(super) use issuing::Issuing;
pub use pushed_requests::PushedRequest;

/// For the test of their plans.
#[cfg(test)]
pub(super) const PLANNED: [&[(&str, &str)]; 6] = [
    access_tokens::PLANNED,
    devices::PLANNED,
    grants::PLANNED,
    pushed_requests::PLANNED,
    registrations::PLANNED,
    used_proofs::PLANNED,
];
