//! The `onedoor` command: the library's command line with the filters that come with it.

use std::process::ExitCode;

/// Fast under many threads, and small where connections come and go; benches/README.md has the comparison.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    onedoor::run(onedoor::builtins())
}
