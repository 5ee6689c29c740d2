//! Bytes → a tree of [`Node`]s, each with its line and column. The only file that knows the YAML crate.
//!
//! YAML 1.2, of which a configuration file may use: one document; maps, lists and scalars in both styles; anchors,
//! aliases and merge keys (`<<`), bounded in what they may unfold to; the core tags. Everything is bounded, and bad
//! bytes of any kind are a [`Problem`] with a place.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::node::{Entry, Map, Node, Scalar, Value};
use super::problem::{Place, Problem, quoted};

mod size;
mod words;

use size::Size;

/// The largest file in bytes: 16 MiB.
pub(super) const LARGEST: usize = 16 << 20;
/// How deep lists and maps may stand in each other. Reading and dropping a tree recurse.
const DEEPEST: usize = 128;
/// How many values one file may hold.
const MOST: usize = 2_000_000;
/// How many values, and how many bytes of text, all aliases of a file together may copy: against "billion laughs".
const MOST_COPIED: usize = 100_000;
const MOST_COPIED_BYTES: usize = LARGEST;

/// The tree of a file, not yet numbered. `None` after a problem that leaves no tree; with others (a key that stands
/// twice) there is one, so that what else is wrong can be said too. A file without any value gives an empty scalar.
pub(super) fn parse(bytes: &[u8], file: &Arc<str>, problems: &mut Vec<Problem>) -> Option<Node> {
    let text = match text(bytes, file) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let mut builder = Builder::new(file, text);
    let mut parser = Parser::new_from_str(text);
    let result = builder.read(&mut parser);
    problems.append(&mut builder.problems);
    match result {
        Ok(()) => Some(builder.root.unwrap_or_else(|| {
            Node::new(Value::Scalar(Scalar::new("", true)), Place { file: file.clone(), line: 1, column: 1 })
        })),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn text<'a>(bytes: &'a [u8], file: &Arc<str>) -> Result<&'a str, Problem> {
    let at = |line, column| Some(Place { file: file.clone(), line, column });
    if bytes.len() > LARGEST {
        let message = format!("the file is larger than {} MiB, the most that is read", LARGEST >> 20);
        return Err(Problem::error(at(1, 1), "", message));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count();
        let last = good.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&good[last..]).chars().count();
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        let message = format!("the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8");
        Problem::error(at(line as u32 + 1, column as u32 + 1), "", message)
    })
}

struct Builder<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    open: Vec<Frame>,
    root: Option<Node>,
    /// What has been read under each anchor, by the parser's number for it.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    copied: usize,
    copied_bytes: usize,
    problems: Vec<Problem>,
}

/// A list or map whose end has not been read yet.
struct Frame {
    place: Place,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    /// The entries, and a key whose value is still to come.
    Map(Vec<Entry>, Option<Key>),
}

struct Key {
    text: String,
    place: Place,
    /// A plain `<<`.
    merge: bool,
}

type Read<T = ()> = Result<T, Problem>;

impl<'a> Builder<'a> {
    fn new(file: &'a Arc<str>, text: &'a str) -> Self {
        Self {
            file,
            text,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            nodes: 0,
            copied: 0,
            copied_bytes: 0,
            problems: Vec::new(),
        }
    }

