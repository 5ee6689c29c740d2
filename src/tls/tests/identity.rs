//! Who clients are by their certificates.

use rcgen::{DnValue, SanType};

use super::*;

fn identity(change: impl FnOnce(&mut CertificateParams)) -> ClientIdentity {
    let chain = ders(&made(change).cert);
    ClientIdentity::from_chain(&chain, now()).unwrap().unwrap()
}

fn subject(parts: Vec<(DnType, DnValue)>) -> String {
    let identity =
        identity(|params| parts.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value)));
    assert!(identity.subject.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", identity.subject);
    identity.subject
}

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.into())
}

#[test]
fn a_subject_is_written_from_its_most_specific_part_up() {
    let parts = vec![
        (DnType::CountryName, DnValue::PrintableString("DE".try_into().unwrap())),
        (DnType::OrganizationName, utf8("Example, Inc.")),
        (DnType::OrganizationalUnitName, utf8("Billing + Tax")),
        (DnType::CustomDnType(vec![0, 9, 2342, 19200300, 100, 1, 25]), utf8("example")),
        (DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]), utf8("a@example.com")),
        (DnType::CommonName, utf8("billing")),
    ];
    let text = "CN=billing,emailAddress=a@example.com,DC=example,OU=Billing \\+ Tax,O=Example\\, Inc.,C=DE";
    assert_eq!(subject(parts), text);
    assert_eq!(subject(vec![]), "");
}

/// The examples of RFC 4514 section 4, and what a header can't hold.
#[test]
fn what_would_be_read_as_something_else_is_escaped() {
    for (value, written) in [
        ("James \"Jim\" Smith, III", "CN=James \\\"Jim\\\" Smith\\, III"),
        ("Before\rAfter", "CN=Before\\0DAfter"),
        ("Lu\u{10d}i\u{107}", "CN=Lu\\C4\\8Di\\C4\\87"),
        ("#a #", "CN=\\#a #"),
        (" a b ", "CN=\\ a b\\ "),
        (" ", "CN=\\ "),
        ("a,CN=admin", "CN=a\\,CN\\=admin"),
        ("a\\,b;<>", "CN=a\\\\\\,b\\;\\<\\>"),
        ("a\0b\n", "CN=a\\00b\\0A"),
    ] {
        assert_eq!(subject(vec![(DnType::CommonName, utf8(value))]), written, "{value:?}");
    }
}

#[test]
fn a_type_without_a_name_is_written_in_hexadecimal() {
    let kind = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 1466, 0]);
    assert_eq!(subject(vec![(kind, utf8("Hi"))]), "1.3.6.1.4.1.1466.0=#0C024869");
    let teletex = DnValue::TeletexString("Hi".try_into().unwrap());
    assert_eq!(subject(vec![(DnType::CommonName, teletex)]), "CN=#14024869");
    let bmp = DnValue::BmpString("H\u{e9}".try_into().unwrap());
    assert_eq!(subject(vec![(DnType::CommonName, bmp)]), "CN=H\\C3\\A9");
}

#[test]
fn all_that_a_certificate_says_is_there() {
    let chain = ders(
        &made(|params| {
            params.distinguished_name.push(DnType::CommonName, "billing");
            params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x00, 0xf1, 0x0a]));
            params.not_after = date_time_ymd(2030, 1, 1);
            params.subject_alt_names = vec![
                SanType::DnsName("Billing.internal".try_into().unwrap()),
                SanType::URI("spiffe://example/billing".try_into().unwrap()),
                SanType::Rfc822Name("billing@example.com".try_into().unwrap()),
                SanType::IpAddress("192.0.2.7".parse().unwrap()),
            ];
        })
        .cert,
    );
    let identity = ClientIdentity::from_chain(&chain, now()).unwrap().unwrap();
    assert_eq!(identity.subject, "CN=billing");
    assert_eq!(identity.issuer, "CN=billing");
    assert_eq!(identity.common_name.as_deref(), Some("billing"));
    assert_eq!(identity.dns, ["billing.internal"]);
    assert_eq!(identity.uris, ["spiffe://example/billing"]);
    assert_eq!(identity.emails, ["billing@example.com"]);
    assert_eq!(identity.serial, "F10A");
    assert_eq!(identity.not_after, at(1_893_456_000));
    let hash = ::ring::digest::digest(&::ring::digest::SHA256, &chain[0]);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(identity.fingerprint, hash);
    assert_eq!(identity.der, chain[0]);
    assert_eq!(ders(&identity.pem()), chain);
    assert!(identity.pem().lines().all(|line| line.len() <= 64));
}

#[test]
fn names_that_no_header_could_hold_are_left_out() {
    let identity = identity(|params| {
        params.distinguished_name.push(DnType::CommonName, utf8("a\r\nb"));
        params.subject_alt_names = vec![
            SanType::URI("spiffe://a\r\nx: y".try_into().unwrap()),
            SanType::DnsName("good.internal".try_into().unwrap()),
            SanType::DnsName("".try_into().unwrap()),
        ];
    });
    assert_eq!((identity.common_name, identity.uris.len(), identity.dns.len()), (None, 0, 1));
}

#[test]
fn of_two_common_names_none_counts() {
    let kind = || DnType::CustomDnType(vec![2, 5, 4, 3]);
    let identity = identity(|params| {
        params.distinguished_name.push(DnType::CommonName, "billing");
        params.distinguished_name.push(kind(), "admin");
    });
    assert_eq!((identity.common_name, identity.subject.as_str()), (None, "CN=admin,CN=billing"));
}

#[test]
fn without_a_certificate_there_is_no_identity_and_an_old_one_is_refused() {
    assert_eq!(ClientIdentity::from_chain(&[], now()), Ok(None));
    let chain = ders(&made(|params| params.not_after = date_time_ymd(2020, 1, 1)).cert);
    assert_eq!(ClientIdentity::from_chain(&chain, now()), Err(Unidentified::Expired));
}

#[test]
fn no_bytes_break_the_reading_of_a_certificate() {
    let chain = ders(
        &made(|params| {
            params.distinguished_name.push(DnType::CommonName, "billing");
            params.subject_alt_names = vec![SanType::DnsName("a.internal".try_into().unwrap())];
        })
        .cert,
    );
    let good = chain[0].to_vec();
    for end in 0..good.len() {
        let cut = CertificateDer::from(good[..end].to_vec());
        assert_eq!(ClientIdentity::from_chain(&[cut], now()), Err(Unidentified::Broken), "{end}");
    }
    for at in 0..good.len() {
        for byte in [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            // Whatever it says of it.
            drop(ClientIdentity::from_chain(&[bytes.into()], now()));
        }
    }
}
