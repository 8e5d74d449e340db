//! Finds out which protections this machine offers, by rehearsing a start with each.

use crate::cgroups::Cgroups;
use crate::files::Directories;
use crate::layout::{self, NOBODY};
use crate::sandbox::{Isolation, Landlock, Message, Namespaces, Network, Plan, Users};
use crate::spec::HostSettings;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

/// The first of the users that functions become where the server is root: beyond what systems give to people, services and containers.
pub const USERS_FIRST: u32 = 1_900_000_000;

/// How many there are before they are used again.
pub const USERS: u32 = 60_000;

/// A rehearsal that takes longer has failed.
const REHEARSAL_TIME: Duration = Duration::from_secs(20);

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// What is in force.
    pub isolation: Isolation,
    /// Whom functions become: a range of users, one user, or nobody else.
    pub user: Option<u32>,
    /// The control group above all.
    pub cgroups: Option<Cgroups>,
}

/// Which protections this machine offers to functions, without a host: for who wants to know before there is one.
///
/// # Errors
/// There is no temporary directory to try it in.
pub async fn inspect(mut settings: HostSettings) -> std::io::Result<Isolation> {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir()?;
    // Other users have to come through it.
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    settings.directory = directory.path().to_owned();
    let directories = Directories::make(&settings.directory)?;
    Ok(find(&settings, &directories).await.isolation)
}

/// Tries the strongest first.
pub async fn find(settings: &HostSettings, directories: &Directories) -> Found {
    let mut missing = Vec::new();
    let cgroups = match find_cgroups(settings, directories).await {
        Ok(cgroups) => Some(cgroups),
        Err(reason) => {
            missing.push(format!("no control groups: {reason}"));
            None
        }
    };
    let is_root = nix::unistd::geteuid().is_root();
    let as_root = [
        (Namespaces::Root, Some(USERS_FIRST)),
        (Namespaces::Root, Some(NOBODY)),
        (Namespaces::User, None),
        (Namespaces::None, Some(USERS_FIRST)),
        (Namespaces::None, Some(NOBODY)),
    ];
    let attempts = if is_root { as_root.as_slice() } else { &[(Namespaces::User, None)] };
    let last = [(Namespaces::None, None)];
    let allowed = |namespaces: Namespaces| settings.namespaces || namespaces == Namespaces::None;
    for (namespaces, user) in attempts.iter().chain(&last).copied().filter(|(namespaces, _)| allowed(*namespaces)) {
        let plan = layout::rehearsal(&settings.launcher, &directories.root, &directories.bootstraps, namespaces, user, true);
        match rehearse(&plan).await {
            Ok((proc, landlock)) => {
                if !proc {
                    missing.push("no /proc: the kernel does not let this user mount one".into());
                }
                if landlock != Landlock::Full {
                    missing.push("Landlock: this kernel does not offer all of it".into());
                }
                let users = match user {
                    Some(NOBODY) => Users::Nobody,
                    Some(_) => Users::Own,
                    None => Users::Servers,
                };
                let memory_cgroup = cgroups.is_some();
                return Found {
                    isolation: Isolation { namespaces, proc, landlock, users, memory_cgroup, missing },
                    user,
                    cgroups,
                };
            }
            Err(reason) => missing.push(format!("{namespaces:?} namespaces, user {user:?}: {reason}")),
        }
    }
    let isolation = Isolation {
        namespaces: Namespaces::None,
        proc: true,
        landlock: Landlock::None,
        users: Users::Servers,
        memory_cgroup: cgroups.is_some(),
        missing,
    };
    Found { isolation, user: None, cgroups }
}

/// Control groups that a launcher can enter, too.
async fn find_cgroups(settings: &HostSettings, directories: &Directories) -> Result<Cgroups, String> {
    let cgroups = Cgroups::new(settings.memory_bytes_max)?;
    let group = cgroups.make("rehearsal", 256 << 20)?;
    let mut plan =
        layout::rehearsal(&settings.launcher, &directories.root, &directories.bootstraps, Namespaces::None, None, false);
    plan.cgroup_procs.push(group.procs());
    rehearse(&plan).await.map(|_| cgroups)
}

/// What programs can have of a network of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnNetwork {
    /// One with a way out.
    WithWayOut,
    /// One with the lake only; why.
    LakeOnly(String),
    /// None: they have the machine's; why.
    No(String),
}

impl OwnNetwork {
    /// In one line, for the log, with what to do.
    pub fn describe(&self) -> String {
        match self {
            Self::WithWayOut => "a network of its own for each".into(),
            Self::LakeOnly(reason) => format!(
                "a network of its own for each, in which it reaches the lake and nothing else, for want of a device ({reason}): \
                 let this server use /dev/net/tun, or set network = \"shared\" under [jobs]"
            ),
            Self::No(reason) => {
                format!("this machine's network, in which others reach the engine of a script while it runs ({reason})")
            }
        }
    }
}

/// Tries networks of programs' own, on top of what was found.
pub async fn find_network(settings: &HostSettings, directories: &Directories, isolation: &Isolation) -> OwnNetwork {
    if isolation.namespaces == Namespaces::None {
        return OwnNetwork::No("a network of their own needs namespaces".into());
    }
    let rehearse_with = async |way_out: bool| {
        let (namespaces, root) = (isolation.namespaces, &directories.root);
        let mut plan = layout::rehearsal(&settings.launcher, root, &directories.bootstraps, namespaces, None, false);
        plan.network = Network::Own { listen: Vec::new(), way_out };
        rehearse(&plan).await
    };
    let Err(no_way_out) = rehearse_with(true).await else { return OwnNetwork::WithWayOut };
    match rehearse_with(false).await {
        Ok(_) => OwnNetwork::LakeOnly(no_way_out),
        Err(reason) => OwnNetwork::No(reason),
    }
}

/// Runs a launcher with a plan that starts nothing.
async fn rehearse(plan: &Plan) -> Result<(bool, Landlock), String> {
    let text = serde_json::to_vec(plan).map_err(|error| error.to_string())?;
    let (ours, theirs) = StdUnixStream::pair().map_err(|error| error.to_string())?;
    ours.set_nonblocking(true).map_err(|error| error.to_string())?;
    let mut socket = UnixStream::from_std(ours).map_err(|error| error.to_string())?;
    let (program, arguments) = plan.launcher.split_first().ok_or("no launcher is set")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().kill_on_drop(true).stdin(OwnedFd::from(theirs));
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    drop(command);
    let talk = async {
        socket.write_all(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes()).await?;
        socket.write_all(&text).await?;
        let mut heard = String::new();
        socket.read_to_string(&mut heard).await?;
        Ok::<_, std::io::Error>(heard)
    };
    let heard = tokio::time::timeout(REHEARSAL_TIME, talk).await.map_err(|_| "the launcher does not answer".to_owned())?;
    let heard = heard.map_err(|error| error.to_string())?;
    let _ = child.wait().await;
    // What it made for a network goes unused: descriptors that nobody takes are closed.
    let said = heard.lines().map(serde_json::from_str).find(|message| !matches!(message, Ok(Message::Network)));
    match said.unwrap_or_else(|| serde_json::from_str("")) {
        Ok(Message::Started { proc, landlock }) => Ok((proc, landlock)),
        Ok(Message::Failed(reason)) => Err(reason),
        _ => Err(format!("the launcher says {heard:?}")),
    }
}
