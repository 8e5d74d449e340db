//! Which process takes which invocation, and when one is started or ended.
//!
//! An invocation takes an idle process of its key or waits in line for one. For each that waits a start is begun, a few at a time: a process that
//! becomes idle meanwhile goes to the first in line, and a start that nobody waits for any more is not made. So a burst of short invocations is
//! served by as many processes as the machine can use.

use crate::api::Api;
use crate::error::{HostError, RuntimeMissing};
use crate::files::{Directories, everybody_can_run};
use crate::isolation::{self, Found, USERS, USERS_FIRST};
use crate::layers;
use crate::layout::Start;
use crate::life::{End, Life};
use crate::memory;
use crate::output::Output;
use crate::packages::Packages;
use crate::platform::{Event, Status};
use crate::pool::{Lease, Pool};
use crate::process::{InitFailure, Launch, Process};
use crate::runtimes::{Runtime, Runtimes};
use crate::sandbox::{Isolation, Namespaces, Tmp};
use crate::spec::{HostSettings, Invocation, IsolationWanted, LogLevel, Outcome, SessionCredentials, Spec, Usage};
use millpond_core::env::EnvExt;
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore, oneshot};

/// How long a start may take before the invocation's own time counts. AWS: "Understanding the Lambda execution environment lifecycle".
const INIT_TIME: Duration = Duration::from_secs(10);

/// After this long a start waits for something else than the processor, and another may begin.
const START_SHARE: Duration = Duration::from_millis(500);

/// How long an invocation waits for a process of its function where there is no room for another,
const LINE_TIME: Duration = Duration::from_secs(10);

/// and how often it looks whether there is.
const LINE_LOOK: Duration = Duration::from_millis(100);
/// A process that has answered is waited for so long before another is started: it is about to ask for more.
const SETTLING: Duration = Duration::from_millis(50);

/// How often the memory of processes is looked at.
pub const LOOK_TIME: Duration = Duration::from_millis(50);

/// How often directories are measured and idle processes ended, in looks.
pub const LOOKS_A_SWEEP: u32 = 5;

/// Keeps the processes of all functions. Clones share them.
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: HostSettings,
    directories: Directories,
    runtimes: Arc<Runtimes>,
    packages: Arc<Packages>,
    found: OnceCell<Found>,
    pool: Mutex<Pool>,
    starts: Arc<Semaphore>,
    users: AtomicU32,
    /// Functions whose log says which version stands in for theirs.
    told: Mutex<HashSet<String>>,
}

