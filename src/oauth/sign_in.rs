//! Signing in on the way to a client.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use super::authorize::shown;
use super::browser::keep_session;
use super::device::{CARRIED as DEVICE_CARRIED, DeviceVisit};
use super::pages::{Form, OwnUrl, SignIn, Text, field};
use super::parameters::Parameters;
use super::visit::{CARRIED, Visit, error_page, link, redirect, visitor, with_form};
use super::{OAuth, Request};
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::oauth::client::Client;
use crate::domain::password::PlainPassword;
use crate::domain::reason::Reason;
use crate::domain::session::Login;
use crate::service::sessions::SignedIn;

/// Where somebody is on their way to, who has to say who they are first. The form carries what it is made of again, never an
/// address: nobody is sent elsewhere than to one of these.
pub(super) trait Way {
    /// Where those are who may go there: where a name and a password are tried, in this order.
    fn places(&self) -> Vec<(&ProjectId, Environment)>;
    /// What they are told who are nobody there.
    fn wrong(&self) -> &'static str;
    /// Which client it is for, as far as they may know yet.
    fn client(&self) -> Option<&Client>;
    /// Who they are believed to be.
    fn login_hint(&self) -> &str;
    /// Whether it may end at a client's own address.
    fn leads_on(&self) -> bool;
    /// The project and the page to sign up on, if one may on this way.
    fn sign_up(&self) -> Option<(&ProjectId, String)>;
    /// What the form carries.
    fn carried(&self) -> (&'static str, &str);
    /// The address to go on at.
    fn onward(&self) -> String;
    /// The proof for a form by which somebody says who they are, and its cookie.
    fn proof(&self) -> (String, Option<HeaderValue>);
}

impl Way for Visit<'_> {
    fn places(&self) -> Vec<(&ProjectId, Environment)> {
        vec![(&self.asked.client.project, self.asked.client.environment)]
    }

    fn wrong(&self) -> &'static str {
        "The name or the password is wrong."
    }

    fn client(&self) -> Option<&Client> {
        Some(&self.asked.client)
    }

    fn login_hint(&self) -> &str {
        self.asked.login_hint.as_deref().unwrap_or_default()
    }

    fn leads_on(&self) -> bool {
        true
    }

    fn sign_up(&self) -> Option<(&ProjectId, String)> {
        Some((&self.asked.client.project, self.link(super::SIGN_UP)))
    }

    fn carried(&self) -> (&'static str, &str) {
        (CARRIED, &self.query)
    }

    fn onward(&self) -> String {
        link(super::AUTHORIZE, &just_signed_in(&self.query))
    }

    fn proof(&self) -> (String, Option<HeaderValue>) {
        self.proof(None)
    }
}

/// Asks who somebody is. `login` is what they said before, `error` why that did not work.
pub(super) async fn page(
    oauth: &OAuth,
    way: &(impl Way + Sync),
    login: &str,
    error: Option<(&str, StatusCode)>,
) -> Response<Bytes> {
    let (csrf, cookie) = way.proof();
    // Whoever has an account gets in without the link, also when nobody can say whether there is to be one.
    let sign_up = match way.sign_up() {
        Some((project, link)) if oauth.sessions.is_open(project).await.unwrap_or(false) => Some(link),
        _ => None,
    };
    let page = SignIn {
        project: Text::default(),
        client: way.client().map(shown),
        login: Text::from(if login.is_empty() { way.login_hint() } else { login }),
        error: error.map(|(what, _)| Text::from(what)),
        sign_up: sign_up.as_deref().and_then(OwnUrl::parse),
        leads_on: way.leads_on(),
        form: Form { action: super::SIGN_IN, csrf: &csrf, carried: vec![way.carried()] },
    };
    with_form(&page, error.map_or(StatusCode::OK, |(_, status)| status), cookie)
}

/// Somebody says who they are.
pub(super) async fn posted(
    oauth: &OAuth,
    request: Request<'_>,
    form: &Parameters,
) -> Result<Response<Bytes>, Response<Bytes>> {
    if form.has(DEVICE_CARRIED) {
        let visit = DeviceVisit::posted(oauth, request, form).await?;
        visit.require(form, None).map_err(|error| error_page(request, &error))?;
        return sign_in(oauth, request, form, &visit).await;
    }
    let visit = Visit::posted(oauth, request, form).await?;
    visit.require(form, None).map_err(|error| error_page(request, &error))?;
    sign_in(oauth, request, form, &visit).await
}

async fn sign_in(
    oauth: &OAuth,
    request: Request<'_>,
    form: &Parameters,
    way: &(impl Way + Sync),
) -> Result<Response<Bytes>, Response<Bytes>> {
    let login = form.get(field::LOGIN).unwrap_or_default();
    let known = if login.contains('@') { Login::email(login) } else { Login::handle(login) };
    let password = PlainPassword::presented(form.get(field::PASSWORD).unwrap_or_default().to_owned());
    // What cannot be a name or a password is nobody's: it is not told apart.
    let (Some(known), Some(password)) = (known, password) else {
        return Ok(page(oauth, way, login, Some((way.wrong(), StatusCode::UNPROCESSABLE_ENTITY))).await);
    };
    let mut too_many = None;
    for place in way.places() {
        match oauth.sessions.sign_in(&visitor(request, Some(place)), &known, password.clone()).await {
            Ok(signed_in) => return Ok(go_on(way, &signed_in)),
            Err(error) if error.reason == Reason::SignInFailed => {}
            Err(error) if error.reason == Reason::TooManyAttempts => too_many = Some(error),
            Err(error) => return Err(error_page(request, &error.into())),
        }
    }
    let told = match &too_many {
        Some(error) => (error.message.as_str(), StatusCode::TOO_MANY_REQUESTS),
        None => (way.wrong(), StatusCode::UNPROCESSABLE_ENTITY),
    };
    Ok(page(oauth, way, login, Some(told)).await)
}

/// Whoever is signed in now goes on.
pub(super) fn go_on(way: &impl Way, signed_in: &SignedIn) -> Response<Bytes> {
    let mut response = redirect(&way.onward());
    let lasts = signed_in.session.expires_at.since(signed_in.session.created_at);
    // Another session than before, whatever the browser brought: nobody can have planted it.
    keep_session(&mut response, signed_in.token.expose(), lasts.as_secs());
    response
}

/// The request of somebody who has just signed in: what asked for that is done.
fn just_signed_in(query: &str) -> String {
    let kept = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "max_age" => None,
            "prompt" => {
                let words = value.split(['+', ' ']).flat_map(|word| word.split("%20"));
                let left: Vec<&str> = words.filter(|word| !["login", "select_account"].contains(word)).collect();
                (!left.is_empty()).then(|| format!("prompt={}", left.join("+")))
            }
            _ => Some(pair.to_owned()),
        }
    });
    kept.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::just_signed_in;

    #[test]
    fn who_has_just_signed_in_is_not_asked_to_again() {
        for (query, left) in [
            ("client_id=c&prompt=login&state=a%2Bb", "client_id=c&state=a%2Bb"),
            ("prompt=login+consent", "prompt=consent"),
            ("prompt=consent%20login&max_age=0&scope=openid", "prompt=consent&scope=openid"),
            ("prompt=select_account", ""),
            ("prompt=none&x", "prompt=none&x"),
        ] {
            assert_eq!(just_signed_in(query), left);
        }
    }
}
