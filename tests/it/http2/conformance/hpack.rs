//! Compressed fields: RFC 9113, 4.3 and RFC 7541.

use h2::Reason;

use super::Comes::{Answer, Goaway};
use super::{Case, GENERIC, case, hold};
use crate::support::http2::{END_HEADERS, END_STREAM, HEADERS, frame};

const COMPRESSION: Reason = Reason::COMPRESSION_ERROR;

/// `GET http /` for `door.test`, of the static table but for the authority (RFC 7541, appendix A).
const GOOD: &[u8] = &[0x82, 0x86, 0x84, 0x01, 9, b'd', b'o', b'o', b'r', b'.', b't', b'e', b's', b't'];

fn request(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, block)
}

fn broken(section: &'static str, what: &'static str, more: &[u8]) -> Case {
    case(section, what, request(&[GOOD, more].concat()), Goaway(COMPRESSION))
        .but(Goaway(Reason::PROTOCOL_ERROR), GENERIC)
}

#[tokio::test]
async fn blocks_that_cannot_be_read_end_the_connection() {
    hold(vec![
        case("7541, C", "what is indexed", request(GOOD), Answer(200)),
        broken("7541, 2.3.3", "an index beyond the tables", &[0xff, 0x80, 0x01]),
        broken("7541, 2.3.3", "a name's index beyond the tables", &[0x7f, 0x80, 0x01, 1, b'a']),
        broken("7541, 6.1", "index 0", &[0x80]),
        broken("7541, 4.2", "a size update behind the fields", &[0x20]),
        case("7541, 4.2", "a size update before them", request(&[&[0x20][..], GOOD].concat()), Answer(200)),
        case(
            "7541, 6.3",
            "a size update above the setting",
            request(&[&[0x3f, 0xe2, 0x1f][..], GOOD].concat()),
            Goaway(COMPRESSION),
        )
        .but(Goaway(Reason::PROTOCOL_ERROR), GENERIC),
        broken("7541, 5.2", "Huffman's padding of more than 7 bits", &[0x00, 0x82, 0x1f, 0xff, 1, b'a']),
        broken("7541, 5.2", "padding that is not of ones", &[0x00, 0x81, 0x18, 1, b'a']),
        broken("7541, 5.2", "the end of string within", &[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 1, b'a']),
        broken("7541, 5.1", "a number without an end", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        broken("7541, 5.2", "a string that is longer than the block", &[0x00, 1, b'a', 50, b'b']),
        broken("9113, 4.3", "half a field", &[0x00]),
    ])
    .await;
}
