//! `onedoor run`.

use std::path::Path;
use std::process::ExitCode;

use log::LevelFilter;

use super::{fail, fail_all, load, runtime, warn_all};
use crate::config::Problem;
use crate::filter::Registry;
use crate::server::{Server, Signals, raise_limit, run_until_told, tell_systemd, threads};

/// Serves until told to stop.
pub(super) fn serve(file: &Path, registry: Registry) -> ExitCode {
    let config = match load(file, &registry) {
        Ok(config) => config,
        Err(problems) => return fail_all(&problems),
    };
    start_log(config.log.level.0);
    raise_limit();
    let runtime = match runtime(threads(&config)) {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("no worker threads: {e}")),
    };
    let served = runtime.block_on(async {
        let signals = Signals::listen().map_err(Failure::Signals)?;
        let (server, warnings) = Server::start(config, registry).await.map_err(Failure::Start)?;
        warn_all(&warnings);
        tell_systemd(sd_notify::NotifyState::Ready);
        run_until_told(server, file, signals).await;
        Ok(())
    });
    // What has not ended by now is cut.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Signals(e)) => fail(&format!("signals cannot be heard: {e}")),
        Err(Failure::Start(problems)) => fail_all(&problems),
    }
}

enum Failure {
    Signals(std::io::Error),
    Start(Vec<Problem>),
}

/// Diagnostics to stderr. Under systemd the journal adds the time.
fn start_log(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    // The level can change on reload, so the logger lets everything through and `log`'s own maximum decides.
    builder.filter_level(LevelFilter::Trace);
    // Pingora warns of whatever a client or an upstream does wrong; the access log has that with its cause.
    let libraries = if level >= LevelFilter::Debug { level } else { LevelFilter::Off };
    for library in ["pingora", "rustls", "h2", "mio", "want"] {
        builder.filter_module(library, libraries);
    }
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.format_timestamp(None);
    }
    builder.format_target(false);
    if let Err(e) = builder.try_init() {
        // A program that has its own logger keeps it.
        log::debug!("the program has a logger already: {e}");
    }
    log::set_max_level(level);
}
