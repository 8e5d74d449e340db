//! Networks of programs' own: what is reached from them, what is not, and that nothing of them stays.
//!
//! Where this machine offers no such network (no namespaces, no `/dev/net/tun`) these tests say so and do nothing.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
use common::{Kept, until};
use millpond_core::env::SystemEnv;
use millpond_functions::{End, HostSettings, LakeDoor, Program, ProgramNetwork, Programs, Running, Visitor};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// What every program begins with.
const TOOLS: &str = r#"
import errno, hashlib, json, os, socket, sys, threading, time
def attempt(work):
    began = time.monotonic()
    try:
        answer = work()
    except OSError as error:
        answer = errno.errorcode.get(error.errno, type(error).__name__)
    return "slow" if time.monotonic() - began > 2 else answer
def address(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
def said(at):
    with socket.create_connection(address(at), timeout=10) as stream:
        stream.shutdown(socket.SHUT_WR)
        return stream.makefile().read()
def asked(at, question=b"question", timeout=2):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exchange:
        exchange.settimeout(timeout)
        exchange.connect(address(at))
        exchange.send(question)
        return exchange.recv(70000).decode()
"#;

/// One test at a time: they look at what this process has open.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Lab {
    _alone: tokio::sync::MutexGuard<'static, ()>,
    programs: Programs,
    lake: SocketAddr,
    directory: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let alone = ALONE.lock().await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut settings = HostSettings::new(directory.path().join("host"), Arc::new(SystemEnv), Arc::new(Kept::default()));
        // A copy, where another user runs this.
        let launcher =
            std::env::var_os("MILLPOND_TEST_LAUNCHER").unwrap_or_else(|| env!("CARGO_BIN_EXE_millpond-function-launcher").into());
        settings.launcher = vec![launcher];
        // Nobody listens there in this machine's network.
        let lake: SocketAddr = "127.0.0.1:4566".parse().unwrap();
        let (visitors, mut visited) = mpsc::channel::<Visitor>(4);
        tokio::spawn(async move {
            while let Some((mut stream, place)) = visited.recv().await {
                tokio::spawn(async move {
                    let _ = stream.write_all(b"lake").await;
                    drop(place);
                });
            }
        });
        let programs = Programs::new(settings, Some(LakeDoor { at: lake, visitors })).unwrap();
        Self { _alone: alone, programs, lake, directory }
    }

    async fn start(&self, text: &str, arguments: &[String], services: Vec<SocketAddr>) -> Running {
        let python = self.programs.python("python3.11").await.unwrap();
        let mut argv = vec![python.program.to_string_lossy().into_owned(), "-c".into(), format!("{TOOLS}\n{text}")];
        argv.extend(arguments.iter().cloned());
        let program = Program {
            argv,
            environment: Vec::new(),
            reads: python.files.iter().map(|path| (path.clone(), path.clone())).collect(),
            network: ProgramNetwork::Own { services },
            memory_bytes_max: 512 << 20,
            disk_bytes_max: 64 << 20,
            keeps_tmp: false,
        };
        self.programs.start(self.programs.desk().await.unwrap(), &program).await.unwrap()
    }

    /// Runs a program to its end; what it printed, as JSON.
    async fn run(&self, text: &str, arguments: &[String]) -> Value {
        let mut running = self.start(text, arguments, Vec::new()).await;
        let (out, error) = (read(&mut running, true), read(&mut running, false));
        let ended = running.ended().await;
        let (out, error) = (out.await.unwrap(), error.await.unwrap());
        assert_eq!(ended, End::Exited(0), "{error}");
        serde_json::from_str(&out).unwrap()
    }

    /// Where programs come to by their way out: this machine's address that is not of the loopback.
    async fn outside(&self) -> Option<IpAddr> {
        let seen = self.run("print(json.dumps([name for _, name in socket.if_nameindex()]))", &[]).await;
        let ip = machine().filter(|_| seen.as_array().unwrap().contains(&json!("out")));
        if ip.is_none() {
            eprintln!("SKIPPED: this machine offers no network with a way out, or has no address but the loopback's");
        }
        ip
    }
}

