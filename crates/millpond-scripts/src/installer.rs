//! pip in the sandbox: what it installs for one job may run code, and gets no more than a script has.
//!
//! It sees the environment read only, the machine's network (its index can be there), none of the server's variables, and writes to its own `/tmp`. What it made there is
//! copied by the server when all of its processes have ended: as the server's own files, without links. Of the settings that pip has on this machine it
//! gets the index, certificates and directories of wheels as options; an index whose address has a password in it is left out, as a job could read it.

use crate::Progress;
use crate::environments::Environment;
use crate::pip::{self, INSTALL_TIME};
use millpond_functions::{Desk, End, Program, ProgramNetwork, Programs, copy_plain_tree, open_to_all};
use std::path::{Path, PathBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use tokio::time::Instant;

/// Where it installs to, in its `/tmp`.
const TARGET: &str = "modules";

/// What it gets of the server's variables, where there is no password in them.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// Installs for one environment.
#[derive(Debug)]
pub struct Installer<'a> {
    /// The sandbox.
    pub programs: &'a Programs,
    /// Whose Python and pip it is.
    pub environment: &'a Environment,
    /// What pip and what it starts may take, bytes.
    pub memory_bytes: u64,
    /// What it may write to its `/tmp`, bytes.
    pub disk_bytes: u64,
}

