//! One process of a function: started in its sandbox, given one invocation after the other, ended.
//!
//! A [`Process`] has one owner at a time: the one who starts it, who runs an invocation in it, or the pool of idle ones. What others need of it (to
//! end it, to see what memory it takes, to learn that it ended) is its [`Life`].

use crate::api::{Api, Asked, ErrorDocument, RESPONSE_BYTES_MAX, Work};
use crate::cgroups::Cgroup;
use crate::error::HostError;
use crate::life::{self, Birth, End, Life};
use crate::output::Output;
use crate::platform::{Event, Status};
use crate::sandbox::Plan;
use crate::spec::{Invocation, LogFormat, LogLevel, Outcome, Report, Spec};
use bytes::Bytes;
use millpond_core::env::{EnvExt, SharedEnv};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// How long an answer waits for its runtime to ask for more, so that the next invocation finds it idle.
const SETTLE_TIME: Duration = Duration::from_millis(5);

/// How long a process that was killed may take to be gone.
const END_TIME: Duration = Duration::from_secs(5);

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
    asked: mpsc::Receiver<Asked>,
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
    /// As it is reported.
    pub fn status(&self) -> Status {
        match self {
            Self::Error(document) => Status::Error(kind_of(document)),
            Self::Ended(end) => Status::Error(end.reported().into()),
            Self::TimedOut => Status::TimedOut,
        }
    }
}

impl Process {
    /// Starts the launcher; it goes on by itself.
    ///
    /// # Errors
    /// The launcher cannot be started.
    pub fn start(launch: Launch) -> Result<Self, HostError> {
        let memory_bytes_max = u64::from(launch.spec.memory_mb) << 20;
        let Launch { id, plan, writer, cgroup, own, .. } = launch;
        let key = launch.spec.key.clone();
        let life = life::begin(Birth { id, key, plan, writer, errors: None, cgroup, own, forwarding: None, memory_bytes_max })?;
        let (api, asked) = Api::new();
        let server = tokio::spawn(Arc::clone(&api).serve(launch.listener, Arc::clone(&life)));
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
                // What it has said counts more than that it has ended since.
                biased;
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

    /// Says in the log how the start went; as text only where it failed.
    pub fn report_init(&self, status: &Status, took: Duration, phase: &str) {
        // A line that the function has begun meanwhile goes on where nothing is said.
        if *status != Status::Success || self.spec.logging.format == LogFormat::Json {
            self.output.say(&[Event::InitDone { phase, status, took_ms: millis(took) }]);
        }
    }

    fn say_start(&self, request_id: &str) {
        self.output.say(&[Event::Start { request_id, arn: &self.spec.arn, version: &self.spec.version }]);
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
                biased;
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
        self.say_start(&request_id);
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
        let (mut notice, mut trouble) = (None, None);
        let (payload, status) = match answer {
            Answer::Response(body) => (body, Status::Success),
            Answer::Error(document) => (error_payload(&document, request_id), Status::Reported(kind_of(&document))),
            Answer::TooLarge => {
                let kind = "Function.ResponseSizeTooLarge";
                let text = format!("Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes).");
                (document(kind, &text), Status::Reported(kind.into()))
            }
            Answer::TimedOut => {
                let text = format!("Task timed out after {:.2} seconds", took.as_secs_f64());
                let payload = document("Sandbox.Timedout", &format!("RequestId: {request_id} Error: {text}"));
                trouble = Some(text);
                (payload, Status::TimedOut)
            }
            Answer::Ended(end) => {
                let text = format!("RequestId: {request_id} Error: {}", end.describe());
                let full = "[MILLPOND] the function was ended: it wrote more to /tmp than its ephemeral storage holds";
                notice = (end == End::OutOfDisk).then_some(Event::Notice { level: LogLevel::Warn, text: full });
                trouble = Some(format!("{text}\n{}", end.kind()));
                (document(end.kind(), &text), Status::Error(end.reported().into()))
            }
        };
        self.life.note_peak();
        let report = self.report(took);
        let (status, produced_bytes) = (&status, if status == Status::Success { payload.len() } else { 0 });
        let trouble = trouble.as_deref();
        let done = Event::Done { request_id, status, trouble, took_ms: report.duration_ms, produced_bytes };
        let events: Vec<Event<'_>> =
            notice.into_iter().chain([done, Event::Report { request_id, status, report: &report }]).collect();
        self.output.say(&events);
        let function_error = (*status != Status::Success).then_some("Unhandled");
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
        self.say_start(request_id);
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

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

fn make_trace_id(env: &SharedEnv) -> String {
    let seconds = env.now_ms() / 1_000;
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", env.random_hex(12), env.random_hex(8))
}

fn kind_of(document: &ErrorDocument) -> String {
    document.kind.clone().unwrap_or_else(|| "Runtime.Unknown".into())
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
