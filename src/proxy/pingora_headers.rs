//! Pingora's heads as headers that can be changed.

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::filter::HeadersMut;
use crate::head::Headers;

/// The head that leaves.
pub(super) struct RequestHeaders<'a>(pub(super) &'a mut RequestHeader);

/// The head that comes back.
pub(super) struct ResponseHeaders<'a>(pub(super) &'a mut ResponseHeader);

macro_rules! headers {
    ($type:ident) => {
        impl Headers for $type<'_> {
            fn get(&self, name: &HeaderName) -> Option<&[u8]> {
                Headers::get(&self.0.headers, name)
            }

            fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a HeaderName, &'a [u8])) {
                Headers::each(&self.0.headers, visit);
            }

            fn all<'a>(&'a self, name: &HeaderName, visit: &mut dyn FnMut(&'a [u8])) {
                <HeaderMap as Headers>::all(&self.0.headers, name, visit);
            }
        }

        impl HeadersMut for $type<'_> {
            fn set(&mut self, name: HeaderName, value: HeaderValue) {
                // Name and value are checked already, so this fails only for more headers than any head may have.
                if let Err(e) = self.0.insert_header(name, value) {
                    log::error!("a header could not be set: {e}");
                }
            }

            fn add(&mut self, name: HeaderName, value: HeaderValue) {
                if let Err(e) = self.0.append_header(name, value) {
                    log::error!("a header could not be added: {e}");
                }
            }

            fn remove(&mut self, name: &HeaderName) {
                self.0.remove_header(name);
            }
        }
    };
}

headers!(RequestHeaders);
headers!(ResponseHeaders);
