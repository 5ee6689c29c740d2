//! Certificates that the door orders and renews itself, by ACME (RFC 8555).
//!
//! What is ordered goes into a file of the store, and nowhere else: the listener's [`Tls`](crate::tls::Tls) follows that
//! file as any other, so that a renewal by this door, by another door with the same store or by hand is one and the same
//! thing, and connections go on as they are.
//!
//! # Store
//!
//! ```text
//! acme-v02.api.letsencrypt.org_directory/        0700
//!   account-ops@example.com.json                 0600, the account and its key
//!   api.example.com.pem                          0600, key and chain: one file, so that the two are never of two orders
//!   api.example.com.pem.failed.json              why the latest order failed, and until when nobody tries again
//!   lock                                         held by who orders
//! ```
//!
//! # When
//!
//! At two thirds of a certificate's lifetime, up to a thirtieth of it earlier, so that not all doors come at once. After
//! a failure the pauses grow as Let's Encrypt asks for it: 1, 10 and 100 minutes, then 6 hours; that is below its limit of 5
//! failed validations in an hour, and a restart doesn't shorten it by more than that limit allows. A CA that isn't reached
//! costs it nothing, so that is tried at least hourly. A word of the CA's (`Retry-After`) counts more than all that.

mod answers;
mod failure;
mod http;
mod order;
mod renewal;
mod store;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::config;
use crate::tls::Remark;
pub use answers::Answers;
use store::Store;

/// A certificate that is ordered and renewed.
pub struct Acme {
    settings: config::Acme,
    store: Store,
    answers: Answers,
    /// How much of a lifetime before its two thirds it is renewed.
    earlier: f64,
    state: watch::Sender<AcmeStatus>,
    task: Mutex<Option<AbortHandle>>,
}

/// How ordering and renewing goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcmeStatus {
    /// When the certificate in the store ends; `None` if there is none.
    pub not_after: Option<SystemTime>,
    /// When the next one is ordered.
    pub next: Option<SystemTime>,
    /// Why the latest order failed; `None` if it didn't.
    pub last_error: Option<String>,
    /// How many certificates were ordered since the listener began.
    pub orders: u64,
}

/// The most that the moment of a renewal differs from door to door, as a part of the lifetime.
const SPREAD: f64 = 1.0 / 30.0;

impl Acme {
    /// Checks the settings, and the store as far as that is possible without changing anything. Nothing is ordered, and
    /// nobody is asked anything.
    ///
    /// # Errors
    /// Everything that would make each order fail.
    pub fn compile(settings: &config::Acme) -> Result<Self, Vec<Remark>> {
        let mut problems = Vec::new();
        let directory = settings.directory();
        if !settings.agree {
            let message = format!(
                "nothing is ordered before you agree to the terms of service of the CA at {directory}; read them, and \
                 write `agree: true`"
            );
            problems.push(Remark::new(["acme", "agree"], message));
        }
        if settings.directory.as_ref().is_some_and(|url| !url.origin.tls) {
            let message = "ACME is spoken by https only (RFC 8555, 6.1), also to a CA of your own";
            problems.push(Remark::new(["acme", "directory"], message));
        }
        problems.extend(can_hold_files(settings.store.as_ref()).err().map(|why| Remark::new(["acme", "store"], why)));
        problems.extend(http::check(settings).err());
        let key = settings.eab.as_ref().map(config::ExternalAccount::key).transpose();
        problems.extend(key.err().map(|why| Remark::new(["acme", "eab", "hmac"], why)));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            store: Store::new(settings),
            settings: settings.clone(),
            answers: Answers::default(),
            earlier: fastrand::f64() * SPREAD,
            state: watch::Sender::default(),
            task: Mutex::default(),
        })
    }

    /// Whether this is what these settings ask for.
    pub fn is_of(&self, settings: &config::Acme) -> bool {
        self.settings == *settings
    }

    /// What CAs are to be answered now.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// How it is doing.
    pub fn status(&self) -> AcmeStatus {
        self.state.borrow().clone()
    }

    /// Makes the store's folder, if it isn't there: who follows a file wants to watch its folder.
    pub fn prepare(&self) {
        if let Err(why) = self.store.prepare() {
            log::error!("{self}: {why}");
        }
    }

    /// Begins to order and to renew; nothing, if that has begun. It goes on until [`Acme::stop`], or until it is dropped.
    /// What the CA asks must be answered from now on. Must be called within a tokio runtime.
    pub fn start(self: &Arc<Self>) {
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            *task = Some(tokio::spawn(renewal::run(Arc::downgrade(self))).abort_handle());
        }
    }

    /// Ends what [`Acme::start`] began. An order that is under way is left to the CA, which forgets it.
    pub fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Whether files can be made in a folder, or the folder itself.
fn can_hold_files(folder: &Path) -> Result<(), String> {
    let mut there = folder;
    loop {
        match there.metadata() {
            Ok(is) if is.is_dir() => break,
            Ok(_) => return Err(format!("{} is no folder; name another one", there.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{} cannot be looked at: {error}", there.display())),
        }
        there = match there.parent() {
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
            None => return Err(format!("no part of {} is there", folder.display())),
        };
    }
    let may = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(AT_FDCWD, there, may, AtFlags::AT_EACCESS).map_err(|error| {
        format!("no file can be made in {} ({}); let the door write there", there.display(), error.desc())
    })
}

impl Drop for Acme {
    fn drop(&mut self) {
        self.stop();
    }
}

/// As logs name it: by its names.
impl fmt::Display for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.settings.domains.iter().map(config::Domain::as_str).collect();
        match &names[..] {
            [first, second, third, _, ..] => write!(f, "acme {first}, {second}, {third} and {} more", names.len() - 3),
            _ => write!(f, "acme {}", names.join(", ")),
        }
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme").field("domains", &self.settings.domains).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
