//! The real binary: its exit codes, its signals, its memory, with clients that people use.

#![allow(missing_docs, clippy::unwrap_used, reason = "these are tests")]

mod clients;
mod command_line;
mod compress;
mod door;
mod life;
mod memory;
#[path = "../it/support/pki.rs"]
mod pki;
mod slow;
