use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::upstream::discover::{Discovery, DiscoveryState};

/// Sooner than the file is read without a sign of change.
const SOON: Duration = Duration::from_secs(6);

struct Running {
    folder: TempDir,
    discovery: Arc<Discovery>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Follows `path` in a new folder that `prepare` fills.
    async fn new(path: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let settings = config::Discover::File(folder.path().join(path).to_str().unwrap().parse().unwrap());
        let discovery = Arc::new(Discovery::new("users", &settings, None).unwrap());
        let task = tokio::spawn({
            let discovery = discovery.clone();
            async move { discovery.run(|_| Ok(())).await }
        });
        let running = Self { folder, discovery, task };
        // The first was read while it was made; from the second on it is watched.
        running.until(|state| state.ok == 2).await;
        running
    }

    async fn plain() -> Self {
        Self::new("users.yaml", |folder| fs::write(folder.join("users.yaml"), "[127.0.0.1:1]").unwrap()).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn until(&self, when: impl FnMut(&DiscoveryState) -> bool) -> DiscoveryState {
        let mut changes = self.discovery.state.subscribe();
        match tokio::time::timeout(SOON, changes.wait_for(when)).await {
            Ok(state) => state.expect("the discovery lives").clone(),
            Err(_) => panic!("no such state soon: {:?}", self.discovery.state()),
        }
    }

    async fn until_it_has(&self, count: usize) {
        self.until(|state| state.known.len() == count && state.last_error.is_none()).await;
    }

    async fn until_it_fails_with(&self, words: &str) {
        let is_told = |state: &DiscoveryState| state.last_error.as_ref().is_some_and(|why| why.contains(words));
        let state = self.until(is_told).await;
        assert_eq!(state.known.len(), 1, "the last good set stays");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_change_in_place_is_seen_soon() {
    let running = Running::plain().await;
    fs::write(running.path("users.yaml"), "- 127.0.0.1:1\n- {address: 127.0.0.1:2, weight: 3, backup: true}\n")
        .unwrap();
    running.until_it_has(2).await;
    assert_eq!((running.discovery.known()[1].weight, running.discovery.known()[1].backup), (config::Weight(3), true));
}

#[tokio::test]
async fn a_file_that_takes_its_place_is_seen_soon() {
    let running = Running::plain().await;
    for count in [2, 1, 3] {
        let list: Vec<String> = (1..=count).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        fs::write(running.path("aside"), format!("{{\"endpoints\": [{}]}}", list.join(", "))).unwrap();
        fs::rename(running.path("aside"), running.path("users.yaml")).unwrap();
        running.until_it_has(count).await;
    }
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_set_and_says_where_it_is_bad() {
    let running = Running::plain().await;
    let file = running.path("users.yaml");
    for (text, words) in [
        ("[127.0.0.1:1, 127.0", "expected `,` or `]` in the list"),
        ("- 127.0.0.1:1\n- 127.0.0.1:", "users.yaml:2:1: the last line has no line break"),
        ("- 127.0.0.1:1\n- {address: 127.0.0.1:2, weight: heavy}\n", "users.yaml:2:34: [1].weight: "),
        ("", "users.yaml:1:1: the file is empty"),
        ("[]", "users.yaml:1:1: the list is empty"),
    ] {
        fs::write(&file, text).unwrap();
        running.until_it_fails_with(words).await;
    }
    fs::remove_file(&file).unwrap();
    running.until_it_fails_with("cannot read").await;
    fs::write(&file, "[127.0.0.1:1, 127.0.0.1:2]").unwrap();
    running.until_it_has(2).await;
}

/// As Kubernetes mounts a ConfigMap: `users.yaml` → `..data/users.yaml`, `..data` → a folder that is swapped.
#[tokio::test]
async fn a_swapped_link_to_a_folder_is_seen_soon() {
    let version = |folder: &Path, name: &str, text: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("users.yaml"), text).unwrap();
    };
    let running = Running::new("users.yaml", |folder| {
        version(folder, "..1", "[127.0.0.1:1]");
        symlink("..1", folder.join("..data")).unwrap();
        symlink("..data/users.yaml", folder.join("users.yaml")).unwrap();
    });
    let running = running.await;
    for (name, text, count) in [("..2", "[127.0.0.1:1, 127.0.0.1:2]", 2), ("..3", "[127.0.0.1:7]", 1)] {
        version(running.folder.path(), name, text);
        symlink(name, running.path("..data_tmp")).unwrap();
        fs::rename(running.path("..data_tmp"), running.path("..data")).unwrap();
        running.until_it_has(count).await;
    }
}

#[tokio::test]
async fn a_change_behind_a_link_is_seen_soon_and_so_is_another_link() {
    let running = Running::new("here/users.yaml", |folder| {
        for there in ["there", "elsewhere", "here"] {
            fs::create_dir(folder.join(there)).unwrap();
        }
        fs::write(folder.join("there/real.yaml"), "[127.0.0.1:1]").unwrap();
        symlink("../there/real.yaml", folder.join("here/users.yaml")).unwrap();
    });
    let running = running.await;
    fs::write(running.path("there/real.yaml"), "[127.0.0.1:1, 127.0.0.1:2]").unwrap();
    running.until_it_has(2).await;
    fs::write(running.path("elsewhere/real.yaml"), "[127.0.0.1:1]").unwrap();
    symlink("../elsewhere/real.yaml", running.path("here/new")).unwrap();
    fs::rename(running.path("here/new"), running.path("here/users.yaml")).unwrap();
    running.until_it_has(1).await;
    fs::write(running.path("elsewhere/real.yaml"), "[127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3]").unwrap();
    running.until_it_has(3).await;
}

#[tokio::test]
async fn a_folder_that_is_a_link_may_be_swapped() {
    let running = Running::new("current/users.yaml", |folder| {
        for (version, text) in [("1", "[127.0.0.1:1]"), ("2", "[127.0.0.1:1, 127.0.0.1:2]")] {
            fs::create_dir(folder.join(version)).unwrap();
            fs::write(folder.join(version).join("users.yaml"), text).unwrap();
        }
        symlink("1", folder.join("current")).unwrap();
    });
    let running = running.await;
    symlink("2", running.path("new")).unwrap();
    fs::rename(running.path("new"), running.path("current")).unwrap();
    running.until_it_has(2).await;
}

#[tokio::test(start_paused = true)]
async fn without_any_sign_the_file_is_read_now_and_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.yaml");
    fs::write(&path, "[127.0.0.1:1]").unwrap();
    // Nothing is watched, as on a file system that tells of no change.
    let mut file = File::new(&path);
    let begun = tokio::time::Instant::now();
    file.rest(LOOK_ANYWAY).await;
    assert_eq!(begun.elapsed().as_secs(), LOOK_ANYWAY.as_secs());
    assert_eq!(file.ask().await.unwrap().holds, LOOK_ANYWAY);
}

#[test]
fn at_start_the_file_must_be_there_and_be_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.yaml");
    let made = || {
        Discovery::new("users", &config::Discover::File(path.to_str().unwrap().parse().unwrap()), None)
            .map(|found| found.known().len())
    };
    assert!(made().unwrap_err().ends_with("users.yaml: there is no such file"));
    fs::write(&path, "[users:80]").unwrap();
    assert!(made().unwrap_err().contains("users.yaml:1:2: [0]: `users:80` is a name"));
    fs::write(&path, "[127.0.0.1:1, 127.0.0.1:2]").unwrap();
    assert_eq!(made(), Ok(2));
}
