//! Every file under `conf/` and every file in the README does what it says.

use std::path::{Path, PathBuf};

use onedoor::config::Config;

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
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("conf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            check(Config::load(&path), &path).await;
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
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
