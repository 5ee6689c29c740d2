//! `redirect` of a listener: to the same address by `https`.

use std::num::NonZeroU16;
use std::str::FromStr;

use super::super::problem::shortened;

/// Where clients of a listener without TLS are sent: `https`, or `https:8443` for another port than 443.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToHttps {
    /// The port, where it is not 443.
    pub port: Option<NonZeroU16>,
}

impl FromStr for ToHttps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = match text.strip_prefix("https") {
            Some("") => Some(None),
            Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse::<NonZeroU16>().ok()).map(Some),
            None => None,
        };
        let port = port.ok_or_else(|| {
            format!("`{}` is no such redirect; allowed: `https`, or with a port `https:8443`", shortened(text, 40))
        })?;
        Ok(Self { port: port.filter(|port| port.get() != 443) })
    }
}

text_type!(ToHttps, "`https`, or with a port `https:8443`", {
    "type": "string",
    "pattern": "^https(:[1-9][0-9]{0,4})?$",
    "description": "`https`, or with another port than 443 `https:8443`.",
    "examples": ["https", "https:8443"],
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_redirected_to() {
        let port = |text: &str| text.parse::<ToHttps>().map(|to| to.port.map(NonZeroU16::get));
        assert_eq!(port("https"), Ok(None));
        assert_eq!(port("https:443"), Ok(None));
        assert_eq!(port("https:8443"), Ok(Some(8443)));
        for text in ["", "http", "https:", "https:0", "https:65536", "https://a.test", "HTTPS"] {
            assert!(port(text).unwrap_err().ends_with("allowed: `https`, or with a port `https:8443`"), "{text}");
        }
    }
}
