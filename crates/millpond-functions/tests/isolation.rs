//! The weaker ways to shut functions in, and what is left when a server is killed.
//!
//! Some tests run this program again, as another user or to be killed; those parts are named and do nothing by themselves.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
use common::{Lab, until};
use millpond_functions::Namespaces;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Set in the programs that tests start.
const PART: &str = "MILLPOND_TEST_PART";

const HANDLER: &str = r#"
import os, socket, subprocess, time
def attempt(work):
    try:
        return repr(work())
    except Exception as error:
        return type(error).__name__
def handler(e, c):
    task, tmp = os.environ["LAMBDA_TASK_ROOT"], os.environ.get("TMPDIR", "/tmp")
    if e == "disk":
        with open(tmp + "/big", "wb") as f:
            for _ in range(600):
                f.write(b"x" * (1 << 20))
        with open(tmp + "/more", "wb") as f:
            for _ in range(600):
                f.write(b"x" * (1 << 20))
                time.sleep(0.005)
        return "written"
    if e == "leave":
        subprocess.Popen(["sleep", "98771"], start_new_session=True)
        return "left"
    if e == "hang":
        subprocess.Popen(["sleep", "98772"], start_new_session=True)
        time.sleep(100)
    secret, server = e
    return {
        "own": os.listdir(task), "secret": attempt(lambda: open(secret).read()), "list": attempt(lambda: os.listdir(os.path.dirname(secret))),
        "shadow": attempt(lambda: open("/etc/shadow").read()), "code": attempt(lambda: open(task + "/x", "w")),
        "server": attempt(lambda: os.kill(server, 9)), "tmp": attempt(lambda: open(tmp + "/x", "w").write("y")),
        "environ": attempt(lambda: open(f"/proc/{server}/environ").read()), "uid": os.getuid(), "root": attempt(lambda: os.setuid(0)),
        "privileges": [line.split()[1] for line in open("/proc/self/status") if line.startswith(("NoNewPrivs", "CapEff"))],
    }
"#;

fn runs(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(marker)
    })
}

/// Waits for it some seconds.
fn comes(it: impl Fn() -> bool) -> bool {
    (0..1_000).any(|_| {
        let is = it();
        if !is {
            let _ = Command::new("sleep").arg("0.01").status();
        }
        is
    })
}