impl Host {
    /// Prepares the directory (what a former server left is removed) and begins to watch over processes. Needs a tokio runtime.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(settings: HostSettings) -> Result<Self, HostError> {
        let directory = settings.directory.display().to_string();
        let directories =
            Directories::make(&settings.directory).map_err(|error| HostError::Launch(format!("{directory}: {error}")))?;
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let inner = Arc::new(Inner {
            runtimes: Runtimes::new(settings.python.clone(), settings.packages.clone()),
            packages: Packages::new(directories.packages.clone(), settings.packages.clone()),
            directories,
            found: OnceCell::new(),
            pool: Mutex::default(),
            starts: Arc::new(Semaphore::new((2 * processors).max(4))),
            users: AtomicU32::new(0),
            told: Mutex::default(),
            settings,
        });
        tokio::spawn(watch(Arc::downgrade(&inner)));
        let host = Self { inner };
        // So that the first function does not wait for it.
        let finds = host.clone();
        tokio::spawn(async move { drop(finds.isolation().await) });
        Ok(host)
    }

    /// Runs a function once, in a warm process where there is one. An invocation goes on when the caller goes away.
    ///
    /// # Errors
    /// Nothing ran, for a reason that is not the function's: see [`HostError`]. What the function did wrong is an [`Outcome`].
    pub async fn invoke(&self, spec: Arc<Spec>, invocation: Invocation) -> Result<Outcome, HostError> {
        let inner = Arc::clone(&self.inner);
        let run = tokio::spawn(async move { inner.invoke(spec, invocation).await });
        run.await.unwrap_or(Err(HostError::Stopped))
    }

    /// Whether functions of this runtime can run here, for when a function is created. It may run the interpreter to ask (some 20 ms, remembered), and
    /// begins to install packages for it in the background where they are missing.
    ///
    /// # Errors
    /// They cannot; it says what to install.
    pub async fn check_runtime(&self, runtime: &str) -> Result<(), RuntimeMissing> {
        let found = self.inner.runtimes.find(runtime).await?;
        if let Runtime::Python(python) = &found {
            if let Err(reason) = self.inner.directories.compile(python).await {
                tracing::warn!("{reason}");
            }
            if python.has_packages {
                return Ok(());
            }
            // Where it failed before it may have been for the network; how it goes is told by `is_ready`.
            let _ = self.inner.packages.ready(python, true);
        }
        Ok(())
    }

    /// Whether what the runtime imports is there. Until then a function of it is `Pending`: its invocations wait. A runtime that was not looked for
    /// yet (see [`Host::check_runtime`]) is taken to be ready.
    ///
    /// # Errors
    /// It could not be installed; it says what to run. It is tried again at the next call of [`Host::check_runtime`].
    pub fn is_ready(&self, runtime: &str) -> Result<bool, HostError> {
        match self.inner.runtimes.remembered(runtime) {
            Some(Runtime::Python(python)) if !python.has_packages => {
                self.inner.packages.ready(&python, false).map(|place| place.is_some()).map_err(HostError::Packages)
            }
            _ => Ok(true),
        }
    }

    /// Which protections are in force for functions on this machine. It is found out once, by trying.
    pub async fn isolation(&self) -> Isolation {
        self.inner.found().await.isolation.clone()
    }

    /// The code or configuration changed, or the function is gone: idle processes of this key end now, busy ones when they are done.
    pub fn retire(&self, key: &str) {
        self.inner.pool().retire(key);
    }

    /// What runs now.
    pub fn usage(&self) -> Usage {
        self.inner.pool().usage()
    }

    /// Ends all processes. Later invocations answer [`HostError::Stopped`].
    pub async fn stop(&self) {
        let lives = self.inner.pool().stop();
        let ended = futures::future::join_all(lives.iter().map(|life| life.is_gone()));
        if tokio::time::timeout(Duration::from_secs(5), ended).await.is_err() {
            tracing::warn!("processes of functions do not end");
        }
    }
}

impl Inner {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn found(&self) -> &Found {
        let find = async {
            let found = isolation::find(&self.settings, &self.directories).await;
            tracing::info!("functions run with: {}", found.isolation.describe());
            found.isolation.missing.iter().for_each(|missing| tracing::debug!("not offered for functions: {missing}"));
            found
        };
        self.found.get_or_init(|| find).await
    }

    async fn invoke(self: Arc<Self>, spec: Arc<Spec>, invocation: Invocation) -> Result<Outcome, HostError> {
        let time = Duration::from_millis(spec.timeout_ms);
        // When an invocation that begins now is over at the latest.
        let last_until = self.settings.env.now_ms().saturating_add(i64::try_from(spec.timeout_ms).unwrap_or(i64::MAX));
        let waiting = {
            let mut pool = self.pool();
            if pool.is_stopped() {
                return Err(HostError::Stopped);
            }
            pool.revive(&spec.key);
            let warm = pool.take(&spec.key, |process| process.credentials_end_ms.is_none_or(|end| end > last_until));
            match warm {
                Some(process) => Ok(process),
                None => Err(pool.wait(&spec.key)),
            }
        };
        let lease = match waiting {
            Ok(process) => Lease::Ready(process),
            Err(waiting) => self.wait_in_line(&spec, &invocation.credentials, waiting).await?,
        };
        let mut process = match lease {
            Lease::Ready(process) => process,
            Lease::None(error) => return Err(error),
            Lease::Unbegun(InitFailure::Ended(End::Failed(reason))) => return Err(HostError::Launch(reason)),
            Lease::Unbegun(_) => return self.begin_again(spec, invocation, time).await,
        };
        let outcome = process.run(invocation, time).await;
        self.put_back(process, &spec, time);
        Ok(outcome)
    }

