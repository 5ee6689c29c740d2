//! What is refused when files are read, and what is warned of.

use super::*;

/// The first day of 2030.
const IN_2030: u64 = 1_893_456_000;
const DAY: u64 = 24 * 60 * 60;

fn refused(tls: Value) -> String {
    let problems = said(tls, now()).unwrap_err();
    let [problem] = &problems[..] else { panic!("{problems:?}") };
    problem.clone()
}

#[test]
fn each_broken_file_is_told_at_its_place() {
    let files = Files::new();
    let good = Ca::new("ca").issue(&["a.example"]);
    let other = Ca::new("ca").issue(&["a.example"]);
    let pem = |text: &str| format!("-----BEGIN {text}-----\nAAAA\n-----END {text}-----\n");
    let cut = &good.cert[..good.cert.len() / 2];
    for (cert, key, words) in [
        ("", &*good.key, "certificates[1].cert: "),
        (&*good.key, &good.key, "holds no certificate"),
        (cut, &good.key, "is no good PEM"),
        (&pem("CERTIFICATE"), &good.key, "the certificate 1 in"),
        (&good.cert, "", "certificates[1].key: the file"),
        (&good.cert, &good.cert, "there is no private key in it"),
        (&good.cert, &pem("ENCRYPTED PRIVATE KEY"), "the key is encrypted"),
        (&good.cert, &other.key, "certificates[1].key: this is not the key of the first certificate in"),
    ] {
        let bad = files.pair("bad", &Identity { cert: cert.into(), key: key.into() });
        let why = refused(json!({"certificates": [files.pair("good", &good), bad]}));
        assert!(why.contains(words) && why.contains("certificates[1]"), "{words}: {why}");
    }
    let missing = json!({"cert": files.path("no.crt"), "key": files.path("no.key")});
    let problems = said(json!({"certificates": [missing]}), now()).unwrap_err();
    assert!(problems.len() == 2 && problems.iter().all(|why| why.contains("cannot read")), "{problems:?}");
}

