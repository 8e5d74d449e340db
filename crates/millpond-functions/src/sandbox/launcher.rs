//! The launcher's life: read the plan, shut itself in, start the runtime, reap, report.
//!
//! It is single-threaded until everything is shut in: a user namespace cannot be entered with threads, and a process that made a process namespace
//! cannot have any.

use super::plan::{Message, Namespaces, Network, Plan};
use super::{INNER, PLAN_VARIABLE, confine, network, tree};
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// What went wrong, for the server's ears.
pub(super) type Trouble = String;

/// Puts words before an error.
pub(super) fn trouble<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Trouble {
    move |error| format!("{what}: {error}")
}

/// Runs the launcher; answers the exit code of its process. `arguments` are those after the ones that name the launcher itself.
pub fn main(arguments: &[OsString]) -> u8 {
    // Without descriptors that whoever started the server left open to its children.
    let socket = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => File::from(socket),
        Err(_) => return 2,
    };
    let inner = arguments.first().is_some_and(|argument| argument == INNER);
    let outcome = if inner { run_inner(&socket) } else { run_outer(&socket) };
    match outcome {
        Ok(code) => code,
        Err(reason) => {
            tell(&socket, &Message::Failed(reason));
            3
        }
    }
}

fn tell(mut socket: &File, message: &Message) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        // Where the server is gone nobody needs to know.
        let _ = socket.write_all(&line);
    }
}

/// Reads the plan: its length (four bytes, little endian), then its JSON.
fn read_plan(mut socket: &File) -> Result<Vec<u8>, Trouble> {
    let mut length = [0u8; 4];
    socket.read_exact(&mut length).map_err(trouble("the plan's length"))?;
    let mut text = Vec::new();
    socket.take(u64::from(u32::from_le_bytes(length))).read_to_end(&mut text).map_err(trouble("the plan"))?;
    Ok(text)
}

fn parse_plan(text: &[u8]) -> Result<Plan, Trouble> {
    serde_json::from_slice(text).map_err(trouble("the plan cannot be read"))
}

fn run_outer(socket: &File) -> Result<u8, Trouble> {
    let text = read_plan(socket)?;
    let plan = parse_plan(&text)?;
    nix::unistd::setsid().map_err(trouble("a session of its own"))?;
    // When the machine runs out of memory, functions go before the lake does. Where that is not allowed it stays as it is.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    if plan.network != Network::Shared {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    match plan.namespaces {
        Namespaces::None if plan.network == Network::Shared => return run_runtime(socket, &plan),
        Namespaces::None => return Err("a network of its own needs namespaces".into()),
        Namespaces::Root => unshare(flags)?,
        Namespaces::User => {
            let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
            unshare(flags | CloneFlags::CLONE_NEWUSER)?;
            map_user(0, user.as_raw(), group.as_raw())?;
        }
    }
    if let Network::Own { listen, way_out } = &plan.network {
        let descriptors = network::make(listen, *way_out)?;
        network::hand_over(socket, &Message::Network, &descriptors)?;
    }
    run_in_namespaces(&plan, text)
}

fn unshare(flags: CloneFlags) -> Result<(), Trouble> {
    nix::sched::unshare(flags).map_err(trouble("making namespaces"))
}

/// Says who `outside` is in the user namespace that this process has just entered.
pub(super) fn map_user(inside: u32, outside_user: u32, outside_group: u32) -> Result<(), Trouble> {
    let write = |file: &str, text: String| std::fs::write(file, text).map_err(trouble(file));
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/gid_map", format!("{inside} {outside_group} 1"))?;
    write("/proc/self/uid_map", format!("{inside} {outside_user} 1"))
}