    /// Gives a process back that may be about to ask for more.
    fn put_back(self: &Arc<Self>, mut process: Box<Process>, spec: &Spec, time: Duration) {
        let key = spec.key.clone();
        if process.is_ready() {
            self.pool().give(&key, Lease::Ready(process));
        } else if process.life.end().is_none() {
            let inner = Arc::clone(self);
            inner.pool().begin_settling(&key);
            tokio::spawn(async move {
                let mut settled = std::pin::pin!(async {
                    let ready = process.settle(time).await;
                    ready.then_some(process)
                });
                let soon = tokio::time::timeout(SETTLING, &mut settled).await.ok();
                let is_late = soon.is_none();
                if is_late {
                    inner.pool().end_settling(&key);
                }
                let process = match soon {
                    Some(process) => process,
                    None => settled.await,
                };
                if let Some(process) = process {
                    inner.pool().give(&key, Lease::Ready(process));
                }
                if !is_late {
                    inner.pool().end_settling(&key);
                }
            });
        }
    }

    /// Waits for a process: one that becomes idle, or one that is started for those who wait.
    async fn wait_in_line(
        self: &Arc<Self>,
        spec: &Arc<Spec>,
        credentials: &SessionCredentials,
        mut waiting: oneshot::Receiver<Lease>,
    ) -> Result<Lease, HostError> {
        let begun = Instant::now();
        let mut look = SETTLING;
        loop {
            if self.pool().begin_start(&spec.key) {
                tokio::spawn(Arc::clone(self).start_for_line(Arc::clone(spec), credentials.clone()));
            }
            match tokio::time::timeout(std::mem::replace(&mut look, LINE_LOOK), &mut waiting).await {
                Ok(lease) => return lease.map_err(|_| HostError::Stopped),
                Err(_) if begun.elapsed() > LINE_TIME => {
                    if let Some(refused) = self.pool().refused(&spec.key) {
                        return Err(refused);
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Starts a process for the first in line, unless nobody is any more.
    async fn start_for_line(self: Arc<Self>, spec: Arc<Spec>, credentials: SessionCredentials) {
        let Ok(permit) = Arc::clone(&self.starts).acquire_owned().await else { return };
        if !self.pool().is_wanted(&spec.key) {
            return;
        }
        let starting = self.start(&spec, &credentials, "init", INIT_TIME);
        tokio::pin!(starting);
        let lease = tokio::select! {
            lease = &mut starting => lease,
            () = tokio::time::sleep(START_SHARE) => {
                drop(permit);
                starting.await
            }
        };
        let lease = match lease {
            Ok((process, Ok(()))) => Lease::Ready(process),
            Ok((_, Err(failure))) => Lease::Unbegun(failure),
            Err(error) => Lease::None(error),
        };
        let mut pool = self.pool();
        if pool.end_start(&spec.key, &lease) {
            pool.give(&spec.key, lease);
        }
    }

    /// After a start that failed AWS begins once more, within the time of the invocation.
    async fn begin_again(self: Arc<Self>, spec: Arc<Spec>, invocation: Invocation, time: Duration) -> Result<Outcome, HostError> {
        let begun = Instant::now();
        let (mut process, outcome) = self.start(&spec, &invocation.credentials, "invoke", time).await?;
        match outcome {
            Ok(()) => {
                let left = time.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
                let outcome = process.run(invocation, left).await;
                self.put_back(process, &spec, time);
                Ok(outcome)
            }
            Err(InitFailure::Ended(End::Failed(reason))) => Err(HostError::Launch(reason)),
            Err(failure) => Ok(process.conclude_unbegun(&invocation.request_id, failure, begun.elapsed().min(time))),
        }
    }

    /// Starts a process and waits until it is ready; a failure of its own comes with the process, which has ended.
    async fn start(
        &self,
        spec: &Arc<Spec>,
        credentials: &SessionCredentials,
        phase: &str,
        time: Duration,
    ) -> Result<(Box<Process>, Result<(), InitFailure>), HostError> {
        let mut process = Box::new(self.launch(spec, credentials).await?);
        let begun = Instant::now();
        let outcome = process.begin(time).await;
        let status = outcome.as_ref().err().map_or(Status::Success, InitFailure::status);
        process.report_init(&status, begun.elapsed().min(time), phase);
        Ok((process, outcome))
    }

    async fn launch(&self, spec: &Arc<Spec>, credentials: &SessionCredentials) -> Result<Process, HostError> {
        let runtime = self.runtimes.find(&spec.runtime).await?;
        let packages = match &runtime {
            Runtime::Python(python) => {
                self.directories.compile(python).await.map_err(HostError::Launch)?;
                if python.has_packages { None } else { Some(self.packages.wait(python).await.map_err(HostError::Packages)?) }
            }
            _ => None,
        };
        let found = self.found().await;
        if self.settings.isolation == IsolationWanted::Require && !found.isolation.is_complete() {
            return Err(HostError::NotIsolated(found.isolation.missing.join("; ")));
        }
        if found.isolation.namespaces == Namespaces::None
            && found.user.is_some()
            && let Some(program) = runtime.program().filter(|program| !everybody_can_run(program))
        {
            return Err(HostError::RuntimeMissing(RuntimeMissing {
                runtime: spec.runtime.clone(),
                reason: format!("{} cannot be run by the users that functions run as", program.display()),
                remedy: "install one where everybody can run it, or name it as `[functions] python` in millpond.toml".into(),
            }));
        }
        let reserved = self.pool().make_room(&spec.key, spec.memory_mb, &self.settings)?;
        let process = self.launch_with(spec, credentials, &runtime, packages.as_deref(), found).await;
        let mut pool = self.pool();
        pool.release(reserved);
        if let Ok(process) = &process {
            pool.add(Arc::clone(&process.life));
        }
        process
    }

    /// Starts a process for which there is room.
    async fn launch_with(
        &self,
        spec: &Arc<Spec>,
        credentials: &SessionCredentials,
        runtime: &Runtime,
        packages: Option<&Path>,
        found: &Found,
    ) -> Result<Process, HostError> {
        let said = |error: std::io::Error| HostError::Launch(error.to_string());
        let opt = self.opt(spec).await?;
        let (listener, address) = Api::listen().await.map_err(said)?;
        let id = self.settings.env.random_hex(16);
        let stream = self.stream(spec, &id);
        let cgroup = match &found.cgroups {
            Some(cgroups) => Some(cgroups.make(&id, cgroup_bytes(spec)).map_err(HostError::Launch)?),
            None => None,
        };
        let own = self.directories.processes.join(&id);
        let user = found.user.map(|user| if user == USERS_FIRST { self.next_user() } else { user });
        let start = Start {
            settings: &self.settings,
            isolation: &found.isolation,
            spec,
            runtime,
            opt: opt.as_deref(),
            bootstraps: &self.directories.bootstraps,
            packages,
            root: &self.directories.root,
            own: &own,
            api: &address.to_string(),
            stream: &stream,
            credentials,
            user,
            cgroup_procs: cgroup.iter().map(crate::cgroups::Cgroup::procs).collect(),
        };
        let plan = start.plan();
        let needs_own = matches!(plan.files.tmp, Tmp::Directory(_)) || plan.namespaces == Namespaces::None;
        if needs_own {
            make_own(&own, user).map_err(said)?;
        }
        let (reader, writer) = std::io::pipe().map_err(said)?;
        let (logs, env) = (Arc::clone(&self.settings.logs), Arc::clone(&self.settings.env));
        let output = Output::new(reader.into(), (&spec.log_group, &stream), spec.logging, logs, env).map_err(said)?;
        self.say_first(&output, spec, runtime);
        let launch = Launch {
            id,
            spec: Arc::clone(spec),
            plan,
            listener,
            output,
            writer,
            cgroup,
            own: needs_own.then_some(own),
            credentials_end_ms: credentials.expires_ms,
            env: Arc::clone(&self.settings.env),
        };
        Process::start(launch)
    }

    async fn opt(&self, spec: &Spec) -> Result<Option<std::path::PathBuf>, HostError> {
        if spec.layer_dirs.len() < 2 {
            return Ok(spec.layer_dirs.first().cloned());
        }
        let (directory, dirs) = (self.directories.layers.clone(), spec.layer_dirs.clone());
        let merged = tokio::task::spawn_blocking(move || layers::merged(&directory, &dirs)).await;
        let said = |error: &dyn std::fmt::Display| HostError::Launch(format!("the function's layers: {error}"));
        merged.map_err(|error| said(&error))?.map_err(|error| said(&error))
    }

    fn next_user(&self) -> u32 {
        USERS_FIRST + self.users.fetch_add(1, Ordering::Relaxed) % USERS
    }

    /// As AWS names it: `2026/05/01/[$LATEST]0123456789abcdef0123456789abcdef`.
    fn stream(&self, spec: &Spec, id: &str) -> String {
        let now = millpond_core::env::iso8601(self.settings.env.now_ms(), false);
        format!("{}/[{}]{id}", now[..10].replace('-', "/"), spec.version)
    }

    fn say_first(&self, output: &Output, spec: &Spec, runtime: &Runtime) {
        let described = runtime.describe();
        let runtime_arn = format!("arn:aws:lambda:{}::runtime:{}", self.settings.region, digest(&described));
        let begins =
            Event::InitStart { runtime: &described, runtime_arn: &runtime_arn, function: &spec.name, version: &spec.version };
        let substitution = runtime.substitution(&spec.runtime).filter(|_| {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() > 100_000 {
                told.clear();
            }
            told.insert(spec.key.clone())
        });
        match &substitution {
            Some(text) => output.say(&[begins, Event::Notice { level: LogLevel::Info, text }]),
            None => output.say(&[begins]),
        }
    }
}

/// Something that stands for a runtime's version as AWS's digests do: the same for the same version.
fn digest(text: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let part = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, text).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    (0..4).map(part).collect()
}

/// The kernel's limit is behind ours: it counts what lies in `/tmp`, too, and what the launchers take.
fn cgroup_bytes(spec: &Spec) -> u64 {
    (u64::from(spec.memory_mb) + u64::from(spec.ephemeral_mb) + 64) << 20
}

/// Makes the directory of one process, with a `/tmp` that is its user's.
///
/// # Errors
/// The file system's.
pub fn make_own(own: &Path, user: Option<u32>) -> std::io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    std::fs::create_dir_all(own.join("opt"))?;
    let tmp = own.join("tmp");
    std::fs::create_dir_all(&tmp)?;
    for (path, mode) in [(own, 0o755), (&tmp, 0o700)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    if let Some(user) = user {
        chown(&tmp, Some(user), Some(user))?;
    }
    Ok(())
}

/// Looks at memory and disks, and ends what takes too much or idles too long, until the host is gone.
async fn watch(inner: Weak<Inner>) {
    let mut looks = 0u32;
    loop {
        tokio::time::sleep(LOOK_TIME).await;
        let Some(inner) = inner.upgrade() else { return };
        let lives = inner.pool().lives();
        lives.iter().for_each(|life| life.look_at_memory());
        looks = looks.wrapping_add(1);
        if !looks.is_multiple_of(LOOKS_A_SWEEP) {
            continue;
        }
        inner.pool().sweep(Duration::from_millis(inner.settings.idle_ms));
        let watched: Vec<_> = lives.into_iter().filter(|life| life.disk.is_some()).collect();
        if !watched.is_empty() {
            let measure = move || watched.iter().for_each(|life| look_at_disk(life));
            let _ = tokio::task::spawn_blocking(measure).await;
        }
    }
}

/// Ends a process whose `/tmp` takes more than it may.
pub fn look_at_disk(life: &Life) {
    if let Some((directory, bytes_max)) = &life.disk
        && memory::of_directory(directory, *bytes_max) > *bytes_max
    {
        life.kill(Some(End::OutOfDisk));
    }
}
