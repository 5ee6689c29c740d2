//! What is wrong with a text that is no YAML, for people who know neither the parser's words nor YAML's grammar.

use super::super::problem::{Place, shortened};

/// A syntax error: what the parser says of it, and where it is, as far as can be told.
pub(super) struct Trouble<'a> {
    info: &'a str,
    text: &'a str,
    /// From 1.
    pub(super) line: usize,
    /// From 0.
    pub(super) column: usize,
}

impl<'a> Trouble<'a> {
    /// The trouble that the parser met at this line (from 1) and column (from 0) of `text`.
    pub(super) fn new(info: &'a str, text: &'a str, line: usize, column: usize) -> Self {
        let line = line.max(1);
        let better = if info.contains("tab") {
            // The parser points at the beginning of the text that the tab is in.
            tab_in_indentation(text, line)
        } else if info.contains(KEY_WITHOUT_COLON) {
            // It points at what comes after the line that has no colon.
            last_line_before(text, line)
        } else {
            None
        };
        let (line, column) = better.unwrap_or((line, column));
        Self { info, text, line, column }
    }

    /// What is wrong and what to do.
    pub(super) fn message(&self) -> String {
        let written = self.text.lines().nth(self.line - 1).unwrap_or_default();
        let mut message = plain_words(self.info);
        if self.info.contains(KEY_WITHOUT_COLON)
            && let Some((key, value)) = written.trim().split_once(':')
        {
            return format!("put a space behind the colon: `{}: {}`", shortened(key, 40), shortened(value, 40));
        }
        if self.info.contains("mapping values")
            && let Some((before, _)) = last_line_before(self.text, self.line)
            && self.text.lines().nth(before - 1).is_some_and(|line| !line.contains(':'))
        {
            return format!("line {before} has no `: `, so this line seems to go on with it; write `key: value` there");
        }
        if self.info.contains("block mapping") && written.chars().nth(self.column) == Some(',') {
            return "a `,` separates only between brackets; take it away".to_owned();
        }
        if self.info.contains("flow") || self.info.contains("node content") {
            message.push_str(if written.contains("${") {
                "; between brackets, put quotes around text with braces (`\"${NAME}\"`), or write the map on lines of its own"
            } else if has_braces_in_text(written) {
                "; between brackets, put quotes around text with braces: `\"/users/{id}\"`"
            } else if written.contains("]:") {
                "; put quotes around an address that holds brackets: `\"[::]:8080\"`"
            } else {
                ""
            });
        }
        message
    }

    /// That a bracket which was opened at this place, on a line before, may lack its end; `None` if there is none.
    pub(super) fn unclosed(&self, place: &Place) -> Option<String> {
        if place.line as usize >= self.line || self.info.contains("tab") {
            return None;
        }
        let line = self.text.lines().nth(place.line as usize - 1)?;
        let (open, close) = match line.chars().nth(place.column as usize - 1)? {
            '[' => ('[', ']'),
            '{' => ('{', '}'),
            _ => return None,
        };
        Some(format!("; does the `{open}` of line {} lack its `{close}`?", place.line))
    }
}

/// How the parser begins when a line of its own in a map has no `: `.
const KEY_WITHOUT_COLON: &str = "simple key expect ':'";

/// The first line from `from` on that has a tab in its indentation, and the tab's column from 0.
fn tab_in_indentation(text: &str, from: usize) -> Option<(usize, usize)> {
    text.lines().enumerate().skip(from - 1).find_map(|(at, line)| {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        Some((at + 1, line[..indent].find('\t')?))
    })
}

/// The last line before `line` that is neither blank nor a comment, and its indentation.
fn last_line_before(text: &str, line: usize) -> Option<(usize, usize)> {
    let lines: Vec<&str> = text.lines().take(line - 1).collect();
    lines.iter().enumerate().rev().find_map(|(at, line)| {
        let written = line.trim_start();
        let says = !written.is_empty() && !written.starts_with('#');
        says.then_some((at + 1, line.len() - written.len()))
    })
}

/// Whether a `{` follows a character that text may end with, as in `/users/{id}`.
fn has_braces_in_text(line: &str) -> bool {
    line.as_bytes().windows(2).any(|pair| {
        pair[1] == b'{' && (pair[0].is_ascii_alphanumeric() || matches!(pair[0], b'/' | b'-' | b'_' | b'.' | b'='))
    })
}

