//! The ways to a token (RFC 6749, section 1.3), by the names that clients send.

/// A way to a token that a client may be registered for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum GrantType {
    /// A user agreed in their browser (RFC 6749, section 4.1).
    AuthorizationCode,
    /// A token in place of one that ends (RFC 6749, section 6).
    RefreshToken,
    /// The client for itself (RFC 6749, section 4.4).
    ClientCredentials,
    /// A user agreed on another device (RFC 8628).
    DeviceCode,
    /// A token for another credential (RFC 8693).
    TokenExchange,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials, Self::DeviceCode, Self::TokenExchange];

    /// The rule the names keep, for error messages.
    pub const RULE: &'static str = "must be authorization_code, refresh_token, client_credentials, \
        urn:ietf:params:oauth:grant-type:device_code or urn:ietf:params:oauth:grant-type:token-exchange";

    /// The name in `grant_type`, and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }

    /// The grant of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_in_the_rule_and_are_read_again() {
        for grant in GrantType::ALL {
            assert_eq!(GrantType::parse(grant.as_str()), Some(grant));
            assert!(GrantType::RULE.contains(grant.as_str()), "{grant:?}");
        }
        for bad in ["", "implicit", "password", "Authorization_Code", "device_code", "token-exchange"] {
            assert_eq!(GrantType::parse(bad), None, "{bad}");
        }
    }
}
