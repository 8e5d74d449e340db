//! The life of a process: how it is begun, what it takes, how it ends, and that nothing of it stays.

use crate::cgroups::Cgroup;
use crate::error::HostError;
use crate::hearing::Hearing;
use crate::layout::NOBODY;
use crate::memory;
use crate::network::Forwarding;
use crate::peer;
use crate::sandbox::{Message, Namespaces, Plan, Tmp};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// It took more memory than it may.
    OutOfMemory,
    /// It wrote more to `/tmp` than it may.
    OutOfDisk,
    /// The file system of its `/tmp` was about to be full, by whomever.
    DiskFull,
    /// Its program could not be run.
    NotRun(String),
    /// It could not be shut in.
    Failed(String),
    /// The host ended it.
    Ended,
}

impl End {
    /// As AWS says it, after `Runtime exited`.
    pub fn describe(&self) -> String {
        match self {
            Self::Exited(0) | Self::Ended => "Runtime exited without providing a reason".into(),
            Self::Exited(code) => format!("Runtime exited with error: exit status {code}"),
            Self::Killed(signal) => format!("Runtime exited with error: signal: {}", signal_name(*signal)),
            Self::OutOfMemory | Self::OutOfDisk | Self::DiskFull => "Runtime exited with error: signal: killed".into(),
            Self::NotRun(reason) | Self::Failed(reason) => reason.clone(),
        }
    }

    /// The error's type in the answer.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotRun(_) => "Runtime.InvalidEntrypoint",
            _ => "Runtime.ExitError",
        }
    }

    /// And in the report.
    pub fn reported(&self) -> &'static str {
        match self {
            Self::OutOfMemory => "Runtime.OutOfMemory",
            other => other.kind(),
        }
    }
}

/// Names of signals as AWS's supervisor writes them.
fn signal_name(signal: i32) -> String {
    let names = [
        "hangup",
        "interrupt",
        "quit",
        "illegal instruction",
        "trace/breakpoint trap",
        "aborted",
        "bus error",
        "floating point exception",
    ];
    match signal {
        1..=8 => names[usize::try_from(signal - 1).unwrap_or(0)].into(),
        9 => "killed".into(),
        11 => "segmentation fault".into(),
        13 => "broken pipe".into(),
        14 => "alarm clock".into(),
        15 => "terminated".into(),
        25 => "file size limit exceeded".into(),
        other => format!("signal {other}"),
    }
}

/// What others may know of a process and do to it.
#[derive(Debug)]
pub struct Life {
    /// 32 hexadecimal digits, as in the name of its log stream.
    pub id: String,
    /// The key of its function.
    pub key: String,
    launcher: u32,
    in_namespace: bool,
    keeper: OnceLock<i32>,
    runtime: OnceLock<i32>,
    end: watch::Receiver<Option<End>>,
    gone: watch::Receiver<bool>,
    kill: Notify,
    blame: Mutex<Option<End>>,
    cgroup: Option<Cgroup>,
    memory_bytes_max: u64,
    peak_bytes: AtomicU64,
    now_bytes: AtomicU64,
    /// The user that is its alone.
    user: Option<u32>,
    /// Its `/tmp`, where that is a directory that has to be watched, with its limit.
    pub disk: Option<(PathBuf, u64)>,
}

impl Life {
    /// Ends the process and all that it started; `blame` says why, where the function did something wrong.
    pub fn kill(&self, blame: Option<End>) {
        let mut first = self.blame.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = blame;
        }
        drop(first);
        self.kill.notify_one();
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> End {
        let mut end = self.end.clone();
        let ended = end.wait_for(Option::is_some).await.map(|end| end.clone());
        ended.ok().flatten().unwrap_or(End::Ended)
    }

    /// Waits until nothing of it is left: no directory and no control group.
    pub async fn is_gone(&self) {
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    /// What it takes now, bytes, as it was seen last.
    pub fn memory_bytes(&self) -> u64 {
        self.now_bytes.load(Ordering::Relaxed)
    }

    /// Looks at what it takes; ends it where that is too much.
    pub fn look_at_memory(&self) {
        let (bytes, in_files) = match (&self.cgroup, self.keeper()) {
            // One file for all its processes.
            (Some(cgroup), _) => cgroup.memory().unwrap_or_default(),
            (None, Some(keeper)) => (memory::below(keeper), 0),
            (None, None) => return,
        };
        self.now_bytes.store(bytes + in_files, Ordering::Relaxed);
        self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
        if bytes > self.memory_bytes_max {
            self.kill(Some(End::OutOfMemory));
        }
    }

    /// Takes note of the most that its runtime took. Afterwards nobody can ask any more.
    pub fn note_peak(&self) {
        if let Some(peak) = self.runtime().and_then(memory::peak) {
            self.peak_bytes.fetch_max(peak, Ordering::Relaxed);
        }
    }

    /// The most that it was seen to take since it started, bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed).min(self.memory_bytes_max)
    }

