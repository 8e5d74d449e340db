//! The host's own directory: bootstraps, packages, layers that were joined, and what processes need while they run.

use crate::runtimes::Python;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::process::Command;

const PYTHON: &str = include_str!("bootstrap/bootstrap.py");
const NODE: &str = include_str!("bootstrap/bootstrap.js");

/// Where things are.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Our bootstraps, which functions see as `/var/runtime`.
    pub bootstraps: PathBuf,
    /// Python packages.
    pub packages: PathBuf,
    /// Layers that were joined.
    pub layers: PathBuf,
    /// An empty directory, on which each process mounts its root.
    pub root: PathBuf,
    /// A directory for each process that needs one.
    pub processes: PathBuf,
}

impl Directories {
    /// Makes them below `directory`, without what a former server left: only packages stay.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn make(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = std::fs::canonicalize(directory)?;
        let found = Self {
            bootstraps: directory.join("runtime"),
            packages: directory.join("packages"),
            layers: directory.join("layers"),
            root: directory.join("root"),
            processes: directory.join("processes"),
        };
        for stale in [&found.bootstraps, &found.layers, &found.processes] {
            match remove_tree(stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(said("removing", stale, &error)),
                _ => {}
            }
        }
        for made in [&found.bootstraps, &found.packages, &found.layers, &found.root, &found.processes] {
            std::fs::create_dir_all(made)?;
            std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o755))?;
        }
        for (name, text) in [("bootstrap.py", PYTHON), ("bootstrap.js", NODE)] {
            let path = found.bootstraps.join(name);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        }
        Ok(found)
    }

    /// Compiles the bootstrap for an interpreter, unless it is there: that saves a few milliseconds of each start.
    ///
    /// # Errors
    /// The interpreter cannot; says why.
    pub async fn compile(&self, python: &Python) -> Result<(), String> {
        let compiled = self.bootstraps.join(format!("{}.pyc", python.name));
        if compiled.is_file() {
            return Ok(());
        }
        // Starts compete for it: each makes its own, and the last one stays.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unfinished = compiled.with_extension(format!("unfinished-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let script =
            "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], '/var/runtime/bootstrap.py', doraise=True)";
        let mut command = Command::new(&python.program);
        command.args(["-I", "-S", "-c", script]).arg(self.bootstraps.join("bootstrap.py")).arg(&unfinished);
        let output =
            command.stdin(std::process::Stdio::null()).kill_on_drop(true).output().await.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!(
                "{} cannot compile the bootstrap: {}",
                python.program.display(),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let _ = std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o644));
        std::fs::rename(&unfinished, &compiled).map_err(|error| error.to_string())
    }
}

fn said(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

/// Removes a tree with folders that their owner may not write to. Nobody else may be at work in it.
///
/// # Errors
/// It is not there, or not ours.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        // Root may write to all.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root() => {
            make_writable(path)?;
            std::fs::remove_dir_all(path)
        }
        done => done,
    }
}

fn make_writable(folder: &Path) -> io::Result<()> {
    let mode = std::fs::symlink_metadata(folder)?.permissions().mode();
    if mode & 0o700 != 0o700 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode | 0o700))?;
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Whether every user can come to a program and run it.
pub fn everybody_can_run(program: &Path) -> bool {
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    program.ancestors().all(|path| path.as_os_str().is_empty() || mode(path) & 0o001 != 0)
}

/// Lets everybody read a tree, whatever the server's umask is: functions run as other users.
///
/// # Errors
/// It cannot be read, or is not ours.
pub fn open_to_all(path: &Path) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    let wanted = if metadata.is_dir() || mode & 0o100 != 0 { mode | 0o555 } else { mode | 0o444 };
    if wanted != mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(wanted))?;
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    }
    Ok(())
}
