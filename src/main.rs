//! The `onedoor` command: the library's command line with the filters that come with it.

use std::process::ExitCode;

/// It gives memory back and keeps little for each thread; `benches/README.md` has the comparison with mimalloc.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    onedoor::run(onedoor::builtins())
}