    /// Whether a connection comes from this process or what it started. Functions share the loopback, and must not take each other's work.
    pub fn owns(&self, theirs: SocketAddr, ours: SocketAddr) -> bool {
        match (peer::find(theirs, ours), self.user, self.keeper()) {
            (Ok(Some(peer)), Some(user), _) => peer.user == user,
            (Ok(Some(peer)), None, Some(keeper)) => {
                memory::all_below(keeper).into_iter().any(|process| peer::holds(process, peer.inode))
            }
            (Ok(_), _, _) => false,
            // Without `/proc` nobody can tell.
            (Err(_), _, _) => true,
        }
    }

    /// The launcher whose children are the runtime and what the runtime lost: the inner one, where there are two.
    fn keeper(&self) -> Option<i32> {
        if let Some(keeper) = self.keeper.get() {
            return Some(*keeper);
        }
        let launcher = i32::try_from(self.launcher).ok()?;
        let keeper = if self.in_namespace { memory::first_child(launcher)? } else { launcher };
        Some(*self.keeper.get_or_init(|| keeper))
    }

    /// The runtime itself: the oldest of those.
    fn runtime(&self) -> Option<i32> {
        if let Some(runtime) = self.runtime.get() {
            return Some(*runtime);
        }
        let runtime = memory::first_child(self.keeper()?)?;
        Some(*self.runtime.get_or_init(|| runtime))
    }
}

fn disk_of(plan: &Plan) -> Option<(PathBuf, u64)> {
    match &plan.files.tmp {
        Tmp::Directory(directory) => Some((directory.clone(), plan.limits.file_bytes)),
        Tmp::Memory(_) => None,
    }
}

/// What a life begins with.
#[derive(Debug)]
pub struct Birth {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The key of its function.
    pub key: String,
    /// For the launcher.
    pub plan: Plan,
    /// Where its output goes in.
    pub writer: std::io::PipeWriter,
    /// Where its standard error goes in; absent: where its output does.
    pub errors: Option<std::io::PipeWriter>,
    /// Its control group.
    pub cgroup: Option<Cgroup>,
    /// A directory that is removed after its end.
    pub own: Option<PathBuf>,
    /// What leads out of its network, where the plan gives it one of its own.
    pub forwarding: Option<Forwarding>,
    /// What it may take.
    pub memory_bytes_max: u64,
}

/// Starts the launcher, which goes on by itself, and somebody to look after it.
///
/// # Errors
/// The launcher cannot be started.
pub fn begin(birth: Birth) -> Result<Arc<Life>, HostError> {
    let said = |what: &'static str| move |error: std::io::Error| HostError::Launch(format!("{what}: {error}"));
    let Birth { id, key, plan, writer, errors, cgroup, own, forwarding, memory_bytes_max } = birth;
    let (ours, theirs) = StdUnixStream::pair().map_err(said("a socket"))?;
    ours.set_nonblocking(true).map_err(said("a socket"))?;
    let socket = UnixStream::from_std(ours).map_err(said("a socket"))?;
    let text = serde_json::to_vec(&plan).map_err(|error| HostError::Launch(error.to_string()))?;
    let (program, arguments) = plan.launcher.split_first().ok_or_else(|| HostError::Launch("no launcher is set".into()))?;
    let errors = errors.map_or_else(|| writer.try_clone().map_err(said("a pipe")), Ok)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/").kill_on_drop(true);
    command.stdin(OwnedFd::from(theirs)).stdout(writer).stderr(errors);
    let child = command.spawn().map_err(said("the launcher"))?;
    // It holds the other ends of the pipe and the socket.
    drop(command);
    let (end_sender, end) = watch::channel(None);
    let (gone_sender, gone) = watch::channel(false);
    let in_namespace = plan.namespaces != Namespaces::None;
    let life = Arc::new(Life {
        id,
        key,
        launcher: child.id().unwrap_or_default(),
        in_namespace,
        keeper: OnceLock::new(),
        runtime: OnceLock::new(),
        end,
        gone,
        kill: Notify::new(),
        blame: Mutex::default(),
        cgroup,
        memory_bytes_max,
        peak_bytes: AtomicU64::new(0),
        now_bytes: AtomicU64::new(0),
        disk: disk_of(&plan),
        user: plan.user.filter(|user| *user != NOBODY),
    });
    // Without a namespace it is the launcher who ends what is below it. With one it has to take the end of the inner launcher, which nobody else
    // would where this server is the first process of a container.
    let grace = if in_namespace { Duration::from_millis(200) } else { Duration::from_secs(1) };
    let supervised = Supervised { life: Arc::clone(&life), child, grace, end: end_sender, gone: gone_sender, own };
    tokio::spawn(supervised.supervise(socket, text, forwarding));
    Ok(life)
}

