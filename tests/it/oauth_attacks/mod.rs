//! Attacks on the authorization server, as rows: what is tried, with what, and the refusal that is expected (RFC 6749, section
//! 10; RFC 9700; RFC 8725). `$NAME` in a row stands for something that [`scene::Scene`] makes for it.

mod browsers;
mod requests;
mod scene;
mod token_requests;
mod tokens;
