//! Programs that run once, shut in as functions are: the scripts of jobs.
//!
//! A program gets a [`Desk`] first: a directory that it will see as its `/tmp`, in which whoever starts it puts what it needs. Then it is started, and
//! what it prints comes out of two pipes. Its processes end with it, when it is told to, when it takes too much, and when this program does.

use crate::cgroups::Cgroup;
use crate::error::{HostError, RuntimeMissing};
use crate::files::{Directories, space};
use crate::host::{LOOK_TIME, LOOKS_A_SWEEP, look_at_disk, make_own};
use crate::isolation::{self, Found, OwnNetwork, USERS, USERS_FIRST};
use crate::layout::{NOBODY, SEEN_USER, system_files};
use crate::life::{self, Birth, End, Life};
use crate::network::{Forwarding, LakeDoor, Leads, ProgramNetwork, resolver};
use crate::runtimes::{Python, Runtime, Runtimes};
use crate::sandbox::{Bind, Isolation, Landlock, Limits, Namespaces, Network, Plan, Tmp};
use crate::spec::{HostSettings, IsolationWanted};
use millpond_core::env::EnvExt;
use nix::sys::resource::{Resource, getrlimit};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{OnceCell, Semaphore};

/// Open files of one process, where the server's own limit allows that many: an engine holds a file a partition.
const OPEN_FILES: u64 = 16_384;

/// Processes and threads of one program.
const PROCESSES: u64 = 8_192;

/// What a program may map beyond its memory before an allocation fails: stacks, and what an engine reserves.
const DATA_SLACK_BYTES: u64 = 16 << 30;

/// What the control group counts besides a program's own memory: the launchers, and pages of files that it has just written.
const CGROUP_SLACK_BYTES: u64 = 256 << 20;

/// Connections that all programs may have out of networks of their own at the same time, where this program may have as many files.
const CONNECTIONS_OUT: u64 = 2_048;

/// Runs programs. Clones share what it found out about the machine.
#[derive(Debug, Clone)]
pub struct Programs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: HostSettings,
    directories: Directories,
    runtimes: Arc<Runtimes>,
    /// Where programs with a network of their own find the lake; without it they have the machine's.
    lake: Option<LakeDoor>,
    found: OnceCell<(Found, OwnNetwork)>,
    connections_out: Arc<Semaphore>,
    users: AtomicU32,
    lives: Mutex<Vec<Arc<Life>>>,
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program (an absolute path) and its arguments.
    pub argv: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Files and directories that it sees besides the system's, read only, and as which paths: see [`Desk::seen`].
    pub reads: Vec<(PathBuf, PathBuf)>,
    /// In whose network it runs.
    pub network: ProgramNetwork,
    /// The memory that it and what it starts may take, bytes.
    pub memory_bytes_max: u64,
    /// What may lie in its `/tmp`, bytes.
    pub disk_bytes_max: u64,
    /// Whether its `/tmp` stays until [`Running`] is dropped; else it goes as soon as the program has ended.
    pub keeps_tmp: bool,
}

/// A place for a program that is to be started, and its directory; removed when dropped.
#[derive(Debug)]
pub struct Desk {
    id: String,
    own: PathBuf,
    user: Option<u32>,
    in_namespace: bool,
    used: bool,
}

impl Desk {
    /// Its `/tmp`, as this program sees it.
    pub fn tmp(&self) -> PathBuf {
        self.own.join("tmp")
    }

    /// Its `/tmp`, as the program will see it.
    pub fn seen_tmp(&self) -> PathBuf {
        self.seen(&self.tmp(), "/tmp")
    }

    /// Adds `source` to what the program reads, and answers as which path it will see it.
    pub fn see(&self, reads: &mut Vec<(PathBuf, PathBuf)>, source: &Path, target: &str) -> PathBuf {
        let seen = self.seen(source, target);
        reads.push((source.to_owned(), seen.clone()));
        seen
    }

    /// As which path the program will see `source`: as `target`, where it has a file tree of its own. (What lies in this machine's `/tmp` could not
    /// be seen there under its own path.)
    fn seen(&self, source: &Path, target: &str) -> PathBuf {
        if self.in_namespace { PathBuf::from(target) } else { source.to_owned() }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !self.used {
            let _ = crate::files::remove_tree(&self.own);
        }
    }
}

/// A program that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    life: Arc<Life>,
    /// What it prints; the end comes when its last process has let go of it.
    pub stdout: Option<OwnedFd>,
    /// What it says of errors.
    pub stderr: Option<OwnedFd>,
    kept: Option<Desk>,
}

impl Running {
    /// Ends it and all that it started.
    pub fn kill(&self) {
        self.life.kill(None);
    }

    /// Waits for its end.
    pub async fn ended(&self) -> End {
        self.life.ended().await
    }

    /// Waits until nothing of it is left.
    pub async fn is_gone(&self) {
        self.life.is_gone().await;
    }

    /// Its `/tmp`, as this program sees it, where [`Program::keeps_tmp`] says so.
    pub fn tmp(&self) -> Option<PathBuf> {
        self.kept.as_ref().map(Desk::tmp)
    }

