//! One process of a function: started in its sandbox, given one invocation after the other, ended.
//!
//! A [`Process`] has one owner at a time: the one who starts it, who runs an invocation in it, or the pool of idle ones. What others need of it (to
//! end it, to see what memory it takes, to learn that it ended) is its [`Life`].

use crate::api::{Api, Asked, ErrorDocument, RESPONSE_BYTES_MAX, Work};
use crate::cgroups::Cgroup;
use crate::error::HostError;
use crate::memory;
use crate::output::Output;
use crate::sandbox::{Message, Namespaces, Plan};
use crate::spec::{Invocation, Outcome, Report, Spec};
use bytes::Bytes;
use millpond_core::env::{EnvExt, SharedEnv, iso8601};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// How long an answer waits for its runtime to ask for more, so that the next invocation finds it idle.
const SETTLE_TIME: Duration = Duration::from_millis(5);

/// How long a process that was killed may take to be gone.
const END_TIME: Duration = Duration::from_secs(5);

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
    /// Its program could not be run.
    NotRun(String),
    /// It could not be shut in.
    Failed(String),
    /// The host ended it.
    Ended,
}

impl End {
    /// As AWS says it, after `Runtime exited`.
    fn describe(&self) -> String {
        match self {
            Self::Exited(0) | Self::Ended => "Runtime exited without providing a reason".into(),
            Self::Exited(code) => format!("Runtime exited with error: exit status {code}"),
            Self::Killed(signal) => format!("Runtime exited with error: signal: {}", signal_name(*signal)),
            Self::OutOfMemory | Self::OutOfDisk => "Runtime exited with error: signal: killed".into(),
            Self::NotRun(reason) | Self::Failed(reason) => reason.clone(),
        }
    }

    /// The error's type in the answer.
    fn kind(&self) -> &'static str {
        match self {
            Self::NotRun(_) => "Runtime.InvalidEntrypoint",
            _ => "Runtime.ExitError",
        }
    }

    /// And in the report.
    fn reported(&self) -> &'static str {
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
    fn note_peak(&self) {
        if let Some(peak) = self.runtime().and_then(memory::peak) {
            self.peak_bytes.fetch_max(peak, Ordering::Relaxed);
        }
    }

    /// The most that it was seen to take since it started, bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed).min(self.memory_bytes_max)
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

/// What a process is started with.
#[derive(Debug)]
pub struct Launch {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The function.
    pub spec: Arc<Spec>,
    /// For the launcher.
    pub plan: Plan,
    /// Of its runtime API.
    pub listener: TcpListener,
    /// Its output.
    pub output: Arc<Output>,
    /// Where its output goes in.
    pub writer: std::io::PipeWriter,
    /// Its control group.
    pub cgroup: Option<Cgroup>,
    /// Removed after its end.
    pub own: Option<PathBuf>,
    /// When the credentials in its environment end.
    pub credentials_end_ms: Option<i64>,
    /// Time and randomness.
    pub env: SharedEnv,
}

/// One process of a function.
#[derive(Debug)]
pub struct Process {
    /// What others know of it.
    pub life: Arc<Life>,
    /// When its credentials end.
    pub credentials_end_ms: Option<i64>,
    spec: Arc<Spec>,
    api: Arc<Api>,
    asked: mpsc::UnboundedReceiver<Asked>,
    output: Arc<Output>,
    env: SharedEnv,
    /// Where the runtime waits for work.
    waiting: Option<oneshot::Sender<Work>>,
    /// What the start took, until an invocation has reported it.
    init_ms: Option<f64>,
    server: tokio::task::JoinHandle<()>,
    pump: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.server.abort();
        self.life.kill(None);
    }
}

/// Why a runtime did not come to ask for work.
#[derive(Debug, Clone)]
pub enum InitFailure {
    /// It said so.
    Error(ErrorDocument),
    /// It ended.
    Ended(End),
    /// It took too long.
    TimedOut,
}

impl InitFailure {
    fn kind(&self) -> String {
        match self {
            Self::Error(document) => document.kind.clone().unwrap_or_else(|| "Runtime.Unknown".into()),
            Self::Ended(end) => end.reported().into(),
            Self::TimedOut => "Sandbox.Timedout".into(),
        }
    }
}

