//! `/oauth/authorize` (RFC 6749, section 3.1): asks who the user is and whether they agree, as far as it has to.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::pages::{
    self, Account, Client, Consent, Decision, Destination, Form, Logo, Permission, Permissions, Text, field,
};
use super::parameters::Parameters;
use super::visit::{CARRIED, Visit, error_page, redirect, sent, with_form};
use super::{OAuth, Request, browser, sign_in};
use crate::domain::oauth::client::Client as Registered;
use crate::domain::oauth::document::DocumentUrl;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::user::{Email, Handle, User, UserDetails};
use crate::service::oauth::{SignedIn, Step};

/// A request of a client, brought by a browser.
pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    query: &str,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let visit = Visit::read(oauth, request, query).await?;
    let who = visit.signed_in().await?;
    match oauth.server.consider(&visit.asked, who.as_ref(), &request.origin()).await {
        Ok(Step::Answer(answer)) => Ok(sent(&answer)),
        Ok(Step::SignIn) => Ok(sign_in::page(visit.oauth, &visit, "", None).await),
        Ok(Step::Consent(scopes)) => match &who {
            Some(who) => consent(&visit, who, &scopes).await,
            None => Ok(sign_in::page(visit.oauth, &visit, "", None).await),
        },
        Err(error) => Err(error_page(request, &error)),
    }
}

/// What the user decided.
pub(super) async fn decided(
    oauth: &OAuth,
    request: Request<'_>,
    form: &Parameters,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let visit = Visit::posted(oauth, request, form).await?;
    let who = visit.signed_in().await?;
    if who.is_none() && visit.browser.session.is_some() {
        // Their session has ended meanwhile: nothing is decided, whoever made the form.
        return Ok(sign_in::page(visit.oauth, &visit, "", None).await);
    }
    visit.require(form, who.as_ref()).map_err(|error| error_page(request, &error))?;
    let Some(who) = who else { return Ok(sign_in::page(visit.oauth, &visit, "", None).await) };
    match form.get(field::DECISION).and_then(Decision::parse) {
        Some(Decision::Allow) => {
            // Whoever posts this may not have been shown the page: what stands before it stands before this too.
            let agreed = match oauth.server.consider(&visit.asked, Some(&who), &request.origin()).await {
                Ok(Step::SignIn) => return Ok(sign_in::page(oauth, &visit, "", None).await),
                Ok(Step::Consent(_)) => oauth.server.agree(&visit.asked, &who, &request.origin()).await,
                Ok(Step::Answer(answer)) => Ok(answer),
                Err(error) => Err(error),
            };
            agreed.map(|answer| sent(&answer)).map_err(|error| error_page(request, &error))
        }
        Some(Decision::SwitchAccount) => {
            // By the browser coming again: a form made now would be proven by the session that ends here.
            let mut response = redirect(&visit.link(super::AUTHORIZE));
            browser::forget_session(&mut response);
            Ok(response)
        }
        Some(Decision::Deny) => {
            oauth.server.take_pushed(&visit.asked).await.map_err(|error| error_page(request, &error))?;
            Ok(sent(&oauth.server.refusal(&visit.asked, Word::AccessDenied, "the user does not agree")))
        }
        None => Err(error_page(request, &OAuthError::new(Word::InvalidRequest, "the form says nothing"))),
    }
}

async fn consent(visit: &Visit<'_>, who: &SignedIn, scopes: &OAuthScopes) -> Result<Response<Bytes>, Response<Bytes>> {
    let described = visit.oauth.server.describe(&visit.asked.client, scopes).await;
    let described = described.map_err(|error| error_page(visit.request, &error))?;
    let name = name_of(&who.user);
    let Some(destination) = Destination::of(&visit.asked.answer_to.redirect_uri) else {
        let error = OAuthError::new(Word::ServerError, "the redirect URI leads nowhere");
        return Err(error_page(visit.request, &error));
    };
    let (csrf, cookie) = visit.proof(Some(who));
    let page = Consent {
        project: Text::default(),
        client: shown(&visit.asked.client),
        registered_itself: visit.asked.client.registered_itself,
        account: account(&who.user, &name),
        permissions: permissions(&described),
        resources: visit.asked.resources.iter().map(|resource| Text::from(resource.as_str())).collect(),
        destination,
        form: Form { action: super::CONSENT, csrf: &csrf, carried: vec![(CARRIED, &visit.query)] },
    };
    Ok(with_form(&page, StatusCode::OK, cookie))
}

/// What somebody is asked for, in words.
pub(super) fn permissions(described: &[(String, String)]) -> Permissions<'_> {
    Permissions::new(described.iter().map(|(scope, words)| {
        let words = Text::from(pages::words(scope).unwrap_or(words));
        Permission { scope, words }
    }))
}

/// Somebody as they know themselves, by this name.
pub(super) fn account<'a>(user: &'a User, name: &'a str) -> Account<'a> {
    Account { name: Text::from(name.trim()), login: Text::from(login_of(user)) }
}

/// What a user is called.
pub(super) fn name_of(user: &User) -> String {
    format!("{} {}", user.details.first_name, user.details.last_name)
}

/// What a user signs in with.
pub(super) fn login_of(user: &User) -> &str {
    let UserDetails { handle, email, .. } = &user.details;
    handle.as_ref().map(Handle::as_str).or(email.as_ref().map(Email::as_str)).unwrap_or_default()
}

/// A client as people see it.
pub(super) fn shown(client: &Registered) -> Client<'_> {
    // Whoever registers itself may choose the picture of somebody whom people trust.
    let logo = client.details.logo_uri.as_ref().filter(|_| !client.registered_itself);
    let logo = logo.and_then(|uri| Logo::parse(uri.as_str()));
    let host = Text::from(client.document_url().map_or("", DocumentUrl::host));
    Client { name: Text::from(client.details.name.as_str()), logo, host }
}
