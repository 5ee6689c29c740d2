//! What the operator says to a running door.

use std::path::Path;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Server;
use crate::config::Problem;

/// Serves until told to stop. HUP reloads the file, USR1 opens log files anew, TERM drains and leaves; a second TERM,
/// or INT, leaves at once.
pub async fn run_until_told(mut server: Server, file: &Path, mut signals: Signals) {
    loop {
        match signals.next().await {
            Told::Reload => tokio::select! {
                () = reload(&mut server, file) => {}
                // A reload that takes its time (a name that does not resolve) must not keep anybody from stopping.
                stop = signals.stop() => match stop {
                    Told::Leave => return leave(&server).await,
                    _ => break,
                },
            },
            Told::ReopenLogs => server.reopen_logs(),
            Told::Drain => break,
            Told::Leave => return leave(&server).await,
        }
    }
    tell_systemd(NotifyState::Stopping);
    let left = tokio::select! {
        left = server.drain() => Some(left),
        _ = signals.stop() => None,
    };
    match left {
        Some(0) => log::info!("drained"),
        Some(left) => log::warn!("the drain time is over: {left} connections were cut"),
        None => leave(&server).await,
    }
}

async fn leave(server: &Server) {
    log::warn!("told to leave at once: {} connections were cut", server.cut().await);
}

async fn reload(server: &mut Server, file: &Path) {
    let outcome = match server.load(file) {
        Ok((config, mut warnings)) => {
            let level = config.log.level.0;
            server.reload(config).await.map(|more| {
                warnings.extend(more);
                log::set_max_level(level);
                warnings
            })
        }
        Err(problems) => Err(problems),
    };
    match outcome {
        Ok(warnings) => {
            tell(&warnings);
            log::info!("reloaded {}: generation {}", file.display(), server.snapshot().generation());
        }
        Err(problems) => {
            for problem in &problems {
                log::error!("{problem}");
            }
            log::error!(
                "{} was not loaded ({} wrong); the door goes on with generation {}",
                file.display(),
                problems.len(),
                server.snapshot().generation()
            );
        }
    }
}

/// Tells the service manager, if there is one (`sd_notify(3)`).
pub fn tell_systemd(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        log::warn!("the service manager could not be told: {e}");
    }
}

fn tell(warnings: &[Problem]) {
    for warning in warnings {
        log::warn!("{warning}");
    }
}

enum Told {
    Reload,
    ReopenLogs,
    Drain,
    Leave,
}

/// The signals that a running door listens to. Made before anything is served: until then HUP and USR1 end a process.
pub struct Signals {
    hup: Signal,
    usr1: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the operating system does not let signals be heard.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hup.recv() => Told::Reload,
            _ = self.usr1.recv() => Told::ReopenLogs,
            _ = self.term.recv() => Told::Drain,
            _ = self.int.recv() => Told::Leave,
        }
    }

    async fn stop(&mut self) -> Told {
        tokio::select! {
            _ = self.term.recv() => Told::Drain,
            _ = self.int.recv() => Told::Leave,
        }
    }
}
