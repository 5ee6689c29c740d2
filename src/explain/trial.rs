//! The file's own `tests`, put to the engine.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::{Endpoints, Explanation, Peer, Question, asked};
use crate::config::{Problem, Test};
use crate::snapshot::{Action, Snapshot};

/// A test of the file that does not hold.
#[derive(Debug)]
pub struct Shortfall {
    /// Its position in the file's list.
    pub index: usize,
    /// What was expected and what would be.
    pub problem: Problem,
    /// Everything that the engine says of the request.
    pub explanation: Option<Explanation>,
}

/// Puts every test of a snapshot's file to the engine; what comes back are those that don't hold. They are about the
/// file, so an endpoint that is down, or not found yet, fails none: it must not keep a door from starting.
pub async fn try_all(snapshot: &Arc<Snapshot>) -> Vec<Shortfall> {
    let mut shortfalls = Vec::new();
    for (index, test) in snapshot.config().tests.iter().enumerate() {
        let question = match question(test) {
            Ok(question) => question,
            Err(message) => {
                shortfalls.push(Shortfall { index, problem: problem(snapshot, index, message), explanation: None });
                continue;
            }
        };
        let explanation = asked(snapshot, &question, Endpoints::AsTheFileHasThem).await;
        let wrong = compare(snapshot, test, &explanation);
        if let Some((key, _)) = wrong.first() {
            let sentences: Vec<&str> = wrong.iter().map(|(_, sentence)| sentence.as_str()).collect();
            let message = format!("{} {}: {}", test.method, test.target, sentences.join("; "));
            let path = ["tests", &index.to_string(), "expect", key];
            let problem = snapshot.config().source.problem(&path, message);
            shortfalls.push(Shortfall { index, problem, explanation: Some(explanation) });
        }
    }
    shortfalls
}

fn problem(snapshot: &Snapshot, index: usize, message: String) -> Problem {
    snapshot.config().source.problem(&["tests", &index.to_string()], message)
}

fn question(test: &Test) -> Result<Question, String> {
    let method = Method::from_bytes(test.method.as_bytes()).map_err(|_| format!("`{}` is no method", test.method))?;
    let mut question = Question::new(method, test.target.clone());
    if !test.identity.is_empty() {
        question.assume(test.identity.clone());
    }
    if let Some(ip) = test.from {
        question.peer = Peer::Inet(SocketAddr::new(ip, 0));
    }
    for (name, value) in test.host.iter().map(|host| ("host", host)).chain(test.headers.iter().map(|(n, v)| (&**n, v)))
    {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header's name"))?;
        let value =
            HeaderValue::from_str(value).map_err(|_| format!("`{name}` has a value that no header can carry"))?;
        question.headers.append(name, value);
    }
    Ok(question)
}

/// What is not as the test has it: the key of `expect`, and a sentence.
fn compare(snapshot: &Snapshot, test: &Test, found: &Explanation) -> Vec<(&'static str, String)> {
    let expect = &test.expect;
    let mut wrong = Vec::new();
    let status = found.status.map(|status| match (found.cause, &found.detail) {
        (Some(cause), Some(detail)) => format!("{status} ({cause}: {detail})"),
        (Some(cause), None) => format!("{status} ({cause})"),
        _ => status.to_string(),
    });
    // What the door does instead, where it is something of another kind.
    let instead = match (&found.upstream, &status) {
        (Some(upstream), None) => format!("none: it goes on to `{upstream}`"),
        (None, Some(status)) => format!("none: the door answers {status}"),
        _ => "none".to_owned(),
    };
    let mut check = |key: &'static str, what: &str, expected: Option<String>, found: Option<String>| {
        if let Some(expected) = expected
            && found.as_ref() != Some(&expected)
        {
            let shown = |text: String| if text.is_empty() { "\"\"".to_owned() } else { text };
            let found = found.map(shown).unwrap_or_else(|| instead.clone());
            wrong.push((key, format!("{what} is {found}, not {}", shown(expected))));
        }
    };
    let wants = expect.status.map(|status| status.0.to_string());
    let same = wants.is_some() && wants == found.status.map(|status| status.to_string());
    check("status", "the status", wants.filter(|_| !same), status.clone());
    check("route", "the route", expect.route.as_ref().map(ToString::to_string), found.route.clone());
    check(
        "path",
        "the path that goes on",
        expect.path.clone(),
        found.path.clone().filter(|_| found.upstream.is_some()),
    );
    let to = expect.to.as_ref().map(ToString::to_string);
    let among = to.as_ref().is_some_and(|to| found.upstream.is_some() && goes_to(snapshot, found, to));
    check("to", "the upstream", to.filter(|_| !among), found.upstream.clone());
    for (name, expected) in &expect.headers {
        let values: Vec<&str> = found
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        let value = (!values.is_empty()).then(|| values.join(", "));
        match expected {
            Some(expected) => check("headers", &format!("the header {name}"), Some(expected.clone()), value),
            None if value.is_some() => check("headers", &format!("the header {name}"), Some("absent".into()), value),
            None => {}
        }
    }
    wrong
}

/// Whether an upstream is one of those that the route shares its requests among.
fn goes_to(snapshot: &Snapshot, found: &Explanation, to: &str) -> bool {
    let route = snapshot.routes().iter().find(|route| Some(&*route.name) == found.route.as_deref());
    match route.map(|route| &route.action) {
        Some(Action::Forward(forward)) => {
            forward.targets.iter().any(|target| target.weight > 0 && &**target.upstream.name() == to)
        }
        _ => false,
    }
}
