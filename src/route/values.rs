//! Whether several tests of one header or query parameter can hold at once, and for which value.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::{primitives::StateID, start, syntax};

use super::condition::{Subject, Test, Wanted};

/// What satisfies several tests at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shared {
    /// Nothing does.
    Nothing,
    /// That there is no such header or parameter.
    Absence,
    /// This value.
    Value(Vec<u8>),
    /// It would take too long to find out.
    Unknown,
}

/// Bytes that one automaton may take, and again what making it may take.
const AUTOMATON_SIZE: usize = 4 << 20;

/// How many combinations of states are looked at.
const STATES: usize = 20_000;

type Dfa = dense::DFA<Vec<u32>>;

/// Finds values that satisfy several tests; keeps the automata that it made.
#[derive(Default)]
pub(super) struct Values {
    /// By expression. `None` for one that became too big.
    made: HashMap<String, Option<Rc<Dfa>>>,
}

impl Values {
    pub(super) fn shared(&mut self, subject: &Subject, tests: &[&Test]) -> Shared {
        let absent = tests.iter().filter(|test| matches!(test.0, Wanted::Present(false))).count();
        if absent > 0 {
            return if absent == tests.len() { Shared::Absence } else { Shared::Nothing };
        }
        let exact = tests.iter().find_map(|test| match &test.0 {
            Wanted::Exact(text) => Some(text.as_bytes()),
            _ => None,
        });
        if let Some(value) = exact {
            let holds = can_be_sent(subject, value) && tests.iter().all(|test| test.holds(Some(value)));
            return if holds { Shared::Value(value.to_vec()) } else { Shared::Nothing };
        }
        if let Some(shared) = shared_of_prefixes(subject, tests) {
            return shared;
        }
        let mut automata = Vec::new();
        for test in tests {
            let expression = match &test.0 {
                Wanted::Regex(_, regex) => regex.as_str().to_owned(),
                Wanted::Prefix(text) => format!(r"\A(?:{}(?s-u:.*))\z", regex::escape(text)),
                Wanted::Exact(_) | Wanted::Present(_) => continue,
            };
            match self.automaton(expression) {
                Some(automaton) => automata.push(automaton),
                None => return Shared::Unknown,
            }
        }
        intersect(&automata, subject)
    }

    fn automaton(&mut self, expression: String) -> Option<Rc<Dfa>> {
        self.made.entry(expression).or_insert_with_key(|expression| build(expression).map(Rc::new)).clone()
    }
}

