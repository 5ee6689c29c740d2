//! Where in a request the token is.

use http::{HeaderName, HeaderValue, header};

use crate::filter::{Request, Result};
use crate::head::cookies;

/// Where in a request the token is.
pub(super) enum Carrier {
    /// `Authorization: Bearer TOKEN` (RFC 6750, 2.1).
    Authorization,
    /// A header of its own, which is nothing but the token.
    Header(HeaderName),
    /// A cookie (RFC 6265, 4.2).
    Cookie(String),
}

/// What was found there.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Nothing,
    Token(&'a [u8]),
    /// More than one, or one in no good form: others might take another one for it than the door does.
    Odd(&'static str),
}

impl Carrier {
    /// Looks for it.
    pub(super) fn find<'a>(&self, request: &Request<'a>) -> Found<'a> {
        let headers = request.head.headers;
        let (mut found, mut met) = (Found::Nothing, 0);
        let mut meet = |token: Found<'a>| {
            met += 1;
            if token != Found::Nothing {
                found = token;
            }
        };
        match self {
            Self::Authorization => headers.all(&header::AUTHORIZATION, &mut |value| meet(bearer(value))),
            Self::Header(name) => headers.all(name, &mut |value| meet(Found::Token(value.trim_ascii()))),
            Self::Cookie(own) => headers.all(&header::COOKIE, &mut |value| {
                let own = cookies(value).filter(|(name, _)| *name == own.as_bytes());
                own.for_each(|(_, value)| meet(Found::Token(value)));
            }),
        }
        match found {
            Found::Token(_) if met > 1 => Found::Odd("there is more than one credential where there must be one token"),
            found => found,
        }
    }

    /// Removes it from what goes on. Of cookies the others stay.
    pub(super) fn remove(&self, request: &mut Request<'_>) -> Result<()> {
        match self {
            Self::Authorization => request.edits.remove(header::AUTHORIZATION)?,
            Self::Header(name) => request.edits.remove(name.clone())?,
            Self::Cookie(own) => {
                let mut others: Vec<u8> = Vec::new();
                request.head.headers.all(&header::COOKIE, &mut |value| {
                    for (name, value) in cookies(value).filter(|(name, _)| *name != own.as_bytes()) {
                        others.extend_from_slice(if others.is_empty() { b"" } else { b"; " });
                        others.extend_from_slice(&[name, b"=", value].concat());
                    }
                });
                match others.is_empty() {
                    true => request.edits.remove(header::COOKIE)?,
                    false => request.edits.set(header::COOKIE, HeaderValue::from_bytes(&others)?)?,
                }
            }
        }
        Ok(())
    }
}

fn bearer(value: &[u8]) -> Found<'_> {
    const SCHEME: usize = "bearer".len();
    let is_bearer = value.get(..SCHEME).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    match value.get(SCHEME..) {
        Some([]) if is_bearer => Found::Odd("there is no token behind `Bearer`"),
        Some([b' ', token @ ..]) if is_bearer => match token.trim_ascii() {
            [] => Found::Odd("there is no token behind `Bearer`"),
            token => Found::Token(token),
        },
        // Another way to authenticate.
        _ => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_stands_behind_its_scheme_in_any_case() {
        for (value, found) in [
            ("Bearer a.b.c", Found::Token(b"a.b.c")),
            ("bEARER  a.b.c ", Found::Token(b"a.b.c")),
            ("Bearer", Found::Odd("there is no token behind `Bearer`")),
            ("Bearer ", Found::Odd("there is no token behind `Bearer`")),
            ("Basic dTpw", Found::Nothing),
            ("Bearera.b.c", Found::Nothing),
            ("", Found::Nothing),
        ] {
            assert_eq!(bearer(value.as_bytes()), found, "{value}");
        }
    }
}