    /// The most memory that it was seen to take, bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.life.peak_bytes()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.life.kill(None);
    }
}

impl Programs {
    /// Prepares the directory (what a former server left is removed) and begins to watch over programs. Needs a tokio runtime. Programs can have networks
    /// of their own where it is told how to reach the lake from them.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(settings: HostSettings, lake: Option<LakeDoor>) -> Result<Self, HostError> {
        let directory = settings.directory.display().to_string();
        let directories =
            Directories::make(&settings.directory).map_err(|error| HostError::Launch(format!("{directory}: {error}")))?;
        let inner = Arc::new(Inner {
            runtimes: Runtimes::new(settings.python.clone(), Vec::new()),
            directories,
            lake,
            found: OnceCell::new(),
            connections_out: Arc::new(Semaphore::new(connections_out())),
            users: AtomicU32::new(0),
            lives: Mutex::default(),
            settings,
        });
        tokio::spawn(watch(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// The interpreter of this machine for `python3.X`, or the nearest.
    ///
    /// # Errors
    /// There is none; it says what to install.
    pub async fn python(&self, name: &str) -> Result<Python, RuntimeMissing> {
        match self.inner.runtimes.find(name).await? {
            Runtime::Python(python) => Ok(python),
            Runtime::Node(_) | Runtime::Own => Err(RuntimeMissing {
                runtime: name.to_owned(),
                reason: "it is no Python".into(),
                remedy: "ask for python3.11 or another version of Python".into(),
            }),
        }
    }

    /// Which protections are in force. It is found out once, by trying.
    pub async fn isolation(&self) -> Isolation {
        self.inner.found().await.0.isolation.clone()
    }

    /// A place for a program.
    ///
    /// # Errors
    /// Its directory cannot be made, or programs are to run isolated and cannot.
    pub async fn desk(&self) -> Result<Desk, HostError> {
        let inner = &self.inner;
        let (found, offered) = inner.found().await;
        if inner.settings.isolation == IsolationWanted::Require {
            if !found.isolation.is_complete() {
                return Err(HostError::NotIsolated(found.isolation.missing.join("; ")));
            }
            if let (Some(_), OwnNetwork::No(reason)) = (&inner.lake, offered) {
                return Err(HostError::NotIsolated(format!("no network of its own: {reason}")));
            }
        }
        let id = inner.settings.env.random_hex(16);
        let own = inner.directories.processes.join(&id);
        let user = found.user.map(|user| if user == USERS_FIRST { inner.next_user() } else { user });
        make_own(&own, user).map_err(|error| HostError::Launch(format!("{}: {error}", own.display())))?;
        Ok(Desk { id, own, user, in_namespace: found.isolation.namespaces != Namespaces::None, used: false })
    }

    /// Starts a program at its desk.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(&self, mut desk: Desk, program: &Program) -> Result<Running, HostError> {
        let inner = &self.inner;
        let (found, offered) = inner.found().await;
        let said = |error: std::io::Error| HostError::Launch(error.to_string());
        let cgroup = match &found.cgroups {
            Some(cgroups) => {
                let bytes = program.memory_bytes_max.saturating_add(CGROUP_SLACK_BYTES);
                Some(cgroups.make(&desk.id, bytes).map_err(HostError::Launch)?)
            }
            None => None,
        };
        let (network, forwarding) = inner.network(&program.network, offered);
        let plan = inner.plan(&desk, program, found, cgroup.as_ref(), network);
        let (stdout, writer) = std::io::pipe().map_err(said)?;
        let (stderr, errors) = std::io::pipe().map_err(said)?;
        desk.used = true;
        let birth = Birth {
            id: desk.id.clone(),
            key: String::new(),
            plan,
            writer,
            errors: Some(errors),
            cgroup,
            own: (!program.keeps_tmp).then(|| desk.own.clone()),
            forwarding,
            memory_bytes_max: program.memory_bytes_max,
        };
        let begun = life::begin(birth);
        desk.used = begun.is_ok() && !program.keeps_tmp;
        let life = begun?;
        inner.lives().push(Arc::clone(&life));
        let kept = program.keeps_tmp.then_some(desk);
        Ok(Running { life, stdout: Some(stdout.into()), stderr: Some(stderr.into()), kept })
    }

    /// Ends all programs.
    pub async fn stop(&self) {
        let lives: Vec<_> = self.inner.lives().clone();
        lives.iter().for_each(|life| life.kill(None));
        let ended = futures::future::join_all(lives.iter().map(|life| life.is_gone()));
        if tokio::time::timeout(std::time::Duration::from_secs(5), ended).await.is_err() {
            tracing::warn!("scripts of jobs do not end");
        }
    }
}

impl Inner {
    fn lives(&self) -> MutexGuard<'_, Vec<Arc<Life>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn found(&self) -> &(Found, OwnNetwork) {
        let find = async {
            let found = isolation::find(&self.settings, &self.directories).await;
            let network = match &self.lake {
                Some(_) => isolation::find_network(&self.settings, &self.directories, &found.isolation).await,
                None => OwnNetwork::No("as it is set".into()),
            };
            tracing::info!("scripts of jobs run with: {}; {}", found.isolation.describe(), network.describe());
            (found, network)
        };
        self.found.get_or_init(|| find).await
    }

