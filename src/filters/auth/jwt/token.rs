//! A signed token in its compact form (RFC 7515, 3.1), taken apart strictly.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::algorithm::Algorithm;
use super::keys::{Keys, Miss, shown};
use super::{Refusal, refuse};

/// The longest token that is looked at, in bytes: RFC 6750 sets no bound, servers' heads have about this one.
pub(super) const LONGEST: usize = 8 << 10;

/// What stands before the first dot. Names that are not here mean nothing to the door and are allowed (RFC 7515, 4).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
}

/// The payload of a token, if one of the keys has signed it.
///
/// # Errors
/// Why it is refused.
pub(super) fn verified(token: &[u8], keys: &Keys) -> Result<Vec<u8>, Refusal> {
    if token.len() > LONGEST {
        return Err(refuse("auth_malformed", format!("the token has {} bytes, more than {LONGEST}", token.len())));
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(refuse("auth_malformed", "the token is not three parts with dots between"));
    };
    let signed = &token[..header.len() + 1 + payload.len()];
    let header = checked(header)?;
    let algorithm = header.alg.parse().map_err(|()| {
        refuse(
            "auth_algorithm",
            format!("the token is signed with `{}`, which is no way to sign here", shown(&header.alg)),
        )
    })?;
    let key = keys.find(header.kid.as_deref(), algorithm).map_err(|miss| missed(miss, &header, algorithm))?;
    let signature = decoded(signature, "signature")?;
    let payload = decoded(payload, "payload")?;
    if !key.verifies(algorithm, signed, &signature) {
        let refusal = refuse("auth_signature", "the token's signature is not its key's");
        // Without a name nothing else tells that the issuer has another key by now.
        return Err(Refusal { may_be_new: header.kid.is_none(), ..refusal });
    }
    Ok(payload)
}

fn missed(miss: Miss, header: &Header, algorithm: Algorithm) -> Refusal {
    match (miss, &header.kid) {
        (Miss::Algorithm, _) => {
            refuse("auth_algorithm", format!("the key is not for {algorithm}, which the token claims"))
        }
        (Miss::Unknown, Some(kid)) => {
            let reason = format!("there is no key `{}`", shown(kid));
            Refusal { may_be_new: true, ..refuse("auth_unknown_key", reason) }
        }
        (Miss::Unknown, None) => {
            let reason = format!("the token names no key, and not one key alone is for {algorithm}");
            Refusal { may_be_new: true, ..refuse("auth_unknown_key", reason) }
        }
    }
}

/// The header, with nothing in it that a token must not decide.
fn checked(part: &[u8]) -> Result<Header, Refusal> {
    let json = decoded(part, "header")?;
    let header: Header = serde_json::from_slice(&json)
        .map_err(|error| refuse("auth_malformed", format!("the token's header cannot be read ({error})")))?;
    let own_keys = [("jwk", &header.jwk), ("jku", &header.jku), ("x5c", &header.x5c), ("x5u", &header.x5u)];
    if let Some((name, _)) = own_keys.iter().find(|(_, value)| value.is_some()) {
        return Err(refuse("auth_malformed", format!("the token brings a key of its own (`{name}`)")));
    }
    if header.crit.is_some() {
        return Err(refuse("auth_malformed", "the token asks for extensions (`crit`), and the door has none"));
    }
    if header.zip.is_some() {
        return Err(refuse("auth_malformed", "the token is compressed (`zip`)"));
    }
    // RFC 8725, 3.11: what was signed for another purpose, such as a proof or a logout, is no token for access.
    match header.typ.as_deref() {
        Some(typ) if !is_access(typ) => {
            Err(refuse("auth_malformed", format!("the token is a `{}` (`typ`), not one for access", shown(typ))))
        }
        _ => Ok(header),
    }
}

fn is_access(typ: &str) -> bool {
    let typ = typ
        .get(.."application/".len())
        .filter(|start| start.eq_ignore_ascii_case("application/"))
        .map_or(typ, |start| &typ[start.len()..]);
    ["jwt", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
}

fn decoded(part: &[u8], name: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| refuse("auth_malformed", format!("the token's {name} is no base64url")))
}
