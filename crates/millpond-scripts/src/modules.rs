//! What a job wants besides its environment: `--additional-python-modules`, as a directory that is cached by the list.
//!
//! Only wheels are asked for. A wheel can still ask for a source distribution by its address, and to build one is to run its code: so pip itself runs in
//! the sandbox (see [`crate::installer`]).

use crate::environments::{digest, made_once};
use crate::installer::Installer;
use crate::{Progress, ScriptError};
use std::path::{Path, PathBuf};

/// Modules of one job at the most.
const MODULES_MAX: usize = 200;

/// Options of `--python-modules-installer-option` that are handed on to pip, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstallerOptions(Vec<String>);

impl InstallerOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// One is not taken; it says which are.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut words = text.split_whitespace();
        let mut options = Vec::new();
        while let Some(word) = words.next() {
            let (option, value) = word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
            match option {
                "--upgrade" | "-U" | "--no-deps" | "--pre" if value.is_none() => options.push(option.to_owned()),
                // Ours always.
                "--only-binary" | "--no-cache-dir" | "--force-reinstall" => {}
                "--index-url" | "-i" | "--extra-index-url" | "--trusted-host" => {
                    let value = value.or_else(|| words.next()).unwrap_or_default();
                    let is_url = value.starts_with("https://") || value.starts_with("http://");
                    let is_host =
                        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
                    if !(is_url || option == "--trusted-host" && is_host) {
                        return Err(ScriptError::Input(format!(
                            "--python-modules-installer-option: {option} needs an https:// address."
                        )));
                    }
                    options.extend([option.to_owned(), value.to_owned()]);
                }
                other => {
                    return Err(ScriptError::Input(format!(
                        "--python-modules-installer-option: {other} is not taken; --upgrade, --no-deps, --pre, --index-url, --extra-index-url and \
                         --trusted-host are."
                    )));
                }
            }
        }
        Ok(Self(options))
    }
}

/// Whether it is a name with a version that pip takes, and no option, path or address.
fn is_requirement(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]<>=!~+*, ".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.len() <= 200 && text.bytes().all(plain)
}

/// Installs modules (names with versions, and wheels by path), unless that list is there; answers the directory to import from.
pub async fn ready(
    directory: &Path,
    installer: &Installer<'_>,
    modules: &[String],
    wheels: &[PathBuf],
    options: &InstallerOptions,
    progress: Progress<'_>,
) -> Result<PathBuf, ScriptError> {
    if modules.len() + wheels.len() > MODULES_MAX {
        return Err(ScriptError::Input(format!("--additional-python-modules: {MODULES_MAX} modules are the limit.")));
    }
    if let Some(wrong) = modules.iter().find(|module| !is_requirement(module)) {
        return Err(ScriptError::Input(format!(
            "--additional-python-modules: '{wrong}' is not taken; write names with versions (`scikit-learn==1.5.1`) or s3:// addresses of wheels."
        )));
    }
    let environment = installer.environment;
    let mut key: Vec<String> = vec![environment.directory.to_string_lossy().into_owned(), options.0.join(" ")];
    key.extend(modules.iter().cloned());
    for wheel in wheels {
        key.push(content(wheel).map_err(|error| ScriptError::Launch(format!("{}: {error}", wheel.display())))?);
    }
    let name = format!("modules-{}-{}", environment.python.name, digest(&key.iter().map(String::as_str).collect::<Vec<_>>()));
    let place = directory.join(&name);
    if place.is_dir() {
        return Ok(place);
    }
    let names: Vec<String> = modules.iter().cloned().chain(wheels.iter().map(|wheel| wheel.display().to_string())).collect();
    progress(&format!("Installing {}", names.join(", ")));
    let made = made_once(directory, &name, progress, async |unfinished: PathBuf| {
        installer.install(&options.0, modules, wheels, &unfinished, progress).await
    });
    made.await.map_err(|reason| {
        ScriptError::Setup(format!(
            "--additional-python-modules: {} could not be installed: {reason}. (Only wheels are taken: what has none for {} cannot be used.)",
            names.join(", "),
            environment.python.name
        ))
    })?;
    Ok(place)
}

/// A wheel by its name and bytes.
fn content(wheel: &Path) -> std::io::Result<String> {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(wheel)?, &mut hasher)?;
    Ok(format!("{} {}", wheel.file_name().unwrap_or_default().to_string_lossy(), hex::encode(hasher.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_harmless_options_reach_pip() {
        for (text, good) in [
            ("scikit-learn==1.5.1", true),
            ("pandas[excel]>=2,<3", true),
            ("-r/etc/passwd", false),
            ("--no-binary=:all:", false),
            ("./x.whl", false),
            ("x @ https://h/x.whl", false),
            ("git+https://h/x", false),
        ] {
            assert_eq!(is_requirement(text), good, "{text}");
        }
        assert!(InstallerOptions::parse("--upgrade --only-binary :all:").is_err());
        assert_eq!(InstallerOptions::parse("--upgrade -i https://h/s").unwrap().0, ["--upgrade", "-i", "https://h/s"]);
        for wrong in ["--target=/", "--index-url=file:///x", "--no-binary x", "-e ."] {
            assert!(InstallerOptions::parse(wrong).is_err(), "{wrong}");
        }
    }
}