    /// Beyond the users of functions.
    fn next_user(&self) -> u32 {
        USERS_FIRST + USERS + self.users.fetch_add(1, Ordering::Relaxed) % USERS
    }

    /// The network for a program, and what is to lead out of it.
    fn network(&self, wanted: &ProgramNetwork, offered: &OwnNetwork) -> (Network, Option<Forwarding>) {
        let way_out = match offered {
            OwnNetwork::WithWayOut => true,
            OwnNetwork::LakeOnly(_) => false,
            OwnNetwork::No(_) => return (Network::Shared, None),
        };
        let (ProgramNetwork::Own { services }, Some(lake)) = (wanted, &self.lake) else { return (Network::Shared, None) };
        let lake = (lake.at, Leads::Lake(lake.visitors.clone()));
        let services = services.iter().map(|at| (*at, Leads::Outside(*at)));
        // The way out leads to other addresses of this machine, too: one that is shadowed inside would hide what else is there.
        let is_opened = |at: &std::net::SocketAddr| at.ip().is_loopback() || !(way_out && at.is_ipv4());
        let (listen, openings) = std::iter::once(lake).chain(services).filter(|(at, _)| is_opened(at)).unzip();
        let way_out_places = way_out.then(|| Arc::clone(&self.connections_out));
        (Network::Own { listen, way_out }, Some(Forwarding { openings, way_out: way_out_places }))
    }

    fn plan(&self, desk: &Desk, program: &Program, found: &Found, cgroup: Option<&Cgroup>, network: Network) -> Plan {
        let isolation = &found.isolation;
        let mut files = system_files(&self.directories.root, desk.in_namespace, desk.user.unwrap_or(SEEN_USER));
        files.tmp = Tmp::Directory(desk.tmp());
        files.binds.extend(binds(&program.reads, &files.binds));
        if let Network::Own { way_out: true, .. } = network {
            files.binds.retain(|bind| bind.target != Path::new(resolver::FILE));
            files.texts.push((resolver::FILE.into(), resolver::inside()));
        }
        let has_own_user = desk.user.is_some_and(|user| user != NOBODY) || isolation.namespaces == Namespaces::User;
        let open_files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(_, hard)| hard.min(OPEN_FILES));
        Plan {
            launcher: self.settings.launcher.iter().map(|part| part.to_string_lossy().into_owned()).collect(),
            argv: program.argv.clone(),
            environment: program.environment.clone(),
            directory: desk.seen_tmp(),
            namespaces: isolation.namespaces,
            network,
            files,
            cgroup_procs: cgroup.iter().map(|cgroup| cgroup.procs()).collect(),
            limits: Limits {
                files: open_files,
                processes: has_own_user.then_some(PROCESSES),
                file_bytes: program.disk_bytes_max,
                data_bytes: Some(program.memory_bytes_max.saturating_add(DATA_SLACK_BYTES)),
            },
            user: desk.user,
            landlock: isolation.landlock != Landlock::None,
        }
    }
}

/// A quarter of the files that this program may have open, for two of a connection.
fn connections_out() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    usize::try_from((files / 8).clamp(16, CONNECTIONS_OUT)).unwrap_or(16)
}

/// Binds for paths that are not seen already; what lies in a directory that is seen is seen.
fn binds(reads: &[(PathBuf, PathBuf)], system: &[Bind]) -> Vec<Bind> {
    let mut wanted: Vec<&(PathBuf, PathBuf)> = reads.iter().filter(|(source, _)| source.exists()).collect();
    wanted.sort_by_key(|(_, target)| target);
    let mut kept: Vec<Bind> = Vec::new();
    for (source, target) in wanted {
        if !system.iter().chain(&kept).any(|bind| target.starts_with(&bind.target)) {
            kept.push(Bind { source: source.to_owned(), target: target.to_owned(), device: false });
        }
    }
    kept
}

/// Ends a program while the file system of its `/tmp` still has room for others. Files that are open and have no name any more are in no directory: only
/// the file system counts them.
fn look_at_file_system(life: &Life) {
    if let Some((directory, _)) = &life.disk
        && space(directory).is_some_and(|space| space.is_nearly_full())
    {
        life.kill(Some(End::DiskFull));
    }
}

/// Looks at memory and disks, and ends what takes too much, until nobody runs programs any more.
async fn watch(inner: Weak<Inner>) {
    let mut looks = 0u32;
    loop {
        tokio::time::sleep(LOOK_TIME).await;
        let Some(inner) = inner.upgrade() else { return };
        let lives: Vec<_> = {
            let mut lives = inner.lives();
            lives.retain(|life| life.end().is_none());
            lives.clone()
        };
        lives.iter().for_each(|life| life.look_at_memory());
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_A_SWEEP) && !lives.is_empty() {
            let measure = move || {
                lives.iter().for_each(|life| look_at_disk(life));
                lives.iter().for_each(|life| look_at_file_system(life));
            };
            let _ = tokio::task::spawn_blocking(measure).await;
        }
    }
}