#[test]
fn a_key_of_a_kind_that_cannot_be_used_says_which_can() {
    let files = Files::new();
    let good = Ca::new("ca").issue(&["a.example"]);
    // A key in PKCS#8 of an algorithm that nobody has.
    let der =
        [0x30, 0x10, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x01, 0x04, 0x04, 0x04, 0x02, 0x00, 0x00];
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", base64(&der));
    let why = refused(json!({"certificates": [files.pair("a", &Identity { key, ..good })]}));
    assert!(why.contains("this key cannot be used") && why.contains("ECDSA on P-256"), "{why}");
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[test]
fn what_is_out_of_its_time_is_refused_and_what_soon_will_be_is_warned_of() {
    let files = Files::new();
    let ends = files.pair("ends", &Ca::new("ca").issue_until(&["a.example"], 2030));
    let tls = json!({"certificates": [ends]});
    assert_eq!(said(tls.clone(), at(IN_2030 - 15 * DAY)), Ok(vec![]));
    let soon = said(tls.clone(), at(IN_2030 - 13 * DAY)).unwrap();
    has(&soon, "tls.certificates[0].cert: the certificate `CN=a.example` in");
    has(&soon, "expires soon, at 2030-01-01T00:00:00Z; renew it");
    has(&said(tls, at(IN_2030 + 1)).unwrap_err(), "has expired, at 2030-01-01T00:00:00Z");
    let begins = made(|params| params.not_before = date_time_ymd(2030, 1, 1));
    let tls = json!({"certificates": [files.pair("begins", &begins)]});
    has(&said(tls.clone(), at(IN_2030 - 1)).unwrap_err(), "is not valid before 2030-01-01T00:00:00Z");
    assert_eq!(said(tls, at(IN_2030)), Ok(vec![]));
}

#[test]
fn a_chain_with_a_gap_is_refused() {
    let files = Files::new();
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let Identity { cert, key } = ca.issue(&["a.example"]);
    let with = |more: &str| {
        let pair = files.pair("a", &Identity { cert: format!("{cert}{more}"), key: key.clone() });
        said(json!({"certificates": [pair]}), now())
    };
    assert_eq!(with(""), Ok(vec![]));
    assert_eq!(with(&ca.pem()), Ok(vec![]));
    has(&with(&other.pem()).unwrap_err(), "the certificate `CN=other` in");
    has(&with(&cert).unwrap_err(), "is not the one that signed it; put the door's certificate first");
}

#[test]
fn a_signer_of_the_right_name_and_with_another_key_is_a_gap() {
    let files = Files::new();
    let ca = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(FAR, 1, 1);
        rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (one, other) = (ca("ca"), ca("ca"));
    let mut params = CertificateParams::new(vec!["a.example".into()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.not_after = date_time_ymd(FAR, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &one).unwrap().pem();
    let with = |signer: String| {
        let pair = files.pair("a", &Identity { cert: format!("{cert}{signer}"), key: key.serialize_pem() });
        said(json!({"certificates": [pair]}), now())
    };
    assert_eq!(with(one.as_ref().pem()), Ok(vec![]));
    has(&with(other.as_ref().pem()).unwrap_err(), "is not the one that signed it");
}

#[test]
fn cas_of_clients_are_checked_too() {
    let files = Files::new();
    let pair = files.pair("a", &Ca::new("ca").issue(&["a.example"]));
    let with = |ca: Value, now| said(json!({"certificates": [pair], "client_auth": {"ca": ca}}), now);
    has(&with(json!(files.path("no.pem")), now()).unwrap_err(), "tls.client_auth.ca: cannot read");
    has(&with(files.write("ca.pem", "x"), now()).unwrap_err(), "tls.client_auth.ca: ");
    let until_2030 = files.write("ca.pem", Ca::until("clients", 2030).pem());
    has(&with(until_2030.clone(), at(IN_2030 - DAY)).unwrap(), "tls.client_auth.ca: the certificate `CN=clients`");
    has(&with(until_2030, at(IN_2030 + 1)).unwrap_err(), "has expired");
}

#[test]
fn every_problem_is_told_at_once() {
    let files = Files::new();
    let bad = files.pair("bad", &Identity { cert: String::new(), key: String::new() });
    let ca = files.write("ca.pem", "");
    let problems = said(json!({"certificates": [bad, bad], "client_auth": {"ca": ca}}), now()).unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn a_key_is_never_shown() {
    let files = Files::new();
    let good = Ca::new("ca").issue(&["a.example"]);
    let line = good.key.lines().nth(1).unwrap();
    let tls = compiled(json!({"certificates": [files.pair("a", &good)]}));
    assert!(!format!("{tls:?}").contains(line));
    let broken = good.key.replace("BEGIN PRIVATE", "BEGIN EC PRIVATE").replace("END PRIVATE", "END EC PRIVATE");
    let why = refused(json!({"certificates": [files.pair("a", &Identity { key: broken, ..good.clone() })]}));
    assert!(!why.contains(line), "{why}");
}

#[test]
fn what_is_the_same_keeps_its_instance() {
    let files = Files::new();
    let ca = Ca::new("ca");
    files.pair("a", &ca.issue(&["a.example"]));
    let settings = settings(json!({"certificates": [{"cert": files.path("a.crt"), "key": files.path("a.key")}]}));
    let compile = |http2, previous| Tls::compile("web", &settings, http2, previous, now()).unwrap().0;
    let first = compile(true, None);
    assert!(Arc::ptr_eq(&first, &compile(true, Some(&first))));
    assert!(!Arc::ptr_eq(&first, &compile(false, Some(&first))));
    files.pair("a", &ca.issue(&["a.example"]));
    let second = compile(true, Some(&first));
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!((first.status().swaps, second.status().swaps), (0, 1));
}
