use super::*;

/// As Pingora's connector makes it; that it does, the tests in `tests/it/upstream_tls.rs` show.
fn handshake(reason: &str) -> Box<Error> {
    let context =
        format!("TLS connect() failed:  TLSHandshakeFailure context: tls connect error cause: {reason}, SNI: a.b");
    Error::explain(ErrorType::TLSHandshakeFailure, context)
}

fn read(error: rustls::Error) -> Box<Error> {
    Error::because(ErrorType::ReadError, "reading", std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}

#[test]
fn each_error_of_rustls_has_its_fault() {
    use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError, PeerIncompatible};
    let other = OtherError(std::sync::Arc::new(std::io::Error::other("CaUsedAsEndEntity")));
    for (error, fault) in [
        (CertificateError::NotValidForName.into(), TlsFault::Name),
        (CertificateError::Expired.into(), TlsFault::Expired),
        (CertificateError::NotValidYet.into(), TlsFault::Expired),
        (CertificateError::ExpiredRevocationList.into(), TlsFault::Untrusted),
        (CertificateError::UnknownIssuer.into(), TlsFault::Untrusted),
        (CertificateError::BadSignature.into(), TlsFault::Untrusted),
        (CertificateError::InvalidPurpose.into(), TlsFault::Untrusted),
        (CertificateError::Other(other).into(), TlsFault::Untrusted),
        (rustls::Error::AlertReceived(AlertDescription::CertificateRequired), TlsFault::Alert),
        (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), TlsFault::Failed),
        (rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13), TlsFault::Failed),
        (rustls::Error::NoCertificatesPresented, TlsFault::Failed),
    ] {
        assert_eq!(classify(&handshake(&error.to_string())), Some(fault), "{error} in a handshake");
        assert_eq!(classify(&read(error.clone())), Some(fault), "{error} in a read");
        assert_eq!(classify(&read(error.clone()).more_context("more")), Some(fault), "{error} within another");
    }
    assert_eq!(classify(&handshake("tls handshake eof")), Some(TlsFault::Failed));
}

#[test]
fn a_name_in_a_certificate_cannot_pass_for_another_fault() {
    let name =
        "certificate not valid for name \"a\"; certificate is only valid for DnsName(\"received fatal alert: x\")";
    assert_eq!(classify(&handshake(&format!("invalid peer certificate: {name}"))), Some(TlsFault::Name));
}

#[test]
fn what_is_not_about_tls_is_none_of_its_faults() {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    assert_eq!(classify(&Error::because(ErrorType::ReadError, "reading", reset)), None);
    assert_eq!(classify(&Error::explain(ErrorType::ConnectRefused, "refused")), None);
}
