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

/// The room of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What who is not root may still write.
    pub free_bytes: u64,
}

impl Space {
    /// Whether less is free than 1 GiB or 2% of it.
    pub fn is_nearly_full(self) -> bool {
        self.free_bytes < (self.total_bytes / 50).max(1 << 30)
    }
}

/// The room of the file system that `path` lies in; none where it does not say.
pub fn space(path: &Path) -> Option<Space> {
    let found = nix::sys::statvfs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    (found.blocks() > 0).then(|| Space { total_bytes: bytes(found.blocks()), free_bytes: bytes(found.blocks_available()) })
}

/// Copies a tree that somebody made who is not trusted: as this program's own files, readable by all. `to` is a directory, or is made.
///
/// # Errors
/// There is anything but directories and ordinary files, or more than `bytes_max` bytes (an entry counts as 256 besides what is in it).
pub fn copy_plain_tree(from: &Path, to: &Path, bytes_max: u64) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let refused =
        |path: &Path, why: &str| Err(io::Error::other(format!("{} {why}", path.strip_prefix(from).unwrap_or(path).display())));
    if !std::fs::symlink_metadata(from)?.is_dir() {
        return refused(from, "what was made is no directory");
    }
    // Followed nowhere and waited for nowhere, whatever lies there by now.
    let careful = (nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits();
    let mut left = bytes_max;
    let mut found = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = found.pop() {
        match std::fs::create_dir(&to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755))?,
        }
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                found.push((source.clone(), target));
                left = left.saturating_sub(256);
            } else if kind.is_file() {
                let mut file = std::fs::File::options().read(true).custom_flags(careful).open(&source)?;
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    return refused(&source, "is no ordinary file");
                }
                let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                let mut copy = std::fs::File::create_new(&target)?;
                let copied = io::copy(&mut io::Read::take(&mut file, left.saturating_add(1)), &mut copy)?;
                copy.set_permissions(std::fs::Permissions::from_mode(mode))?;
                left = left.saturating_sub(copied.saturating_add(256));
            } else {
                return refused(&source, "is neither a directory nor an ordinary file");
            }
            if left == 0 {
                return refused(&source, "is where it gets larger than it may be");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_tree_only_directories_and_ordinary_files_are_copied() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir_all(from.join("a/b")).unwrap();
        std::fs::write(from.join("a/b/x"), "text").unwrap();
        std::fs::set_permissions(from.join("a/b/x"), std::fs::Permissions::from_mode(0o6700)).unwrap();
        copy_plain_tree(&from, &to, 1 << 20).unwrap();
        assert_eq!(std::fs::read(to.join("a/b/x")).unwrap(), b"text");
        assert_eq!(std::fs::metadata(to.join("a/b/x")).unwrap().permissions().mode() & 0o7777, 0o755);
        // A file with a hole takes nothing where it lies, and would here.
        std::fs::File::create(from.join("a/hole")).unwrap().set_len(2 << 20).unwrap();
        assert!(copy_plain_tree(&from, &directory.path().join("large"), 1 << 20).unwrap_err().to_string().contains("a/hole"));
        std::fs::remove_file(from.join("a/hole")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("a/link")).unwrap();
        assert!(copy_plain_tree(&from, &directory.path().join("linked"), 1 << 20).unwrap_err().to_string().contains("a/link"));
        assert!(copy_plain_tree(&from.join("a/link"), &directory.path().join("no"), 1 << 20).is_err());
    }

    #[test]
    fn a_file_system_is_nearly_full_below_a_gibibyte_or_two_percent() {
        let (total_bytes, gib) = (100u64 << 30, 1u64 << 30);
        assert!(Space { total_bytes, free_bytes: 2 * gib - 1 }.is_nearly_full());
        assert!(!Space { total_bytes, free_bytes: 2 * gib }.is_nearly_full());
        assert!(Space { total_bytes: 8 * gib, free_bytes: gib - 1 }.is_nearly_full());
        assert!(space(Path::new("/")).is_some_and(|space| space.total_bytes >= space.free_bytes));
    }
}