/// Prefixes and mere presence need no automaton. `None` if there is an expression among the tests.
fn shared_of_prefixes(subject: &Subject, tests: &[&Test]) -> Option<Shared> {
    let mut longest = "";
    for test in tests {
        match &test.0 {
            Wanted::Prefix(text) if text.len() > longest.len() => longest = text,
            Wanted::Regex(..) => return None,
            _ => {}
        }
    }
    let mut value = longest.as_bytes().to_vec();
    if value.last().is_none_or(|byte| is_blank(*byte)) {
        value.push(b'x');
    }
    let holds = can_be_sent(subject, &value) && tests.iter().all(|test| test.holds(Some(&value)));
    Some(if holds { Shared::Value(value) } else { Shared::Nothing })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether a byte can stand in a value: in a header's those of RFC 9110, 5.5, in a query's all, as they are encoded.
fn is_possible(subject: &Subject, byte: u8) -> bool {
    matches!(subject, Subject::Query(_)) || byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Blanks around a header's value are not part of it.
fn can_be_sent(subject: &Subject, value: &[u8]) -> bool {
    let is_trimmed = |byte: Option<&u8>| byte.is_none_or(|byte| !is_blank(*byte));
    value.iter().all(|byte| is_possible(subject, *byte))
        && (matches!(subject, Subject::Query(_)) || (is_trimmed(value.first()) && is_trimmed(value.last())))
}

fn build(expression: &str) -> Option<Dfa> {
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .dfa_size_limit(Some(AUTOMATON_SIZE))
        .determinize_size_limit(Some(AUTOMATON_SIZE));
    dense::Builder::new()
        .syntax(syntax::Config::new().utf8(false))
        .thompson(thompson::Config::new().utf8(false))
        .configure(config)
        .build(expression)
        .ok()
}

/// One combination of states that was reached, and how.
struct Reached {
    states: Vec<StateID>,
    before: Option<usize>,
    byte: u8,
}

/// The shortest value that all automata accept; of several that are as short, one that is easy to read.
fn intersect(automata: &[Rc<Dfa>], subject: &Subject) -> Shared {
    let anchored = start::Config::new().anchored(Anchored::Yes);
    let Ok(states) = automata.iter().map(|dfa| dfa.start_state(&anchored)).collect::<Result<Vec<_>, _>>() else {
        return Shared::Unknown;
    };
    let is_header = matches!(subject, Subject::Header(_));
    let bytes: Vec<u8> = readable_first().filter(|byte| is_possible(subject, *byte)).collect();
    // A blank must not be the last byte of a header's value, so it makes another combination.
    let mut seen = HashSet::from([(states.clone(), false)]);
    let mut reached = vec![Reached { states, before: None, byte: 0 }];
    let mut queue = VecDeque::from([0]);
    while let Some(at) = queue.pop_front() {
        let Reached { states, before, byte } = &reached[at];
        let (is_first, ends_blank) = (before.is_none(), before.is_some() && is_header && is_blank(*byte));
        let accepts = |(dfa, state): (&Rc<Dfa>, &StateID)| dfa.is_match_state(dfa.next_eoi_state(*state));
        if !ends_blank && automata.iter().zip(states).all(accepts) {
            return Shared::Value(spell(&reached, at));
        }
        let states = states.clone();
        for byte in bytes.iter().copied().filter(|byte| !(is_first && is_header && is_blank(*byte))) {
            let next: Vec<StateID> =
                automata.iter().zip(&states).map(|(dfa, state)| dfa.next_state(*state, byte)).collect();
            if automata.iter().zip(&next).any(|(dfa, state)| dfa.is_quit_state(*state)) {
                return Shared::Unknown;
            }
            let is_dead = automata.iter().zip(&next).any(|(dfa, state)| dfa.is_dead_state(*state));
            if !is_dead && seen.insert((next.clone(), is_header && is_blank(byte))) {
                if reached.len() >= STATES {
                    return Shared::Unknown;
                }
                queue.push_back(reached.len());
                reached.push(Reached { states: next, before: Some(at), byte });
            }
        }
    }
    Shared::Nothing
}

fn readable_first() -> impl Iterator<Item = u8> {
    let rank = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'0'..=b'9' => 1,
        b'A'..=b'Z' => 2,
        b'!'..=b'~' => 3,
        b' ' => 4,
        _ => 5,
    };
    (0..6).flat_map(move |wanted| (0..=255).filter(move |byte| rank(*byte) == wanted))
}

fn spell(reached: &[Reached], mut at: usize) -> Vec<u8> {
    let mut value = Vec::new();
    while let Reached { before: Some(before), byte, .. } = &reached[at] {
        value.push(*byte);
        at = *before;
    }
    value.reverse();
    value
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn header() -> Subject {
        Subject::Header(HeaderName::from_static("x-v"))
    }

    fn regex(text: &str) -> Test {
        Test::regex(text).unwrap()
    }

    fn shared(tests: &[Test]) -> Shared {
        Values::default().shared(&header(), &tests.iter().collect::<Vec<_>>())
    }

    fn value(text: &str) -> Shared {
        Shared::Value(text.into())
    }

    #[test]
    fn exact_values_exclude_each_other() {
        assert_eq!(shared(&[Test::exact("a"), Test::exact("b")]), Shared::Nothing);
        assert_eq!(shared(&[Test::exact("a"), Test::exact("a")]), value("a"));
        assert_eq!(shared(&[Test::exact("ab"), Test::prefix("a"), regex("..")]), value("ab"));
        assert_eq!(shared(&[Test::exact("ab"), regex("a")]), Shared::Nothing);
    }

    #[test]
    fn presence_and_absence_exclude_each_other() {
        assert_eq!(shared(&[Test::present(false), Test::present(false)]), Shared::Absence);
        assert_eq!(shared(&[Test::present(false), Test::exact("a")]), Shared::Nothing);
        assert_eq!(shared(&[Test::present(true), Test::present(true)]), value("x"));
        assert_eq!(shared(&[Test::present(true), regex("b+")]), value("b"));
    }

    #[test]
    fn prefixes_and_expressions_are_intersected() {
        assert_eq!(shared(&[Test::prefix("ab"), Test::prefix("a")]), value("ab"));
        assert_eq!(shared(&[Test::prefix("ab"), Test::prefix("b")]), Shared::Nothing);
        assert_eq!(shared(&[Test::prefix("v1."), regex("v[0-9]+\\.[0-9]")]), value("v1.0"));
        assert_eq!(shared(&[Test::prefix("v1."), regex("v[2-9].*")]), Shared::Nothing);
        assert_eq!(shared(&[regex("(aa)+"), regex("(aaa)+")]), value("aaaaaa"));
        assert_eq!(shared(&[regex("a*b"), regex("a*c")]), Shared::Nothing);
        assert_eq!(shared(&[regex(r"\d+"), regex("[^0-9]*x")]), Shared::Nothing);
    }

    #[test]
    fn blanks_around_a_headers_value_are_not_part_of_it() {
        assert_eq!(shared(&[regex(" a"), regex(".a")]), Shared::Nothing);
        assert_eq!(shared(&[regex("a .?"), regex("a.*")]), value("a a"));
        assert_eq!(shared(&[Test::exact("a ")]), Shared::Nothing);
        assert_eq!(shared(&[Test::prefix("a ")]), value("a x"));
        assert_eq!(shared(&[regex(r"\x00+"), regex(r"\x00")]), Shared::Nothing);
        let query = Subject::Query("q".into());
        let (a, b) = (regex(r" +"), regex(r"\s"));
        assert_eq!(Values::default().shared(&query, &[&a, &b]), Shared::Value(b" ".to_vec()));
    }

    #[test]
    fn what_is_too_big_is_unknown() {
        assert_eq!(shared(&[regex("(a|b)*a(a|b){18}"), regex("[ab]*")]), Shared::Unknown);
    }

    fn test() -> impl Strategy<Value = Test> {
        let text = "[ab]{0,2}";
        prop_oneof![
            text.prop_map(|text| Test::exact(&text)),
            text.prop_map(|text| Test::prefix(&text)),
            any::<bool>().prop_map(Test::present),
            prop::sample::select(vec!["a*", "b+a?", "(ab)*", "a|b", "[^a]", "..", ""]).prop_map(regex),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn it_agrees_with_trying_all_values(tests in prop::collection::vec(test(), 1..4)) {
            let mut candidates: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
            let mut layer = vec![Vec::new()];
            for _ in 0..4 {
                layer = layer
                    .iter()
                    .flat_map(|text: &Vec<u8>| b"abc".iter().map(move |byte| [&**text, &[*byte]].concat()))
                    .collect();
                candidates.extend(layer.iter().cloned().map(Some));
            }
            let possible = candidates.iter().any(|value| tests.iter().all(|test| test.holds(value.as_deref())));
            match shared(&tests) {
                Shared::Nothing => prop_assert!(!possible),
                Shared::Absence => prop_assert!(tests.iter().all(|test| test.holds(None))),
                Shared::Value(value) => prop_assert!(tests.iter().all(|test| test.holds(Some(&value)))),
                Shared::Unknown => prop_assert!(false),
            }
        }
    }
}
