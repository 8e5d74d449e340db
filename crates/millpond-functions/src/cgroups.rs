//! Control groups that limit the memory of functions, where this process may make them: version 2 (delegated, or as root) or version 1 (as root).

use nix::errno::Errno;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Names all groups of ours, so that those of a server that was killed are found.
const PREFIX: &str = "millpond-functions-";

/// The group above the groups of all functions' processes.
#[derive(Debug)]
pub struct Cgroups {
    directory: PathBuf,
    version: Version,
    /// Of all functions together.
    memory_bytes_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn limit_file(self) -> &'static str {
        match self {
            Self::One => "memory.limit_in_bytes",
            Self::Two => "memory.max",
        }
    }
}

/// The group of one process of a function and what it starts. Dropping it removes it where it is empty; see [`Cgroup::is_removed`].
#[derive(Debug)]
pub struct Cgroup {
    directory: PathBuf,
    version: Version,
}

impl Cgroups {
    /// Makes a group with a limit on the memory of all functions together.
    ///
    /// # Errors
    /// Control groups cannot be used here; says why.
    pub fn new(memory_bytes_max: u64) -> Result<Self, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
        let mut reasons = Vec::new();
        for (version, parent) in parents(&own) {
            match Self::below(version, &parent, memory_bytes_max) {
                Ok(cgroups) => return Ok(cgroups),
                Err(reason) => reasons.push(format!("{}: {reason}", parent.display())),
            }
        }
        Err(if reasons.is_empty() { "no memory control group is mounted".into() } else { reasons.join("; ") })
    }

    fn below(version: Version, parent: &Path, memory_bytes_max: u64) -> Result<Self, std::io::Error> {
        if version == Version::Two {
            // Fails where processes are in this very group, unless it is the root of all.
            enable_memory(parent)?;
        }
        remove_left_overs(parent);
        // A process can have several hosts.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let cgroups = Self { directory: parent.join(name), version, memory_bytes_max };
        cgroups.establish()?;
        Ok(cgroups)
    }

    /// Makes the group above all, where it is not there.
    fn establish(&self) -> Result<(), std::io::Error> {
        match std::fs::create_dir(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        std::fs::write(self.directory.join(self.version.limit_file()), self.memory_bytes_max.to_string())?;
        if self.version == Version::Two {
            enable_memory(&self.directory)?;
        }
        Ok(())
    }

    /// A group for one process.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self, name: &str, memory_bytes_max: u64) -> Result<Cgroup, String> {
        let directory = self.directory.join(name);
        let said = |error: std::io::Error| format!("the control group {}: {error}", directory.display());
        if let Err(error) = std::fs::create_dir(&directory) {
            // Whoever cleans up control groups may have taken ours while it was empty.
            if error.kind() != std::io::ErrorKind::NotFound {
                return Err(said(error));
            }
            self.establish().and_then(|()| std::fs::create_dir(&directory)).map_err(said)?;
        }
        let cgroup = Cgroup { directory: directory.clone(), version: self.version };
        std::fs::write(directory.join(self.version.limit_file()), memory_bytes_max.to_string()).map_err(said)?;
        Ok(cgroup)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

impl Cgroup {
    /// The file by which a process enters.
    pub fn procs(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }

    /// Memory that is nobody else's and no cache, and memory that lies in files (`/tmp`), bytes.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let text = std::fs::read_to_string(self.directory.join("memory.stat")).ok()?;
        let find =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).and_then(|number| number.trim().parse().ok());
        let name = match self.version {
            Version::One => "rss ",
            Version::Two => "anon ",
        };
        Some((find(name)?, find("shmem ").unwrap_or(0)))
    }

    /// Removes it; false while processes of it are still ending.
    pub fn is_removed(&self) -> bool {
        match std::fs::remove_dir(&self.directory) {
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            Ok(()) => true,
        }
    }

    /// Whether the kernel ended a process of this group because of its limit.
    pub fn was_out_of_memory(&self) -> bool {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = std::fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        text.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

/// Those that could not be removed now are at the next start.
fn remove(directory: &Path) {
    match std::fs::remove_dir(directory) {
        Err(error) if error.raw_os_error() != Some(Errno::ENOENT as i32) => {
            tracing::debug!(directory = %directory.display(), %error, "a control group stays")
        }
        _ => {}
    }
}

/// Groups of servers that are gone: they can be removed when they are empty, and others cannot.
fn remove_left_overs(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.trim_start_matches(PREFIX).split('-').next().unwrap_or_default();
        if Path::new("/proc").join(id).exists() {
            continue;
        }
        let inner = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
        inner.filter(|inner| inner.path().is_dir()).for_each(|inner| remove(&inner.path()));
        remove(&entry.path());
    }
}

fn enable_memory(directory: &Path) -> Result<(), std::io::Error> {
    let file = directory.join("cgroup.subtree_control");
    if std::fs::read_to_string(&file)?.split_whitespace().any(|name| name == "memory") {
        return Ok(());
    }
    std::fs::write(file, "+memory")
}

/// Groups under which ours could be, the best first: this process's own, and the root of all.
fn parents(own: &str) -> Vec<(Version, PathBuf)> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new) {
                let offered = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                if offered.split_whitespace().any(|name| name == "memory") {
                    found.extend([mount.join(path), mount.to_owned()].map(|parent| (Version::Two, parent)));
                }
            }
        } else if controllers.split(',').any(|name| name == "memory") {
            let mount = Path::new("/sys/fs/cgroup/memory");
            found.extend([mount.join(path), mount.to_owned()].map(|parent| (Version::One, parent)));
        }
    }
    found.retain(|(_, parent)| parent.is_dir());
    found.dedup();
    found
}
