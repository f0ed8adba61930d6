//! `/oauth/device_authorization` (RFC 8628, section 3.1): a device begins.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::client::Said;
use super::parameters::Parameters;
use super::{OAuth, Request, answer};
use crate::domain::oauth::error::OAuthError;

pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    parameters: &Parameters,
) -> Result<Response<Bytes>, OAuthError> {
    let said = Said::read(request.headers, parameters)?;
    let client = oauth.server.authenticate_to_begin(said.proof(), &request.origin()).await?;
    let client = oauth.server.as_allowed(client).await?;
    let resources: Vec<&str> = parameters.all("resource").collect();
    let codes = oauth.server.start_device(&client, parameters.get("scope"), &resources, request.address).await?;
    let verification_uri = format!("{}{}", oauth.server.issuer(), super::DEVICE.as_str());
    let document = json!({
        "device_code": codes.device.expose(),
        "user_code": codes.user.to_string(),
        "verification_uri": verification_uri,
        "verification_uri_complete": format!("{verification_uri}?user_code={}", codes.user),
        "expires_in": codes.expires_in.as_secs(),
        "interval": codes.interval.as_secs(),
    });
    Ok(answer::fleeting(StatusCode::OK, &document))
}