impl Process {
    /// Starts the launcher; it goes on by itself.
    ///
    /// # Errors
    /// The launcher cannot be started.
    pub fn start(launch: Launch) -> Result<Self, HostError> {
        let said = |what: &'static str| move |error: std::io::Error| HostError::Launch(format!("{what}: {error}"));
        let (ours, theirs) = StdUnixStream::pair().map_err(said("a socket"))?;
        ours.set_nonblocking(true).map_err(said("a socket"))?;
        let socket = UnixStream::from_std(ours).map_err(said("a socket"))?;
        let (program, arguments) =
            launch.plan.launcher.split_first().ok_or_else(|| HostError::Launch("no launcher is set".into()))?;
        let errors = launch.writer.try_clone().map_err(said("a pipe"))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir("/").kill_on_drop(true);
        command.stdin(OwnedFd::from(theirs)).stdout(launch.writer).stderr(errors);
        let child = command.spawn().map_err(said("the launcher"))?;
        // It holds the other ends of the pipe and the socket.
        drop(command);
        let (end_sender, end) = watch::channel(None);
        let (gone_sender, gone) = watch::channel(false);
        let plan = serde_json::to_vec(&launch.plan).map_err(|error| HostError::Launch(error.to_string()))?;
        // Without a namespace it is the launcher who ends what is below it.
        let grace = if launch.plan.namespaces == Namespaces::None { Duration::from_secs(1) } else { Duration::ZERO };
        let life = Arc::new(Life {
            id: launch.id,
            key: launch.spec.key.clone(),
            launcher: child.id().unwrap_or_default(),
            in_namespace: launch.plan.namespaces != Namespaces::None,
            keeper: OnceLock::new(),
            runtime: OnceLock::new(),
            end,
            gone,
            kill: Notify::new(),
            blame: Mutex::default(),
            cgroup: launch.cgroup,
            memory_bytes_max: u64::from(launch.spec.memory_mb) << 20,
            peak_bytes: AtomicU64::new(0),
            now_bytes: AtomicU64::new(0),
            disk: disk_of(&launch.plan),
        });
        let supervised =
            Supervised { life: Arc::clone(&life), child, grace, end: end_sender, gone: gone_sender, own: launch.own };
        tokio::spawn(supervised.supervise(socket, plan));
        let (api, asked) = Api::new();
        let server = tokio::spawn(Arc::clone(&api).serve(launch.listener));
        let pump = Some(tokio::spawn(Arc::clone(&launch.output).pump()));
        Ok(Self {
            life,
            credentials_end_ms: launch.credentials_end_ms,
            spec: launch.spec,
            api,
            asked,
            output: launch.output,
            env: launch.env,
            waiting: None,
            init_ms: None,
            server,
            pump,
        })
    }

