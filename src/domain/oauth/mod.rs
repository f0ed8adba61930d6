//! OAuth 2.0 and OpenID Connect as values and rules: who may ask for tokens, and for which. It knows no HTTP.

pub mod client;
pub mod device;
pub mod document;
pub mod error;
pub mod exchange;
pub mod grant;
pub mod pkce;
pub mod redirect_uri;
pub mod registration;
pub mod scope;
pub mod thumbprint;
pub mod token;
pub mod uri;
pub mod user_code;
