//! How tokens are signed.

use std::fmt;
use std::str::FromStr;

use jose_jwk::jose_jwa::Signing;
use schemars::JsonSchema;
use serde::Deserialize;

/// A way to sign (RFC 7518, 3.1; RFC 8037). There is no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA (PSS) with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA (PSS) with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSA (PSS) with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// ECDSA on P-521 with SHA-512.
    #[serde(rename = "ES512")]
    Es512,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

const ALL: [(Algorithm, &str); 13] = [
    (Algorithm::Hs256, "HS256"),
    (Algorithm::Hs384, "HS384"),
    (Algorithm::Hs512, "HS512"),
    (Algorithm::Rs256, "RS256"),
    (Algorithm::Rs384, "RS384"),
    (Algorithm::Rs512, "RS512"),
    (Algorithm::Ps256, "PS256"),
    (Algorithm::Ps384, "PS384"),
    (Algorithm::Ps512, "PS512"),
    (Algorithm::Es256, "ES256"),
    (Algorithm::Es384, "ES384"),
    (Algorithm::Es512, "ES512"),
    (Algorithm::EdDsa, "EdDSA"),
];

impl Algorithm {
    /// Whether whoever can check signatures can make them, too.
    pub(super) fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// What a key of a set says that it is for; `None` if that is nothing that tokens are signed with here.
    pub(super) fn of_key(signing: Signing) -> Option<Self> {
        Some(match signing {
            Signing::Hs256 => Self::Hs256,
            Signing::Hs384 => Self::Hs384,
            Signing::Hs512 => Self::Hs512,
            Signing::Rs256 => Self::Rs256,
            Signing::Rs384 => Self::Rs384,
            Signing::Rs512 => Self::Rs512,
            Signing::Ps256 => Self::Ps256,
            Signing::Ps384 => Self::Ps384,
            Signing::Ps512 => Self::Ps512,
            Signing::Es256 => Self::Es256,
            Signing::Es384 => Self::Es384,
            Signing::Es512 => Self::Es512,
            Signing::EdDsa => Self::EdDsa,
            _ => return None,
        })
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        ALL.iter().find(|(_, name)| *name == text).map(|(algorithm, _)| *algorithm).ok_or(())
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL.iter().find(|(algorithm, _)| algorithm == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}