    /// Waits until the runtime asks for work.
    ///
    /// # Errors
    /// It does not, and the process is being ended.
    pub async fn begin(&mut self, time: Duration) -> Result<(), InitFailure> {
        let begun = Instant::now();
        let failure = loop {
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(Asked::Next(waiting)) => {
                        self.waiting = Some(waiting);
                        self.init_ms = Some(millis(begun.elapsed()));
                        self.life.note_peak();
                        return Ok(());
                    }
                    Some(Asked::InitError(document)) => break InitFailure::Error(document),
                    Some(_) => {}
                    None => break InitFailure::Ended(End::Ended),
                },
                end = self.life.ended() => break InitFailure::Ended(end),
                () = tokio::time::sleep_until((begun + time).into()) => break InitFailure::TimedOut,
            }
        };
        if let InitFailure::Error(_) = failure {
            // It is about to end by itself, and may have more to say.
            let _ = tokio::time::timeout(Duration::from_millis(100), self.life.ended()).await;
        }
        self.end_now().await;
        Err(failure)
    }

    /// Says in the log that the start failed.
    pub fn report_init_failure(&self, failure: &InitFailure, took: Duration, phase: &str) {
        let status = if matches!(failure, InitFailure::TimedOut) {
            "timeout".to_owned()
        } else {
            format!("error\tError Type: {}", failure.kind())
        };
        self.output.say([format!("INIT_REPORT Init Duration: {:.2} ms\tPhase: {phase}\tStatus: {status}", millis(took))]);
    }

    /// Whether the runtime waits for work and lives.
    pub fn is_ready(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_closed()) && self.life.end().is_none()
    }

    /// Waits until the runtime asks for work again; false where it ended or took too long.
    pub async fn settle(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.is_ready() {
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(Asked::Next(waiting)) => self.waiting = Some(waiting),
                    Some(_) => {}
                    None => return false,
                },
                _ = self.life.ended() => return false,
                () = tokio::time::sleep_until(until.into()) => return false,
            }
        }
        true
    }

    /// Runs one invocation, within `time`. The process may be used again where it is ready, or settles.
    pub async fn run(&mut self, invocation: Invocation, time: Duration) -> Outcome {
        let begun = Instant::now();
        let invocation = Arc::new(invocation);
        let request_id = invocation.request_id.clone();
        self.output.begin_tail();
        self.output.say([format!("START RequestId: {request_id} Version: {}", self.spec.version)]);
        let now_ms = self.env.now_ms();
        let trace_id = invocation.trace_id.clone().unwrap_or_else(|| make_trace_id(&self.env));
        let deadline_ms = now_ms.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let work = Work { invocation, deadline_ms, trace_id };
        self.api.expect(Some(request_id.clone()));
        let answer = self.exchange(work, begun + time).await;
        let took = begun.elapsed().min(time);
        self.api.expect(None);
        self.output.drain();
        if let Answer::TimedOut | Answer::Ended(_) = answer {
            self.end_now().await;
        } else {
            self.settle(SETTLE_TIME).await;
            self.output.drain();
        }
        self.conclude(&request_id, answer, took)
    }

    /// Hands the work to the runtime and takes its answer.
    async fn exchange(&mut self, work: Work, until: Instant) -> Answer {
        if let Some(waiting) = self.waiting.take() {
            // Where it went away it asks again, or ends.
            let _ = waiting.send(work.clone());
        }
        loop {
            tokio::select! {
                biased;
                asked = self.asked.recv() => match asked {
                    Some(Asked::Response(body)) => return Answer::Response(body),
                    Some(Asked::TooLarge) => return Answer::TooLarge,
                    Some(Asked::Error(document) | Asked::InitError(document)) => return Answer::Error(document),
                    Some(Asked::Next(waiting)) => drop(waiting.send(work.clone())),
                    None => return Answer::Ended(End::Ended),
                },
                end = self.life.ended() => return Answer::Ended(end),
                () = tokio::time::sleep_until(until.into()) => return Answer::TimedOut,
            }
        }
    }

    /// Ends the process and takes the last of its output.
    pub async fn end_now(&mut self) {
        self.life.kill(None);
        let _ = tokio::time::timeout(END_TIME, self.life.ended()).await;
        if let Some(pump) = self.pump.take() {
            // The pipe ends when all who hold it are gone.
            let _ = tokio::time::timeout(Duration::from_millis(200), pump).await;
        }
        self.output.drain();
    }

    /// Writes the last lines of an invocation and makes its outcome.
    fn conclude(&mut self, request_id: &str, answer: Answer, took: Duration) -> Outcome {
        let mut lines = Vec::new();
        let mut status = String::new();
        let (payload, function_error) = match answer {
            Answer::Response(body) => (body, None),
            Answer::Error(document) => (error_payload(&document, request_id), Some("Unhandled")),
            Answer::TooLarge => {
                let text = format!("Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes).");
                (document("Function.ResponseSizeTooLarge", &text), Some("Unhandled"))
            }
            Answer::TimedOut => {
                let text = format!("Task timed out after {:.2} seconds", took.as_secs_f64());
                lines.push(format!("{} {request_id} {text}\n", iso8601(self.env.now_ms(), true)));
                status = "\tStatus: timeout".into();
                (document("Sandbox.Timedout", &format!("RequestId: {request_id} Error: {text}")), Some("Unhandled"))
            }
            Answer::Ended(end) => {
                let text = format!("RequestId: {request_id} Error: {}", end.describe());
                if end == End::OutOfDisk {
                    lines
                        .push("[MILLPOND] the function was ended: it wrote more to /tmp than its ephemeral storage holds".into());
                }
                lines.push(format!("{text}\n{}", end.kind()));
                status = format!("\tStatus: error\tError Type: {}", end.reported());
                (document(end.kind(), &text), Some("Unhandled"))
            }
        };
        self.life.note_peak();
        let report = self.report(took);
        let init = report.init_ms.map(|init| format!("\tInit Duration: {init:.2} ms")).unwrap_or_default();
        lines.push(format!("END RequestId: {request_id}"));
        lines.push(format!(
            "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB{init}{status}\t",
            report.duration_ms, report.billed_ms, report.memory_mb, report.max_memory_mb
        ));
        self.output.say(lines);
        Outcome { payload, function_error, log_tail: self.output.tail(), report }
    }

    fn report(&mut self, took: Duration) -> Report {
        let init_ms = self.init_ms.take();
        let duration_ms = millis(took);
        let billed = (duration_ms + init_ms.unwrap_or(0.0)).ceil().max(1.0);
        let peak_mb = self.life.peak_bytes().div_ceil(1 << 20);
        Report {
            duration_ms,
            init_ms,
            billed_ms: billed as u64,
            memory_mb: self.spec.memory_mb,
            max_memory_mb: u32::try_from(peak_mb).unwrap_or(u32::MAX),
        }
    }

    /// The outcome of an invocation whose process could not even begin.
    pub fn conclude_unbegun(&mut self, request_id: &str, failure: InitFailure, took: Duration) -> Outcome {
        self.output.say([format!("START RequestId: {request_id} Version: {}", self.spec.version)]);
        let answer = match failure {
            InitFailure::Error(document) => Answer::Error(document),
            InitFailure::Ended(end) => Answer::Ended(end),
            InitFailure::TimedOut => Answer::TimedOut,
        };
        self.conclude(request_id, answer, took)
    }
}

