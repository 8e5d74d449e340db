//! What Python functions can import beside their own code: installed once for each interpreter, in a directory of the host.

use crate::runtimes::Python;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

/// An installation that takes longer has failed.
const INSTALL_TIME: Duration = Duration::from_secs(15 * 60);

/// How an installation stands; the error says what to run.
type Progress = Option<Result<PathBuf, String>>;

/// Keeps the installations.
#[derive(Debug)]
pub struct Packages {
    directory: PathBuf,
    names: Vec<String>,
    under_way: Mutex<HashMap<PathBuf, watch::Receiver<Progress>>>,
}

impl Packages {
    /// Installs `names` below `directory`.
    pub fn new(directory: PathBuf, names: Vec<String>) -> Arc<Self> {
        Arc::new(Self { directory, names, under_way: Mutex::default() })
    }

    /// Where the packages of an interpreter are, or come to be. The name says what is in it, so that another list makes another directory.
    fn place(&self, python: &Python) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        (&self.names, &python.program).hash(&mut hasher);
        self.directory.join(format!("{}-{:016x}", python.name, hasher.finish()))
    }

    /// Begins the installation where it is missing, and answers how it stands: where the packages are, or `None` while they are being installed.
    ///
    /// # Errors
    /// It failed; `begin_again` tries it once more.
    pub fn ready(self: &Arc<Self>, python: &Python, begin_again: bool) -> Result<Option<PathBuf>, String> {
        let progress = self.watch(python, begin_again).borrow().clone();
        progress.transpose()
    }

    /// Waits for the packages.
    ///
    /// # Errors
    /// They cannot be installed; it says what to run.
    pub async fn wait(self: &Arc<Self>, python: &Python) -> Result<PathBuf, String> {
        let mut progress = self.watch(python, false);
        let done = progress.wait_for(Option::is_some).await.map_err(|_| "the installation was given up".to_owned())?;
        done.clone().unwrap_or_else(|| Err("the installation was given up".into()))
    }

    fn watch(self: &Arc<Self>, python: &Python, begin_again: bool) -> watch::Receiver<Progress> {
        let place = self.place(python);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = under_way.get(&place) {
            let stale = match &*progress.borrow() {
                Some(Err(_)) => begin_again,
                Some(Ok(place)) => !place.is_dir(),
                None => progress.has_changed().is_err(),
            };
            if !stale {
                return progress.clone();
            }
        }
        let present = place.is_dir();
        let (sender, receiver) = watch::channel(present.then(|| Ok(place.clone())));
        under_way.insert(place.clone(), receiver.clone());
        drop(under_way);
        if !present {
            let (packages, python) = (Arc::clone(self), python.clone());
            tokio::spawn(async move {
                let outcome = packages.install(&python, &place).await;
                match &outcome {
                    Ok(place) => tracing::info!(place = %place.display(), "packages for {} are installed", python.name),
                    Err(reason) => tracing::error!("{reason}"),
                }
                sender.send_replace(Some(outcome));
            });
        }
        receiver
    }

    async fn install(&self, python: &Python, place: &Path) -> Result<PathBuf, String> {
        let names = self.names.join(" ");
        tracing::info!("installing {names} for {} functions ({})", python.name, python.program.display());
        let said = |reason: String| {
            format!(
                "Python functions cannot import {names}: {reason}. Run `{} -m pip install --target {} {names}`, or name another interpreter as \
                 `[functions] python` in millpond.toml",
                python.program.display(),
                place.display()
            )
        };
        std::fs::create_dir_all(&self.directory).map_err(|error| said(error.to_string()))?;
        let unfinished = place.with_extension("unfinished");
        let _ = std::fs::remove_dir_all(&unfinished);
        let pip = self.find_pip(python).await.map_err(said)?;
        let mut command = Command::new(&pip);
        command
            .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--target"])
            .arg(&unfinished)
            .args(&self.names);
        run(command).await.map_err(said)?;
        crate::files::open_to_all(&unfinished).map_err(|error| said(error.to_string()))?;
        std::fs::rename(&unfinished, place).map_err(|error| said(error.to_string()))?;
        Ok(place.to_owned())
    }

    /// The interpreter itself where it has pip; else one of an environment that is made for that.
    async fn find_pip(&self, python: &Python) -> Result<PathBuf, String> {
        let mut asked = Command::new(&python.program);
        asked.args(["-m", "pip", "--version"]);
        if run(asked).await.is_ok() {
            return Ok(python.program.clone());
        }
        let tool = self.directory.join(format!("{}-pip", python.name));
        let mut made = Command::new(&python.program);
        made.args(["-m", "venv", "--clear"]).arg(&tool);
        run(made).await.map_err(|reason| format!("it has no pip, and `python -m venv` fails: {reason}"))?;
        Ok(tool.join("bin/python"))
    }
}

/// Runs to the end, with what it prints in the server's log; the error is the last that it said.
async fn run(mut command: Command) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let out = async {
            if let Some(stdout) = stdout {
                relay(stdout).await;
            }
        };
        let err = async {
            match stderr {
                Some(stderr) => relay(stderr).await,
                None => None,
            }
        };
        let ((), last) = tokio::join!(out, err);
        (child.wait().await, last)
    };
    match tokio::time::timeout(INSTALL_TIME, work).await {
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(_), last)) => Err(last.unwrap_or_else(|| "it fails without a word".into())),
        Ok((Err(error), _)) => Err(error.to_string()),
        Err(_) => Err(format!("it does not end within {} minutes", INSTALL_TIME.as_secs() / 60)),
    }
}

/// Logs lines; answers the last one that tells of an error, or the last.
async fn relay(from: impl tokio::io::AsyncRead + Unpin) -> Option<String> {
    let mut lines = BufReader::new(from).lines();
    let mut last: Option<String> = None;
    while let Ok(Some(line)) = lines.next_line().await {
        let line = line.trim().to_owned();
        if line.is_empty() {
            continue;
        }
        tracing::info!(target: "millpond_functions::packages", "{line}");
        let told = last.as_ref().is_some_and(|last| last.to_lowercase().contains("error"));
        if !told || line.to_lowercase().contains("error") {
            last = Some(line);
        }
    }
    last
}