/// What the parser says, for people who don't know its words.
fn plain_words(info: &str) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("tab", "a tab stands where YAML takes spaces only; indent with spaces"),
        (
            "mapping values are not allowed",
            "a `:` with a space behind it makes a key, and none can stand here; put quotes around text that holds `: `, \
             or mend the indentation of this line",
        ),
        (
            "illegal placement of ':'",
            "a `:` makes a key, and none can stand here; put quotes around text that holds `: `, or mend the indentation",
        ),
        (
            "simple key expect",
            "this line stands where a key should, but has no `: `; write `key: value`, or mend the indentation of this line or \
             the one before",
        ),
        ("simple key expected", "a key must stand on one line before its `: `"),
        (
            "while parsing a block mapping",
            "expected a key (`key: value`) in line with the keys above; mend the indentation of this line",
        ),
        (
            "while parsing a block collection",
            "expected `- ` in line with the list above; mend the indentation of this line",
        ),
        ("while parsing a flow mapping", "expected `,` or `}` in the map that began with `{`"),
        ("while parsing a flow sequence", "expected `,` or `]` in the list that began with `[`"),
        ("misplaced bracket", "this bracket closes nothing that is open; put quotes around it if it is text"),
        ("unknown anchor", "there is no anchor `&name` before this alias; put quotes around text that begins with `*`"),
        ("anchor or alias", "a name must follow `&` or `*`; put quotes around text that begins with one of them"),
        ("did not find expected node content", "a value is missing here, or a `,` or bracket is too many"),
        (
            "unexpected character",
            "no value begins with this character; put quotes around text that begins with `@`, `` ` `` or `%`",
        ),
        ("found unexpected end of stream", "a quote that was opened is never closed"),
        ("unexpected document indicator", "a quote that was opened is not closed before this line"),
        (
            "unknown escape character",
            "no such escape in double quotes; write `\\\\` for a backslash, or use single quotes",
        ),
        ("hexadecimal", "a `\\x`, `\\u` or `\\U` in double quotes needs 2, 4 or 8 hexadecimal digits"),
        ("invalid Unicode character escape", "this `\\u` or `\\U` names no character"),
        (
            "trailing content",
            "a closing quote must be followed by the line's end, a comma or a bracket; is a quote missing?",
        ),
        ("recursion limit", "lists and maps stand too deep in each other; 128 levels are allowed"),
        ("block sequence entries are not allowed", "a list's `- ` cannot stand here; put it on a line of its own"),
        ("mapping keys are not allowed", "a `? ` cannot stand here; put quotes around text that begins with it"),
        (
            "comment intercepting",
            "a comment stands within a text of several lines; put the text in quotes, or the comment elsewhere",
        ),
        ("cannot start with '-'", "put quotes around text that begins with `-`"),
        ("byte order mark", "a byte order mark (U+FEFF) stands within the file; take it away"),
        ("unprintable", "a NUL character stands here; take it away"),
        ("expected <document start>", "this line belongs to nothing above it; mend its indentation"),
        (
            "invalid indentation in quoted",
            "the lines of a quoted text must be indented more than its key; is the closing quote missing?",
        ),
        ("invalid indentation in flow", "the lines between brackets must be indented more than the key they belong to"),
        ("invalid indentation", "the indentation of this line fits no line above it"),
        ("wrongly indented", "the lines of a text after `|` or `>` must be indented alike, more than its key"),
        ("indentation indicator", "the number after `|` or `>` must be 1 to 9"),
        ("while scanning a block scalar", "only `+`, `-` or a digit may follow `|` or `>` on its line"),
        ("the handle wasn't declared", "this tag means nothing here; put quotes around text that begins with `!`"),
        ("parsing a tag", "this tag means nothing here; put quotes around text that begins with `!`"),
        ("scanning a tag", "this tag means nothing here; put quotes around text that begins with `!`"),
        ("directive", "a line that begins with `%` is a YAML directive, and this is none that can stand here"),
        ("unexpected end of plain scalar", "a value is missing here; put quotes around text made of such characters"),
    ];
    let known = WORDS.iter().find(|(part, _)| info.contains(part));
    known.map_or_else(|| format!("not YAML: {info}"), |(_, words)| (*words).to_owned())
}
