//! `/oauth/token` (RFC 6749, section 3.2).

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::client::Said;
use super::parameters::Parameters;
use super::{OAuth, Request, answer};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::grant::GrantType;
use crate::service::oauth::{Applicant, CodeUse, Exchange, Issued};

pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    parameters: &Parameters,
) -> Result<Response<Bytes>, OAuthError> {
    let grant_type = parameters.need("grant_type")?;
    let said = Said::read(request.headers, parameters)?;
    let proof = oauth.server.possession().read(&request.sent())?;
    let client = oauth.server.authenticate_to_go_on(said.proof(), &request.origin()).await?;
    let key = match &proof {
        Some(proof) => Some(oauth.server.use_proof(proof).await?),
        None => None,
    };
    let client = Applicant::new(oauth.server.as_allowed(client).await?, key, request.origin())?;
    let resources: Vec<&str> = parameters.all("resource").collect();
    let scope = parameters.get("scope");
    let issued = match GrantType::parse(grant_type) {
        Some(GrantType::ClientCredentials) => oauth.server.by_client_credentials(&client, scope, &resources).await?,
        Some(GrantType::AuthorizationCode) => {
            let code = CodeUse {
                code: parameters.need("code")?,
                redirect_uri: parameters.get("redirect_uri"),
                verifier: parameters.get("code_verifier"),
                resources: &resources,
            };
            oauth.server.by_code(&client, code).await?
        }
        Some(GrantType::RefreshToken) => {
            let token = parameters.need("refresh_token")?;
            oauth.server.by_refresh_token(&client, token, scope, &resources).await?
        }
        Some(GrantType::DeviceCode) => {
            oauth.server.by_device_code(&client, parameters.need("device_code")?, &resources).await?
        }
        Some(GrantType::TokenExchange) => return exchange(oauth, request, parameters, &client).await,
        None => return Err(OAuthError::new(Word::UnsupportedGrantType, "this grant type is not known here")),
    };
    Ok(answered(oauth, &issued, document(&issued)))
}

/// The answer with new tokens; a client that proves to hold a key learns the nonce for its next proof (RFC 9449, section 8.2).
fn answered(oauth: &OAuth, issued: &Issued, document: Map<String, Value>) -> Response<Bytes> {
    let mut response = answer::fleeting(StatusCode::OK, &Value::Object(document));
    if issued.is_bound {
        oauth.offer_nonce(&mut response);
    }
    response
}

/// RFC 8693, section 2.
async fn exchange(
    oauth: &OAuth,
    request: Request<'_>,
    parameters: &Parameters,
    client: &Applicant,
) -> Result<Response<Bytes>, OAuthError> {
    let targets: Vec<&str> = parameters.all("resource").chain(parameters.all("audience")).collect();
    let asked = Exchange {
        subject: parameters.need("subject_token")?,
        subject_type: parameters.need("subject_token_type")?,
        requested_type: parameters.get("requested_token_type"),
        has_actor: parameters.has("actor_token") || parameters.has("actor_token_type"),
        scope: parameters.get("scope"),
        targets: &targets,
        client: request.client,
        address: request.address,
    };
    let exchanged = oauth.server.by_token_exchange(client, asked).await?;
    let mut document = document(&exchanged.issued);
    document.insert("issued_token_type".to_owned(), json!(exchanged.kind.as_str()));
    Ok(answered(oauth, &exchanged.issued, document))
}

fn document(issued: &Issued) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("access_token".to_owned(), json!(issued.access.expose()));
    document.insert("token_type".to_owned(), json!(if issued.is_bound { "DPoP" } else { "Bearer" }));
    document.insert("expires_in".to_owned(), json!(issued.expires_in.as_secs()));
    if let Some(refresh) = &issued.refresh {
        document.insert("refresh_token".to_owned(), json!(refresh.expose()));
    }
    if let Some(id_token) = &issued.id_token {
        document.insert("id_token".to_owned(), json!(id_token.expose()));
    }
    document.insert("scope".to_owned(), json!(issued.scopes.to_string()));
    document
}
