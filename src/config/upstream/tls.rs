//! `tls` of an upstream: how its endpoints are known, and how the door is known to them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::value::{FilePath, PrivateKey, TlsName};

/// TLS 1.2 or 1.3 to every endpoint of an upstream, each with a certificate that is checked; nothing switches that off.
/// The shortest form is `tls: {}`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The name that the certificate must be for, and that is sent as SNI. By default the endpoint's own: its host's
    /// name, or for a literal address that address. Endpoints on Unix sockets need it.
    pub sni: Option<TlsName>,
    /// A PEM file of the CAs that may have signed it, instead of the system's, which are read when the door starts.
    pub ca: Option<FilePath>,
    /// What the door shows of itself to endpoints that ask for a certificate.
    pub client_cert: Option<ClientCert>,
}

/// A certificate of the door's and its key.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCert {
    /// A PEM file: the certificate first, then those between it and the CA.
    pub cert: FilePath,
    /// The certificate's private key in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: PrivateKey,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Protocol, SecretText, Upstream};

    fn parse(more: &str) -> Result<Upstream, String> {
        let text = format!(
            "listeners: {{a: {{address: \"127.0.0.1:0\"}}}}\nroutes: {{a: {{path: /, to: a}}}}\nupstreams: {{a: {{endpoints: [\"127.0.0.1:1\"], {more}}}}}"
        );
        match Config::parse(&text, "a.yaml") {
            Ok((config, _)) => Ok(config.upstreams.into_values().next().expect("an upstream")),
            Err(refused) => Err(refused.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn the_shortest_form_is_an_empty_map_and_nothing_means_in_the_clear() {
        assert_eq!(parse("tls: {}").unwrap().tls, Some(Tls::default()));
        let plain = parse("protocol: http2").unwrap();
        assert_eq!((plain.tls, plain.protocol), (None, Protocol::Http2));
    }

    #[test]
    fn a_key_is_a_file_or_a_secret() {
        for (key, secret) in [
            ("/a.key", SecretText::File("/a.key".into())),
            ("{file: /a.key}", SecretText::File("/a.key".into())),
            ("{env: KEY}", SecretText::Env("KEY".into())),
            ("{credential: a.key}", SecretText::Credential("a.key".into())),
        ] {
            let tls = parse(&format!("tls: {{client_cert: {{cert: /a.pem, key: {key}}}}}")).unwrap().tls.unwrap();
            assert_eq!(tls.client_cert.unwrap().key.secret(), &secret, "{key}");
        }
    }

    #[test]
    fn what_would_weaken_it_by_a_slip_is_refused() {
        for (more, words) in [
            ("tls:", "nothing stands behind this key"),
            ("tls: true", "expected a map"),
            ("tls: {ca: }", "upstreams.a.tls.ca"),
            ("tls: {sni: }", "upstreams.a.tls.sni"),
            ("tls: {client_cert: }", "upstreams.a.tls.client_cert"),
            ("tls: {client_cert: {cert: /a.pem}}", "`key` is missing"),
            ("tls: {insecure: true}", "unknown key `insecure`; allowed: `sni`, `ca`, `client_cert`"),
            ("tls: {sni: \"*.example.com\"}", "is a pattern"),
            ("protocol: h2", "allowed: `auto`, `http1`, `http2`"),
        ] {
            let why = parse(more).unwrap_err();
            assert!(why.contains(words), "{more}: {why}");
        }
    }

    #[test]
    fn a_key_in_the_file_itself_is_refused_and_not_repeated() {
        let key = "\"-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\"";
        let why = parse(&format!("tls: {{client_cert: {{cert: /a.pem, key: {key}}}}}")).unwrap_err();
        assert!(why.contains("put the text into a file") && !why.contains("c2VjcmV0"), "{why}");
    }
}
