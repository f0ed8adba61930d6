//! Proofs that whoever sends a request holds a key (DPoP, RFC 9449): a token that is bound to the key is worth nothing without.
//!
//! A proof is for one request: its method, its address, its time and, where there is a token, that token. What was seen is
//! not taken again: at the token endpoint by a table that all nodes share (the store's), at all else by the memory of this
//! node, since a database write for each call would cost more than the call. So whoever has the
//! token and a proof of it can send the same request to another node once more, for the two minutes that a proof is fresh.

mod addresses;
mod nonce;
mod proof;
mod seen;

use std::fmt;
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, Method, Uri};

pub use self::addresses::Addresses;
use self::nonce::Nonces;
pub use self::proof::Proof;
use self::proof::Target;
use self::seen::Seen;
use crate::auth::outside::flaw::Flaw;
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::domain::error::{Error, Result};
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::reason::Reason;
use crate::domain::sealing::Keyring;

/// Checks proofs.
pub struct Possession {
    addresses: Addresses,
    nonces: Nonces,
    seen: Seen,
    clock: Arc<dyn Clock>,
}

/// A request, as far as a proof is about it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// A proof that somebody who guards an API of their own was sent, and for what.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The proof.
    pub proof: &'a str,
    /// The method of the request it came with.
    pub method: &'a str,
    /// The address of that request.
    pub url: &'a str,
}

impl Possession {
    /// Checks proofs of requests to these addresses; at the token endpoint only with a nonce, if they are needed.
    pub fn new(
        addresses: Addresses,
        keyring: Arc<Keyring>,
        needs_nonces: bool,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Self {
        Self { addresses, nonces: Nonces::new(keyring, needs_nonces), seen: Seen::new(entropy), clock }
    }

    /// Reads the proof of a request that brings no token; none if it brings no proof either. It is fresh and for this request,
    /// but may have been used: that is for the caller to find out.
    ///
    /// # Errors
    /// INVALID_DPOP_PROOF, USE_DPOP_NONCE.
    pub fn read(&self, sent: &Sent<'_>) -> Result<Option<Proof>> {
        let Some(text) = header(sent.headers)? else { return Ok(None) };
        self.taken(text, sent, None).map(Some)
    }

    /// Takes the proof of a request that brings a token which is bound to a key. Uses the proof up.
    ///
    /// # Errors
    /// INVALID_DPOP_PROOF, USE_DPOP_NONCE; OVERLOADED when more proofs came lately than can be remembered.
    pub fn require(&self, sent: &Sent<'_>, token: &str, key: &Thumbprint) -> Result<()> {
        let text =
            header(sent.headers)?.ok_or_else(|| invalid("the token is bound to a key, and no proof came with it"))?;
        let proof = self.taken(text, sent, Some(token))?;
        self.use_up(&proof, key)
    }

    /// Takes a proof that came to somebody else with a token which is bound to a key. `remember` uses it up.
    ///
    /// # Errors
    /// As above. Nonces are for whoever was asked.
    pub fn require_elsewhere(&self, shown: &Shown<'_>, token: &str, key: &Thumbprint, remember: bool) -> Result<()> {
        let proof = Proof::read(shown.proof).map_err(flawed)?;
        let is_there = |url: &str| addresses::are_one(url, shown.url);
        proof
            .check(&Target { method: shown.method, is_there: &is_there, token: Some(token) }, self.clock.now())
            .map_err(flawed)?;
        if remember { self.use_up(&proof, key) } else { is_of(&proof, key) }
    }

    /// A nonce for whoever is to use one (RFC 9449, section 8).
    pub fn nonce(&self) -> String {
        self.nonces.issue(self.clock.now())
    }

    fn taken(&self, text: &str, sent: &Sent<'_>, token: Option<&str>) -> Result<Proof> {
        let now = self.clock.now();
        let proof = Proof::read(text).map_err(flawed)?;
        let is_there = |url: &str| self.addresses.are_of(url, sent);
        let target = Target { method: sent.method.as_str(), is_there: &is_there, token };
        proof.check(&target, now).map_err(flawed)?;
        let known = match &proof.nonce {
            Some(nonce) => self.nonces.knows(nonce, now),
            None => !self.nonces.needed(),
        };
        if !known {
            return Err(Error::new(Reason::UseDpopNonce, "the proof must hold the nonce of the header DPoP-Nonce"));
        }
        Ok(proof)
    }

    fn use_up(&self, proof: &Proof, key: &Thumbprint) -> Result<()> {
        is_of(proof, key)?;
        match self.seen.add(proof, self.clock.now()) {
            Some(true) => Ok(()),
            Some(false) => Err(flawed(Flaw::Used)),
            None => Err(Error::new(Reason::Overloaded, "too many proofs came lately; try again")),
        }
    }
}

impl fmt::Debug for Possession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Possession").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

fn is_of(proof: &Proof, key: &Thumbprint) -> Result<()> {
    if proof.key == *key { Ok(()) } else { Err(invalid("the token is bound to another key")) }
}

/// The one proof of a request (RFC 9449, section 4.3).
fn header(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut proofs = headers.get_all(&DPOP).iter();
    match (proofs.next(), proofs.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| flawed(Flaw::NotCompact)),
        (Some(_), Some(_)) => Err(invalid("the request carries two proofs")),
    }
}

fn flawed(flaw: Flaw) -> Error {
    let what = flaw.to_string();
    invalid(&what.replace("the token", "the proof"))
}

/// What is wrong with a proof.
pub fn invalid(what: &str) -> Error {
    Error::new(Reason::InvalidDpopProof, what)
}

/// The header that holds a proof.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header that holds a nonce for the next proof.
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
