use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::yaml;
use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    path: String,
    #[serde(default)]
    count: u16,
    #[serde(default)]
    strip: bool,
    #[serde(default)]
    list: Vec<String>,
    inner: Option<Inner>,
    #[serde(default)]
    by: By,
    #[serde(default)]
    many: BTreeMap<String, Inner>,
    ratio: Option<f64>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    address: String,
    weight: Option<i64>,
}

#[derive(Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    RoundRobin,
    Hash(String),
    Sticky {
        cookie: String,
    },
}

fn tree(text: &str) -> Node {
    let mut problems = Vec::new();
    let mut node = yaml::parse(text.as_bytes(), &"t".into(), &mut problems).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    node.number();
    node
}

fn decoded<T: DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    let mut problems = Vec::new();
    let value = decode(&tree(text), &["a"], &[], &mut problems);
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(value.is_some(), told.is_empty(), "{told:?}");
    value.ok_or(told)
}

fn problems(text: &str) -> Vec<String> {
    decoded::<Shape>(text).unwrap_err()
}

#[test]
fn where_text_is_expected_every_plain_scalar_is_text() {
    let shape: Shape = decoded("{path: no, list: [200, 1.5, true, 0x1f, '', off], inner: {address: 007}}").unwrap();
    assert_eq!(shape.path, "no");
    assert_eq!(shape.list, ["200", "1.5", "true", "0x1f", "", "off"]);
    assert_eq!(shape.inner.unwrap().address, "007");
}

#[test]
fn numbers_and_truth_values_stand_without_quotes() {
    let shape: Shape =
        decoded("{path: a, count: 65535, strip: true, ratio: 3, inner: {address: a, weight: -5}}").unwrap();
    assert_eq!((shape.count, shape.strip, shape.ratio), (65535, true, Some(3.0)));
    assert_eq!(shape.inner.unwrap().weight, Some(-5));
    assert_eq!(
        problems("{path: a, count: '5', strip: 'true', ratio: \"1.5\"}"),
        [
            "t:1:18: a.count: expected a whole number from 0 to 65535, found the text \"5\"; take the quotes away",
            "t:1:30: a.strip: expected `true` or `false`, found the text \"true\"; take the quotes away",
            "t:1:45: a.ratio: expected a number, found the text \"1.5\"; take the quotes away",
        ]
    );
    assert_eq!(
        problems("{path: a, count: 70000, strip: yes, ratio: x}"),
        [
            "t:1:18: a.count: expected a whole number from 0 to 65535, found the number 70000",
            "t:1:32: a.strip: expected `true` or `false`, found the text `yes`; write `true`",
            "t:1:44: a.ratio: expected a number, found the text `x`",
        ]
    );
    for number in ["-1", "1.0", "1_000", "0x", "+-5", "--5", "99999999999999999999999999999999999999999"] {
        assert_eq!(problems(&format!("{{path: a, count: {number}}}")).len(), 1, "{number}");
    }
}

#[test]
fn nothing_stands_behind_no_key_of_the_language() {
    let why = "nothing stands behind this key; give it a value, or take the key away";
    assert_eq!(
        problems("path:\nlist: null\ninner: ~\n"),
        [format!("t:1:1: a.path: {why}"), format!("t:2:7: a.list: {why}"), format!("t:3:8: a.inner: {why}")]
    );
    assert_eq!(decoded("{a: ~, b: 1}"), Ok(BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(1))])));
}

#[test]
fn what_looks_like_a_list_in_quotes_is_told_to_be_text() {
    let told = problems("{path: a, list: '[a, b]'}");
    assert_eq!(told, ["t:1:17: a.list: expected a list, found the text \"[a, b]\"; take the quotes away"]);
}

#[test]
fn an_unknown_key_is_told_at_the_key_with_what_was_meant() {
    assert_eq!(
        problems("path: a\ninner:\n  adress: b\n"),
        ["t:3:3: a.inner.adress: unknown key `adress`; did you mean `address`? allowed: `address`, `weight`"]
    );
    let told = problems("{pth: a, zzz: 1}");
    assert_eq!(told.len(), 2, "a missing key that was misspelt is told once: {told:?}");
    assert!(told[1].starts_with("t:1:10: a.zzz: unknown key `zzz`; allowed: `path`, `count`"), "{told:?}");
    let told = problems("{path: x, inner: {'address:b': , address: x}}");
    assert!(told[0].contains("put a space behind the colon: `address: b`"), "{told:?}");
    let told = problems("{path: x, inner: {address b: , address: x}}");
    assert!(told[0].contains("put a colon behind the key: `address: b`"), "{told:?}");
}

#[test]
fn a_missing_key_is_told_at_the_map() {
    assert_eq!(problems("  {count: 1}"), ["t:1:3: a: `path` is missing"]);
    assert_eq!(problems("{path: a, many: {x: {}, y: {weight: 1}}}").len(), 2);
}

