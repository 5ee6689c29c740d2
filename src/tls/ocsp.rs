//! Responses of OCSP that are sent along with a certificate (stapled, RFC 6066 section 8).

use std::time::SystemTime;

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Any, Class, FromDer, Oid, oid};
use x509_parser::time::ASN1Time;

use crate::config::{FilePath, read_file};
use crate::pem::{self, Certificate};

/// A response to be sent along, if it can be now.
#[derive(Debug)]
pub(super) struct Staple {
    pub response: Option<Vec<u8>>,
    /// Why it is not sent.
    pub warning: Option<String>,
}

/// Reads the response of a file. One that is past, or about another certificate, is not sent, which hurts fewer clients
/// than to send it, and than to leave the certificate that has been renewed before it.
///
/// # Errors
/// That the file can't be read or holds something else, or that the certificate is revoked.
pub(super) fn read(file: &FilePath, of: &Certificate, now: SystemTime) -> Result<Staple, String> {
    let bytes = read_file(file.as_ref()).map_err(|why| format!("cannot read {file}: {why}"))?;
    let unsent = |why: String| Ok(Staple { response: None, warning: Some(format!("{file} {why}; it is not sent")) });
    let responses = match responses(&bytes) {
        Some(Ok(responses)) => responses,
        Some(Err(status)) => return Err(format!("{file} says that the responder failed ({status}); get a new one")),
        None => return Err(format!("{file} holds no OCSP response; expected is one in DER (RFC 6960), not in PEM")),
    };
    let serial = X509Certificate::from_der(&of.der).map(|(_, own)| own.raw_serial()).unwrap_or_default();
    let Some(found) = responses.iter().find(|response| response.serial == serial) else {
        return unsent(format!("is not about {of}"));
    };
    match found.status {
        Status::Good if found.this_update > now => {
            unsent(format!("is not valid before {}", humantime::format_rfc3339_seconds(found.this_update)))
        }
        Status::Good => match found.next_update.filter(|end| *end <= now) {
            Some(end) => unsent(format!("has expired, at {}", humantime::format_rfc3339_seconds(end))),
            None => Ok(Staple { response: Some(bytes), warning: None }),
        },
        Status::Revoked => Err(format!("{file} says that {of} is revoked; get a new certificate")),
        Status::Unknown => unsent(format!("says that the responder does not know {of}")),
    }
}

/// What is said about one certificate (RFC 6960 4.2.1).
#[derive(Debug)]
struct Single<'a> {
    serial: &'a [u8],
    status: Status,
    this_update: SystemTime,
    next_update: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy)]
enum Status {
    Good,
    Revoked,
    Unknown,
}

const BASIC: Oid<'static> = oid!(1.3.6.1.5.5.7.48.1.1);

/// All that an `OCSPResponse` says; `Err` with its status if that is not `successful`, `None` if it isn't one.
fn responses(bytes: &[u8]) -> Option<Result<Vec<Single<'_>>, u8>> {
    let mut response = Values::whole(bytes)?.sequence()?;
    let status = response.next_of(Class::Universal, 10)?.data;
    if *status != [0] {
        return Some(Err(*status.first()?));
    }
    let mut typed = Values(response.next_of(Class::ContextSpecific, 0)?.data).sequence()?;
    let kind = Oid::try_from(typed.next_of(Class::Universal, 6)?).ok()?;
    if kind != BASIC {
        return None;
    }
    let mut basic = Values::whole(typed.next_of(Class::Universal, 4)?.data)?.sequence()?;
    let mut data = basic.sequence()?;
    // The version, which may be left out, stands before the responder's name or key (1 or 2) and the time.
    data.next_if(Class::ContextSpecific, 0);
    data.next()?;
    data.next()?;
    let mut list = data.sequence()?;
    std::iter::from_fn(|| (!list.0.is_empty()).then(|| list.sequence().and_then(single))).collect::<Option<_>>().map(Ok)
}

fn single(mut values: Values<'_>) -> Option<Single<'_>> {
    let mut id = values.sequence()?;
    // The hash's kind, the issuer's name and key.
    id.next()?;
    id.next()?;
    id.next()?;
    let serial = id.next_of(Class::Universal, 2)?.data;
    let status = values.next()?;
    let status = match (status.class(), status.tag().0) {
        (Class::ContextSpecific, 0) => Status::Good,
        (Class::ContextSpecific, 1) => Status::Revoked,
        (Class::ContextSpecific, 2) => Status::Unknown,
        _ => return None,
    };
    let this_update = values.time()?;
    let next_update = match values.next_if(Class::ContextSpecific, 0) {
        Some(next) => Some(Values(next.data).time()?),
        None => None,
    };
    Some(Single { serial, status, this_update, next_update })
}

/// Values in DER, one after the other.
#[derive(Clone, Copy)]
struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    /// One value and nothing behind it.
    fn whole(bytes: &'a [u8]) -> Option<Self> {
        let (rest, _) = Any::from_der(bytes).ok()?;
        rest.is_empty().then_some(Self(bytes))
    }

    fn next(&mut self) -> Option<Any<'a>> {
        let (rest, value) = Any::from_der(self.0).ok()?;
        self.0 = rest;
        Some(value)
    }

    fn next_of(&mut self, class: Class, tag: u32) -> Option<Any<'a>> {
        self.next().filter(|value| value.class() == class && value.tag().0 == tag)
    }

    fn next_if(&mut self, class: Class, tag: u32) -> Option<Any<'a>> {
        let mut ahead = *self;
        let value = ahead.next_of(class, tag)?;
        *self = ahead;
        Some(value)
    }

    fn sequence(&mut self) -> Option<Self> {
        self.next_of(Class::Universal, 16).map(|value| Self(value.data))
    }

    fn time(&mut self) -> Option<SystemTime> {
        let (rest, time) = ASN1Time::from_der(self.0).ok()?;
        self.0 = rest;
        Some(pem::time(time))
    }
}
