//! A host with functions in temporary directories, and a log that is kept in memory.
#![allow(dead_code)]

use bytes::Bytes;
use millpond_core::env::SystemEnv;
use millpond_core::log::{Line, LogSink};
use millpond_functions::{Host, HostSettings, Invocation, LogSettings, Outcome, SessionCredentials, Spec};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Keeps what is logged.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<(String, String, Line)>>);

impl LogSink for Kept {
    fn write(&self, group: &str, stream: &str, lines: Vec<Line>) {
        self.0.lock().unwrap().extend(lines.into_iter().map(|line| (group.to_owned(), stream.to_owned(), line)));
    }
}

impl Kept {
    /// All lines, in their order.
    pub fn text(&self) -> String {
        self.0.lock().unwrap().iter().map(|(_, _, line)| format!("{}\n", line.text)).collect()
    }

    /// The streams that were written to.
    pub fn streams(&self) -> Vec<String> {
        let mut streams: Vec<String> = self.0.lock().unwrap().iter().map(|(_, stream, _)| stream.clone()).collect();
        streams.sort();
        streams.dedup();
        streams
    }
}

/// A host and where its functions are.
pub struct Lab {
    pub host: Host,
    pub logs: Arc<Kept>,
    pub directory: tempfile::TempDir,
    requests: AtomicU32,
}

/// Counts specs, for their keys.
static KEYS: AtomicU32 = AtomicU32::new(0);

impl Lab {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut HostSettings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let logs = Arc::new(Kept::default());
        let mut settings = HostSettings::new(directory.path().join("host"), Arc::new(SystemEnv), logs.clone());
        // A copy, where another user runs this.
        let launcher =
            std::env::var_os("MILLPOND_TEST_LAUNCHER").unwrap_or_else(|| env!("CARGO_BIN_EXE_millpond-function-launcher").into());
        settings.launcher = vec![launcher];
        settings.packages = Vec::new();
        change(&mut settings);
        Self { host: Host::new(settings).unwrap(), logs, directory, requests: AtomicU32::new(0) }
    }

    /// A Python function whose `app.py` is this text.
    pub fn python(&self, text: &str) -> Spec {
        self.function("python3.11", "app.handler", &[("app.py", text)])
    }

    pub fn function(&self, runtime: &str, handler: &str, files: &[(&str, &str)]) -> Spec {
        let number = KEYS.fetch_add(1, Ordering::Relaxed);
        let code_dir = self.directory.path().join(format!("code-{number}"));
        write_files(&code_dir, files);
        Spec {
            key: format!("key-{number}"),
            name: "lab".into(),
            version: "$LATEST".into(),
            arn: "arn:aws:lambda:us-east-1:000000000000:function:lab".into(),
            runtime: runtime.into(),
            handler: handler.into(),
            code_dir,
            layer_dirs: Vec::new(),
            environment: BTreeMap::new(),
            memory_mb: 128,
            timeout_ms: 10_000,
            ephemeral_mb: 512,
            log_group: "/aws/lambda/lab".into(),
            logging: LogSettings::default(),
            role: None,
        }
    }

    pub fn invocation(&self, payload: &str) -> Invocation {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        Invocation {
            request_id: format!("00000000-0000-4000-8000-{number:012}"),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            invoked_arn: "arn:aws:lambda:us-east-1:000000000000:function:lab:live".into(),
            client_context: None,
            trace_id: None,
            credentials: SessionCredentials {
                access_key: "ASIALAB".into(),
                secret_key: "secret".into(),
                token: "token".into(),
                expires_ms: None,
            },
        }
    }

    pub async fn call(&self, spec: &Spec, payload: &str) -> Outcome {
        self.host.invoke(Arc::new(spec.clone()), self.invocation(payload)).await.unwrap()
    }

    /// The answer of an invocation that must succeed.
    pub async fn answer(&self, spec: &Spec, payload: &str) -> Value {
        let outcome = self.call(spec, payload).await;
        assert_eq!(outcome.function_error, None, "{}\n{}", String::from_utf8_lossy(&outcome.payload), self.logs.text());
        serde_json::from_slice(&outcome.payload).unwrap()
    }

    /// The error document of an invocation that must fail.
    pub async fn failure(&self, spec: &Spec, payload: &str) -> Value {
        let outcome = self.call(spec, payload).await;
        assert_eq!(outcome.function_error, Some("Unhandled"), "{}", String::from_utf8_lossy(&outcome.payload));
        serde_json::from_slice(&outcome.payload).unwrap()
    }
}

pub fn write_files(directory: &Path, files: &[(&str, &str)]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(directory).unwrap();
    for (path, text) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{what} did not come to be");
}
