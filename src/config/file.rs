//! Files → a configuration: reading, `include`, the environment, and all problems in order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decode::{decode, list_of, unknown_key};
use super::document::{Config, Rest, SECTIONS};
use super::env::{self, Lookup};
use super::node::{Entry, Map, Node, Value};
use super::problem::{Place, Problem, Severity, plain_words, render, shortened};
use super::source::Source;
use super::yaml::{self, LARGEST};

/// A configuration and its warnings, or everything that is wrong.
pub type Loaded = Result<(Config, Vec<Problem>), Refused>;

/// Why there is no configuration.
#[derive(Debug)]
pub struct Refused {
    /// Everything that is wrong with the file by itself.
    pub problems: Vec<Problem>,
    /// What can be read of it nevertheless.
    pub rest: Option<Box<Rest>>,
}

impl From<Refused> for Vec<Problem> {
    fn from(refused: Refused) -> Self {
        refused.problems
    }
}

/// What an included file may hold.
const INCLUDABLE: [&str; 4] = ["listeners", "upstreams", "routes", "tests"];
/// How many problems are told of one file.
const MOST_PROBLEMS: usize = 100;

impl Config {
    /// Reads a file and what it includes, with the process's environment. Paths in `include` start in its folder.
    ///
    /// # Errors
    /// Everything that is wrong with the files, in the order of their lines; of one file at most a hundred problems,
    /// and then how many more there are. Nothing half-loads.
    pub fn load(path: &Path) -> Loaded {
        Self::load_with(path, &|name| std::env::var_os(name))
    }

    /// The same with another environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(path: &Path, env: Lookup<'_>) -> Loaded {
        match read(path) {
            Ok(bytes) => compile(&bytes, path, env),
            Err(why) => {
                let problem = Problem::error(None, "", format!("cannot read {}: {why}", path.display()));
                Err(Refused { problems: vec![problem], rest: None })
            }
        }
    }

    /// Reads a text as if it stood in a file of that name. Paths in `include` start in the current folder.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, name: &str) -> Loaded {
        Self::parse_with(text, name, &|name| std::env::var_os(name))
    }

    /// The same with another environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse_with(text: &str, name: &str, env: Lookup<'_>) -> Loaded {
        compile_named(text.as_bytes(), name.into(), Path::new(""), None, env)
    }
}

fn compile(bytes: &[u8], path: &Path, env: Lookup<'_>) -> Loaded {
    let name = path.to_string_lossy().into_owned();
    let folder = path.parent().unwrap_or(Path::new(""));
    compile_named(bytes, name, folder, path.canonicalize().ok(), env)
}

fn compile_named(bytes: &[u8], name: String, folder: &Path, itself: Option<PathBuf>, env: Lookup<'_>) -> Loaded {
    let seen = itself.iter().cloned().collect();
    let mut loader = Loader { env, problems: Vec::new(), whole: true, seen, itself };
    let rest = loader.tree(bytes, &name.as_str().into()).and_then(|mut root| {
        loader.include(&mut root, &name, folder);
        let mut problems = Vec::new();
        let rest = Config::of(Source::new(root), loader.whole, &mut problems);
        loader.problems.append(&mut problems);
        rest
    });
    let problems = in_order(loader.problems);
    match rest {
        Some(rest) if !problems.iter().any(Problem::is_error) => Ok((rest.config, problems)),
        rest => Err(Refused { problems, rest: rest.map(Box::new) }),
    }
}

