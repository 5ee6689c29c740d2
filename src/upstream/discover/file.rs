//! Endpoints from a file that other tools write, followed as it changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Endpoint, Source};
use crate::config;
use crate::watch::Watch;

/// How often the file is read without any sign of a change: some file systems (NFS, FUSE) give none.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
/// A change is rarely alone: a writer makes several, and a tool that renames makes more.
const SETTLED: Duration = Duration::from_millis(50);

/// A file that is followed.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    watch: Watch,
}

impl File {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), watch: Watch::new(vec![path.to_owned()]) }
    }
}

impl Source for File {
    async fn ask(&mut self) -> Result<Answer, String> {
        // First, so that no change falls between the reading and the watching.
        self.watch.renew();
        let path = self.path.clone();
        let found = tokio::task::spawn_blocking(move || read(&path)).await;
        let found = found.unwrap_or_else(|error| Err(format!("reading the file failed: {error}")))?;
        Ok(Answer { found, holds: LOOK_ANYWAY })
    }

    async fn rest(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.watch.changed(SETTLED) => {}
        }
    }
}

/// What the file holds: at least one endpoint, sorted.
///
/// # Errors
/// Why it can't be read, or what is wrong with it and where.
pub(super) fn read(path: &Path) -> Result<Vec<Endpoint>, String> {
    let name = path.display().to_string();
    let bytes = config::read_file(path).map_err(|why| format!("cannot read {name}: {why}"))?;
    let mut found = config::read_endpoints(&bytes, &name).map_err(|problems| one_line(&problems))?;
    found.sort();
    Ok(found)
}

fn one_line(problems: &[config::Problem]) -> String {
    match problems {
        [] => "it cannot be used".to_owned(),
        [only] => only.to_string(),
        [first, more @ ..] => format!("{first} (and {} more problems)", more.len()),
    }
}

#[cfg(test)]
mod tests;
