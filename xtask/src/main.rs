//! Code generation and tidy checks: `cargo xtask <command>`.
//!
//! `models` takes AWS's published service models (as botocore ships them) and commits them
//! stripped of prose; `generate` turns those into the Rust types of `millpond-wire`; `tidy`
//! checks the rules of ARCHITECTURE.md which the compiler cannot check.
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::print_stdout)] // a command line program: printing is its output

mod generate;
mod models;
mod tidy;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage:
  cargo xtask models --from <dir>   strip the service models in <dir> (botocore's `data`) into crates/millpond-wire/models/
  cargo xtask models --query-from <dir>
                                    the same for the older Query models of services that speak JSON and Query
  cargo xtask generate [--check]    write crates/millpond-wire/src/generated/ (with --check: fail when it differs)
  cargo xtask tidy                  check crate arrows, folder arrows, file lengths and test names";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root();
    match arguments.as_slice() {
        ["models", "--from", from] => models::strip_all(&root, Path::new(from), models::Form::Current),
        ["models", "--query-from", from] => models::strip_all(&root, Path::new(from), models::Form::Query),
        ["generate"] => generate::write(&root),
        ["generate", "--check"] => generate::check(&root),
        ["tidy"] => {
            let problems = tidy::check(&root)?;
            for problem in &problems {
                println!("{problem}");
            }
            if !problems.is_empty() {
                bail!("{} tidy problem(s)", problems.len());
            }
            println!("tidy");
            Ok(())
        }
        _ => bail!("{USAGE}"),
    }
}

/// The folder of the workspace's `Cargo.toml`: as cargo says now, since a target directory that is kept may hold a program that was built for another clone.
fn workspace_root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().expect("xtask/ is a folder of the workspace").to_owned()
}

/// The wire crate's folder, which holds models, the service list and the generated code.
fn wire_folder(root: &Path) -> PathBuf {
    root.join("crates/millpond-wire")
}

/// Reads a file as text, naming the path when that fails.
fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
