//! The rules of the source tree which the compiler cannot check.
//!
//! - crate arrows: what each crate may depend on (the table of ARCHITECTURE.md);
//! - some third-party crates belong to one of ours (DataFusion to the engine, SQL to the store …);
//! - folder arrows: a service's folder does not import another service's folder;
//! - lengths of files, names of tests.
//!
//! A problem names the file, the line where there is one, and what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Which of our crates each of our crates may depend on outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("millpond-core", &[]),
    ("millpond-wire", &[]),
    ("millpond-store", &["millpond-core"]),
    ("millpond-engine", &["millpond-core"]),
    ("millpond-functions", &["millpond-core"]),
    ("millpond-scripts", &["millpond-core", "millpond-functions"]),
    ("millpond-tables", &["millpond-core"]),
    (
        "millpond-services",
        &["millpond-core", "millpond-store", "millpond-engine", "millpond-functions", "millpond-scripts", "millpond-tables"],
    ),
    ("millpond-api", &["millpond-core", "millpond-wire", "millpond-services"]),
    ("millpond-pg", &["millpond-core", "millpond-engine", "millpond-services", "millpond-store"]),
    (
        "millpond",
        &[
            "millpond-core",
            "millpond-wire",
            "millpond-store",
            "millpond-engine",
            "millpond-functions",
            "millpond-scripts",
            "millpond-tables",
            "millpond-services",
            "millpond-api",
            "millpond-pg",
        ],
    ),
    ("millpond-testkit", &["millpond-core"]),
    ("xtask", &[]),
];

/// Third-party crates, by prefix, with the crates that alone may name them outside their tests.
const OWNED: &[(&str, &[&str])] = &[
    ("arrow", &["millpond-engine", "millpond-pg"]),
    ("datafusion", &["millpond-engine", "millpond-pg"]),
    ("fjall", &["millpond-tables"]),
    ("iceberg", &["millpond-engine"]),
    ("parquet", &["millpond-engine"]),
    // The binary keeps the flows that it was given, as a component of the store with its own SQL.
    ("rusqlite", &["millpond-store", "millpond-services", "millpond"]),
    ("hyper", &["millpond-api", "millpond-functions", "millpond"]),
    ("landlock", &["millpond-functions"]),
    ("nix", &["millpond-functions"]),
    ("orc-rust", &["millpond-engine"]),
    ("pgwire", &["millpond-pg"]),
    ("s3s", &["millpond-api", "millpond"]),
];

/// What the crates at the bottom do without: they are pure.
const WITHOUT: &[(&str, &[&str])] = &[
    ("millpond-core", &["tokio", "http", "hyper", "rusqlite", "reqwest"]),
    ("millpond-wire", &["tokio", "hyper", "rusqlite", "reqwest"]),
];

/// Folders of `millpond-services` that are one AWS service each. Other folders there (`lake`,
/// `runtime` …) are what the services share.
const SERVICE_FOLDERS: &[&str] = &[
    "athena",
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "events",
    "firehose",
    "glue",
    "iam",
    "kinesis",
    "kms",
    "lambda",
    "logs",
    "s3",
    "sns",
    "sqs",
    "ssm",
    "states",
    "sts",
];

const LINES_MAX: usize = 1000;

/// All problems of the tree; none when it is tidy.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut packages = vec![root.join("xtask")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        let path = entry?.path();
        if path.join("Cargo.toml").exists() && !is_ignored(root, &path) {
            packages.push(path);
        }
    }
    packages.sort();
    for package in &packages {
        let manifest = package.join("Cargo.toml");
        check_manifest(&relative(root, &manifest), &crate::read(&manifest)?, &mut problems)?;
        for file in rust_files(package)? {
            let text = crate::read(&file)?;
            let name = relative(root, &file);
            if !name.contains("/src/generated/") {
                check_length(&name, &text, &mut problems);
            }
            check_tests(&name, &text, &mut problems);
            check_folder_arrows(&name, &text, &mut problems);
        }
    }
    Ok(problems)
}

/// Whether git is told to leave a path alone, so that it is a matter of this machine and not of the project.
fn is_ignored(root: &Path, path: &Path) -> bool {
    std::process::Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["check-ignore", "--quiet"])
        .arg(path)
        .status()
        .is_ok_and(|status| status.success())
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// The package's `.rs` files, sorted, without those of a `target` folder.
fn rust_files(package: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![package.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if entry.file_name() != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn check_manifest(name: &str, text: &str, problems: &mut Vec<String>) -> Result<()> {
    let manifest: toml::Table = text.parse().with_context(|| format!("{name} is not TOML"))?;
    let package = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .with_context(|| format!("{name} has no package name"))?;
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == package) else {
        problems.push(format!(
            "{name}: {package} is not in the table of crates; add it to ARCHITECTURE.md and to ARROWS in xtask/src/tidy.rs"
        ));
        return Ok(());
    };
    for dependency in dependencies(&manifest) {
        let ours = ARROWS.iter().any(|(to, _)| *to == dependency);
        if ours && !allowed.contains(&dependency.as_str()) {
            problems.push(format!("{name}: {package} must not depend on {dependency} (see the table of crates)"));
        }
        for (prefix, owners) in OWNED {
            if of_family(&dependency, prefix) && !owners.contains(&package) {
                problems.push(format!("{name}: {dependency} is for {} only", owners.join(" and ")));
            }
        }
        for (pure, without) in WITHOUT {
            if package == *pure && without.contains(&dependency.as_str()) {
                problems.push(format!("{name}: {package} does without {dependency}"));
            }
        }
    }
    Ok(())
}

/// `parquet`, `parquet-variant`, `datafusion_common`: one family each.
fn of_family(dependency: &str, prefix: &str) -> bool {
    dependency.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

/// The names under `[dependencies]` and `[build-dependencies]`, also those of a target; the name of
/// the package where a dependency is renamed.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut tables: Vec<&toml::Table> = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    tables
        .into_iter()
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)))
        .flatten()
        .filter_map(toml::Value::as_table)
        .flatten()
        .map(|(name, value)| {
            let package = value.get("package").and_then(toml::Value::as_str);
            package.unwrap_or(name).to_owned()
        })
        .collect()
}

