//! What the door writes to its log.

use std::sync::Mutex;
use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Kept(Mutex<Vec<String>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));
static START: Once = Once::new();

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("onedoor") && metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().expect("not poisoned").push(line);
        }
    }

    fn flush(&self) {}
}

/// Keeps every line from now on, for all tests of the process.
pub fn keep() {
    START.call_once(|| {
        log::set_logger(&KEPT).expect("no other logger");
        log::set_max_level(LevelFilter::Info);
    });
}

/// The lines so far that hold these words: those of one test, if they are a name that no other test has.
pub fn lines(words: &str) -> Vec<String> {
    let kept = KEPT.0.lock().expect("not poisoned");
    kept.iter().filter(|line| line.contains(words)).cloned().collect()
}
