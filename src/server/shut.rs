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
