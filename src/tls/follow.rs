//! Follows the files of a listener's TLS while it runs.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use super::material::{Findings, Material};
use super::remark::{Remark, one_line};
use super::{Loaded, Tls};
use crate::config::{ListenerTls, SecretText};
use crate::watch::Watch;

/// How often the files are read without any sign of a change: some file systems (NFS, FUSE) give none, and what is valid
/// changes by itself.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

/// A certificate and its key are renewed one after the other.
const SETTLED: Duration = Duration::from_millis(500);

impl Tls {
    /// Begins to follow the files; nothing, if that has begun. It goes on until [`Tls::stop`], or until it is dropped.
    /// Must be called within a tokio runtime.
    pub fn start(self: &Arc<Self>) {
        let mut task = self.task.lock();
        if task.is_none() {
            let watch = Watch::new(files(&self.settings));
            *task = Some(tokio::spawn(follow(Arc::downgrade(self), watch)).abort_handle());
        }
    }

    /// Ends what [`Tls::start`] began, so that another of this listener can go on with it.
    pub fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// Reads all files, and takes into use what is new and good. Connections that are there go on as they are.
    pub(super) fn refresh(&self, now: SystemTime) {
        let current = self.current.load_full();
        let Findings { material, mut problems, warnings } =
            Material::read(&self.settings, Some(&current.material), None, now);
        let mut has_swapped = false;
        if let Some(material) = material.filter(|material| *material != current.material) {
            match Loaded::new(&self.settings, self.http2, material, Some(&current)) {
                Ok(loaded) => {
                    self.current.store(Arc::new(loaded));
                    has_swapped = true;
                }
                Err(why) => problems.push(Remark::new([], why)),
            }
        }
        self.tell(has_swapped, &problems, &warnings);
        self.state.send_modify(|state| {
            state.reads += 1;
            state.swaps += u64::from(has_swapped);
            (state.problems, state.warnings) = (problems, warnings);
        });
    }

    /// Logs what is other than the last time.
    fn tell(&self, has_swapped: bool, problems: &[Remark], warnings: &[Remark]) {
        let listener = &self.listener;
        if has_swapped {
            let served: Vec<String> = self.status().certificates.iter().map(ToString::to_string).collect();
            log::info!("listener {listener}: its TLS is renewed: {}", served.join("; "));
        }
        let (is_known, was_bad) = {
            let state = self.state.borrow();
            (state.problems == problems, !state.problems.is_empty())
        };
        match one_line(problems) {
            Some(why) if !is_known => log::error!("listener {listener}: what was there before stays in use: {why}"),
            None if was_bad => log::info!("listener {listener}: the files of its TLS are all in use again"),
            _ => {}
        }
        let known = self.state.borrow().warnings.clone();
        for warning in warnings.iter().filter(|warning| !known.contains(warning)) {
            log::warn!("listener {listener}: {warning}");
        }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn follow(tls: Weak<Tls>, mut watch: Watch) {
    loop {
        // First, so that no change falls between the reading and the watching.
        watch.renew();
        let Some(tls) = tls.upgrade() else { return };
        if tokio::task::spawn_blocking(move || tls.refresh(SystemTime::now())).await.is_err() {
            log::error!(
                "reading the files of a listener's TLS panicked, which is a defect of OneDoor; it is tried again"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_ANYWAY) => {}
            () = watch.changed(SETTLED) => {}
        }
    }
}

/// All files that count. What is in the environment never changes, and systemd's credentials are looked at now and then.
fn files(settings: &ListenerTls) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for certificate in &settings.certificates {
        files.push(certificate.cert.as_ref().to_owned());
        files.extend(certificate.ocsp.as_ref().map(|ocsp| ocsp.as_ref().to_owned()));
        if let SecretText::File(key) = certificate.key.secret() {
            files.push(key.clone());
        }
    }
    files.extend(settings.acme.as_ref().map(|acme| acme.file().into()));
    files.extend(settings.client_auth.as_ref().map(|clients| clients.ca.as_ref().to_owned()));
    files
}
