//! Text with variables: `/v2/{rest}`, `user {identity.sub}`. Parsed once at load, rendered for each request.

use thiserror::Error;

/// A text with `{variables}`; `{{` and `}}` stand for braces.
///
/// A variable's name is made of ASCII letters, digits, `_` and `-`, and may have several parts with dots between them.
/// What a name means is up to who renders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Literals are never empty, and never two in a row.
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Variable(Box<str>),
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {mistake}")]
pub struct TemplateProblem {
    /// Where in the text, in characters; the first is 1.
    pub column: usize,
    /// What is wrong there.
    pub mistake: Mistake,
}

/// What can be wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mistake {
    /// `{name` without an end.
    #[error("this `{{` has no `}}`; write `{{{{` for a brace")]
    Unclosed,
    /// `}` without a beginning.
    #[error("this `}}` has no `{{` before it; write `}}}}` for a brace")]
    Unopened,
    /// `{}` or `{not a name}`.
    #[error("`{{{0}}}` is no variable: a name has letters, digits, `_`, `-` and dots between its parts")]
    Name(String),
}

impl Template {
    /// Prepares a template.
    ///
    /// # Errors
    /// For a brace without its partner, and what is no name within braces.
    pub fn parse(text: &str) -> Result<Self, TemplateProblem> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            literal.push_str(&rest[..brace]);
            let at = text.len() - rest.len() + brace;
            let problem = |mistake| TemplateProblem { column: text[..at].chars().count() + 1, mistake };
            let from = &rest[brace..];
            if from.starts_with("{{") || from.starts_with("}}") {
                literal.push_str(&from[..1]);
                rest = &from[2..];
            } else if let Some(inner) = from.strip_prefix('{') {
                let end = inner.find(['{', '}']).ok_or_else(|| problem(Mistake::Unclosed))?;
                let name = &inner[..end];
                if inner[end..].starts_with('{') {
                    return Err(problem(Mistake::Unclosed));
                }
                if !is_name(name) {
                    return Err(problem(Mistake::Name(name.to_owned())));
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Variable(name.into()));
                rest = &inner[end + 1..];
            } else {
                return Err(problem(Mistake::Unopened));
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self { parts: parts.into() })
    }

    /// The names of its variables in order, repeated ones as often as they stand there.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(&**name),
            Part::Literal(_) => None,
        })
    }

    /// The whole text, if it has no variables.
    pub fn literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text to `out`; `write` appends the value of each variable.
    pub fn render(&self, out: &mut String, write: &mut dyn FnMut(&str, &mut String)) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Variable(name) => write(name, out),
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(text: &str) -> String {
        let mut out = String::new();
        Template::parse(text).unwrap().render(&mut out, &mut |name, out| {
            out.push('<');
            out.push_str(name);
            out.push('>');
        });
        out
    }

    #[test]
    fn variables_are_replaced_and_doubled_braces_are_one() {
        assert_eq!(render("/v2/{rest}"), "/v2/<rest>");
        assert_eq!(render("{a}{identity.sub}"), "<a><identity.sub>");
        assert_eq!(render("{{x}} {{{y}}}"), "{x} {<y>}");
        assert_eq!(render(""), "");
        let template = Template::parse("a {path.id} b {rest}").unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), ["path.id", "rest"]);
    }

    #[test]
    fn a_text_without_variables_is_a_literal() {
        assert_eq!(Template::parse("").unwrap().literal(), Some(""));
        assert_eq!(Template::parse("a{{b}}c").unwrap().literal(), Some("a{b}c"));
        assert_eq!(Template::parse("{a}").unwrap().literal(), None);
    }

    #[test]
    fn a_problem_says_what_and_where() {
        for (text, column, mistake) in [
            ("é{a", 2, Mistake::Unclosed),
            ("ab{c{d}", 3, Mistake::Unclosed),
            ("a}b", 2, Mistake::Unopened),
            ("{}", 1, Mistake::Name(String::new())),
            ("x{a b}", 2, Mistake::Name("a b".into())),
            ("{a..b}", 1, Mistake::Name("a..b".into())),
        ] {
            assert_eq!(Template::parse(text).unwrap_err(), TemplateProblem { column, mistake }, "{text}");
        }
        let shown = Template::parse("a}b").unwrap_err().to_string();
        assert_eq!(shown, "column 2: this `}` has no `{` before it; write `}}` for a brace");
    }

    proptest! {
        #[test]
        fn any_text_with_its_braces_doubled_renders_as_itself(text in "[a{}é.]{0,12}|.*") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&doubled).unwrap();
            prop_assert_eq!(template.literal(), Some(&*text));
            Template::parse(&text).ok();
        }
    }
}
