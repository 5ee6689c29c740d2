//! How a port is closed without a reset.
//!
//! A connection stands, for its client, once the server's kernel has answered its first packet; it waits in the kernel
//! until it is accepted. Closing a listening socket resets all that wait, and those that come between the last accept
//! and the close. So first packets are dropped beforehand: who sends one tries again a second later, and finds the
//! port closed, or its successor.

use std::io;
use std::net::TcpListener;

/// Lets no connection begin any more; those that have begun come to stand, and wait to be accepted.
///
/// # Errors
/// If the operating system can't. Then what is left is a reset for those who connect in the very moment of the close.
#[cfg(target_os = "linux")]
pub(super) fn drop_first_packets(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // The classic BPF of `tcpdump -ddd`: a program sees a packet from its TCP header on (man 7 socket).
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    const WHOLE: u32 = u32::MAX;
    const NOTHING: u32 = 0;
    let program = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(JUMP_IF_ANY_BIT, 1, 0, ACK),
        SockFilter::new(JUMP_IF_ANY_BIT, 1, 0, SYN),
        SockFilter::new(RETURN, 0, 0, WHOLE),
        SockFilter::new(RETURN, 0, 0, NOTHING),
    ];
    SockRef::from(listener).attach_filter(&program)
}

/// The same, where there is no such filter.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub(super) fn drop_first_packets(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_has_connected_is_served_and_nobody_else_connects() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let address = listener.local_addr().unwrap();
            let mut before = TcpStream::connect(address).unwrap();
            drop_first_packets(&listener).unwrap();
            let after = TcpStream::connect_timeout(&address, Duration::from_millis(200));
            assert_eq!(after.err().map(|e| e.kind()), Some(ErrorKind::TimedOut));
            let (mut accepted, _) = listener.accept().unwrap();
            before.write_all(b"ping").unwrap();
            let mut said = [0; 4];
            accepted.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"ping");
        }
    }
}
