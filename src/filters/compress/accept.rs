//! Which coding a client likes best: `Accept-Encoding` (RFC 9110, 12.5.3).

use http::header::ACCEPT_ENCODING;

use super::coding::Coding;
use crate::head::Headers;

/// What a client says of codings, in thousandths: 0 is never, 1000 is best.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Accept {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    any: Option<u16>,
}

/// What is made of that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    /// The coding to use.
    pub(super) coding: Coding,
    /// Whether the client takes nothing that has no coding.
    pub(super) needs_coding: bool,
}

impl Accept {
    /// All lines of the header together; without one nothing is liked, as clients that don't send it seldom decode.
    pub(super) fn read(headers: &dyn Headers) -> Self {
        let mut accept = Self::default();
        headers.all(&ACCEPT_ENCODING, &mut |value| {
            value.split(|byte| *byte == b',').for_each(|item| accept.add(item));
        });
        accept
    }

    fn add(&mut self, item: &[u8]) {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let quality = Some(parts.next().map_or(1000, |weight| quality(weight).unwrap_or(0)));
        match name {
            b"*" => self.any = quality,
            _ if name.eq_ignore_ascii_case(b"identity") => self.identity = quality,
            _ => {
                if let Some(coding) = Coding::ALL.into_iter().find(|coding| coding.is_called(name)) {
                    self.codings[coding as usize] = quality;
                }
            }
        }
    }

    /// The best of those that are offered, of equals the first; `None` if nothing at all is liked better.
    pub(super) fn choose(&self, offered: &[Coding]) -> Option<Choice> {
        let mut best = (None, 0);
        for coding in offered {
            let quality = self.codings[*coding as usize].or(self.any).unwrap_or(0);
            if quality > best.1 {
                best = (Some(*coding), quality);
            }
        }
        let needs_coding = self.identity.or(self.any) == Some(0);
        let (coding, quality) = best;
        coding
            .filter(|_| self.identity.is_none_or(|identity| identity <= quality))
            .map(|coding| Choice { coding, needs_coding })
    }
}

/// `q=0.5`: 0 or 1, a point, at most three digits.
fn quality(weight: &[u8]) -> Option<u16> {
    let number = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="))?;
    let (whole, decimals) = match number {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u16::from(decimals.get(at).map_or(0, |digit| digit - b'0'));
    let thousandths = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use Coding::{Br, Gzip, Zstd};

    fn accept(lines: &[&str]) -> Accept {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        Accept::read(&headers)
    }

    fn chosen(line: &str) -> Option<Coding> {
        accept(&[line]).choose(&[Zstd, Br, Gzip]).map(|choice| choice.coding)
    }

    #[test]
    fn the_client_decides_and_of_equals_the_door() {
        for (line, coding) in [
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Br)),
            ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
            ("br;q=0.9,gzip;q=0.901", Some(Gzip)),
            ("gzip", Some(Gzip)),
            ("GZIP;Q=0.5", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("gzip ; q=0.5", Some(Gzip)),
            ("gzip;q=1.", Some(Gzip)),
            ("gzip;q=0.001", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.000, br;q=0", None),
            ("*", Some(Zstd)),
            ("*;q=0.5, zstd;q=0", Some(Br)),
            ("*, zstd;q=0.9", Some(Br)),
            ("*;q=0, gzip", Some(Gzip)),
            ("*;q=0", None),
            ("identity", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0.5, gzip;q=1", Some(Gzip)),
            ("identity;q=0, br;q=0.1", Some(Br)),
            ("deflate, compress", None),
            ("", None),
            (", ,gzip,,", Some(Gzip)),
            ("gzip;q=2", None),
            ("gzip;q=0.5555", None),
            ("gzip;q=-1", None),
            ("gzip;q=", None),
            ("gzip;level=9", None),
            ("brx", None),
        ] {
            assert_eq!(chosen(line), coding, "{line}");
        }
        assert_eq!(accept(&[]).choose(&[Gzip]), None);
        assert_eq!(accept(&["zstd"]).choose(&[Gzip]), None);
        assert_eq!(accept(&["gzip;q=0.5", "br"]).choose(&[Gzip, Br]).map(|choice| choice.coding), Some(Br));
    }

    #[test]
    fn a_client_may_refuse_what_has_no_coding() {
        let needs = |line: &str| accept(&[line]).choose(&[Gzip]).is_some_and(|choice| choice.needs_coding);
        assert!(needs("gzip, identity;q=0") && needs("gzip, *;q=0"));
        assert!(!needs("gzip") && !needs("gzip, *;q=0, identity;q=0.1"));
    }

    const NAMES: &str = "(gzip|br|zstd|\\*|identity|x)";
    const WEIGHTS: &str = "(|;q=0|;q=0\\.0|;q=0\\.[1-9]|;q=1|;q=x)";

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn what_is_refused_is_never_chosen(
            items in prop::collection::vec((NAMES, WEIGHTS), 0..6),
        ) {
            let line: Vec<String> = items.iter().map(|(name, weight)| format!("{name}{weight}")).collect();
            let choice = accept(&[&line.join(", ")]).choose(&[Zstd, Br, Gzip]);
            if let Some(Choice { coding, .. }) = choice {
                let last = |name: &str| items.iter().rfind(|(known, _)| known == name);
                let (_, weight) = last(coding.name()).or_else(|| last("*")).unwrap();
                prop_assert!(!matches!(weight.as_str(), ";q=0" | ";q=0.0" | ";q=x"), "{line:?}: {coding:?}");
            }
        }
    }
}