#[test]
fn all_problems_are_told_at_once() {
    let text = "\
path: [a]
count: x
strip: 1
list: GET
inner: {address: {}, wieght: 1}
by: {hash: []}
many:
  x: {address: ok}
  y: {address: []}
  z: 5
";
    let told = problems(text);
    for (line, words) in [
        (1, "a.path: expected text, found a list"),
        (2, "a.count: expected a whole number from 0 to 65535, found the text `x`"),
        (3, "a.strip: expected `true` or `false`, found the number 1"),
        (4, "a.list: expected a list, found the text `GET`; write `[GET]`"),
        (5, "a.inner.address: expected text, found a map"),
        (5, "a.inner.wieght: unknown key `wieght`; did you mean `weight`?"),
        (6, "a.by.hash: expected text, found a list"),
        (9, "a.many.y.address: expected text, found a list"),
        (10, "a.many.z: expected a map, found the number 5; allowed keys: `address`, `weight`"),
    ] {
        let found = told.iter().any(|told| told.starts_with(&format!("t:{line}:")) && told.contains(words));
        assert!(found, "{words} is not in {told:#?}");
    }
    assert_eq!(told.len(), 9, "{told:#?}");
}

#[test]
fn an_enum_is_a_word_or_a_map_of_one_key() {
    assert_eq!(decoded::<By>("round_robin"), Ok(By::RoundRobin));
    assert_eq!(decoded::<By>("{hash: x}"), Ok(By::Hash("x".into())));
    assert_eq!(decoded::<By>("{sticky: {cookie: c}}"), Ok(By::Sticky { cookie: "c".into() }));
    let bad = |text| decoded::<By>(text).unwrap_err().join("\n");
    assert_eq!(
        bad("roundrobin"),
        "t:1:1: a: unknown word `roundrobin`; did you mean `round_robin`? allowed: `round_robin`, `hash`, `sticky`"
    );
    assert_eq!(bad("hash"), "t:1:1: a: `hash` needs a value; write `{hash: …}`");
    assert_eq!(
        bad("{round_robin: 5}"),
        "t:1:15: a.round_robin: `round_robin` takes no value; write `round_robin` alone"
    );
    assert_eq!(
        bad("{hash: x, sticky: y}"),
        "t:1:1: a: expected a map with exactly one of `round_robin`, `hash`, `sticky`"
    );
    assert_eq!(
        bad("{hsh: x}"),
        "t:1:2: a.hsh: unknown word `hsh`; did you mean `hash`? allowed: `round_robin`, `hash`, `sticky`"
    );
    assert_eq!(bad("[]"), "t:1:1: a: expected one of `round_robin`, `hash`, `sticky`, found a list");
    assert_eq!(bad("{sticky: {}}"), "t:1:10: a.sticky: `cookie` is missing");
}

#[test]
fn keys_left_aside_are_no_part_of_the_value() {
    let mut problems = Vec::new();
    let node = tree("{address: a, on_error: open, x: 1}");
    assert_eq!(decode::<Inner>(&node, &[], &["on_error", "x"], &mut problems).unwrap().address, "a");
    assert_eq!(decode::<Inner>(&node, &["f"], &["on_error"], &mut problems), None);
    assert_eq!(problems[0].to_string(), "t:1:30: f.x: unknown key `x`; allowed: `address`, `weight`, `on_error`");
    // Only of this map, not of those in it.
    problems.clear();
    let node = tree("{path: p, inner: {address: a, on_error: open}}");
    assert_eq!(decode::<Shape>(&node, &[], &["on_error"], &mut problems), None);
    assert!(problems[0].message.contains("unknown key `on_error`"));
}

#[test]
fn problems_are_bounded() {
    let text: String = (0..500).map(|i| format!("  k{i}: 5\n")).collect();
    let told = problems(&format!("path: a\nmany:\n{text}"));
    assert_eq!(told.len(), 101);
    assert_eq!(told[100], "t:1:1: a: more than 100 problems; the others are not told");
}

#[test]
fn where_a_type_says_nothing_the_spelling_decides() {
    let value: serde_json::Value = decoded("{a: 1, b: '1', c: 1.5, d: true, e: ~, f: [no], g: -1, h: .5}").unwrap();
    let wanted = serde_json::json!({"a": 1, "b": "1", "c": 1.5, "d": true, "e": null, "f": ["no"], "g": -1, "h": 0.5});
    assert_eq!(value, wanted);
}

#[test]
fn a_tuple_takes_as_many_values_as_it_has() {
    assert_eq!(decoded::<(u8, String)>("[1, 2]"), Ok((1, "2".into())));
    assert_eq!(decoded::<(u8, u8)>("[1, 2, 3]").unwrap_err(), ["t:1:8: a[2]: this value is one too many for the list"]);
    assert_eq!(decoded::<(u8, u8)>("[1]").unwrap_err().len(), 1);
    assert_eq!(decoded::<(u8, u8)>("[x, 2]").unwrap_err().len(), 1, "the length is a consequence");
    assert_eq!(decoded::<BTreeMap<u16, bool>>("{200: true}"), Ok([(200, true)].into()));
    assert!(
        decoded::<BTreeMap<u16, bool>>("{x: true}").unwrap_err()[0].starts_with("t:1:2: a.x: expected a whole number")
    );
}

#[test]
fn what_may_be_parsed_may_be_decoded_on_a_small_stack() {
    let text = format!("{}x{}", "[".repeat(127), "]".repeat(127));
    assert!(decoded::<serde_json::Value>(&text).is_ok());
    // Types without a bound of their own meet the file's.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Endless {
        #[expect(dead_code, reason = "only its depth matters")]
        a: Option<Box<Endless>>,
    }
    let text = format!("{}{{}}{}", "{a: ".repeat(127), "}".repeat(127));
    assert!(decoded::<Endless>(&text).is_ok());
}
