//! The filters of a route, in the order in which they run.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use serde::Serialize;

use super::concern::Concern;
use super::guard::Guard;
use super::message::{Request, Response};
use super::registry::Stage;
use super::{Error, Filter, Flow, Reply, Result};

/// The filters of a route, in the order in which requests pass them; responses pass them the other way round.
#[derive(Clone, Default)]
pub struct Chain {
    links: Vec<Link>,
}

/// One filter in a chain.
#[derive(Clone)]
pub struct Link {
    /// Its kind, as the file has it.
    pub kind: &'static str,
    /// What it does.
    pub filter: Arc<dyn Filter>,
    /// What becomes of a request when it fails.
    pub on_error: OnError,
    /// Where it runs among the others.
    pub order: Order,
    /// What runs at another stage besides.
    pub also: Option<(Stage, Arc<dyn Filter>)>,
    /// Whether every answer passes through it, also one made by a filter before it.
    pub is_unrouted: bool,
    /// What it says against its own settings.
    pub concerns: Arc<[Concern]>,
    /// What it sees to in the headers of requests.
    pub(crate) guard: Arc<Guard>,
}

/// Where a filter runs among the others: by its stage, and within that in the order of the registration.
pub type Order = (Stage, usize);

/// What becomes of a request when a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It is refused with a 500.
    #[default]
    Closed,
    /// It goes on as if the filter had not been there, and the log says so.
    Open,
}

/// What a chain made of a request.
#[derive(Debug)]
pub enum Outcome {
    /// All filters let it pass.
    Continue,
    /// This kind of filter answered it.
    Reply(&'static str, Reply),
    /// This kind of filter failed, and is not one that may.
    Failed(Failure),
}

/// A filter that failed.
#[derive(Debug)]
pub struct Failure {
    /// The filter's kind.
    pub kind: &'static str,
    /// What went wrong.
    pub error: Error,
}

/// What `explain` shows of one filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The filter's kind.
    pub kind: &'static str,
    /// `continue`, `reply 403`, `failed`, `failed open`, or `not reached`.
    pub verdict: String,
    /// Why, and what it changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Chain {
    /// A chain of these filters, in the order of their stages.
    pub fn new(links: Vec<Link>) -> Self {
        let mut links: Vec<Link> = links.into_iter().flat_map(Link::parts).collect();
        links.sort_by_key(|link| link.order);
        Self { links }
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether there is a filter of this kind.
    pub fn has(&self, kind: &str) -> bool {
        self.links.iter().any(|link| link.kind == kind)
    }

    /// The filters, in the order in which requests pass them.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Runs the filters on a request. `entered` counts those that were called, which are those that
    /// [`Chain::response`] has to call on the way back. With `trace`, a verdict on each filter is written down.
    pub async fn request(
        &self,
        request: &mut Request<'_>,
        entered: &mut usize,
        mut trace: Option<&mut Vec<Verdict>>,
    ) -> Outcome {
        for link in &self.links {
            *entered += 1;
            let before = request.edits.mark();
            let result = guarded(link.filter.request(request)).await;
            if let Some(trace) = trace.as_deref_mut() {
                let mut verdict = link.verdict(&result);
                verdict.notes.extend(request.notes.as_deref_mut().map(std::mem::take).unwrap_or_default());
                verdict.notes.extend(request.edits.as_slice()[before.1..].iter().map(ToString::to_string));
                trace.push(verdict);
            }
            match result {
                Ok(Flow::Continue) => {}
                Ok(Flow::Reply(reply)) => return Outcome::Reply(link.kind, reply),
                Err(error) if link.on_error == OnError::Open => {
                    request.edits.take_back(before);
                    link.opened(request.subject.request_id, &error);
                }
                Err(error) => return Outcome::Failed(Failure { kind: link.kind, error }),
            }
        }
        Outcome::Continue
    }

    /// Runs the filters that were entered on the response, the last first, and those that every answer passes through.
    ///
    /// # Errors
    /// The first filter that fails and may not (see [`OnError`]). The others have run all the same, so an error page
    /// made in place of the response carries what they add.
    pub async fn response(&self, response: &mut Response<'_>, entered: usize) -> std::result::Result<(), Failure> {
        let mut failed = None;
        let links = self.links.iter().enumerate().rev();
        for (_, link) in links.filter(|(index, link)| *index < entered || link.is_unrouted) {
            let before = response.edits.mark();
            match guarded(link.filter.response(response)).await {
                Ok(()) => {}
                Err(error) if link.on_error == OnError::Open => {
                    response.edits.take_back(before);
                    link.opened(response.subject.request_id, &error);
                }
                Err(error) => {
                    response.edits.take_back(before);
                    failed.get_or_insert(Failure { kind: link.kind, error });
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Link {
    /// Itself, and what runs at another stage as a link of its own.
    fn parts(mut self) -> impl Iterator<Item = Self> {
        let also = self.also.take().map(|(stage, filter)| Self {
            filter,
            order: (stage, self.order.1),
            concerns: Arc::default(),
            ..self.clone()
        });
        std::iter::once(self).chain(also)
    }

    fn verdict(&self, result: &Result<Flow>) -> Verdict {
        let (verdict, note) = match result {
            Ok(Flow::Continue) => ("continue".to_owned(), None),
            Ok(Flow::Reply(reply)) => (format!("reply {}", reply.status.as_u16()), reply.reason.clone()),
            Err(error) if self.on_error == OnError::Open => ("failed open".to_owned(), Some(error.to_string())),
            Err(error) => ("failed".to_owned(), Some(error.to_string())),
        };
        Verdict { kind: self.kind, verdict, notes: note.into_iter().collect() }
    }

    fn opened(&self, request_id: &str, error: &Error) {
        log::warn!(
            "request {request_id}: filter `{}` failed and is `on_error: open`, so it was passed by: {error}",
            self.kind
        );
    }
}

/// A panic in a filter costs one request: it counts as the filter's error.
async fn guarded<T>(filter: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(filter).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(format!("panicked: {}", panic_message(&*panic)).into()),
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