struct Loader<'a> {
    env: Lookup<'a>,
    problems: Vec<Problem>,
    /// Whether everything that is included could be read.
    whole: bool,
    /// The main file, if it is one.
    itself: Option<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Loader<'_> {
    fn tree(&mut self, bytes: &[u8], file: &Arc<str>) -> Option<Node> {
        let mut node = yaml::parse(bytes, file, &mut self.problems)?;
        env::replace(&mut node, self.env, &mut self.problems);
        Some(node)
    }

    /// Puts what the included files hold into the sections of `root`.
    fn include(&mut self, root: &mut Node, main: &str, folder: &Path) {
        // The numbers are needed for the places of what may be wrong with the patterns.
        root.number();
        let Some(node) = root.get("include").filter(|node| !node.is_null()) else { return };
        self.whole &= decode::<Vec<String>>(node, &["include"], &[], &mut self.problems).is_some();
        let known = node.items().iter().enumerate().filter(|(_, item)| !item.is_unset());
        let patterns: Vec<(usize, String, Place)> =
            known.filter_map(|(index, item)| Some((index, item.as_text()?.to_owned(), item.place.clone()))).collect();
        let mut joined = Joined::default();
        for (index, pattern, place) in &patterns {
            let at = |message: String| {
                Problem::error(Some(place.clone()), render(&["include", &index.to_string()]), message)
            };
            match files(pattern, folder) {
                Ok(paths) if paths.is_empty() => self.problems.push(Problem {
                    severity: Severity::Warning,
                    ..at(format!("no file fits this pattern; it is looked for in {}", shown(folder)))
                }),
                Ok(paths) => paths.iter().for_each(|path| self.file(path, main, &at, &mut joined)),
                Err(why) => self.fail(at(why)),
            }
        }
        joined.put_into(root, &mut self.problems);
    }

    fn fail(&mut self, problem: Problem) {
        self.whole = false;
        self.problems.push(problem);
    }

    fn file(&mut self, path: &Path, main: &str, at: &dyn Fn(String) -> Problem, joined: &mut Joined) {
        let name = path.to_string_lossy();
        if let Ok(canonical) = path.canonicalize() {
            if self.itself.as_ref() == Some(&canonical) {
                return self.fail(at(format!(
                    "{name} is the file that includes; keep included files in a folder of their own"
                )));
            }
            // Two patterns may name the same file.
            if !self.seen.insert(canonical) {
                return;
            }
        }
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(why) => return self.fail(at(format!("cannot read {name}: {why}"))),
        };
        let before = self.problems.len();
        let Some(node) = self.tree(&bytes, &name.as_ref().into()) else {
            self.whole = false;
            return;
        };
        if self.problems.len() > before {
            self.whole = false;
        }
        if node.is_null() {
            return self.problems.push(Problem::warning(Some(node.place), "", "this included file is empty"));
        }
        let place = node.place.clone();
        let Value::Map(map) = node.value else {
            let message = format!("expected a map with {}", list_of(INCLUDABLE));
            return self.fail(Problem::error(Some(place), "", message));
        };
        for entry in map.into_entries() {
            self.section(entry, main, joined);
        }
    }

    fn section(&mut self, entry: Entry, main: &str, joined: &mut Joined) {
        let key = entry.key.as_str();
        let wrong = |place: &Place, message: String| Problem::error(Some(place.clone()), render(&[key]), message);
        let Some(&section) = INCLUDABLE.iter().find(|&&section| section == key) else {
            let message = match key {
                "include" => format!("an included file cannot include others; name them in {main}"),
                _ if SECTIONS.contains(&key) => {
                    format!("`{key}` can stand in {main} only; an included file may hold {}", list_of(INCLUDABLE))
                }
                _ => unknown_key(key, INCLUDABLE.into_iter()),
            };
            return self.fail(wrong(&entry.key_place, message));
        };
        match entry.value.value {
            Value::Map(map) if section != "tests" => {
                joined.names.entry(section).or_default().extend(map.into_entries())
            }
            Value::List(tests) if section == "tests" => joined.tests.extend(tests),
            Value::Scalar(scalar) if scalar.is_null() => {}
            Value::Scalar(scalar) if scalar.unset => self.whole = false,
            _ => {
                let what = if section == "tests" { "a list of tests" } else { "a map of names" };
                let problem = wrong(&entry.value.place, format!("expected {what}"));
                self.fail(problem);
            }
        }
    }
}

