use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

fn refused(folder: &Path, acme: Value) -> Vec<String> {
    let mut whole = json!({"domains": ["a.test"], "store": folder, "agree": true});
    whole.as_object_mut().unwrap().extend(acme.as_object().unwrap().clone());
    let settings = serde_json::from_value(whole).unwrap();
    Acme::compile(&settings).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn to_check_the_settings_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refused(&folder.path().join("a/b"), json!({})), [""; 0]);
    assert_eq!(entries(folder.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn what_would_make_each_order_fail_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no certificate").unwrap();
    let here = folder.path();
    for (store, acme, words) in [
        (here, json!({"agree": false}), "tls.acme.agree: nothing is ordered before you agree"),
        (here, json!({"directory": "http://ca.test/dir"}), "tls.acme.directory: ACME is spoken by https only"),
        (&file, json!({}), "is no folder"),
        (&file.join("below"), json!({}), "tls.acme.store"),
        (here, json!({"ca": file}), "tls.acme.ca: "),
        (here, json!({"eab": {"kid": "a", "hmac": "no/key"}}), "tls.acme.eab.hmac: the key is no base64url"),
        (here, json!({"ca": here.join("none.pem")}), "cannot read"),
    ] {
        let why = refused(store, acme.clone());
        assert!(why.len() == 1 && why[0].contains(words), "{acme}: {why:?}");
    }
}

#[test]
fn what_stands_in_a_broken_file_of_the_store_stops_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let settings: config::Acme =
        serde_json::from_value(json!({"domains": ["a.test"], "store": folder.path()})).unwrap();
    let store = Store::new(&settings);
    store.prepare().unwrap();
    let failed = format!("{}.failed.json", settings.file());
    let most = u64::MAX;
    for (text, hours) in [
        ("", None),
        ("{}", None),
        (&*format!(r#"{{"failures": 1, "why": "", "at": 0, "next": {most}}}"#), Some(24)),
        (r#"{"failures": 1, "why": "", "at": 3600, "next": 7200}"#, Some(2)),
    ] {
        std::fs::write(&failed, text).unwrap();
        let next = store.failed().map(|failed| failed.next());
        let expected = hours.map(|hours| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(hours * 3600));
        assert_eq!(next, expected, "{text}");
    }
    std::fs::write(&failed, format!(r#"{{"failures": {}, "why": "", "at": {most}, "next": {most}}}"#, u32::MAX))
        .unwrap();
    // Later than any clock, and still a time that can be written.
    assert!(humantime::format_rfc3339_seconds(store.failed().unwrap().at()).to_string().starts_with("9999"));
    std::fs::write(settings.file(), "half a certificate").unwrap();
    assert!(store.held().unwrap_err().contains("holds no certificate"));
}

#[test]
fn the_store_is_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let settings: config::Acme =
        serde_json::from_value(json!({"domains": ["a.test"], "store": folder.path().join("x/y")})).unwrap();
    let store = Store::new(&settings);
    store.prepare().unwrap();
    store.keep_account("{}").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(settings.store.as_ref()), 0o700);
    assert_eq!(mode(settings.folder().as_ref()), 0o700);
    let files = entries(settings.folder().as_ref());
    assert_eq!(files.len(), 1);
    assert_eq!(mode(&files[0]), 0o600);
    assert_eq!(store.account().unwrap().as_deref(), Some("{}"));
}