fn open_to_all(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Another user has to come to the interpreter and the code by their paths.
fn without_namespaces() -> Lab {
    let lab = Lab::with(|settings| {
        settings.namespaces = false;
        settings.python = Some("/usr/bin/python3".into());
    });
    open_to_all(lab.directory.path());
    lab
}

/// What must hold in every way: its own code and `/tmp` are there, and nothing of the lake's is.
async fn check_shut_in(lab: &Lab) {
    let spec = lab.python(HANDLER);
    let secret = lab.directory.path().join("secret");
    std::fs::write(&secret, "lake").unwrap();
    let seen = lab.answer(&spec, &json!([secret, std::process::id()]).to_string()).await;
    assert_eq!((&seen["own"], &seen["tmp"]), (&json!(["app.py"]), &json!("1")), "{seen}");
    for name in ["secret", "list", "shadow", "code", "server", "environ"] {
        let refused = ["FileNotFoundError", "PermissionError", "OSError", "ProcessLookupError"];
        assert!(refused.contains(&seen[name].as_str().unwrap()), "{name}: {seen}");
    }
    assert_eq!(seen["privileges"], json!(["0000000000000000", "1"]), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_landlock_and_a_user_shut_functions_in() {
    let lab = without_namespaces();
    let isolation = lab.host.isolation().await;
    assert_eq!(isolation.namespaces, Namespaces::None);
    if !isolation.is_complete() {
        eprintln!("SKIPPED: {}", isolation.describe());
        return;
    }
    check_shut_in(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_namespaces_a_directory_has_an_end_too_and_nothing_is_left_behind() {
    let lab = without_namespaces();
    let mut spec = lab.python(HANDLER);
    let error = lab.failure(&spec, "\"disk\"").await;
    let told = error["errorMessage"].as_str().unwrap().to_owned();
    assert!(told.contains("File too large") || told.ends_with("signal: killed") || told.contains("file size limit"), "{error}");
    assert_eq!(lab.answer(&spec, "\"leave\"").await, "left");
    // The kernel closes what tells of a start before it shows the command line.
    until("the start of what is left", || runs("98771")).await;
    lab.host.retire(&spec.key);
    until("the end of what was left", || !runs("98771")).await;
    spec.timeout_ms = 1_000;
    assert_eq!(lab.failure(&spec, "\"hang\"").await["errorType"], "Sandbox.Timedout");
    until("the end of what was left", || !runs("98772")).await;
    lab.host.stop().await;
    let left: Vec<_> = std::fs::read_dir(lab.directory.path().join("host/processes")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Runs a test of this program by itself, as somebody.
fn part(name: &str, user: Option<u32>) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()]).arg(me);
            command
        }
        None => Command::new(me),
    };
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(PART, name)
        .env("HOME", "/nonexistent")
        .env_remove("PYENV_ROOT");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", "/tmp");
    command
}

#[test]
fn a_server_without_privileges_uses_user_namespaces() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become somebody else, and the other tests ran without privileges already");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let launcher = directory.path().join("launcher");
    std::fs::copy(env!("CARGO_BIN_EXE_millpond-function-launcher"), &launcher).unwrap();
    open_to_all(directory.path());
    let mut part = part("part_of_a_server_without_privileges", Some(54_321));
    let output = part.env("MILLPOND_TEST_LAUNCHER", launcher).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("shut in by User"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn part_of_a_server_without_privileges() {
    if std::env::var(PART).is_err() {
        return;
    }
    let lab = Lab::new();
    let isolation = lab.host.isolation().await;
    println!("shut in by {:?}: {}", isolation.namespaces, isolation.describe());
    check_shut_in(&lab).await;
    let spec =
        lab.python("def handler(e, c):\n    kept = []\n    while True:\n        kept.append(bytearray(b'x') * (1 << 20))\n");
    let error = lab.failure(&spec, "null").await;
    assert!(error["errorMessage"].as_str().unwrap().ends_with("signal: killed"), "a watch limits memory, too: {error}");
    assert!(lab.logs.text().contains("Runtime.OutOfMemory"), "{}", lab.logs.text());
    check_layers(lab).await;
}

/// Layers as they are unpacked, in folders that nobody may write to.
async fn check_layers(lab: Lab) {
    use std::os::unix::fs::PermissionsExt;
    let layers = ["one", "two"].map(|name| lab.directory.path().join(name));
    for (layer, name) in layers.iter().zip(["a", "b"]) {
        common::write_files(layer, &[(&format!("python/deep/{name}.py"), "X = 1\n")]);
        for folder in ["python/deep", "python", ""] {
            std::fs::set_permissions(layer.join(folder), std::fs::Permissions::from_mode(0o555)).unwrap();
        }
    }
    let mut spec = lab.python("import deep.a, deep.b\ndef handler(e, c): return deep.a.X + deep.b.X\n");
    spec.layer_dirs = layers.to_vec();
    assert_eq!(lab.answer(&spec, "null").await, 2);
    lab.host.stop().await;
    // The next server on the same directory removes what this one joined.
    let host = lab.directory.path().join("host");
    assert!(host.join("layers").read_dir().unwrap().next().is_some());
    let next = Lab::with(|settings| settings.directory.clone_from(&host));
    assert!(host.join("layers").read_dir().unwrap().next().is_none());
    assert_eq!(next.answer(&spec, "null").await, 2);
    next.host.stop().await;
    // Or else they would stay in the machine's temporary directory.
    for tree in ["one", "two", "host"] {
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(lab.directory.path().join(tree)).status();
    }
}

#[test]
fn a_server_that_is_killed_takes_its_functions_with_it() {
    for name in ["part_that_is_killed", "part_without_namespaces_that_is_killed"] {
        let mut server = part(name, None).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("sleeping")), "{name} runs a function");
        assert!(comes(|| runs("98773")), "{name}: the function starts a program");
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(comes(|| !runs("98773")), "{name}: what the function started ended with the server");
    }
}

async fn be_killed(namespaces: bool) {
    if std::env::var(PART).is_err() {
        return;
    }
    let lab = if namespaces { Lab::new() } else { without_namespaces() };
    let spec =
        lab.python("import subprocess\ndef handler(e, c):\n    subprocess.Popen(['sleep', '98773'], start_new_session=True)\n");
    lab.answer(&spec, "null").await;
    println!("sleeping");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn part_that_is_killed() {
    be_killed(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn part_without_namespaces_that_is_killed() {
    be_killed(false).await;
}

/// As process 1 of a container this server would be the parent of whatever loses its own.
#[test]
fn a_server_is_left_with_no_dead_processes_of_functions() {
    let output = part("part_that_adopts", None).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("nothing is left"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn part_that_adopts() {
    if std::env::var(PART).is_err() {
        return;
    }
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let lab = Lab::new();
    let mut spec = lab.python(HANDLER);
    spec.timeout_ms = 1_000;
    for _ in 0..3 {
        assert_eq!(lab.failure(&spec, "\"hang\"").await["errorType"], "Sandbox.Timedout");
        assert_eq!(lab.answer(&spec, "\"leave\"").await, "left");
        lab.host.retire(&spec.key);
    }
    lab.host.stop().await;
    let children = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default()).collect::<String>()
    };
    until("the end of all children", || children().trim().is_empty()).await;
    println!("nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_former_server_left_is_removed_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("processes/0123/tmp");
    common::write_files(&left, &[("big", "left")]);
    let _lab = Lab::with(|settings| settings.directory = directory.path().to_owned());
    assert!(!left.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_installed_once_and_a_failure_says_what_to_run() {
    let directory = tempfile::tempdir().unwrap();
    let lab = |package: &str| {
        Lab::with(|settings| {
            settings.packages = vec![package.into()];
            settings.directory = directory.path().join("host");
        })
    };
    let spec_of = |lab: &Lab| {
        lab.function("python3.11", "app.handler", &[("app.py", "import toolz\ndef handler(e, c): return toolz.__file__\n")])
    };
    let first = lab("toolz==0.12.1");
    first.host.check_runtime("python3.11").await.unwrap();
    if first.host.is_ready("python3.11") == Ok(true) {
        eprintln!("SKIPPED: the interpreter has toolz");
        return;
    }
    let spec = spec_of(&first);
    match first.host.invoke(spec.into(), first.invocation("null")).await {
        Ok(outcome) => assert!(String::from_utf8_lossy(&outcome.payload).contains("/toolz/__init__.py"), "{outcome:?}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            return;
        }
    }
    assert_eq!(first.host.is_ready("python3.11"), Ok(true));
    first.host.stop().await;
    drop(first);
    // The next server finds them.
    let second = lab("toolz==0.12.1");
    second.host.check_runtime("python3.11").await.unwrap();
    assert_eq!(second.host.is_ready("python3.11"), Ok(true));
    let failing = lab("no-package-of-this-name-millpond==0");
    failing.host.check_runtime("python3.11").await.unwrap();
    let spec = spec_of(&failing);
    let error = failing.host.invoke(spec.into(), failing.invocation("null")).await.unwrap_err();
    assert_eq!(error.kind(), millpond_functions::HostErrorKind::Setup);
    assert!(
        error.to_string().contains(" -m pip install --target ") && error.to_string().contains("[functions] python"),
        "{error}"
    );
}
