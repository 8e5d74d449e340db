//! What a launcher is told, and what it tells back.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// How a function's process is to be started. Everything in it is done, or the start fails: there is no silent weakening.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The launcher's own program and arguments, to start the inner one.
    pub launcher: Vec<String>,
    /// The runtime and its arguments. Nothing: a rehearsal, which ends after everything was set up.
    pub argv: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Where it begins.
    pub directory: PathBuf,
    /// By which namespaces it is shut in.
    pub namespaces: Namespaces,
    /// In whose network it is.
    pub network: Network,
    /// What it sees of the machine's files.
    pub files: Files,
    /// Files that take the id of a process for a control group.
    pub cgroup_procs: Vec<PathBuf>,
    /// What it may take.
    pub limits: Limits,
    /// The user and group to become, where the launcher is root.
    pub user: Option<u32>,
    /// Whether Landlock is to be used.
    pub landlock: bool,
}

/// By which namespaces a process is shut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespaces {
    /// Mount, process and IPC namespaces, made as root, which is then given up.
    Root,
    /// The same inside a user namespace, made without any privilege.
    User,
    /// None: the kernel does not allow them.
    None,
}

/// In whose network a process is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The machine's.
    #[default]
    Shared,
    /// One of its own, with a loopback and what is named here. Needs namespaces.
    Own {
        /// Where the server takes connections in there. What is no loopback address becomes one of the new network's loopback.
        listen: Vec<SocketAddr>,
        /// Whether the server gets the packets that are meant for elsewhere.
        way_out: bool,
    },
}

/// What a process sees of the machine's files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Files {
    /// An empty directory on which the new root is mounted.
    pub root: PathBuf,
    /// What it sees, read only. In a mount namespace there is nothing else; without one Landlock allows nothing else.
    pub binds: Vec<Bind>,
    /// Symbolic links of the new root, as (path, target).
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Files of the new root that are written by the launcher, as (path, text).
    pub texts: Vec<(PathBuf, String)>,
    /// Its `/tmp`.
    pub tmp: Tmp,
}

/// A file or directory that is seen read only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Where it is.
    pub source: PathBuf,
    /// Where the function sees it (with a mount namespace).
    pub target: PathBuf,
    /// A device, which can be written.
    pub device: bool,
}

/// The one place that a function can write to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tmp {
    /// In memory, with this limit in bytes.
    Memory(u64),
    /// A directory of the machine.
    Directory(PathBuf),
}

impl Default for Tmp {
    fn default() -> Self {
        Self::Memory(512 << 20)
    }
}

/// Resource limits, each for one process.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Open files.
    pub files: u64,
    /// Processes and threads of its user. Only where it has a user of its own.
    pub processes: Option<u64>,
    /// The largest file, bytes.
    pub file_bytes: u64,
    /// Private writable memory, bytes: a second line behind the control group or the watch over resident memory.
    pub data_bytes: Option<u64>,
}

/// Which protections are in force for functions on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Which namespaces.
    pub namespaces: Namespaces,
    /// Whether a `/proc` of their own could be mounted.
    pub proc: bool,
    /// Whether Landlock is enforced, and all of what we ask of it.
    pub landlock: Landlock,
    /// As whom functions run, as the machine sees it.
    pub users: Users,
    /// Whether control groups limit memory (else a watch over the resident memory ends what takes too much).
    pub memory_cgroup: bool,
    /// What is missing, with the kernel's reasons.
    pub missing: Vec<String>,
}

/// As whom functions run, as the machine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// Each process as another user, who is nobody else.
    Own,
    /// All as `nobody`.
    Nobody,
    /// All as the server's user; in a user namespace they have none of its rights but to its files, of which they see none but their own.
    Servers,
}

/// How far Landlock is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Landlock {
    /// Files, abstract sockets and signals.
    Full,
    /// What this kernel knows of it.
    Partial,
    /// Not at all.
    None,
}

impl Isolation {
    /// Whether files, processes and memory of functions are shut in.
    pub fn is_complete(&self) -> bool {
        self.namespaces != Namespaces::None || (self.landlock != Landlock::None && self.users != Users::Servers)
    }

    /// In one line, for the log and `millpond doctor`.
    pub fn describe(&self) -> String {
        let namespaces = match self.namespaces {
            Namespaces::Root => "mount, process and IPC namespaces with a file tree of their own",
            Namespaces::User => "user, mount, process and IPC namespaces with a file tree of their own",
            Namespaces::None => "no namespaces",
        };
        let landlock = match self.landlock {
            Landlock::Full => "Landlock",
            Landlock::Partial => "Landlock (in part)",
            Landlock::None => "no Landlock",
        };
        let user = match self.users {
            Users::Own => "a user of its own for each process",
            Users::Nobody => "one user, nobody, for all of them",
            Users::Servers => "the server's user for all of them",
        };
        let memory = if self.memory_cgroup { "memory limited by control groups" } else { "memory limited by a watch" };
        format!("{namespaces}; {landlock}; {user}; no new privileges; resource limits; {memory}")
    }
}

/// What a launcher tells the server: lines of JSON on its socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Message {
    /// It has a network of its own. With the line come descriptors: the listeners in the order of the plan, then for the way out the device and the
    /// listener of [`super::address`].
    Network,
    /// Everything is set up; the runtime runs (or the rehearsal is over).
    Started {
        /// Whether `/proc` could be mounted, where there are namespaces.
        proc: bool,
        /// What Landlock does.
        landlock: Landlock,
    },
    /// It could not be shut in.
    Failed(String),
    /// It is shut in, and the program cannot be run.
    NotRun(String),
    /// The runtime ended by itself.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
}
