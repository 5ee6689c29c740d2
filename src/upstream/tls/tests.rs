use std::path::Path;
use std::time::Duration;

use super::*;
use crate::pki::{Ca, FAR, Identity};

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> FilePath {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path_of(&path)
    }

    fn ca(&self, content: impl AsRef<[u8]>) -> Tls {
        Tls { ca: Some(self.write("ca.pem", content)), ..Tls::default() }
    }

    /// With a good CA, so that only the client's certificate can be the problem.
    fn client(&self, identity: &Identity) -> Tls {
        let cert = self.write("client.pem", &identity.cert);
        let key = self.write("client.key", &identity.key).to_string();
        let key = serde_json::from_value(serde_json::Value::String(key)).unwrap();
        Tls { client_cert: Some(ClientCert { cert, key }), ..self.ca(Ca::new("good").pem()) }
    }
}

fn path_of(path: &Path) -> FilePath {
    path.to_str().unwrap().parse().unwrap()
}

/// So long after the first day of 2030; before it, if negative.
fn around_2030(days: i64) -> SystemTime {
    const DAY: i64 = 24 * 60 * 60;
    let seconds = 1_893_456_000 + days * DAY;
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap())
}

fn load(settings: &Tls) -> Result<(Material, Vec<Remark>), Vec<Remark>> {
    Material::load(settings, around_2030(-100))
}

fn refused(settings: &Tls) -> (&'static [&'static str], String) {
    let problems = load(settings).unwrap_err();
    let [Remark { at, message }] = &problems[..] else { panic!("{problems:?}") };
    (at, message.clone())
}

#[test]
fn good_files_are_taken_without_a_word() {
    let files = Files::new();
    let identity = Ca::new("clients").issue(&["door"]);
    let (material, warnings) = load(&files.client(&identity)).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(material.roots().unwrap().len(), 1);
    assert!(material.client().is_some());
}

#[test]
fn a_bundle_may_hold_several_cas_and_words_between_them() {
    let files = Files::new();
    let bundle = format!("# old\n{}\n# new\n{}", Ca::new("old").pem(), Ca::new("new").pem());
    assert_eq!(load(&files.ca(bundle)).unwrap().0.roots().unwrap().len(), 2);
}

#[test]
fn what_is_no_certificate_is_refused_with_its_file() {
    let files = Files::new();
    let der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let pem = Ca::new("x").pem();
    let cut = &pem[..pem.len() / 2];
    for (content, words) in [
        ("", "holds no certificate"),
        ("hello", "holds no certificate"),
        (der, "the certificate 1 in"),
        (cut, "is no good PEM"),
        (&"x".repeat(5 << 20), "larger than 4 MiB"),
    ] {
        let settings = files.ca(content);
        let (at, message) = refused(&settings);
        assert_eq!(at, ["ca"]);
        assert!(message.contains(words) && message.contains("ca.pem"), "{message}");
    }
    let missing = Tls { ca: Some(path_of(&files.0.path().join("no.pem"))), ..Tls::default() };
    assert!(refused(&missing).1.starts_with("cannot read"), "{missing:?}");
}

#[test]
fn a_key_that_cannot_be_used_is_refused_and_not_repeated() {
    let files = Files::new();
    let ca = Ca::new("clients");
    let good = ca.issue(&["door"]);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (key, words) in [
        (ca.issue(&["door"]).key, "not the key of the first certificate in"),
        (encrypted.into(), "the key is encrypted"),
        (good.cert.clone(), "there is no private key in it"),
        (good.key.replace("PRIVATE KEY", "RSA PRIVATE KEY"), "not the one that its first line says"),
        (format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "A".repeat(64)), "kind"),
    ] {
        let (at, message) = refused(&files.client(&Identity { key, cert: good.cert.clone() }));
        assert_eq!(at, ["client_cert", "key"]);
        assert!(message.contains(words) && !message.contains("AAAA"), "{message}");
    }
}

#[test]
fn what_has_expired_is_refused_and_what_will_soon_is_warned_of() {
    let files = Files::new();
    let settings = files.client(&Ca::new("clients").issue_until(&["door"], 2030));
    let at = |days| Material::load(&settings, around_2030(days));
    assert_eq!(at(-15).unwrap().1, []);
    let (_, warnings) = at(-13).unwrap();
    let [Remark { at: place, message }] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(*place, ["client_cert", "cert"]);
    assert!(message.contains("`CN=door`") && message.contains("client.pem expires soon, at 2030-01-01T00:00:00Z"));
    let [Remark { message, .. }] = &at(1).unwrap_err()[..] else { panic!("one problem") };
    assert!(message.contains("has expired, at 2030-01-01T00:00:00Z; renew it"), "{message}");
}

#[test]
fn of_several_cas_one_that_lasts_is_enough() {
    let files = Files::new();
    let old = Ca::until("old", 2030).pem();
    let both = files.ca(format!("{old}{}", Ca::until("new", FAR).pem()));
    let (_, warnings) = Material::load(&both, around_2030(1)).unwrap();
    assert!(warnings.len() == 1 && warnings[0].message.contains("`CN=old`"), "{warnings:?}");
    let (at, message) = match Material::load(&files.ca(old), around_2030(1)) {
        Err(problems) => (problems[0].at, problems[0].message.clone()),
        Ok(_) => panic!("taken"),
    };
    assert!(at == ["ca"] && message.contains("has expired"), "{message}");
}

#[test]
fn every_problem_is_told_at_once() {
    let files = Files::new();
    let settings = Tls { ca: Some(files.write("bad.pem", "")), ..files.client(&Ca::new("x").issue(&["door"])) };
    files.write("client.key", "");
    assert_eq!(load(&settings).unwrap_err().len(), 2);
}

#[test]
fn it_is_equal_as_long_as_the_files_hold_the_same() {
    let files = Files::new();
    let clients = Ca::new("clients");
    let settings = files.client(&clients.issue(&["door"]));
    let load = || load(&settings).unwrap().0;
    let hash = |material: &Material| {
        let mut hasher = std::hash::DefaultHasher::new();
        material.hash(&mut hasher);
        hasher.finish()
    };
    let first = load();
    assert!(first == load() && hash(&first) == hash(&load()));
    files.write("ca.pem", Ca::new("good").pem());
    let second = load();
    assert!(first != second && hash(&first) != hash(&second));
    files.client(&clients.issue(&["door"]));
    assert!(second != load() && hash(&second) != hash(&load()));
}

#[test]
fn debug_shows_no_key() {
    let files = Files::new();
    let identity = Ca::new("clients").issue(&["door"]);
    let (material, _) = load(&files.client(&identity)).unwrap();
    assert_eq!(format!("{material:?}"), "Material { roots: Some(1), client: true }");
}
