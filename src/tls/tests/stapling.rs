//! Responses of OCSP. Those here were made by OpenSSL, for the serial numbers 1A2B3C and 1A2B3D, at 2026-11-24 16:16:47
//! and until 2109.

use ::base64::Engine;
use ::base64::prelude::BASE64_STANDARD;

use super::*;

const GOOD: &str = "MIIBAQoBAKCB+zCB+AYJKwYBBQUHMAEBBIHqMIHnMIGPoRQwEjEQMA4GA1UEAwwHb2NzcC1jYRgPMjAyNjExMjQxNjE2NDdaMGYwZDA8MAkGBSsOAwIaBQAEFDOYCkOWiFiXUfeN+hHBq6TBu6d2BBSm0IMIINMDpDerC+W4gILZxEbO4AIDGis8gAAYDzIwMjYxMTI0MTYxNjQ3WqARGA8yMTA5MDExMzE2MTY0N1owCgYIKoZIzj0EAwIDRwAwRAIgb0dnLTeijnIk1iQKhIdOFsyLnnF6WEu1+XT353kONCECIHRDXkhRAr5+nwZHxOiH1BdzVH6VRaUHNKpM85h0skZA";
const REVOKED: &str = "MIIBFgoBAKCCAQ8wggELBgkrBgEFBQcwAQEEgf0wgfowgaChFDASMRAwDgYDVQQDDAdvY3NwLWNhGA8yMDI2MTEyNDE2MTY0N1owdzB1MDwwCQYFKw4DAhoFAAQUM5gKQ5aIWJdR9436EcGrpMG7p3YEFKbQgwgg0wOkN6sL5biAgtnERs7gAgMaKz2hERgPMjAyNjExMjQxNjE2NDdaGA8yMDI2MTEyNDE2MTY0N1qgERgPMjEwOTAxMTMxNjE2NDdaMAoGCCqGSM49BAMCA0kAMEYCIQC5ctpTvjygoNruS0k+lMQHGbUFaxMoUv8znl22wfLRwgIhANSQOObyFaw76fQAv+K0D/2EV51IhOkXgf3GKuKKUBtx";
const MADE: u64 = 1_795_537_007;
const ENDS: u64 = 4_387_537_007;

fn response(base64: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(base64).unwrap()
}

struct Door(Files);

impl Door {
    fn new(serial: [u8; 3]) -> Self {
        let files = Files::new();
        files.pair("door", &made(|params| params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial))));
        Self(files)
    }

    fn tls(&self, ocsp: impl AsRef<[u8]>) -> Value {
        let ocsp = self.0.write("door.ocsp", ocsp);
        json!({"certificates": [{"cert": self.0.path("door.crt"), "key": self.0.path("door.key"), "ocsp": ocsp}]})
    }
}

#[test]
fn a_good_response_is_sent_along() {
    let door = Door::new([0x1a, 0x2b, 0x3c]);
    let good = response(GOOD);
    let (tls, warnings) = Tls::compile("web", &settings(door.tls(&good)), true, None, at(MADE)).unwrap();
    assert_eq!(warnings, []);
    assert!(tls.status().certificates[0].is_stapled);
    for version in [&TLS12, &TLS13] {
        let client = Client::of(&[version], None);
        client.shake(&tls, "a.example").unwrap();
        assert_eq!(client.ocsp(), good, "{version:?}");
    }
}

#[test]
fn a_response_that_says_nothing_now_is_not_sent() {
    let door = Door::new([0x1a, 0x2b, 0x3c]);
    let another = Door::new([0x1a, 0x2b, 0x3d]);
    for (tls, now, words) in [
        (door.tls(response(GOOD)), MADE - 1, "door.ocsp is not valid before 2026-11-24T16:16:47Z; it is not sent"),
        (door.tls(response(GOOD)), ENDS, "has expired, at 2109-01-13T16:16:47Z; it is not sent"),
        (another.tls(response(GOOD)), MADE, "is not about the certificate 1 in"),
    ] {
        let (tls, warnings) = Tls::compile("web", &settings(tls), true, None, at(now)).unwrap();
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        has(&warnings, words);
        has(&warnings, "tls.certificates[0].ocsp: ");
        let client = Client::new();
        client.shake(&tls, "a.example").unwrap();
        assert!(client.ocsp().is_empty());
    }
}

#[test]
fn a_response_that_ends_while_the_door_runs_is_sent_no_more() {
    let door = Door::new([0x1a, 0x2b, 0x3c]);
    let (tls, _) = Tls::compile("web", &settings(door.tls(response(GOOD))), true, None, at(MADE)).unwrap();
    tls.refresh(at(ENDS - 1));
    assert!(tls.status().certificates[0].is_stapled);
    tls.refresh(at(ENDS));
    assert!(!tls.status().certificates[0].is_stapled);
}

#[test]
fn what_is_no_response_is_refused() {
    let door = Door::new([0x1a, 0x2b, 0x3c]);
    let revoked = Door::new([0x1a, 0x2b, 0x3d]);
    let good = response(GOOD);
    let refused = |tls| said(tls, at(MADE)).unwrap_err();
    for bytes in [&b""[..], b"-----BEGIN OCSP RESPONSE-----", &good[..good.len() - 1], &[&good[..], b"x"].concat()] {
        has(&refused(door.tls(bytes)), "tls.certificates[0].ocsp: ");
        has(&refused(door.tls(bytes)), "holds no OCSP response");
    }
    has(&refused(door.tls([0x30, 3, 0x0a, 1, 3])), "says that the responder failed (3)");
    has(&refused(revoked.tls(response(REVOKED))), "is revoked; get a new certificate");
    has(
        &refused(json!({"certificates": [{
            "cert": door.0.path("door.crt"), "key": door.0.path("door.key"), "ocsp": door.0.path("no.ocsp"),
        }]})),
        "ocsp: cannot read",
    );
}

#[test]
fn no_bytes_break_the_reading_of_a_response() {
    let door = Door::new([0x1a, 0x2b, 0x3c]);
    let good = response(GOOD);
    for at in 0..120 {
        for byte in [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            // Whatever it says of it.
            drop(said(door.tls(bytes), super::at(MADE)));
        }
    }
}
