//! What is kept on the disk.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::failure::LONGEST;
use crate::config;
use crate::config::FilePath;
use crate::pem;

/// The folder of a CA, and the files in it that are for one set of names. Everything here waits for the disk.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: FilePath,
    certificate: FilePath,
    account: FilePath,
}

/// A certificate in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// What is remembered of orders that failed, for this door and for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    /// How many in a row.
    pub failures: u32,
    pub why: String,
    /// In seconds since 1970, as the next.
    at: u64,
    next: u64,
    /// Whether this was written before the order's end, and would count twice with it.
    #[serde(default)]
    is_open: bool,
}

/// How often a lock is asked for that somebody holds.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

impl Store {
    pub fn new(settings: &config::Acme) -> Self {
        let folder = settings.folder();
        let account = match &settings.email {
            Some(email) => format!("account-{}.json", email.as_str()),
            None => "account.json".to_owned(),
        };
        Self { account: folder.join(account), folder, certificate: settings.file() }
    }

    /// Makes the folder.
    pub fn prepare(&self) -> Result<(), String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(self.folder.as_ref());
        made.map_err(|error| format!("the folder {} cannot be made: {error}", self.folder))
    }

    /// The certificate, if there is one.
    ///
    /// # Errors
    /// Why what is there is none.
    pub fn held(&self) -> Result<Option<Held>, String> {
        match self.certificate.as_ref().try_exists() {
            Ok(false) => Ok(None),
            Ok(true) => look(&self.certificate).map(Some),
            Err(error) => Err(format!("{} cannot be looked at: {error}", self.certificate)),
        }
    }

    /// Puts a certificate with its chain and key in the place of the one before, if it is good at this time.
    pub fn keep(&self, pem: &str, now: SystemTime) -> Result<Held, String> {
        let new = self.written(pem.as_bytes()).map_err(|error| self.unwritten(self.certificate.as_ref(), &error))?;
        let held =
            look(&self.folder.join(new.path())).map_err(|why| format!("what the CA has sent cannot be used: {why}"))?;
        if now < held.not_before || held.not_after <= now {
            let [begin, end] = [held.not_before, held.not_after].map(humantime::format_rfc3339_seconds);
            return Err(format!(
                "the CA has sent a certificate from {begin} to {end}, which is not now; set this machine's clock"
            ));
        }
        self.put(new, self.certificate.as_ref())?;
        Ok(held)
    }

    /// The account, as it was put here.
    pub fn account(&self) -> Result<Option<String>, String> {
        read(self.account.as_ref())
    }

    pub fn keep_account(&self, text: &str) -> Result<(), String> {
        let new = self.written(text.as_bytes()).map_err(|error| self.unwritten(self.account.as_ref(), &error))?;
        self.put(new, self.account.as_ref())
    }

    /// What is remembered of orders that failed; nothing after one that came to its end.
    pub fn failed(&self) -> Option<Failed> {
        let text = read(&self.failed_file()).ok().flatten()?;
        serde_json::from_str(&text).ok()
    }

    pub fn keep_failed(&self, failed: &Failed) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(failed).map_err(|error| error.to_string())?;
        let path = self.failed_file();
        let new = self.written(&text).map_err(|error| self.unwritten(&path, &error))?;
        self.put(new, &path)
    }

    pub fn forget_failed(&self) -> Result<(), String> {
        let path = self.failed_file();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("{} cannot be removed: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn failed_file(&self) -> PathBuf {
        let mut path = self.certificate.as_ref().as_os_str().to_owned();
        path.push(".failed.json");
        path.into()
    }

    /// Waits until nobody else orders in this folder, here or in another process. The lock goes with the value, and with
    /// a process that ends in whatever way.
    pub async fn lock(&self, limit: Duration) -> Result<File, String> {
        let path: PathBuf = self.folder.join("lock").into();
        let end = Instant::now() + limit;
        loop {
            match try_lock(&path) {
                Ok(lock) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < end => tokio::time::sleep(ASK_AGAIN).await,
                Err(TryLockError::WouldBlock) => {
                    return Err(format!("another door has held {} for {limit:?}; look what it does", path.display()));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(format!("{} cannot be locked: {error}", path.display()));
                }
            }
        }
    }

    /// A new file in the folder that only this user may read, on the disk to its last byte.
    fn written(&self, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(self.folder.as_ref() as &Path)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Gives it its name. The folder has to be on the disk, too, or a power cut could take the name back.
    fn put(&self, file: tempfile::NamedTempFile, path: &Path) -> Result<(), String> {
        file.persist(path).map_err(|error| self.unwritten(path, &error.error))?;
        File::open(self.folder.as_ref() as &Path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.unwritten(path, &error))
    }

    fn unwritten(&self, path: &Path, error: &io::Error) -> String {
        format!("{} cannot be written: {error}", path.display())
    }
}

impl Failed {
    pub fn new(failures: u32, why: String, at: SystemTime, next: SystemTime) -> Self {
        Self { failures, why, at: seconds(at), next: seconds(next), is_open: false }
    }

    /// What stands there while an order is under way, should nobody be left to write how it ends.
    pub fn begun(failures: u32, at: SystemTime, next: SystemTime) -> Self {
        Self { is_open: true, ..Self::new(failures, "the order before was begun and did not end".into(), at, next) }
    }

    /// How many in a row there are with one that fails now.
    pub fn next_count(&self) -> u32 {
        self.failures.saturating_add(u32::from(!self.is_open))
    }

    pub fn at(&self) -> SystemTime {
        moment(self.at)
    }

    /// No longer after it than a failure can ask for, whatever stands in the file.
    pub fn next(&self) -> SystemTime {
        moment(self.next.min(self.at.saturating_add(LONGEST.as_secs())))
    }
}

/// The last second that can be written as RFC 3339 has it.
const LAST: u64 = 253_402_300_799;

fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn try_lock(path: &Path) -> Result<File, TryLockError> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = opened.map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

/// A certificate with its key in one file, whole and of one pair.
fn look(path: &FilePath) -> Result<Held, String> {
    let chain = pem::certificates(path)?;
    let text = read(path.as_ref())?.unwrap_or_default();
    let key = pem::private_key(&text).map_err(|why| format!("{path}: {why}"))?;
    pem::pair(&chain, &key, path)?;
    let own = chain.first().ok_or_else(|| format!("{path} holds no certificate"))?;
    Ok(Held { not_before: own.not_before, not_after: own.not_after })
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let why = |error: io::Error| format!("cannot read {}: {error}", path.display());
    match path.metadata() {
        Ok(is) if is.len() > LARGEST => Err(format!("{} is larger than 1 MiB", path.display())),
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(why),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(why(error)),
    }
}
