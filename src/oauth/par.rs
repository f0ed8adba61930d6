//! `/oauth/par` (RFC 9126): a client tells the server itself what it is going to ask a user for.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::client::Said;
use super::parameters::Parameters;
use super::visit::asked;
use super::{OAuth, Request, answer};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::service::oauth::Asked;

pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    mut parameters: Parameters,
) -> Result<Response<Bytes>, OAuthError> {
    let said = Said::read(request.headers, &parameters)?;
    let proof = oauth.server.possession().read(&request.sent())?;
    let client = oauth.server.authenticate_to_begin(said.proof(), &request.origin()).await?;
    if parameters.has("request_uri") {
        return Err(OAuthError::new(Word::InvalidRequest, "request_uri is what this gives (RFC 9126, section 2.1)"));
    }
    if !parameters.has("client_id") {
        parameters.set("client_id", client.public_id());
    }
    if let Some(proof) = &proof {
        // The code is bound to the key at once (RFC 9449, section 10.1).
        let key = oauth.server.use_proof(proof).await?.to_string();
        if parameters.get("dpop_jkt").is_some_and(|named| named != key) {
            return Err(OAuthError::new(Word::InvalidDpopProof, "dpop_jkt names another key than the proof"));
        }
        parameters.set("dpop_jkt", &key);
    }
    parameters.keep(&AUTHORIZATION);
    let resources: Vec<&str> = parameters.all("resource").collect();
    let asked = Asked { is_pushed: true, ..asked(&parameters, &resources) };
    let named = oauth.server.push(&client, &asked, parameters.to_form(), &request.origin()).await?;
    let document = json!({"request_uri": named.request_uri, "expires_in": named.expires_in.as_secs()});
    let mut response = answer::fleeting(StatusCode::CREATED, &document);
    if proof.is_some() {
        oauth.offer_nonce(&mut response);
    }
    Ok(response)
}

/// What an authorization request is made of (RFC 6749, section 4.1.1, and what [`asked`] reads of its extensions). All else that
/// comes along, the client's proof of who it is with it, is not kept.
const AUTHORIZATION: [&str; 16] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "prompt",
    "max_age",
    "login_hint",
    "resource",
    "request",
    "request_uri",
];