/// The launcher of a process, and what is left to do when it ends.
struct Supervised {
    life: Arc<Life>,
    child: Child,
    /// How long the launcher may take to end what is below it, when it is told to.
    grace: Duration,
    end: watch::Sender<Option<End>>,
    gone: watch::Sender<bool>,
    own: Option<PathBuf>,
}

impl Supervised {
    /// Sends the plan, hears how the process fares, ends it when asked to, and cleans up after it.
    async fn supervise(mut self, socket: UnixStream, plan: Vec<u8>, forwarding: Option<Forwarding>) {
        let (heard, killed) = tokio::select! {
            heard = converse(socket, &plan, forwarding) => (heard, false),
            () = self.life.kill.notified() => (None, true),
        };
        // The socket is closed now: the launcher ends what is below it, and itself.
        let grace = if killed { self.grace } else { Duration::from_secs(1) };
        let status = match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        };
        let otherwise = || match status {
            Ok(_) if killed => End::Ended,
            Ok(status) => End::Failed(format!("the launcher ended without a word ({status})")),
            Err(error) => End::Failed(error.to_string()),
        };
        let out_of_memory = self.life.cgroup.as_ref().is_some_and(Cgroup::was_out_of_memory);
        let blamed = self.life.blame.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = match (blamed, heard) {
            (Some(blamed), _) => blamed,
            (None, heard) if out_of_memory && !matches!(heard, Some(End::Exited(_))) => End::OutOfMemory,
            (None, heard) => heard.unwrap_or_else(otherwise),
        };
        self.end.send_replace(Some(ended));
        if let Some(own) = self.own {
            let _ = tokio::task::spawn_blocking(move || crate::files::remove_tree(&own)).await;
        }
        // The kernel takes a moment to end what was in there. What stays after that goes at the next start.
        for _ in 0..200 {
            if self.life.cgroup.as_ref().is_none_or(Cgroup::is_removed) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.gone.send_replace(true);
    }

    /// Ends a launcher that did not end when it was told to: the inner one first, so that the outer one can take its end.
    async fn kill(&mut self) -> std::io::Result<std::process::ExitStatus> {
        let launcher = self.child.id().and_then(|id| i32::try_from(id).ok());
        let inner = launcher.filter(|_| self.life.in_namespace).and_then(memory::first_child);
        if let Some(inner) = inner {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(inner), nix::sys::signal::Signal::SIGKILL);
            if let Ok(status) = tokio::time::timeout(Duration::from_millis(500), self.child.wait()).await {
                return status;
            }
        }
        let _ = self.child.start_kill();
        self.child.wait().await
    }
}

/// Sends the plan and listens until the launcher has nothing more to say.
async fn converse(mut socket: UnixStream, plan: &[u8], mut forwarding: Option<Forwarding>) -> Option<End> {
    let length = u32::try_from(plan.len()).ok()?.to_le_bytes();
    if socket.write_all(&length).await.is_err() || socket.write_all(plan).await.is_err() {
        tracing::debug!("a launcher ended before it knew what to do");
    }
    let (mut heard, mut passages) = (None, None);
    let mut launcher = Hearing::new(&socket);
    while let Some(line) = launcher.line().await {
        match serde_json::from_str(&line) {
            Ok(Message::Network) => match forwarding.take().map(|leads| leads.begin(launcher.take_descriptors())) {
                Some(Ok(begun)) => passages = Some(begun),
                Some(Err(error)) => return Some(End::Failed(format!("a network of its own: {error}"))),
                None => tracing::warn!("a launcher made a network that nobody asked for"),
            },
            Ok(Message::Started { .. }) => {}
            Ok(Message::Exited(code)) => heard = Some(End::Exited(code)),
            Ok(Message::Killed(signal)) => heard = Some(End::Killed(signal)),
            Ok(Message::NotRun(reason)) => heard = Some(End::NotRun(reason)),
            Ok(Message::Failed(reason)) => heard = Some(End::Failed(reason)),
            Err(error) => tracing::warn!(%error, line, "a launcher says what is not understood"),
        }
    }
    if let (Some(passages), Some(End::Exited(_))) = (passages, &heard) {
        tokio::spawn(passages.drain());
    }
    heard
}