fn check_length(name: &str, text: &str, problems: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        problems.push(format!("{name}: {lines} lines; split it (at most {LINES_MAX})"));
    }
}

/// Only functions under a test attribute are tests: an operation may well be called `TestEventPattern`.
fn check_tests(name: &str, text: &str, problems: &mut Vec<String>) {
    let mut is_test = false;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.contains("::test]") || line.contains("::test(");
            continue;
        }
        let function = line.strip_prefix("pub ").unwrap_or(line);
        let function = function.strip_prefix("async ").unwrap_or(function);
        if is_test && function.starts_with("fn test_") {
            problems.push(format!("{name}:{}: name the test as a sentence, without test_", i + 1));
        }
        is_test &= line.starts_with("//");
    }
}

fn check_folder_arrows(name: &str, text: &str, problems: &mut Vec<String>) {
    let Some(inside) = name.strip_prefix("crates/millpond-services/src/") else {
        return;
    };
    let folder = inside.split(['/', '.']).next().unwrap_or_default();
    if !SERVICE_FOLDERS.contains(&folder) {
        return;
    }
    for (line, module) in crate_paths(text) {
        if module != folder && SERVICE_FOLDERS.contains(&module.as_str()) {
            problems.push(format!(
                "{name}:{line}: the folder {folder} must not use crate::{module}; \
                 what services share belongs in lake/ or runtime/"
            ));
        }
    }
}

/// The first segments of all paths that begin with `crate::`, also in groups (`crate::{a::B, c}`), with
/// their lines. Comments do not count.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = BTreeMap::new();
    for (start, head) in code.match_indices("crate::") {
        let rest = &code[start + head.len()..];
        let line = code[..start].matches('\n').count() + 1;
        for segment in first_segments(rest) {
            found.insert((line, segment), ());
        }
    }
    found.into_keys().collect()
}

fn first_segments(path: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let mut depth = 0_usize;
    let mut segments = vec![word(group)];
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => segments.push(word(&group[i + 1..])),
            _ => {}
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(check: impl FnOnce(&mut Vec<String>)) -> Vec<String> {
        let mut problems = Vec::new();
        check(&mut problems);
        problems
    }

    #[test]
    fn the_tree_is_tidy() {
        let problems = check(&crate::workspace_root()).unwrap();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn a_wrong_arrow_is_named() {
        for (manifest, expected) in [
            (
                "[package]\nname='millpond-core'\n[dependencies]\nmillpond-store.workspace=true",
                "must not depend on millpond-store",
            ),
            (
                "[package]\nname='millpond-services'\n[dependencies]\nmillpond-wire.workspace=true",
                "must not depend on millpond-wire",
            ),
            (
                "[package]\nname='millpond-services'\n[dependencies]\ndatafusion-common='1'",
                "datafusion-common is for millpond-engine and millpond-pg only",
            ),
            (
                "[package]\nname='millpond-store'\n[dependencies]\npq={package='parquet',version='1'}",
                "parquet is for millpond-engine only",
            ),
            ("[package]\nname='millpond-core'\n[target.'cfg(unix)'.dependencies]\ntokio='1'", "does without tokio"),
            ("[package]\nname='millpond-new'", "not in the table of crates"),
        ] {
            let problems = problems_of(|problems| check_manifest("Cargo.toml", manifest, problems).unwrap());
            assert_eq!(problems.len(), 1, "{manifest}: {problems:?}");
            assert!(problems[0].contains(expected), "{problems:?}");
        }
        let tests_may = "[package]\nname='millpond-api'\n[dev-dependencies]\nparquet='1'\nmillpond-testkit='1'";
        assert!(problems_of(|problems| check_manifest("Cargo.toml", tests_may, problems).unwrap()).is_empty());
    }

    #[test]
    fn a_service_folder_that_uses_another_is_named() {
        for (code, expected) in [
            ("use crate::glue::Table;", 1),
            ("\nuse crate::{lake, runtime::{glue}, glue::x};", 1),
            ("let x = crate::sns::publish();", 1),
            ("use crate::lake::glue_tables;", 0),
            ("// crate::glue is elsewhere", 0),
            ("use crate::s3::keys;", 0),
        ] {
            let name = "crates/millpond-services/src/s3/put.rs";
            let problems = problems_of(|problems| check_folder_arrows(name, code, problems));
            assert_eq!(problems.len(), expected, "{code}: {problems:?}");
        }
        let shared = "crates/millpond-services/src/runtime/dispatch.rs";
        assert!(problems_of(|problems| check_folder_arrows(shared, "use crate::glue;", problems)).is_empty());
    }

    #[test]
    fn long_files_and_prefixed_tests_are_named() {
        let long = "\n".repeat(LINES_MAX + 1);
        assert_eq!(problems_of(|problems| check_length("a.rs", &long, problems)).len(), 1);
        for (code, expected) in [
            ("#[test]\nfn test_it() {}", 1),
            ("    #[tokio::test(start_paused = true)]\n    #[ignore]\n    // slow\n    async fn test_it() {}", 1),
            ("#[test]\nfn it_works() {}\n\npub async fn test_event_pattern() {}", 0),
        ] {
            assert_eq!(problems_of(|problems| check_tests("a.rs", code, problems)).len(), expected, "{code}");
        }
    }
}
