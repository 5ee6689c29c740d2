//! The zoo: ways to fail, each played to a whole door, and what the door's log says of it. The same table is in `zoo.md`.

mod peers;
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::pin::Pin;

use futures_util::{StreamExt, stream};
use serde_json::Value;

/// One way to fail.
pub struct Row {
    /// What happens, in words.
    what: &'static str,
    /// What the log has then.
    status: u64,
    cause: &'static str,
    phase: &'static str,
    /// A part of its `detail`.
    says: &'static str,
    /// Plays it, and gives the line of the log.
    play: Pin<Box<dyn Future<Output = Value> + Send>>,
}

/// So many are played at once: two cores have to keep up with all.
const AT_ONCE: usize = 12;

/// Causes that no row has, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("filter_failed", "takes a filter of one's own: tests/it/filters.rs"),
    ("upstream_write_failed", "what is no reset and no timeout when a request is written: no script brings it about"),
    ("client_read_timeout", "takes 30 s"),
    ("misdirected", "it takes a listener with TLS: tests/it/tls/names.rs"),
    ("http2_error", "it is a connection's: tests/it/http2/conformance.rs"),
    ("http2_flood", "it is a connection's: tests/it/http2/floods.rs"),
    ("shutdown", "the door has no log any more that a row could read"),
    ("internal", "would be a bug in the door"),
];

const INTRODUCTION: &str = "# The zoo\n\nMade of tests/it/zoo by `ONEDOOR_WRITE_DOCS=1 make test`, which otherwise \
    plays each row to a whole door and holds the door's log against it. A `-` stands for nothing.\n\n";

const HIDDEN: &str = "\nWhat Pingora 0.9.1 hides:\n\n\
    - A `Content-Length` beside a `Transfer-Encoding` in a response: it is dropped before anybody can look.\n\
    - A client that leaves while an endpoint is being connected to: the door sees that once it is connected. If it never \
    is, the log has why not.\n\
    - How far a handshake is that is not over: a `deadline` within it has the phase `connect`.\n\
    - How much of a head had come when `idle` struck within it, and 1xx responses by HTTP/2.\n\
    - By HTTP/2, a GOAWAY that does not leave the request out, when the connection ends before the response: only the \
    end is told, and whether it was a reset.\n";

async fn differs(row: Row) -> Option<String> {
    let (what, expected) = (row.what, (row.status, row.cause, row.phase));
    let line = match tokio::spawn(row.play).await {
        Ok(line) => line,
        Err(error) => return Some(format!("{what}: {error}")),
    };
    let text = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
    let (cause, phase, detail) = (text("cause"), text("phase"), text("detail"));
    let found = (line["status"].as_u64().unwrap_or_default(), &*cause, &*phase);
    let is_as_expected = found == expected && detail.contains(row.says);
    (!is_as_expected)
        .then(|| format!("{what}:\n  expected {expected:?} {:?}\n  found    {found:?} {detail:?}", row.says))
}

// More threads than cores: a door that starts keeps one busy for long, and no other row is to wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn each_way_to_fail_has_its_own_status_cause_and_phase() {
    let wrong: Vec<String> = stream::iter(rows::all())
        .map(differs)
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the README's table has.
fn all_causes() -> BTreeSet<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, table) = readme.split_once("<!-- causes").expect("the table of causes");
    let (table, _) = table.split_once("<!-- end of causes").expect("its end");
    let codes = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    codes.map(|(code, _)| code.to_owned()).collect()
}

#[test]
fn no_cause_is_without_a_row_or_a_reason_not_to_have_one() {
    let rows = rows::all();
    let shown = rows.iter().map(|row| row.cause.to_owned()).filter(|cause| cause != "-");
    let known: BTreeSet<String> = shown.chain(ELSEWHERE.iter().map(|(cause, _)| (*cause).to_owned())).collect();
    assert_eq!(known, all_causes());
}

#[test]
fn the_docs_have_the_table() {
    let rows = rows::all();
    let words: BTreeSet<&str> = rows.iter().map(|row| row.what).collect();
    assert_eq!(words.len(), rows.len(), "two rows with the same words");
    let mut page = format!(
        "{INTRODUCTION}| what happens | status | cause | phase | the log's detail has |\n|---|---|---|---|---|\n"
    );
    for Row { what, status, cause, phase, says, .. } in &rows {
        let says = if says.is_empty() { "-" } else { says };
        page += &format!("| {what} | {status} | `{cause}` | {phase} | {says} |\n");
    }
    page += "\nNot here:\n\n";
    ELSEWHERE.iter().for_each(|(cause, why)| page += &format!("- `{cause}`: {why}\n"));
    page += HIDDEN;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/zoo.md");
    if std::env::var_os("ONEDOOR_WRITE_DOCS").is_some() {
        fs::write(path, page).unwrap();
    } else {
        assert!(fs::read_to_string(path).unwrap() == page, "write tests/it/zoo.md anew with ONEDOOR_WRITE_DOCS=1");
    }
}
