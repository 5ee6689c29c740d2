//! The limits that are asked at one stage of the chain, together.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};

use super::gcra::Standing;
use super::rule::{Key, Rule};
use super::shared::Shared;
use crate::filter::{Edit, Filter, Flow, Reply, Request, Response, Result, Stage, async_trait};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// See the module. All of its limits admit a request, or it spends of none.
pub(super) struct Part {
    /// Where it runs.
    pub(super) stage: Stage,
    /// First the door's own, then those that are shared.
    rules: Vec<Rule>,
    /// How many are the door's own.
    own: usize,
    shared: Option<Arc<Shared>>,
    /// `RateLimit-Policy`, the same for all.
    policy: Option<HeaderValue>,
}

/// How a request stands with the rule of this position.
#[derive(Debug, Clone, Copy)]
struct Told {
    rule: usize,
    standing: Standing,
}

/// What is kept for the response.
#[derive(Debug, Clone, Default)]
struct Standings {
    early: Vec<Told>,
    by_identity: Vec<Told>,
}

impl Standings {
    fn of(&mut self, stage: Stage) -> &mut Vec<Told> {
        if stage == Stage::RateByIdentity { &mut self.by_identity } else { &mut self.early }
    }
}

impl Part {
    /// Of these limits; those that are shared by this server.
    pub(super) fn new(stage: Stage, mut rules: Vec<Rule>, shared: Option<Arc<Shared>>) -> Self {
        rules.sort_by_key(|rule| rule.limit.shared.is_some());
        let own = rules.iter().filter(|rule| rule.limit.shared.is_none()).count();
        let policy: Vec<String> = rules.iter().filter(|rule| !rule.limit.dry_run).map(Rule::policy).collect();
        let policy = Some(policy.join(", ")).filter(|policy| !policy.is_empty());
        let policy = policy.and_then(|policy| HeaderValue::try_from(policy).ok());
        Self { stage, rules, own, shared, policy }
    }

    /// Asks all limits, and takes back what was spent if one refuses: then only those that did are told.
    async fn take(&self, request: &Request<'_>, now: Instant) -> Vec<Told> {
        let mut told = Vec::with_capacity(self.rules.len());
        let admitted = self.take_own(&self.rules[..self.own], request, now, &mut told);
        if admitted && self.own < self.rules.len() && !self.take_shared(request, now, &mut told).await {
            // The server lets a request through all or none, so it has nothing to take back.
            self.take_own(&self.rules[self.own..], request, now, &mut told);
        }
        if told.iter().any(|told| self.rules[told.rule].refuses(told.standing)) {
            told.retain(|told| self.rules[told.rule].refuses(told.standing));
        }
        told
    }

    /// Asks the door's own buckets of some limits, which follow those that were asked. Whether all let it through; if
    /// one did not, none has been spent of, nor of those that were asked before.
    fn take_own(&self, rules: &[Rule], request: &Request<'_>, now: Instant, told: &mut Vec<Told>) -> bool {
        for rule in rules {
            let standing = rule.take(rule.key(request), now);
            told.push(Told { rule: told.len(), standing });
            if rule.refuses(standing) {
                self.give_back(request, told);
                return false;
            }
        }
        true
    }

    fn give_back(&self, request: &Request<'_>, told: &[Told]) {
        for Told { rule, standing } in told.iter().filter(|told| told.standing.admitted) {
            let rule = &self.rules[*rule];
            rule.give_back(rule.key(request), *standing);
        }
    }

    /// Asks the shared server; `false` if it cannot be asked.
    async fn take_shared(&self, request: &Request<'_>, now: Instant, told: &mut Vec<Told>) -> bool {
        let Some(shared) = &self.shared else { return false };
        let rules = &self.rules[self.own..];
        let asks: Vec<_> = rules.iter().map(|rule| rule.ask(rule.key(request))).collect();
        let Some(said) = shared.take(&asks).await else { return false };
        let standings: Vec<Standing> = rules.iter().zip(said).map(|(rule, said)| rule.standing(said)).collect();
        if rules.iter().zip(&standings).any(|(rule, standing)| rule.refuses(*standing)) {
            self.give_back(request, told);
        } else {
            // What the door's own buckets know when they have to take over: what this door has let through.
            rules.iter().for_each(|rule| {
                rule.take(rule.key(request), now);
            });
        }
        told.extend(
            standings.into_iter().enumerate().map(|(index, standing)| Told { rule: self.own + index, standing }),
        );
        true
    }