/// What the included files hold, by section.
#[derive(Default)]
struct Joined {
    names: BTreeMap<&'static str, Vec<Entry>>,
    tests: Vec<Node>,
}

impl Joined {
    fn put_into(self, root: &mut Node, problems: &mut Vec<Problem>) {
        let place = root.place.clone();
        let Value::Map(map) = &mut root.value else { return };
        let mut sections = std::mem::take(map).into_entries();
        for (section, more) in self.names {
            let node = section_of(&mut sections, section, &place, Value::Map(Map::default()));
            let Value::Map(own) = &mut node.value else { continue };
            let mut all = std::mem::take(own).into_entries();
            all.extend(more);
            let (all, again) = Map::new(all);
            *own = all;
            for (first, entry) in again {
                let what = section.trim_end_matches('s');
                let name = shortened(&entry.key, 60);
                let message =
                    format!("the {what} `{name}` is defined twice, first at {first}; rename one or take it away");
                problems.push(Problem::error(Some(entry.key_place), render(&[section, &entry.key]), message));
            }
        }
        if !self.tests.is_empty()
            && let Value::List(own) = &mut section_of(&mut sections, "tests", &place, Value::List(Vec::new())).value
        {
            own.extend(self.tests);
        }
        *map = Map::new(sections).0;
    }
}

/// The section's value; an empty one takes the place of what is missing or nothing.
fn section_of<'a>(sections: &'a mut Vec<Entry>, section: &str, place: &Place, empty: Value) -> &'a mut Node {
    let at = match sections.iter().position(|entry| entry.key == section) {
        Some(at) => at,
        None => {
            let value = Node::new(empty.clone(), place.clone());
            sections.push(Entry { key: section.to_owned(), key_place: place.clone(), value });
            sections.len() - 1
        }
    };
    let node = &mut sections[at].value;
    if node.is_null() {
        node.value = empty;
    }
    node
}

fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { "the current folder".to_owned() } else { folder.display().to_string() }
}

/// The files that a pattern names, sorted. Without a wildcard it is one file, whether it exists or not.
fn files(pattern: &str, folder: &Path) -> Result<Vec<PathBuf>, String> {
    if pattern.is_empty() {
        return Err("a file's path is empty; write a path or a pattern such as `routes.d/*.yaml`".into());
    }
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![folder.join(pattern)]);
    }
    let whole = if Path::new(pattern).is_absolute() || folder.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        format!("{}/{pattern}", glob::Pattern::escape(&folder.to_string_lossy()))
    };
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        // What an editor leaves beside a file (`.users.yaml.swp`) is none of ours.
        require_literal_leading_dot: true,
    };
    let shown = shortened(pattern, 60);
    let found = glob::glob_with(&whole, options).map_err(|error| format!("`{shown}` is no pattern: {}", error.msg))?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| {
            format!("cannot look for `{shown}` in {}: {}", error.path().display(), plain_words(error.error()))
        })?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The bytes of a file, at most a few more than may be parsed.
///
/// # Errors
/// Why it cannot be read, in plain words.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| plain_words(&error))?;
    let mut bytes = Vec::new();
    // One byte more than is allowed tells that it is too large.
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(|error| plain_words(&error))?;
    Ok(bytes)
}

/// Sorted by place, each once, and not endlessly many.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    problems.dedup();
    let mut counts: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    problems.retain(|problem| {
        let Some(place) = &problem.place else { return true };
        let count = counts.entry(place.file.clone()).or_default();
        *count += 1;
        *count <= MOST_PROBLEMS
    });
    for (file, count) in counts.into_iter().filter(|(_, count)| *count > MOST_PROBLEMS) {
        problems.push(Problem::error(None, "", format!("and {} more problems in {file}", count - MOST_PROBLEMS)));
    }
    problems
}

#[cfg(test)]
mod tests;