fn read(running: &mut Running, out: bool) -> tokio::task::JoinHandle<String> {
    let pipe = if out { running.stdout.take() } else { running.stderr.take() };
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::fs::File::from(pipe.unwrap()).read_to_string(&mut text).unwrap();
        text
    })
}

/// This machine's address that is not of the loopback, if it has one.
fn machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

/// Says a word to everybody who comes.
fn speaker(ip: IpAddr, word: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(word.as_bytes());
        }
    });
    address
}

/// A port at which nobody listens.
fn closed(ip: IpAddr) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_reaches_the_lake_and_the_services_that_it_may_and_no_other_of_the_loopback() {
    let lab = Lab::new().await;
    let loopback = "127.0.0.1".parse().unwrap();
    let (service, secret) = (speaker(loopback, "service"), speaker(loopback, "secret"));
    let text = "print(json.dumps([attempt(lambda at=at: said(at)) for at in sys.argv[1:]]))";
    let arguments = [lab.lake, service, secret].map(|address| address.to_string());
    let mut running = lab.start(text, &arguments, vec![service]).await;
    let (out, error) = (read(&mut running, true), read(&mut running, false));
    assert_eq!(running.ended().await, End::Exited(0), "{}", error.await.unwrap());
    assert_eq!(out.await.unwrap().trim(), r#"["lake", "service", "ECONNREFUSED"]"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_listens_at_is_reached_by_nobody_else() {
    let lab = Lab::new().await;
    let text = r#"
listener = socket.create_server(("0.0.0.0", 45671))
print(said("127.0.0.1:45671") if threading.Thread(target=lambda: listener.accept()[0].sendall(b"mine"), daemon=True).start() is None else "", flush=True)
time.sleep(60)
"#;
    let mut first = lab.start(text, &[], Vec::new()).await;
    let out = first.stdout.take().unwrap();
    let line = tokio::task::spawn_blocking(move || {
        let mut line = [0; 5];
        std::fs::File::from(out).read_exact(&mut line).map(|()| line)
    });
    assert_eq!(&line.await.unwrap().unwrap(), b"mine\n");
    for ip in ["127.0.0.1".parse().unwrap()].into_iter().chain(machine()) {
        assert!(std::net::TcpStream::connect((ip, 45671)).is_err(), "{ip}");
    }
    let other = lab
        .run("print(json.dumps([attempt(lambda ip=ip: said(ip + ':45671')) for ip in ['127.0.0.1', '192.0.0.2']]))", &[])
        .await;
    let no_way_out = json!(["ECONNREFUSED", "ENETUNREACH"]);
    assert!(other == json!(["ECONNREFUSED", "ECONNREFUSED"]) || other == no_way_out, "{other}");
    first.kill();
    first.is_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_out_leads_to_other_machines_and_not_to_metadata() {
    let lab = Lab::new().await;
    let Some(ip) = lab.outside().await else { return };
    let echo = UdpSocket::bind((ip, 0)).unwrap();
    let datagrams = echo.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 70_000];
        while let Ok((count, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(format!("{count} bytes").as_bytes(), from);
        }
    });
    let text = r#"
open_, closed, datagrams, closed_datagrams, lake = sys.argv[1:]
print(json.dumps({
    "open": attempt(lambda: said(open_)), "closed": attempt(lambda: said(closed)),
    "datagram": attempt(lambda: asked(datagrams)), "large": attempt(lambda: asked(datagrams, bytes(60000))),
    "unanswered": attempt(lambda: asked(closed_datagrams)),
    "metadata": attempt(lambda: said("169.254.169.254:80")), "metadata by datagram": attempt(lambda: asked("169.254.169.254:80")),
    "any": attempt(lambda: said("0.0.0.0:" + lake)), "translated": attempt(lambda: said("192.0.0.4:80")), "resolver": attempt(lambda: said("192.0.0.3:80")),
    "six": attempt(lambda: said("[2001:db8::1]:80")),
    "settings": open("/etc/resolv.conf").read().split("\n")[-2],
}))
"#;
    let unbound = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
    let arguments = [speaker(ip, "outside"), closed(ip), datagrams, unbound].map(|address| address.to_string());
    let arguments = [&arguments[..], &["9".into()]].concat();
    let seen = lab.run(text, &arguments).await;
    let expected = json!({
        "open": "outside", "closed": "ECONNREFUSED", "datagram": "8 bytes", "large": "60000 bytes", "unanswered": "ECONNREFUSED",
        "metadata": "EHOSTUNREACH", "metadata by datagram": "EHOSTUNREACH", "any": "ECONNREFUSED", "translated": "EHOSTUNREACH",
        "resolver": "EHOSTUNREACH", "six": "ENETUNREACH", "settings": "nameserver 192.0.0.3",
    });
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_arrives_whole_both_ways_over_many_streams() {
    let lab = Lab::new().await;
    let Some(ip) = lab.outside().await else { return };
    let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let text = r#"
def echo(number, count):
    sent, received = hashlib.sha256(), hashlib.sha256()
    with socket.create_connection(address(sys.argv[1]), timeout=60) as stream:
        def send():
            for at in range(count):
                part = bytes([number % 256, at % 256]) * 32768
                sent.update(part)
                stream.sendall(part)
            stream.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        while part := stream.recv(1 << 20):
            received.update(part)
        sender.join()
    return sent.digest() == received.digest()
same = []
threads = [threading.Thread(target=lambda n=n: same.append(echo(n, 16))) for n in range(60)]
began = time.monotonic()
[thread.start() for thread in threads]
[thread.join() for thread in threads]
same.append(echo(7, 2000))
print(json.dumps([len(same), all(same), round(time.monotonic() - began, 2)]))
"#;
    let seen = lab.run(text, &[address.to_string()]).await;
    assert_eq!((&seen[0], &seen[1]), (&json!(61), &json!(true)), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_end_of_a_program_arrives_and_then_nothing_is_left() {
    let lab = Lab::new().await;
    let Some(ip) = lab.outside().await else { return };
    let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let received = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all: Vec<u8> = Vec::new();
        // Slowly, so that the program is gone before.
        let mut buffer = vec![0; 1 << 20];
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match stream.read(&mut buffer).await {
                Ok(0) => return Ok(all.len()),
                Ok(count) => all.extend(&buffer[..count]),
                Err(error) => return Err(error.to_string()),
            }
        }
    });
    let before = descriptors();
    let text = "stream = socket.create_connection(address(sys.argv[1]))\nstream.sendall(bytes(3 << 20))\nprint('1', flush=True)\nos._exit(0)";
    lab.run(text, &[at]).await;
    assert_eq!(received.await.unwrap(), Ok(3 << 20));
    until("the end of connections", || descriptors() <= before).await;
    assert_eq!(std::fs::read_dir(lab.directory.path().join("host/processes")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_ended_leaves_no_connection() {
    let lab = Lab::new().await;
    let Some(ip) = lab.outside().await else { return };
    let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let before = descriptors();
    let running = lab.start("stream = socket.create_connection(address(sys.argv[1]))\ntime.sleep(60)", &[at], Vec::new()).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    running.kill();
    let begun = Instant::now();
    let mut buffer = [0; 1];
    assert!(!matches!(stream.read(&mut buffer).await, Ok(1)));
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop((stream, running));
    until("the end of connections", || descriptors() <= before).await;
}

/// What this process has open, as far as it is of sockets and devices.
fn descriptors() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|target| target.starts_with("/dev/net") || target.to_string_lossy().starts_with("socket:"))
        .count()
}