impl Installer<'_> {
    /// Installs modules by names, and wheels (files of this machine), into the directory `to`, which is empty.
    ///
    /// # Errors
    /// What pip said last, or why its work is not taken.
    pub async fn install(
        &self,
        options: &[String],
        modules: &[String],
        wheels: &[PathBuf],
        to: &Path,
        progress: Progress<'_>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + INSTALL_TIME;
        let desk = self.programs.desk().await.map_err(|error| error.to_string())?;
        let wheels = place_wheels(&desk, wheels).await.map_err(|error| error.to_string())?;
        let said = self.said_settings().await?;
        let names_index = options.iter().any(|option| matches!(option.as_str(), "--index-url" | "-i"));
        if let (false, Some(reason)) = (names_index, no_public_index(&said)) {
            return Err(reason);
        }
        let settings = read_settings(&said);
        let program = self.program(&desk, &settings, options, [modules, wheels.as_slice()].concat());
        let mut running = self.programs.start(desk, &program).await.map_err(|error| error.to_string())?;
        let mut pipes = Vec::new();
        for pipe in [running.stdout.take(), running.stderr.take()].into_iter().flatten() {
            pipes.push(pip::boxed(Receiver::from_owned_fd(pipe).map_err(|error| error.to_string())?));
        }
        // Dropping it ends it.
        let last = pip::listen(pipes, "additional modules", deadline, progress).await?;
        let end = tokio::time::timeout_at(deadline, async {
            let end = running.ended().await;
            running.is_gone().await;
            end
        });
        match end.await.map_err(|_| pip::too_long())? {
            End::Exited(0) => {}
            End::Exited(_) => return Err(pip::reason(&last)),
            End::OutOfMemory => return Err(format!("pip took more than {} MiB of memory", self.memory_bytes >> 20)),
            End::OutOfDisk => return Err(format!("it takes more than {} MiB on the disk", self.disk_bytes >> 20)),
            End::DiskFull => return Err("the disk is nearly full".into()),
            other => return Err(format!("pip ended: {other:?}")),
        }
        let made = running.tmp().ok_or("pip's directory is gone")?.join(TARGET);
        let (to, disk_bytes) = (to.to_owned(), self.disk_bytes);
        let copied = tokio::task::spawn_blocking(move || {
            let copied = copy_plain_tree(&made, &to, disk_bytes);
            drop(running);
            copied
        });
        copied.await.map_err(|error| error.to_string())?.map_err(|error| format!("what pip made is not taken: {error}"))
    }

    /// What pip says of its settings on this machine.
    async fn said_settings(&self) -> Result<String, String> {
        let mut list = Command::new(self.environment.program());
        list.args(["-I", "-m", "pip", "config", "list", "--disable-pip-version-check"]);
        let output = list.stdin(std::process::Stdio::null()).kill_on_drop(true).output().await;
        let output = output.map_err(|error| format!("pip does not tell its settings: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("pip does not tell its settings: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    fn program(&self, desk: &Desk, settings: &[(String, String)], options: &[String], wanted: Vec<String>) -> Program {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut reads = Vec::new();
        let mut see = |source: &Path, target: &str| desk.see(&mut reads, source, target);
        let environment = see(&self.environment.directory, "/opt/millpond/environment");
        let mut argv: Vec<String> = [text(&environment.join("bin/python"))].into();
        let fixed = "-I -m pip --isolated install --no-input --disable-pip-version-check --no-cache-dir --only-binary=:all:";
        argv.extend(fixed.split(' ').map(str::to_owned));
        for (at, (name, value)) in settings.iter().enumerate() {
            let value = match Path::new(value).is_absolute() {
                true => text(&see(Path::new(value), &format!("/opt/millpond/pip/{at}"))),
                false => value.clone(),
            };
            argv.push(format!("--{name}={value}"));
        }
        let tmp = desk.seen_tmp();
        argv.extend(options.iter().cloned());
        argv.extend(["--target".to_owned(), text(&tmp.join(TARGET))]);
        argv.extend(wanted);
        // The interpreter itself looks for its library where it was built to be.
        reads.extend(self.environment.python.files.iter().map(|path| (path.clone(), path.clone())));
        let mut variables = vec![
            ("HOME".to_owned(), text(&tmp)),
            ("TMPDIR".to_owned(), text(&tmp)),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ];
        let proxies = PROXIES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        variables.extend(proxies.filter(|(_, value)| !value.contains('@')));
        Program {
            argv,
            environment: variables,
            reads,
            network: ProgramNetwork::Shared,
            memory_bytes_max: self.memory_bytes,
            disk_bytes_max: self.disk_bytes,
            keeps_tmp: true,
        }
    }
}

/// Copies wheels to where pip can read them; answers their paths as pip sees them.
async fn place_wheels(desk: &Desk, wheels: &[PathBuf]) -> std::io::Result<Vec<String>> {
    let mut seen = Vec::new();
    for (at, wheel) in wheels.iter().enumerate() {
        let place = Path::new("wheels").join(at.to_string()).join(wheel.file_name().unwrap_or_default());
        let to = desk.tmp().join(&place);
        tokio::fs::create_dir_all(to.parent().unwrap_or(&to)).await?;
        tokio::fs::copy(wheel, &to).await?;
        seen.push(desk.seen_tmp().join(place).to_string_lossy().into_owned());
    }
    open_to_all(&desk.tmp())?;
    Ok(seen)
}

/// Why modules of jobs cannot come from PyPI, where this machine's pip has another place for packages that they must not see, or none: a private name could be
/// anybody's there.
fn no_public_index(said: &str) -> Option<String> {
    let settings = said.lines().filter_map(|line| line.split_once('='));
    let settings =
        settings.filter_map(|(key, value)| Some((key.trim().rsplit_once('.')?.1, value.trim().trim_matches(['\'', '"']))));
    for (name, value) in settings {
        let what = match name {
            "index-url" if value.contains('@') => "has a password in its index-url, which modules of jobs must not see",
            "no-index" if !matches!(value.to_lowercase().as_str(), "" | "0" | "false" | "no" | "off" | "n" | "f") => {
                "is set to no-index"
            }
            _ => continue,
        };
        return Some(format!(
            "pip on this machine {what}: name an index by --python-modules-installer-option \"--index-url https://…\""
        ));
    }
    None
}

/// Of what `pip config list` prints, the options that say where packages come from; the last one of a name holds (pip's user guide, "Configuration").
fn read_settings(text: &str) -> Vec<(String, String)> {
    const TAKEN: &[&str] = &["index-url", "extra-index-url", "trusted-host", "find-links", "cert", "proxy"];
    // Variables over the section of `install` over the global one.
    let rank = |section: &str| ["global", "install", ":env:"].iter().position(|known| *known == section);
    let mut lines: Vec<(usize, &str, &str)> = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let Some((section, name)) = key.trim().rsplit_once('.') else { continue };
        let value = value.trim().trim_matches(['\'', '"']);
        if let Some(rank) = rank(section).filter(|_| TAKEN.contains(&name)) {
            lines.push((rank, name, value));
        }
    }
    lines.sort_by_key(|(rank, ..)| *rank);
    let mut settings = Vec::new();
    for name in TAKEN {
        let Some((.., value)) = lines.iter().rfind(|(_, of, _)| of == name) else { continue };
        // Several stand on lines of their own, or after spaces.
        for value in value.replace("\\n", " ").split_whitespace() {
            if value.contains('@') {
                tracing::warn!(
                    "pip's setting {name} has a password in it, which modules of jobs must not see: it is not used for them"
                );
            } else {
                settings.push(((*name).to_owned(), value.to_owned()));
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_index_does_not_become_the_public_one() {
        let refused = |said: &str| no_public_index(said).is_some();
        assert!(refused("global.index-url='https://u:p@index/simple'") && refused(":env:.no-index='1'"));
        assert!(!refused(
            "global.index-url='https://index/simple'\n:env:.no-index='false'\ninstall.extra-index-url='https://u:p@b/s'"
        ));
    }

    #[test]
    fn pips_settings_are_handed_on_without_passwords() {
        let text = ":env:.find-links='/opt/wheels'\n:env:.default-timeout='180'\nglobal.find-links='/other'\nglobal.cert='/etc/ssl/ca.crt'\n\
                    install.extra-index-url='\\nhttps://a/s\\nhttps://u:p@b/s'\nglobal.target='/x'\n";
        let read = read_settings(text);
        let read: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("extra-index-url", "https://a/s"), ("find-links", "/opt/wheels"), ("cert", "/etc/ssl/ca.crt")]);
    }
}
