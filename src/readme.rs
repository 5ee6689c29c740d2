//! Tables of the README that are made of the code.

use std::fs;
use std::path::Path;

use parking_lot::Mutex;

/// Each table is written with the page around it, so one after the other.
static PAGE: Mutex<()> = Mutex::new(());

/// Holds that this table stands between two marks, or with `ONEDOOR_WRITE_DOCS` puts it there.
#[track_caller]
pub fn has_table(begin: &str, end: &str, table: &str) {
    let _page = PAGE.lock();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(begin).expect("the table's beginning");
    let (found, after) = rest.split_once(end).expect("the table's end");
    if std::env::var_os("ONEDOOR_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, table, "write it anew with ONEDOOR_WRITE_DOCS=1");
    }
}
