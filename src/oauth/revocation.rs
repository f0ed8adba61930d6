//! `/oauth/revoke` (RFC 7009).

use bytes::Bytes;
use http::Response;

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
    let client = oauth.server.authenticate(said.proof(), request.address).await?;
    // `token_type_hint` may be wrong, and what a token is can be seen: it is not needed.
    oauth.server.revoke(&client, parameters.need("token")?, &request.origin()).await?;
    Ok(answer::empty())
}