    /// What the door's own buckets would say.
    fn peek(&self, request: &mut Request<'_>, now: Instant) -> Vec<Told> {
        let told: Vec<Told> = self
            .rules
            .iter()
            .enumerate()
            .map(|(rule, known)| Told { rule, standing: known.peek(known.key(request), now) })
            .collect();
        for Told { rule, standing } in &told {
            let rule = &self.rules[*rule];
            let whence = if rule.limit.shared.is_some() { ", as far as this door has counted" } else { "" };
            let sentence = format!("{}{whence}", story(rule, rule.key(request), *standing));
            request.note(|| sentence);
        }
        told
    }

    /// The answer to a request that a limit refuses: that of the limit that keeps it waiting longest.
    fn refusal(&self, request: &Request<'_>, told: &[Told]) -> Option<Reply> {
        let refused = told.iter().filter(|told| self.rules[told.rule].refuses(told.standing));
        let Told { rule, standing } = refused.max_by_key(|told| told.standing.wait)?;
        let rule = &self.rules[*rule];
        let seconds = seconds(*standing).max(1);
        let reply = Reply::problem(429, format!("too many requests; the next may come in {seconds} s"))
            .with_header(RETRY_AFTER, HeaderValue::from(seconds))
            .because("rate_limited", story(rule, rule.key(request), *standing));
        Some(reply)
    }

    /// `RateLimit`, of the limits that are no dry run.
    fn limit_field(&self, told: &[Told]) -> Option<HeaderValue> {
        let mut field = String::with_capacity(48);
        for Told { rule, standing } in told.iter().filter(|told| !self.rules[told.rule].limit.dry_run) {
            let separator = if field.is_empty() { "" } else { ", " };
            let name = &self.rules[*rule].name;
            write!(field, "{separator}\"{name}\";r={};t={}", standing.left, seconds(*standing)).ok()?;
        }
        Some(field).filter(|field| !field.is_empty()).and_then(|field| HeaderValue::try_from(field).ok())
    }
}

/// Whole seconds, rounded up: who waits for so long does not come too early.
fn seconds(standing: Standing) -> u64 {
    u64::try_from(standing.wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

/// For the log and `explain`.
fn story(rule: &Rule, key: Key<'_>, standing: Standing) -> String {
    let verdict = match (standing.admitted, rule.limit.dry_run) {
        (true, _) => format!("{} more at once", standing.left),
        (false, dry) => {
            let dry = if dry { " (dry run: it would be refused)" } else { "" };
            format!("the next in {:?}{dry}", standing.wait)
        }
    };
    let pooled = if standing.pooled { ", from the bucket of those without room" } else { "" };
    format!("`{}` ({rule}) of {key}{pooled}: {verdict}", rule.name)
}

#[async_trait]
impl Filter for Part {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        let now = Instant::now();
        let told = if request.rehearsal { self.peek(request, now) } else { self.take(request, now).await };
        if !request.rehearsal {
            told.iter().for_each(|told| self.rules[told.rule].passed_dry(told.standing, now));
        }
        let refusal = self.refusal(request, &told);
        if self.policy.is_some() {
            *request.subject.kept.get_or_insert_with(Standings::default).of(self.stage) = told;
        }
        Ok(refusal.map_or(Flow::Continue, Flow::Reply))
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let standings = response.subject.kept.get_mut::<Standings>();
        if let Some(field) = standings.and_then(|standings| self.limit_field(standings.of(self.stage))) {
            response.edits.push(Edit::Add(POLICY, policy.clone()));
            response.edits.push(Edit::Add(LIMIT, field));
        }
        Ok(())
    }
}
