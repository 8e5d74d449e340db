//! Writes `crates/millpond-wire/src/generated/` from the committed models and `services.toml`.
//!
//! For each service with typed operations there are two files: `<service>.rs` (the service's facts,
//! one marker type for each operation, a structure or enumeration for each shape that the operations
//! reach) and `<service>_schema.rs` (the same shapes as static tables, with their constraints, which
//! the protocols walk). A service without typed operations gets its facts only. The output goes
//! through rustfmt, so what is committed is what a formatter would leave alone.

mod emit;
mod model;
mod names;
mod pattern;
mod resource;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde::Deserialize;

use crate::models::Form;

/// One table of `services.toml`; the file itself says what the keys mean.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceEntry {
    pub(crate) validation_error: String,
    #[serde(default)]
    pub(crate) validation_extra: IndexMap<String, String>,
    pub(crate) validation_missing: Option<String>,
    #[serde(default)]
    pub(crate) also_query: bool,
    #[serde(default)]
    pub(crate) global: bool,
    #[serde(default)]
    pub(crate) opaque: Vec<String>,
    #[serde(default)]
    pub(crate) open: Vec<String>,
    pub(crate) operations: Vec<String>,
    #[serde(default)]
    pub(crate) actions: IndexMap<String, String>,
    #[serde(default)]
    pub(crate) resources: IndexMap<String, Vec<String>>,
}

/// Reads `services.toml`: the services by name.
pub(crate) fn services(wire: &Path) -> Result<BTreeMap<String, ServiceEntry>> {
    let path = wire.join("services.toml");
    toml::from_str(&crate::read(&path)?).with_context(|| format!("{} is wrong", path.display()))
}

/// Writes the generated files, and removes those that no service claims any more.
pub(crate) fn write(root: &Path) -> Result<()> {
    let folder = generated_folder(root);
    std::fs::create_dir_all(&folder)?;
    let files = generate(root)?;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if !files.contains_key(&path) {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    for (path, text) in files {
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue; // an untouched file does not make cargo build again
        }
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Fails, naming the files, when the committed code is not what the models give.
pub(crate) fn check(root: &Path) -> Result<()> {
    let files = generate(root)?;
    let mut different: Vec<String> = files
        .iter()
        .filter(|(path, text)| !std::fs::read_to_string(path).is_ok_and(|old| old == **text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    for entry in std::fs::read_dir(generated_folder(root))? {
        let path = entry?.path();
        if !files.contains_key(&path) {
            different.push(path.display().to_string());
        }
    }
    if !different.is_empty() {
        bail!("generated code differs from the models; run `cargo xtask generate` and commit:\n  {}", different.join("\n  "));
    }
    println!("the generated code is up to date");
    Ok(())
}

fn generated_folder(root: &Path) -> PathBuf {
    crate::wire_folder(root).join("src/generated")
}

fn generate(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let wire = crate::wire_folder(root);
    let folder = generated_folder(root);
    let mut files = BTreeMap::new();
    let mut names = Vec::new();
    for (name, entry) in services(&wire)? {
        let read = |form: Form| {
            let path = wire.join("models").join(form.file(&name));
            model::Model::parse(&crate::read(&path)?).with_context(|| format!("reading {}", path.display()))
        };
        let model = read(Form::Current)?;
        let query = if entry.also_query { Some(read(Form::Query)?) } else { None };
        let emitted = emit::service(&name, &entry, &model, query.as_ref()).with_context(|| format!("generating {name}"))?;
        files.insert(folder.join(format!("{name}.rs")), rustfmt(root, &emitted.types)?);
        if let Some(schema) = emitted.schema {
            files.insert(folder.join(format!("{name}_schema.rs")), rustfmt(root, &schema)?);
        }
        names.push((name, !entry.operations.is_empty()));
    }
    files.insert(folder.join("mod.rs"), rustfmt(root, &emit::index(&names))?);
    Ok(files)
}

fn rustfmt(root: &Path, code: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt (rustup component add rustfmt)")?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = code.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().expect("the writer does not panic")?;
    if !output.status.success() {
        bail!("rustfmt did not accept the generated code");
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_code_is_what_the_models_give() {
        super::check(&crate::workspace_root()).unwrap();
    }
}
