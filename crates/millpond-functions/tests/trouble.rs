//! What functions do wrong, and that nothing of it reaches others.
#![allow(clippy::unwrap_used)]

mod common;
use common::{Lab, until};
use serde_json::json;
use std::sync::Arc;

/// Whether a process with this text in its command line is there.
fn runs(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(marker)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_is_ended_with_all_that_it_started() {
    let lab = Lab::new();
    let mut spec = lab.python(
        "import subprocess, time, os\ndef handler(e, c):\n    subprocess.Popen(['sleep', '98761'])\n    subprocess.Popen(['sleep', '98762'], start_new_session=True)\n    \
         if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            os.execvp('sleep', ['sleep', '98763'])\n        os._exit(0)\n    print('before')\n    time.sleep(100)\n",
    );
    spec.timeout_ms = 1_500;
    let error = lab.failure(&spec, "null").await;
    assert_eq!(error["errorType"], "Sandbox.Timedout");
    assert_eq!(error["errorMessage"], "RequestId: 00000000-0000-4000-8000-000000000000 Error: Task timed out after 1.50 seconds");
    let log = lab.logs.text();
    assert!(
        log.contains("Z 00000000-0000-4000-8000-000000000000 Task timed out after 1.50 seconds") && log.contains("before\n"),
        "{log}"
    );
    assert!(log.contains("\tDuration: 1500.00 ms\tBilled Duration: 1") && log.contains("\tStatus: timeout\t"), "{log}");
    until("the end of what was started", || !(runs("98761") || runs("98762") || runs("98763"))).await;
    until("the end of the process", || lab.host.usage().processes == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_crashes_is_told_as_aws_tells_it_and_the_next_call_gets_a_new_process() {
    let lab = Lab::new();
    let spec = lab.python(
        "import os, sys, signal, ctypes, subprocess\ndef handler(e, c):\n    if e == 'exit': sys.exit(3)\n    if e == 'zero': os._exit(0)\n    if e == 'kill': os.kill(os.getpid(), signal.SIGKILL)\n    \
         if e == 'segv': ctypes.string_at(0)\n    if e == 'abort': os.abort()\n    if e == 'base': raise BaseException('odd')\n    if e == 'child':\n        subprocess.Popen(['sleep', '98764'])\n        os._exit(9)\n    return os.getpid()\n",
    );
    let cases = [
        ("exit", "Runtime exited with error: exit status 3"),
        ("zero", "Runtime exited without providing a reason"),
        ("kill", "Runtime exited with error: signal: killed"),
        ("segv", "Runtime exited with error: signal: segmentation fault"),
        ("abort", "Runtime exited with error: signal: aborted"),
        ("base", "Runtime exited with error: exit status 1"),
        ("child", "Runtime exited with error: exit status 9"),
    ];
    for (event, message) in cases {
        lab.answer(&spec, "null").await;
        let error = lab.failure(&spec, &format!("\"{event}\"")).await;
        assert_eq!(error["errorType"], "Runtime.ExitError", "{event}");
        assert!(error["errorMessage"].as_str().unwrap().ends_with(&format!(" Error: {message}")), "{event}: {error}");
    }
    assert!(lab.logs.text().contains("BaseException: odd"), "what a crash prints is logged");
    assert!(lab.logs.text().contains("\tStatus: error\tError Type: Runtime.ExitError\t"));
    assert_eq!(lab.logs.streams().len(), cases.len());
    until("the end of what was started", || !runs("98764")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_between_invocations_is_replaced() {
    let lab = Lab::new();
    let spec = lab.python("import os, threading\ndef handler(e, c):\n    threading.Timer(0.05, lambda: os._exit(1)).start()\n    return os.getpid()\n");
    for _ in 0..3 {
        lab.answer(&spec, "null").await;
        until("the end of the process", || lab.host.usage().processes == 0).await;
    }
    assert_eq!(lab.logs.streams().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_takes_too_much_memory_is_ended() {
    let lab = Lab::new();
    let spec =
        lab.python("def handler(e, c):\n    kept = []\n    while True:\n        kept.append(bytearray(b'x') * (1 << 20))\n");
    let error = lab.failure(&spec, "null").await;
    assert_eq!(error["errorType"], "Runtime.ExitError");
    assert!(error["errorMessage"].as_str().unwrap().ends_with("Error: Runtime exited with error: signal: killed"), "{error}");
    let log = lab.logs.text();
    assert!(
        log.contains("\tMax Memory Used: 128 MB\t") && log.contains("\tStatus: error\tError Type: Runtime.OutOfMemory\t"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn children_count_for_memory_too() {
    let lab = Lab::new();
    let spec = lab.python(
        "import os, time\ndef handler(e, c):\n    for _ in range(4):\n        if os.fork() == 0:\n            kept = bytearray(b'x') * (60 << 20)\n            time.sleep(60)\n    time.sleep(60)\n",
    );
    let error = lab.failure(&spec, "null").await;
    assert!(error["errorMessage"].as_str().unwrap().ends_with("signal: killed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_a_function_is_its_own_and_has_an_end() {
    let lab = Lab::new();
    let spec = lab.python(
        "import os, errno\ndef handler(e, c):\n    if e: return os.listdir('/tmp')\n    try:\n        for n in range(100):\n            with open(f'/tmp/{n}', 'wb') as f:\n                f.write(b'x' * (16 << 20))\n    \
         except OSError as error:\n        return [errno.errorcode[error.errno], n]\n",
    );
    let mut other = spec.clone();
    other.key.push('x');
    let full = lab.answer(&spec, "null").await;
    assert_eq!(full, json!(["ENOSPC", 32]), "512 MB are there, 32 times 16");
    assert_eq!(
        lab.answer(&spec, "1").await.as_array().unwrap().len(),
        33,
        "what a process wrote is there for its next invocation"
    );
    assert_eq!(lab.answer(&other, "1").await, json!([]), "and for nobody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_prints_a_hundred_megabytes_is_logged_within_bounds() {
    let lab = Lab::new();
    let mut spec = lab.python(
        "def handler(e, c):\n    line = 'x' * 999\n    for _ in range(100_000): print(line)\n    print('last')\n    return 1\n",
    );
    spec.timeout_ms = 60_000;
    let outcome = lab.call(&spec, "null").await;
    assert_eq!(&outcome.payload[..], b"1");
    assert_eq!(outcome.log_tail.len(), 4_096);
    let log = lab.logs.text();
    assert!(log.len() < 60_000_000, "{} bytes", log.len());
    let kept = log.matches(&"x".repeat(999)).count();
    let said = log
        .lines()
        .filter(|line| line.starts_with("[MILLPOND]"))
        .map(|line| line.split(' ').nth(1).unwrap().parse::<usize>().unwrap())
        .sum::<usize>();
    assert!(kept >= 10_000, "{kept}");
    assert!(kept + said >= 100_000 && kept + said <= 100_001, "{kept} lines are logged, and {said} are told to be missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_ends_with_its_invocation() {
    let lab = Lab::new();
    let mut spec = lab.python("import os, time\ndef handler(e, c):\n    while True:\n        try:\n            os.fork()\n        except OSError:\n            time.sleep(0.01)\n");
    spec.timeout_ms = 2_000;
    let error = lab.failure(&spec, "null").await;
    assert!(["Sandbox.Timedout", "Runtime.ExitError"].contains(&error["errorType"].as_str().unwrap()), "{error}");
    until("the end of the process", || lab.host.usage().processes == 0).await;
    assert_eq!(lab.answer(&lab.python("def handler(e, c): return 1\n"), "null").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_too_large_is_refused() {
    let lab = Lab::new();
    let mut spec = lab.python("def handler(e, c): return 'x' * e\n");
    spec.memory_mb = 1_024;
    assert_eq!(lab.answer(&spec, "6000000").await.as_str().unwrap().len(), 6_000_000);
    for size in ["6291556", "50000000"] {
        let error = lab.failure(&spec, size).await;
        assert_eq!(error["errorType"], "Function.ResponseSizeTooLarge");
        assert_eq!(error["errorMessage"], "Response payload size exceeded maximum allowed payload size (6291556 bytes).");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_takes_longer_than_ten_seconds_is_begun_again_in_the_invocation() {
    let lab = Lab::new();
    let mut spec = lab.python("import time\ntime.sleep(11)\ndef handler(e, c): return 1\n");
    spec.timeout_ms = 15_000;
    assert_eq!(lab.answer(&spec, "null").await, 1);
    let log = lab.logs.text();
    assert!(log.contains("INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout"), "{log}");
    assert_eq!(lab.logs.streams().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_sees_its_own_directory_and_not_the_lakes() {
    let lab = Lab::new();
    std::fs::write(lab.directory.path().join("secret"), "lake").unwrap();
    let other = lab.python("secret = 1\ndef handler(e, c): pass\n");
    let spec = lab.python(
        r#"
import os, signal, socket
def attempt(work):
    try:
        return repr(work())
    except Exception as error:
        return type(error).__name__
def handler(e, c):
    secret, other = e
    task = os.environ["LAMBDA_TASK_ROOT"]
    return {
        "own": sorted(os.listdir(task)),
        "secret": attempt(lambda: open(secret).read()), "other": attempt(lambda: open(other).read()),
        "shadow": attempt(lambda: open("/etc/shadow").read()), "home": attempt(lambda: os.listdir("/root")),
        "code": attempt(lambda: open(task + "/x", "w")), "etc": attempt(lambda: open("/etc/x", "w")), "usr": attempt(lambda: open("/usr/x", "w")),
        "root": attempt(lambda: os.setuid(0)), "server": attempt(lambda: os.kill(int(os.environ["SERVER"]), 0)),
        "mount": os.system("mount -t tmpfs none /tmp 2>/dev/null") != 0, "uid": os.getuid(),
        "tmp": attempt(lambda: open(os.environ.get("TMPDIR", "/tmp") + "/x", "w").write("y")), "device": attempt(lambda: open("/dev/null", "w").write("y")),
        "privileges": [line.split()[1] for line in open("/proc/self/status") if line.startswith(("NoNewPrivs", "CapEff"))],
    }
"#,
    );
    let mut spec = spec;
    spec.environment.insert("SERVER".into(), std::process::id().to_string());
    let payload = json!([lab.directory.path().join("secret"), other.code_dir.join("app.py")]).to_string();
    let seen = lab.answer(&spec, &payload).await;
    assert_eq!(seen["own"], json!(["app.py"]));
    for name in ["secret", "other", "shadow", "code", "etc", "usr", "root", "server"] {
        let expected = ["FileNotFoundError", "PermissionError", "OSError", "ProcessLookupError"];
        assert!(expected.contains(&seen[name].as_str().unwrap()), "{name}: {seen}");
    }
    assert_eq!((&seen["tmp"], &seen["device"], &seen["mount"]), (&json!("1"), &json!("1"), &json!(true)));
    assert_ne!(seen["uid"], 0);
    assert_eq!(seen["privileges"], json!(["0000000000000000", "1"]), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retired_or_idle_or_stopped_ends() {
    let lab = Lab::with(|settings| settings.idle_ms = 700);
    let spec = lab.python("import os\ndef handler(e, c): return os.getpid()\n");
    lab.answer(&spec, "null").await;
    assert_eq!(lab.host.usage().idle, 1);
    lab.host.retire(&spec.key);
    until("the end of what was retired", || lab.host.usage().processes == 0).await;
    lab.answer(&spec, "null").await;
    until("the end of what idles", || lab.host.usage().processes == 0).await;
    assert_eq!(lab.logs.streams().len(), 2);
    let (busy, slow) = (lab.host.clone(), lab.python("import time\ndef handler(e, c): time.sleep(60)\n"));
    let call = tokio::spawn({
        let invocation = lab.invocation("null");
        async move { busy.invoke(Arc::new(slow), invocation).await }
    });
    until("a start", || lab.logs.text().matches("START RequestId").count() == 3).await;
    lab.host.stop().await;
    assert_eq!(lab.host.usage().processes, 0);
    let outcome = call.await.unwrap();
    assert!(outcome.is_err() || outcome.unwrap().function_error.is_some());
    assert!(lab.host.invoke(Arc::new(spec), lab.invocation("null")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_served_by_few_processes_and_the_bound_holds() {
    let lab = Arc::new(Lab::with(|settings| settings.processes_max = 6));
    let spec = lab.python("def handler(e, c): return e\n");
    let calls = (0..300).map(|n| {
        let (lab, spec) = (Arc::clone(&lab), spec.clone());
        tokio::spawn(async move { assert_eq!(lab.answer(&spec, &n.to_string()).await, n) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert!(lab.host.usage().processes <= 6, "{:?}", lab.host.usage());
    // Processes of another function take the place of idle ones.
    for _ in 0..8 {
        assert_eq!(lab.answer(&lab.python("def handler(e, c): return e\n"), "1").await, 1);
    }
    assert!(lab.host.usage().processes <= 6, "{:?}", lab.host.usage());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_are_busy_another_is_refused_for_now() {
    let lab = Arc::new(Lab::with(|settings| settings.processes_max = 1));
    let slow = lab.python("import time\ndef handler(e, c):\n    time.sleep(2)\n    return 1\n");
    let call = tokio::spawn({
        let lab = Arc::clone(&lab);
        async move { lab.answer(&slow, "null").await }
    });
    until("a start", || lab.logs.text().contains("START RequestId")).await;
    let other = lab.python("def handler(e, c): return 1\n");
    let error = lab.host.invoke(Arc::new(other), lab.invocation("null")).await.unwrap_err();
    assert_eq!(error.kind(), millpond_functions::HostErrorKind::Throttle);
    assert!(error.to_string().contains("[functions] concurrency"), "{error}");
    assert_eq!(call.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_cannot_take_the_work_of_another() {
    let lab = Lab::new();
    let victim = lab.python("import os\ndef handler(e, c): return os.environ['AWS_LAMBDA_RUNTIME_API']\n");
    let address = lab.answer(&victim, "null").await;
    let thief = lab.python(
        "import http.client\ndef handler(e, c):\n    api = http.client.HTTPConnection(e, timeout=5)\n    try:\n        api.request('GET', '/2018-06-01/runtime/invocation/next')\n        \
         return api.getresponse().status\n    except (ConnectionError, http.client.HTTPException) as error:\n        return type(error).__name__\n",
    );
    let stolen = lab.answer(&thief, &address.to_string()).await;
    assert!(["RemoteDisconnected", "ConnectionResetError", "BrokenPipeError"].contains(&stolen.as_str().unwrap()), "{stolen}");
    assert!(std::net::TcpStream::connect(address.as_str().unwrap()).is_ok(), "the listener lives");
    assert_eq!(lab.answer(&victim, "null").await, address);
}

/// What functions do to their own runtime API, from beside the runtime.
const API_ABUSER: &str = r#"
import http.client, json, os, threading, time
BASE = "/2018-06-01/runtime/"
def connect():
    return http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"], timeout=8)
def ask(method, path, body=None):
    api = connect()
    api.request(method, BASE + path, body)
    answer = api.getresponse()
    document = json.loads(answer.read())
    api.close()
    return [answer.status, document.get("errorType")]
def later():
    time.sleep(0.3)
    print("init/error", ask("POST", "init/error", b"x" * 250_000), flush=True)
    print("second next", ask("GET", "invocation/next"), flush=True)
def handler(e, c):
    if e == "init":
        return [ask("POST", "init/error", b"x" * 250_000) for _ in range(20)]
    if e == "next":
        return ask("GET", "invocation/next")
    if e == "later":
        threading.Thread(target=later).start()
    if e == "connections":
        kept, served = [], 0
        for _ in range(12):
            api = connect()
            kept.append(api)
            try:
                api.request("GET", BASE + "nothing")
                served += api.getresponse().read() is not None
            except (OSError, http.client.HTTPException):
                pass
        return served
    path = BASE + f"invocation/{c.aws_request_id}/response"
    if e == "break":
        api = connect()
        api.putrequest("POST", path)
        api.putheader("Content-Length", "100")
        api.endheaders(b"half")
        api.sock.close()
    if e == "both":
        api = connect()
        api.putrequest("POST", path)
        api.putheader("Transfer-Encoding", "chunked")
        api.endheaders(b"5\r\n[1234\r\n")
        time.sleep(0.3)
        others = [ask("POST", f"invocation/{c.aws_request_id}/{end}", b"7") for end in ("response", "error")]
        rest = ("," + json.dumps(others) + "]").encode()
        api.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))
        print("first", api.getresponse().status, flush=True)
        api.close()
    return os.getpid()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_has_begun_cannot_fail_to_begin_nor_ask_for_two_invocations() {
    let lab = Lab::new();
    let spec = lab.python(API_ABUSER);
    let refused = json!([403, "InvalidStateTransition"]);
    assert_eq!(lab.answer(&spec, "\"init\"").await, json!(vec![&refused; 20]));
    assert_eq!(lab.answer(&spec, "\"next\"").await, refused);
    let process = lab.answer(&spec, "\"later\"").await;
    until("what an idle process is told", || lab.logs.text().contains("second next")).await;
    let log = lab.logs.text();
    assert!(log.contains("init/error [403, 'InvalidStateTransition']"), "{log}");
    assert!(log.contains("second next [403, 'InvalidStateTransition']"), "{log}");
    assert_eq!(lab.answer(&spec, "null").await, process, "the runtime goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_a_time_answers_an_invocation_and_connections_are_few() {
    let lab = Lab::new();
    let spec = lab.python(API_ABUSER);
    let invalid = json!([400, "InvalidRequestID"]);
    assert_eq!(lab.answer(&spec, "\"both\"").await, json!([1234, [invalid, invalid]]), "the first to answer is heard");
    let served = lab.answer(&spec, "\"connections\"").await;
    assert!((1..=3).contains(&served.as_u64().unwrap()), "{served} connections beside the runtime's own");
    let outcome = lab.call(&spec, "\"break\"").await;
    let told = String::from_utf8_lossy(&outcome.payload).into_owned();
    assert!(outcome.function_error.is_none() || told.contains("Runtime.TruncatedResponse"), "{told}");
    assert!(lab.answer(&spec, "null").await.is_u64(), "and it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_layers_has_an_empty_opt() {
    let lab = Lab::new();
    if lab.host.isolation().await.namespaces == millpond_functions::Namespaces::None {
        eprintln!("SKIPPED: without namespaces paths are the machine's");
        return;
    }
    let mut spec = lab.function("provided.al2023", "any.thing", &[("bootstrap", LIST_OPT)]);
    spec.memory_mb = 256;
    let text = lab.call(&spec, "null").await;
    assert_eq!(&text.payload[..], b"\"\"", "{}", lab.logs.text());
}

/// Answers what is in `/opt`, or that there is none.
const LIST_OPT: &str = r#"#!/usr/bin/python3 -S
import json, os, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(base + "next") as work:
        number = work.headers["lambda-runtime-aws-request-id"]
    answer = " ".join(os.listdir("/opt")) if os.path.isdir("/opt") else "none"
    urllib.request.urlopen(base + number + "/response", json.dumps(answer).encode()).read()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_in_one_process_do_not_disturb_each_other() {
    let (one, two) = (Lab::new(), Lab::new());
    let (first, second) = tokio::join!(one.host.isolation(), two.host.isolation());
    assert_eq!(first, second);
    two.host.stop().await;
    drop(two);
    assert_eq!(one.answer(&one.python("def handler(e, c): return 1\n"), "null").await, 1);
}
