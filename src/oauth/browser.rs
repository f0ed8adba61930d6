//! What a browser carries: the session of whoever signed in, and the proof that a form is one of ours.
//!
//! The proof (against CSRF, at signing in too) is a MAC over a random value in a cookie and, where somebody decides, over who
//! they are and what they were shown: nobody can make a form with it who cannot read the cookie, what was asked of one is not
//! decided by another, and what was shown does not change under their eyes.
//! It is not one session's: of two tabs, each goes on when somebody signs in in the other. All cookies are `__Host-`: no other
//! host and no plain HTTP can set them. Browsers take `http://localhost` for a secure place.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Response};

use crate::domain::entropy::Entropy;
use crate::domain::id::UserId;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::sealing::Keyring;
use crate::service::oauth::SignedIn;

/// What a request of a browser carries.
pub(super) struct Browser<'a> {
    /// The token of the session.
    pub(super) session: Option<&'a str>,
    form: Option<&'a str>,
}

/// What somebody decides by a form.
pub(super) struct Deciding<'a> {
    /// Who decides.
    pub(super) user: &'a UserId,
    /// Whom they are shown, as that is known now.
    pub(super) client: Option<&'a Client>,
}

impl<'a> Deciding<'a> {
    /// To sign out.
    pub(super) fn leaving(who: &'a SignedIn) -> Self {
        Self { user: &who.user.id, client: None }
    }
}

impl<'a> Browser<'a> {
    /// Reads the cookies. One that comes twice counts as none: somebody may have planted the other.
    pub(super) fn read(headers: &'a HeaderMap) -> Self {
        let cookies = || {
            let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
            texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim_ascii().split_once('='))
        };
        let one = |name: &str| {
            let mut values = cookies().filter(|(given, _)| *given == name).map(|(_, value)| value);
            values.next().filter(|value| !value.is_empty() && values.next().is_none())
        };
        Self { session: one(SESSION), form: one(FORM) }
    }

    /// The proof for a form, and the cookie that goes with it if the browser has none yet. `decision` is what is decided by the
    /// form; none where somebody says who they are.
    pub(super) fn proof(
        &self,
        decision: Option<&Deciding<'_>>,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> (String, Option<HeaderValue>) {
        if let Some(form) = self.form {
            return (proof_of(form, decision, keyring), None);
        }
        let mut random = [0; 16];
        entropy.fill(&mut random);
        let form = URL_SAFE_NO_PAD.encode(random);
        let cookie = format!("{FORM}={form}; {ATTRIBUTES}");
        (proof_of(&form, decision, keyring), HeaderValue::try_from(cookie).ok())
    }

    /// Whether a posted form is one that was made for this browser and for what is decided by it.
    ///
    /// # Errors
    /// Says that it is not.
    pub(super) fn require(
        &self,
        posted: Option<&str>,
        decision: Option<&Deciding<'_>>,
        headers: &HeaderMap,
        keyring: &Keyring,
    ) -> Result<(), OAuthError> {
        // Browsers that say where a post comes from are believed where they say it is from elsewhere.
        let elsewhere = headers.get(FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none");
        let wanted = self.form.map(|form| proof_of(form, decision, keyring)).unwrap_or_default();
        let posted = posted.unwrap_or_default();
        if elsewhere || wanted.is_empty() || verify_slices_are_equal(wanted.as_bytes(), posted.as_bytes()).is_err() {
            let what = "the form is not one of ours, or too old; go back, reload the page and try again";
            return Err(OAuthError::new(Word::InvalidRequest, what));
        }
        Ok(())
    }
}

fn proof_of(form: &str, decision: Option<&Deciding<'_>>, keyring: &Keyring) -> String {
    let mut bound = format!("form\n{form}\n");
    if let Some(Deciding { user, client }) = decision {
        bound += user.as_str();
        if let Some(client) = client {
            bound += &format!("\n{}\n{}", client.id, client.version);
        }
    }
    URL_SAFE_NO_PAD.encode(keyring.fingerprint(bound.as_bytes()))
}

