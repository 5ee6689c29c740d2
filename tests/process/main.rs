//! The real binary: its exit codes, its signals, its memory, with clients that people use.

#![allow(missing_docs, clippy::unwrap_used, reason = "these are tests")]

mod clients;
mod command_line;
mod compress;
mod door;
mod life;
mod memory;
mod slow;
#[path = "../it/support/pki.rs"]
mod pki;