#[derive(Debug)]
enum Answer {
    Response(Bytes),
    TooLarge,
    Error(ErrorDocument),
    Ended(End),
    TimedOut,
}

fn disk_of(plan: &Plan) -> Option<(PathBuf, u64)> {
    match &plan.files.tmp {
        crate::sandbox::Tmp::Directory(directory) => Some((directory.clone(), plan.limits.file_bytes)),
        crate::sandbox::Tmp::Memory(_) => None,
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

fn make_trace_id(env: &SharedEnv) -> String {
    let seconds = env.now_ms() / 1_000;
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", env.random_hex(12), env.random_hex(8))
}

fn document(kind: &str, message: &str) -> Bytes {
    serde_json::json!({ "errorType": kind, "errorMessage": message }).to_string().into()
}

/// The runtime's document, with the request where a start did not know it yet.
fn error_payload(given: &ErrorDocument, request_id: &str) -> Bytes {
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&given.body) else {
        let kind = given.kind.as_deref().unwrap_or("Runtime.Unknown");
        if given.body.is_empty() {
            return document(kind, "the runtime reported an error without a document");
        }
        return document(kind, &String::from_utf8_lossy(&given.body));
    };
    match value.get_mut("requestId") {
        Some(id) if id == "" => {
            *id = request_id.into();
            value.to_string().into()
        }
        _ => given.body.clone(),
    }
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
    async fn supervise(mut self, socket: UnixStream, plan: Vec<u8>) {
        let (heard, killed) = tokio::select! {
            heard = converse(socket, &plan) => (heard, false),
            () = self.life.kill.notified() => (None, true),
        };
        // The socket is closed now: the launcher ends what is below it, and itself.
        let grace = if killed { self.grace } else { Duration::from_secs(1) };
        let status = match tokio::time::timeout(grace, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = self.child.start_kill();
                self.child.wait().await
            }
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
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(own)).await;
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
}

/// Sends the plan and listens until the launcher has nothing more to say.
async fn converse(socket: UnixStream, plan: &[u8]) -> Option<End> {
    let (reader, mut writer) = socket.into_split();
    let length = u32::try_from(plan.len()).ok()?.to_le_bytes();
    if writer.write_all(&length).await.is_err() || writer.write_all(plan).await.is_err() {
        tracing::debug!("a launcher ended before it knew what to do");
    }
    let mut heard = None;
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Message::Started { .. }) => {}
            Ok(Message::Exited(code)) => heard = Some(End::Exited(code)),
            Ok(Message::Killed(signal)) => heard = Some(End::Killed(signal)),
            Ok(Message::NotRun(reason)) => heard = Some(End::NotRun(reason)),
            Ok(Message::Failed(reason)) => heard = Some(End::Failed(reason)),
            Err(error) => tracing::warn!(%error, line, "a launcher says what is not understood"),
        }
    }
    heard
}
