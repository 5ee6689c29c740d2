//! How many files the process may have open: each connection of a client is one, and each to an upstream.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use crate::config::{Config, Problem};

/// What a connection needs: its own file, and that of the connection to an upstream.
const FILES_EACH: usize = 2;

/// Lets the process have as many files open as its hard limit says, as Go's programs do: the soft one is 1024 by
/// default for the sake of programs that use `select(2)`, which this is none of.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(e) = raised {
        log::warn!("the limit on open files stays as it is: {e}");
    }
}

/// How many files may be open.
fn limit() -> rlim_t {
    // It can fail for no reason that there is here (`getrlimit(2)`).
    getrlimit(Resource::RLIMIT_NOFILE).map_or(rlim_t::MAX, |(soft, _)| soft)
}

/// How many connections that is enough for.
pub(super) fn connections() -> usize {
    usize::try_from(limit()).unwrap_or(usize::MAX) / FILES_EACH
}

/// That a file asks for more connections than can be.
pub(super) fn too_few(config: &Config) -> Option<Problem> {
    let asked = config.process.connections?.0 as usize;
    let most = connections();
    (asked > most).then(|| {
        let message = format!(
            "more than the limit on open files is enough for: it is {}, and a connection takes {FILES_EACH}, one of them \
             to its upstream; raise it (`LimitNOFILE=` in the unit, `ulimit -Hn`), or ask for at most {most}",
            limit()
        );
        config.source.warning(&["process", "connections"], message)
    })
}
