//! Every file under `conf/` and every file in the README does what it says.

use std::path::{Path, PathBuf};

use onedoor::config::Config;

use crate::support::{Ca, Identity};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

async fn check(config: onedoor::config::Loaded, name: &Path) {
    let checked = match config {
        Ok((config, warnings)) => {
            assert!(warnings.is_empty(), "{}: {warnings:?}", name.display());
            onedoor::server::check(config, &onedoor::builtins(), None).await
        }
        Err(refused) => Err(refused.problems),
    };
    match checked {
        Ok((_, warnings)) => assert!(warnings.is_empty(), "{}: {warnings:?}", name.display()),
        Err(problems) => {
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}:\n{}", name.display(), said.join("\n"));
        }
    }
}

#[tokio::test]
async fn every_file_under_conf_passes_check() {
    let (examples, mut count) = (examples(), 0);
    for entry in std::fs::read_dir(examples.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            check(Config::load(&path), &path).await;
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
}

/// What the audit may find in the examples: most are of another subject than who may come in.
#[test]
fn the_audit_of_an_example_finds_what_it_leaves_out_on_purpose() {
    let examples = examples();
    for entry in std::fs::read_dir(examples.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let meant = match &*name {
            "auth.yaml" | "keys.yaml" => [].as_slice(),
            "cors.yaml" => &["route_without_auth", "cors_pattern_with_credentials"],
            "rate_limit.yaml" => &["route_without_auth", "limit_dry_run"],
            name if name.ends_with(".yaml") => &["route_without_auth"],
            _ => continue,
        };
        let (config, _) = Config::load(&path).unwrap_or_else(|refused| panic!("{name}: {:?}", refused.problems));
        let registry = onedoor::builtins();
        let (snapshot, _) = onedoor::snapshot::compile(config, &registry, None)
            .unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        let found = onedoor::audit::audit(&snapshot, &registry);
        let more: Vec<String> =
            found.iter().filter(|finding| !meant.contains(&finding.code)).map(ToString::to_string).collect();
        assert!(more.is_empty(), "{name}: {more:#?}");
        assert!(meant.iter().all(|code| found.iter().any(|finding| finding.code == *code)), "{name}: {found:?}");
    }
}

/// A copy of conf/, beside the files that it names and nobody keeps in a repository.
fn examples() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("conf"), folder.path());
    certificates(&folder.path().join("certificates"));
    folder
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() { copy(&from, &to) } else { _ = std::fs::copy(&from, &to).unwrap() }
    }
}

/// What conf/tls.yaml names.
fn certificates(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let ca = Ca::new("ca");
    std::fs::write(folder.join("clients.pem"), ca.pem()).unwrap();
    for (name, names) in [("shop", &["shop.example.com"][..]), ("api", &["api.example.com", "*.api.example.com"])] {
        let Identity { cert, key } = ca.issue(names);
        std::fs::write(folder.join(format!("{name}.crt")), cert).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key).unwrap();
    }
}

fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut parts = readme.split("```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        if let Some(code) = block.strip_prefix(&format!("{language}\n")) {
            blocks.push(code.to_owned());
        }
    }
    blocks
}

#[tokio::test]
async fn every_file_in_the_readme_passes_check() {
    let blocks = blocks("yaml");
    assert!(!blocks.is_empty());
    for block in blocks {
        check(Config::parse(&block, "README.md"), Path::new("README.md")).await;
    }
}

#[test]
fn the_filter_in_the_readme_is_the_one_that_is_compiled_here() {
    let code = blocks("rust").concat();
    let here = include_str!("readme_filter.rs");
    let (_, filter) = here.split_once("// From the README:\n").unwrap();
    assert_eq!(
        code.split("fn main").next().unwrap().trim(),
        filter.trim(),
        "tests/it/readme_filter.rs and README.md differ"
    );
}