/// Keeps a session in the browser for as long as it lasts.
pub(super) fn keep_session<B>(response: &mut Response<B>, token: &str, seconds: u64) {
    set(response, &format!("{SESSION}={token}; Max-Age={seconds}; {ATTRIBUTES}"));
}

/// Takes the session out of the browser.
pub(super) fn forget_session<B>(response: &mut Response<B>) {
    set(response, &format!("{SESSION}=; Max-Age=0; {ATTRIBUTES}"));
}

fn set<B>(response: &mut Response<B>, cookie: &str) {
    // A token is visible ASCII.
    if let Ok(mut value) = HeaderValue::try_from(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
}

const SESSION: &str = "__Host-gatepost-session";
const FORM: &str = "__Host-gatepost-form";
/// Lax, so that a client's link to the authorization endpoint finds who is signed in.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::sealing::MasterKey;

    fn headers(cookies: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, cookie.parse().unwrap());
        }
        headers
    }

    #[test]
    fn cookies_are_read_once() {
        let one = headers(&["a=b; __Host-gatepost-session=tok.en; c", "d=e"]);
        assert_eq!(Browser::read(&one).session, Some("tok.en"));
        for none in [
            vec![],
            vec!["gatepost-session=x"],
            vec!["__Host-gatepost-session="],
            vec!["__Host-gatepost-session=x; __Host-gatepost-session=y"],
            vec!["__Host-gatepost-session=x", "__Host-gatepost-session=x"],
        ] {
            assert_eq!(Browser::read(&headers(&none)).session, None, "{none:?}");
        }
    }

    #[test]
    fn a_proof_is_of_one_browser_and_one_person() {
        let keyring = MasterKey::generate(&SystemEntropy).derive();
        let nobody = headers(&[]);
        let (proof, cookie) = Browser::read(&nobody).proof(None, &keyring, &SystemEntropy);
        let cookie = cookie.unwrap();
        let cookie = cookie.to_str().unwrap();
        for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let pair = cookie.split(';').next().unwrap();
        let own = headers(&[pair]);
        let of = |user: Option<&UserId>, headers: &HeaderMap, posted: Option<&str>| {
            let decision = user.map(|user| Deciding { user, client: None });
            Browser::read(headers).require(posted, decision.as_ref(), headers, &keyring).is_ok()
        };
        let require = |headers: &HeaderMap, posted: Option<&str>| of(None, headers, posted);
        assert!(require(&own, Some(&proof)));
        assert!(!require(&nobody, Some(&proof)), "without the cookie");
        assert!(!require(&headers(&["__Host-gatepost-form=x"]), Some(&proof)), "with another");
        assert!(!require(&own, None) && !require(&own, Some("")), "without the proof");
        let signed_in = headers(&[pair, "__Host-gatepost-session=t"]);
        assert!(require(&signed_in, Some(&proof)), "they signed in in another tab");
        let [ada, bob] = [1, 2].map(|n| UserId::new(crate::store::tests::support::at(n), &SystemEntropy));
        assert!(!of(Some(&ada), &signed_in, Some(&proof)), "nobody in particular decides nothing");
        let (proof, none) =
            Browser::read(&signed_in).proof(Some(&Deciding { user: &ada, client: None }), &keyring, &SystemEntropy);
        assert!(none.is_none() && of(Some(&ada), &signed_in, Some(&proof)));
        let again = headers(&[pair, "__Host-gatepost-session=u"]);
        assert!(of(Some(&ada), &again, Some(&proof)), "they signed in again");
        assert!(!of(Some(&bob), &again, Some(&proof)) && !require(&again, Some(&proof)), "another's");
        assert!(!of(Some(&ada), &headers(&["__Host-gatepost-form=x"]), Some(&proof)), "in another browser");
        let mut elsewhere = own.clone();
        elsewhere.insert(FETCH_SITE, HeaderValue::from_static("cross-site"));
        let (proof, _) = Browser::read(&own).proof(None, &keyring, &SystemEntropy);
        assert!(!require(&elsewhere, Some(&proof)));
    }
}