    fn read(&mut self, parser: &mut Parser<'_, StrInput<'_>>) -> Read {
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax(&error))?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let message =
                            "a second document begins here (`---`); a file holds one, and `include` joins files";
                        return Err(self.error(&span, message));
                    }
                }
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                event => self.take(event, &span)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Read {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span),
            Event::SequenceStart(anchor, tag) => {
                self.shape_of(tag.as_deref(), "seq", "a list", span)?;
                self.begin(anchor, Inside::List(Vec::new()), span)
            }
            Event::MappingStart(anchor, tag) => {
                self.shape_of(tag.as_deref(), "map", "a map", span)?;
                self.begin(anchor, Inside::Map(Vec::new(), None), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>, span: &Span) -> Read {
        let mut plain = style == ScalarStyle::Plain;
        if let Some(tag) = tag {
            match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
                (true, "str") => plain = false,
                (true, "int" | "float" | "bool" | "null") => plain = true,
                (true, suffix @ ("map" | "seq")) => {
                    return Err(self.error(span, format!("the tag `!!{suffix}` stands before text")));
                }
                (false, "!") if tag.handle.is_empty() => plain = false,
                _ => return Err(self.unknown_tag(tag, span)),
            }
        }
        let mut scalar = Scalar::new(text, plain);
        let mut place = self.place(span);
        // The parser finds an absent value where the next thing stands; people look for it behind its key.
        if text.is_empty()
            && style == ScalarStyle::Plain
            && let Some(Frame { inside: Inside::Map(_, Some(key)), .. }) = self.open.last()
        {
            place = key.place.clone();
        }
        self.count(&place)?;
        if text.contains('\0') && !self.awaits_key() {
            let message = "this text holds a NUL character, which nothing here can; take it away";
            self.problems.push(Problem::error(Some(place.clone()), "", message));
            scalar.unset = true;
        }
        let node = Node::new(Value::Scalar(scalar), place);
        self.keep(anchor, &node)?;
        self.add(node)
    }

    fn shape_of(&self, tag: Option<&Tag>, wanted: &str, what: &str, span: &Span) -> Read {
        match tag {
            None => Ok(()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == wanted => Ok(()),
            Some(tag) if tag.is_yaml_core_schema() => {
                Err(self.error(span, format!("the tag `!!{}` stands before {what}", tag.suffix)))
            }
            Some(tag) => Err(self.unknown_tag(tag, span)),
        }
    }

    fn unknown_tag(&self, tag: &Tag, span: &Span) -> Problem {
        let name = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
        self.error(
            span,
            format!(
                "the tag {} means nothing here; take it away, or put quotes around a value that begins with `!`",
                quoted(&name, 40)
            ),
        )
    }

    fn begin(&mut self, anchor: usize, inside: Inside, span: &Span) -> Read {
        let place = self.place(span);
        self.count(&place)?;
        if self.awaits_key() {
            let message = "a list or map cannot be a key; put quotes around text that begins with `[`, `{` or `?`";
            return Err(Problem::error(Some(place), "", message));
        }
        if self.open.len() >= DEEPEST {
            return Err(Problem::error(Some(place), "", too_deep()));
        }
        self.open.push(Frame { place, anchor, inside });
        Ok(())
    }

    /// Whether what comes next is a key.
    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { inside: Inside::Map(_, None), .. }))
    }

    fn end(&mut self) -> Read {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let value = match frame.inside {
            Inside::List(items) => Value::List(items),
            Inside::Map(entries, _) => Value::Map(self.map(entries)),
        };
        let node = Node::new(value, frame.place);
        self.keep(frame.anchor, &node)?;
        self.add(node)
    }

    /// A finished map: every key once, and what `<<` brings behind what stands there itself.
    fn map(&mut self, entries: Vec<Entry>) -> Map {
        let (merges, own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key == MERGE);
        let (map, again) = Map::new(own);
        for (first, entry) in again {
            let message = format!(
                "the key {} stands twice in this map, first at {first}; keep one of them",
                quoted(&entry.key, 60)
            );
            self.problems.push(Problem::error(Some(entry.key_place), "", message));
        }
        if merges.is_empty() {
            return map;
        }
        let mut all = map.into_entries();
        for merge in merges {
            match merge.value.value {
                Value::Map(map) => all.extend(map.into_entries()),
                Value::List(maps) => all.extend(maps.into_iter().flat_map(|node| match node.value {
                    Value::Map(map) => map.into_entries(),
                    // Refused when the entry was added.
                    _ => Vec::new(),
                })),
                Value::Scalar(_) => {}
            }
        }
        // A repeated key is what merging is about here: the first counts.
        Map::new(all).0
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Read {
        let place = self.place(span);
        let Some(anchored) = self.anchors.get(&anchor) else {
            let message = "this alias stands within what its anchor names, so it would never end";
            return Err(Problem::error(Some(place), "", message));
        };
        let Some(size) = Size::of(anchored).filter(|size| self.open.len() + size.height <= DEEPEST) else {
            return Err(Problem::error(Some(place), "", too_deep()));
        };
        let mut node = anchored.clone();
        node.place = place;
        self.copy(size, &node.place)?;
        self.add(node)
    }

    /// Remembers what an anchor names.
    fn keep(&mut self, anchor: usize, node: &Node) -> Read {
        if anchor > 0
            && let Some(size) = Size::of(node)
        {
            self.copy(size, &node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn copy(&mut self, size: Size, place: &Place) -> Read {
        self.copied += size.nodes;
        self.copied_bytes += size.bytes;
        if self.copied > MOST_COPIED || self.copied_bytes > MOST_COPIED_BYTES {
            let message = format!("anchors and aliases copy too much; all together may copy {MOST_COPIED} values");
            return Err(Problem::error(Some(place.clone()), "", message));
        }
        Ok(())
    }

    fn count(&mut self, place: &Place) -> Read {
        self.nodes += 1;
        if self.nodes > MOST {
            let message = format!("the file holds more than {MOST} values, the most that are read");
            return Err(Problem::error(Some(place.clone()), "", message));
        }
        Ok(())
    }

    fn add(&mut self, node: Node) -> Read {
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.inside {
            Inside::List(items) => items.push(node),
            Inside::Map(entries, pending) => match pending.take() {
                None => *pending = Some(key(node)?),
                Some(key) => {
                    if key.merge && !mergeable(&node) {
                        let message = "`<<` takes an alias of a map (`*name`), or a list of these";
                        return Err(Problem::error(Some(node.place), "", message));
                    }
                    let text = if key.merge { MERGE.to_owned() } else { key.text };
                    entries.push(Entry { key: text, key_place: key.place, value: node });
                }
            },
        }
        Ok(())
    }

    fn place(&self, span: &Span) -> Place {
        self.at(span.start.line(), span.start.col())
    }

    fn at(&self, line: usize, column: usize) -> Place {
        // A file has at most 16 Mi characters, so both fit.
        Place { file: self.file.clone(), line: line.max(1) as u32, column: column as u32 + 1 }
    }

    fn error(&self, span: &Span, message: impl Into<String>) -> Problem {
        Problem::error(Some(self.place(span)), "", message)
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let marker = error.marker();
        let trouble = words::Trouble::new(error.info(), self.text, marker.line(), marker.col());
        let unclosed = self.open.iter().rev().find_map(|frame| trouble.unclosed(&frame.place));
        let message = format!("{}{}", trouble.message(), unclosed.unwrap_or_default());
        Problem::error(Some(self.at(trouble.line, trouble.column)), "", message)
    }
}

/// Stands for a plain `<<` among a map's entries until the map is finished. No key of a file can be this: a NUL is
/// refused by the parser, and an escaped one below.
const MERGE: &str = "\0<<";

fn key(node: Node) -> Read<Key> {
    match node.value {
        Value::Scalar(scalar) if scalar.text.contains('\0') => {
            Err(Problem::error(Some(node.place), "", "a key cannot hold a NUL character"))
        }
        Value::Scalar(scalar) if scalar.plain && scalar.text.is_empty() => {
            Err(Problem::error(Some(node.place), "", "a key is missing before this `:`"))
        }
        Value::Scalar(scalar) => {
            Ok(Key { merge: scalar.plain && scalar.text == "<<", text: scalar.text, place: node.place })
        }
        _ => Err(Problem::error(Some(node.place), "", "a list or map cannot be a key; keys are text")),
    }
}

fn mergeable(node: &Node) -> bool {
    match &node.value {
        Value::Map(_) => true,
        Value::List(items) => items.iter().all(|item| matches!(item.value, Value::Map(_))),
        Value::Scalar(_) => false,
    }
}

fn too_deep() -> String {
    format!("lists and maps stand too deep in each other; {DEEPEST} levels are allowed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(bytes: &[u8]) -> (Option<Node>, Vec<String>) {
        let mut problems = Vec::new();
        let node = parse(bytes, &"t.yaml".into(), &mut problems);
        (node, problems.iter().map(ToString::to_string).collect())
    }

    fn good(text: &str) -> Node {
        let (node, problems) = parsed(text.as_bytes());
        assert_eq!(problems, Vec::<String>::new(), "{text}");
        node.unwrap()
    }

    /// The one problem of a text.
    fn bad(text: &str) -> String {
        let (_, mut problems) = parsed(text.as_bytes());
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        problems.remove(0)
    }

    fn at(place: &Place) -> (u32, u32) {
        (place.line, place.column)
    }

    #[test]
    fn every_key_and_value_knows_its_line_and_column() {
        let node = good("# hi\na: 1\nb:\n  - x\n  - {c: 'd', é: e}\nf:\n");
        let b = node.as_map().unwrap().get("b").unwrap();
        assert_eq!(at(&b.key_place), (3, 1));
        assert_eq!(at(b.value.place()), (4, 3));
        assert_eq!(at(b.value.items()[0].place()), (4, 5));
        let map = &b.value.items()[1];
        assert_eq!(at(map.place()), (5, 5));
        assert_eq!(at(map.get("c").unwrap().place()), (5, 9));
        assert_eq!(at(&map.as_map().unwrap().get("é").unwrap().key_place), (5, 14));
        assert_eq!(at(node.get("f").unwrap().place()), (6, 1));
    }

    #[test]
    fn an_absent_value_stands_at_its_key_and_not_at_what_follows() {
        let node = good("a:\n  b:\n\n\nc: 1\n");
        assert_eq!(at(node.get("a").and_then(|a| a.get("b")).unwrap().place()), (2, 3));
    }

    #[test]
    fn quotes_and_tags_tell_text_from_what_may_be_a_number() {
        let node = good("{a: 5, b: '5', c: !!str 5, d: !!int '5', e: \"\", f: ~, g: null, h: ! 5, i: |-\n  5\n}");
        let plain = |key: &str| match &node.get(key).unwrap().value {
            Value::Scalar(scalar) => scalar.plain,
            _ => panic!("{key}"),
        };
        assert_eq!(["a", "b", "c", "d", "e", "h"].map(plain), [true, false, false, true, false, false]);
        assert!(node.get("f").unwrap().is_null() && node.get("g").unwrap().is_null());
        assert!(!node.get("e").unwrap().is_null());
    }

    #[test]
    fn a_key_that_stands_twice_is_told_with_both_places_and_the_first_counts() {
        let (node, problems) = parsed(b"a: 1\nb: {c: 1, c: 2}\na: 3\n");
        assert_eq!(
            problems,
            [
                "t.yaml:2:11: the key \"c\" stands twice in this map, first at t.yaml:2:5; keep one of them",
                "t.yaml:3:1: the key \"a\" stands twice in this map, first at t.yaml:1:1; keep one of them",
            ]
        );
        assert_eq!(node.unwrap().get("a").unwrap().as_text(), Some("1"));
        let many: String = (0..30).map(|i| format!("k{}: {i}\n", i % 10)).collect();
        let (node, problems) = parsed(many.as_bytes());
        assert_eq!(problems.len(), 20);
        assert!(problems[0].starts_with("t.yaml:11:1: the key \"k0\" stands twice in this map, first at t.yaml:1:1"));
        assert_eq!(node.unwrap().get("k3").unwrap().as_text(), Some("3"));
    }

    #[test]
    fn aliases_stand_for_what_their_anchors_name() {
        let node = good("a: &x {p: [1, 2]}\nb: *x\nc: &y text\nd: *y\n*y : 1\n");
        assert!(node.get("a").unwrap().same(node.get("b").unwrap()));
        assert_eq!(at(node.get("b").unwrap().place()), (2, 4));
        assert_eq!(node.get("d").unwrap().as_text(), Some("text"));
        assert_eq!(node.get("text").unwrap().as_text(), Some("1"));
    }

    #[test]
    fn a_merge_key_brings_what_is_not_there_yet() {
        let node = good("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 0\nq: {'<<': 1}\n");
        assert!(node.get("z").unwrap().same(&good("{a: 0, b: 2, c: 4}")));
        assert_eq!(node.get("q").unwrap().get("<<").unwrap().as_text(), Some("1"));
        assert!(bad("a: {<<: 5}").contains("`<<` takes an alias of a map"));
        assert!(bad("a: {<<: [5]}").contains("`<<` takes an alias of a map"));
    }

    #[test]
    fn a_billion_laughs_are_refused() {
        let mut text = String::from("a0: &a0 lol\n");
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        assert!(bad(&text).contains("copy too much"));
        let fat = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(","));
        assert!(bad(&fat).contains("copy too much"));
        let deep: String = (1..400).map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1)).collect();
        assert!(bad(&format!("a0: &a0 x\n{deep}")).contains("too deep"));
        assert!(bad("a: &a [*a]").contains("never end"));
    }

    #[test]
    fn depth_is_bounded() {
        good(&format!("{}{}", "[".repeat(128), "]".repeat(128)));
        assert!(bad(&"[".repeat(129)).contains("too deep"));
        assert!(bad(&"[".repeat(100_000)).contains("too deep"));
        assert!(bad(&"{a: ".repeat(100_000)).contains("too deep"));
        assert!(bad(&"- ".repeat(100_000)).contains("too deep"));
    }

    #[test]
    fn one_file_is_one_document_of_core_yaml() {
        good("---\na: 1\n...\n");
        assert!(bad("a: 1\n---\nb: 2\n").starts_with("t.yaml:2:1: a second document"));
        assert!(bad("a: !secret x\n").starts_with("t.yaml:1:4: the tag \"!secret\" means nothing here"));
        assert!(bad("a: !!binary x\n").contains("\"!!binary\""));
        assert!(bad("a: !!map x\n").contains("stands before text"));
        assert!(bad("a: !!map [x]\n").contains("stands before a list"));
        assert!(bad("[a]: 1\n").contains("cannot be a key"));
        assert!(bad(": 1\n").contains("a key is missing"));
        assert!(bad("a: \"x\\0\"\n").starts_with("t.yaml:1:4: this text holds a NUL"));
        assert!(bad("\"x\\0\": 1\n").starts_with("t.yaml:1:1: a key cannot hold a NUL"));
    }

    #[test]
    fn bytes_that_are_not_utf_8_have_a_place() {
        let (node, problems) = parsed(b"a: 1\n\xc3\xa9: \xff\n");
        assert!(node.is_none());
        assert_eq!(problems, ["t.yaml:2:4: the byte 0xff is not UTF-8; save the file as UTF-8"]);
    }

    #[test]
    fn a_file_is_bounded_in_size() {
        let (node, problems) = parsed(&vec![b'#'; LARGEST + 1]);
        assert!(node.is_none() && problems[0].contains("larger than 16 MiB"));
    }

    #[test]
    fn syntax_errors_say_in_plain_words_what_to_mend() {
        for (text, words) in [
            ("a: 1\n\tb: 2\n", "t.yaml:2:"),
            ("a:\n\tb: 2\n", "indent with spaces"),
            ("a: b: c\n", "put quotes around text that holds `: `"),
            ("a: {b: 1\nc: 2\n", "t.yaml:2:"),
            ("a: [1, 2\n", "t.yaml:2:"),
            ("a: {to: /v2/{rest}, status: 308}\n", "put quotes around text with braces: `\"/users/{id}\"`"),
            ("a: {b: ${PORT}}\n", "put quotes around text with braces (`\"${NAME}\"`)"),
            ("a: 'x\n", "never closed"),
            ("a: \"\\q\"\n", "no such escape"),
            ("a: *b\n", "there is no anchor"),
            ("a: @x\n", "no value begins with"),
            ("a:\n  b: 1\n  c:2\n", "t.yaml:3:3: put a space behind the colon: `c: 2`"),
            ("a:\n  b = 1\n  c: 2\n", "line 2 has no `: `"),
            ("a: {b: 1},\nc: 2\n", "a `,` separates only between brackets"),
            ("a: {b: 1\nc: 2\n", "does the `{` of line 1 lack its `}`?"),
            ("a: {b: [::]:80}\n", "put quotes around an address that holds brackets"),
            ("a:\n  b: \"x\n  c: y\n\nd: z\n", "is the closing quote missing?"),
            ("a:\n  b: 1\n c: 2\n", "t.yaml:3:2:"),
            ("a: 1\nb\n", "t.yaml:"),
            ("a: ]\n", "t.yaml:1:4"),
            ("a: \"x\" y\n", "t.yaml:1:8"),
        ] {
            let problem = bad(text);
            assert!(problem.contains(words), "{text:?} gave {problem}");
            assert!(!problem.contains("not YAML: "), "{text:?} gave {problem}");
        }
    }

    /// Text made of what YAML has a meaning for, which random characters rarely are.
    fn yamlish() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a",
            "b:",
            ": ",
            "- ",
            "\n",
            "\n  ",
            "\n\t",
            "[",
            "]",
            "{",
            "}",
            ",",
            "'",
            "\"",
            "|",
            ">",
            "&x ",
            "*x",
            "<<: ",
            "!!str ",
            "!",
            "? ",
            "# c",
            "---\n",
            "...\n",
            "%",
            "\\",
            "\u{feff}",
            "\0",
            "é",
            "~",
            "1",
            "\r\n",
            "@",
            "`",
            "-",
            "\"\\u12",
            "${",
            "}",
            "|+2\n",
            "\u{85}",
            "\u{2028}",
            "!<",
            "!a!b ",
            "%TAG ! x\n",
            "%YAML 1.2\n",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (node, problems) = parsed(&bytes);
            prop_assert!(node.is_some() || !problems.is_empty());
        }

        #[test]
        fn nothing_like_yaml_panics(text in yamlish()) {
            let (node, problems) = parsed(text.as_bytes());
            prop_assert!(node.is_some() || !problems.is_empty());
        }
    }
}