/// Starts the inner launcher as process 1 of the new namespace, and waits for its end: with it everything in there has ended.
fn run_in_namespaces(plan: &Plan, text: Vec<u8>) -> Result<u8, Trouble> {
    let text = String::from_utf8(text).map_err(trouble("the plan"))?;
    let (program, arguments) = plan.launcher.split_first().ok_or("the plan names no launcher")?;
    let mut inner = Command::new(program);
    inner.args(arguments).arg(INNER).env_clear().env(PLAN_VARIABLE, text);
    let status = inner.status().map_err(trouble("starting process 1 of the namespace"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn run_inner(socket: &File) -> Result<u8, Trouble> {
    let text = std::env::var(PLAN_VARIABLE).map_err(trouble("the plan"))?;
    let plan = parse_plan(text.as_bytes())?;
    run_runtime(socket, &plan)
}

/// Shuts this process in, starts the runtime below it, and stays until that has ended.
fn run_runtime(socket: &File, plan: &Plan) -> Result<u8, Trouble> {
    // Here and not earlier: what this program took to start is not to count for the function.
    for procs in &plan.cgroup_procs {
        std::fs::write(procs, "0").map_err(trouble(format_args!("entering the control group {}", procs.display())))?;
    }
    let proc = match plan.namespaces {
        Namespaces::None => {
            nix::sys::prctl::set_child_subreaper(true).map_err(trouble("adopting what the function leaves behind"))?;
            true
        }
        Namespaces::Root | Namespaces::User => tree::enter(&plan.files)?,
    };
    let landlock = confine::apply(plan)?;
    if plan.namespaces != Namespaces::None {
        // Set last: a change of user clears it. The outer launcher may have died before.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(trouble("dying with the parent"))?;
    }
    // The function runs as the same user, and must not trace this process or read its memory. Running a program makes that one ordinary again.
    nix::sys::prctl::set_dumpable(false).map_err(trouble("hiding from the function"))?;
    let Some((program, arguments)) = plan.argv.split_first() else {
        nix::unistd::chdir(&plan.directory).map_err(trouble(format_args!("entering {}", plan.directory.display())))?;
        tell(socket, &Message::Started { proc, landlock });
        return Ok(0);
    };
    let mut runtime = Command::new(program);
    runtime.args(arguments).env_clear().envs(plan.environment.iter().map(|(name, value)| (name, value)));
    runtime.current_dir(&plan.directory).stdin(Stdio::null());
    let child = match runtime.spawn() {
        Ok(child) => child,
        Err(error) => {
            tell(socket, &Message::NotRun(format!("{program}: {error}")));
            return Ok(4);
        }
    };
    let runtime = Pid::from_raw(i32::try_from(child.id()).map_err(trouble("a process id"))?);
    tell(socket, &Message::Started { proc, landlock });
    leave_output();
    end_with_server(socket, plan.namespaces)?;
    let end = reap(runtime)?;
    tell(socket, &end);
    if plan.namespaces == Namespaces::None {
        end_descendants();
    }
    Ok(0)
}

/// Only the function holds its output: the server sees the end of it when the function's processes are gone.
fn leave_output() {
    // What is still to be said goes to the socket.
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
}

/// Waits in a thread for the end of the socket: the server is gone, or wants this process to go.
fn end_with_server(socket: &File, namespaces: Namespaces) -> Result<(), Trouble> {
    let mut socket = socket.try_clone().map_err(trouble("the socket"))?;
    let wait = move || {
        let mut nothing = [0u8; 64];
        while socket.read(&mut nothing).is_ok_and(|count| count > 0) {}
        if namespaces == Namespaces::None {
            end_descendants();
        }
        std::process::exit(137);
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(wait).map(drop).map_err(trouble("a thread"))
}

/// Takes the ends of all children, adopted ones too, until the runtime has ended.
fn reap(runtime: Pid) -> Result<Message, Trouble> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == runtime => return Ok(Message::Exited(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == runtime => return Ok(Message::Killed(signal as i32)),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(format!("waiting for the runtime: {error}")),
        }
    }
}

/// Kills what is below this process, again and again until nothing is: what forks meanwhile is adopted by this process, too.
fn end_descendants() {
    // A bound for the case that something cannot be killed (a process in an uninterruptible wait).
    for _ in 0..10_000 {
        let children = children(std::process::id());
        if children.is_empty() {
            return;
        }
        for child in children {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                std::thread::yield_now();
                break;
            }
        }
    }
}

fn children(process: u32) -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>()).collect()
}
