//! The real binary: its exit codes, its signals, its memory, with real curl.

#![allow(missing_docs, clippy::unwrap_used, reason = "these are tests")]

mod command_line;
mod compress;
mod door;
mod life;
mod memory;
mod slow;
