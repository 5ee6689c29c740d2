//! Signs that files have changed, however that was done: written in place, replaced by a rename, or by swapping a
//! symbolic link somewhere on the way to it.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A watch on the folders in which something may change what paths lead to: a path's own, where tools rename and where
/// Kubernetes swaps `..data`; those of links on the way; and that of the file that it leads to in the end.
#[derive(Debug)]
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    folders: BTreeSet<Folder>,
    watcher: Option<RecommendedWatcher>,
    news: Arc<Notify>,
    seen: Vec<Option<Mark>>,
    /// The trouble that was told last, so that it is told once.
    told: Option<String>,
}

/// A folder and what it is: one of the same name may have taken its place, and then the old one is watched in vain.
type Folder = (PathBuf, u64, u64);

/// What differs if a file is another one or was written to.
type Mark = (u64, u64, u64, i64, i64);

impl Watch {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            folders: BTreeSet::new(),
            watcher: None,
            news: Arc::new(Notify::new()),
            seen: Vec::new(),
            told: None,
        }
    }

    /// Watches the folders that count now, and remembers what the files look like. To be called before each reading.
    pub(crate) fn renew(&mut self) {
        let folders = self.paths.iter().flat_map(|path| folders(path)).collect();
        if folders != self.folders || self.watcher.is_none() {
            // The old one goes first: there are only so many.
            self.watcher = None;
            match watch(&folders, self.news.clone()) {
                Ok(watcher) => {
                    self.watcher = Some(watcher);
                    self.folders = folders;
                    self.told = None;
                }
                Err(error) => self.tell(error.to_string()),
            }
        }
        self.seen = self.marks();
    }

    fn tell(&mut self, why: String) {
        if self.told.as_ref() != Some(&why) {
            let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
            log::warn!("{} cannot be watched, but only looked at now and then: {why}", paths.join(", "));
            self.told = Some(why);
        }
    }

    /// Waits until a file looks other than at the last [`Watch::renew`], and nothing has changed for a moment.
    pub(crate) async fn changed(&self, settled: Duration) {
        loop {
            self.news.notified().await;
            self.quiet(settled).await;
            if self.marks() != self.seen {
                return;
            }
        }
    }

    fn marks(&self) -> Vec<Option<Mark>> {
        self.paths.iter().map(|path| mark(path)).collect()
    }

    /// Waits for a moment without news.
    async fn quiet(&self, moment: Duration) {
        let quiet = async { while tokio::time::timeout(moment, self.news.notified()).await.is_ok() {} };
        drop(tokio::time::timeout(moment * MOST_MOMENTS, quiet).await);
    }
}

/// A place where others never stop writing is quiet after this many moments as well.
const MOST_MOMENTS: u32 = 20;

fn watch(folders: &BTreeSet<Folder>, news: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_news(&event.kind)) {
            news.notify_one();
        }
    })?;
    for (folder, ..) in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Reading it, which we do ourselves, is no news.
fn is_news(kind: &EventKind) -> bool {
    !matches!(kind, EventKind::Access(kind) if *kind != AccessKind::Close(AccessMode::Write))
}

fn folders(path: &Path) -> BTreeSet<Folder> {
    let in_the_end = path.canonicalize().ok();
    let links = path.ancestors().skip(1).filter(|above| above.is_symlink());
    let on_the_way = [Some(path), in_the_end.as_deref()].into_iter().flatten().chain(links);
    on_the_way.filter_map(folder_of).collect()
}

fn folder_of(path: &Path) -> Option<Folder> {
    let folder = match path.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let is = folder.metadata().ok()?;
    Some((folder.to_owned(), is.dev(), is.ino()))
}

fn mark(path: &Path) -> Option<Mark> {
    let is: Metadata = path.metadata().ok()?;
    Some((is.dev(), is.ino(), is.len(), is.mtime(), is.mtime_nsec()))
}
