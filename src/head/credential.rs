//! Headers that prove who somebody is.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

/// Those that are in use for keys and tokens, beside HTTP's own.
const OTHERS: [&str; 9] = [
    "api-key",
    "apikey",
    "ocp-apim-subscription-key",
    "private-token",
    "x-access-token",
    "x-api-key",
    "x-api-token",
    "x-auth-token",
    "x-vault-token",
];

/// Whether requests prove by this header who sends them.
pub fn is_credential(name: &HeaderName) -> bool {
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name) || OTHERS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_credentials_and_names_are_not() {
        for (name, is) in [("authorization", true), ("cookie", true), ("x-api-key", true), ("x-user", false)] {
            assert_eq!(is_credential(&HeaderName::from_static(name)), is, "{name}");
        }
    }
}
