//! What the authorization server keeps: grants, codes, tokens, and what was used up.

mod access_tokens;
mod devices;
mod documents;
pub(super) mod given;
mod grants;
mod issuing;
mod pushed_requests;
pub(super) mod registrations;
mod used_proofs;

pub use access_tokens::NewAccessToken;
pub(super) use access_tokens::end as end_access_token;
pub use devices::{DeviceStarted, MAX_DEVICE_REQUESTS};
pub use given::GrantFilter;
pub(super) use grants::end as end_grant;
pub use grants::{NewTokens, Refreshed};
pub(super) use issuing::Issuing;
pub use pushed_requests::PushedRequest;
pub use registrations::Room;

/// For the test of their plans.
#[cfg(test)]
pub(super) const PLANNED: [&[(&str, &str)]; 8] = [
    access_tokens::PLANNED,
    devices::PLANNED,
    documents::PLANNED,
    given::PLANNED,
    grants::PLANNED,
    pushed_requests::PLANNED,
    registrations::PLANNED,
    used_proofs::PLANNED,
];
