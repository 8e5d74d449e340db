//! What is given up before the function's runtime starts: the user, further privileges, resources, and by Landlock the rest of the machine's files.

use super::launcher::{Trouble, map_user, trouble};
use super::plan::{Landlock, Limits, Namespaces, Plan, Tmp};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid};
use std::path::{Path, PathBuf};

/// The user that a function sees itself as inside a user namespace, as on AWS.
const SANDBOX_USER: u32 = 993;

/// The newest interface that we know how to use; older kernels do what they can.
const LANDLOCK_ABI: ABI = ABI::V6;

/// Confines this process and all that it starts. Cannot be undone.
pub fn apply(plan: &Plan) -> Result<Landlock, Trouble> {
    limit(&plan.limits)?;
    match plan.user {
        Some(user) => become_user(user)?,
        None if plan.namespaces == Namespaces::User => {
            // Root of the first user namespace, which owns the mounts, becomes nobody special in a second one.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).map_err(trouble("a second user namespace"))?;
            map_user(SANDBOX_USER, 0, 0)?;
        }
        None => {}
    }
    nix::sys::prctl::set_no_new_privs().map_err(trouble("no new privileges"))?;
    if plan.landlock { restrict(plan) } else { Ok(Landlock::None) }
}

fn limit(limits: &Limits) -> Result<(), Trouble> {
    let set = |resource, value| setrlimit(resource, value, value).map_err(trouble(format_args!("setting {resource:?}")));
    set(Resource::RLIMIT_CORE, 0)?;
    set(Resource::RLIMIT_NOFILE, limits.files)?;
    set(Resource::RLIMIT_FSIZE, limits.file_bytes)?;
    // Locked memory, queues and pending signals are kernel memory that no other limit counts.
    set(Resource::RLIMIT_MEMLOCK, 64 << 10)?;
    set(Resource::RLIMIT_MSGQUEUE, 0)?;
    if let Some(processes) = limits.processes {
        set(Resource::RLIMIT_NPROC, processes)?;
    }
    if let Some(bytes) = limits.data_bytes {
        set(Resource::RLIMIT_DATA, bytes)?;
    }
    Ok(())
}

fn become_user(user: u32) -> Result<(), Trouble> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    nix::unistd::setgroups(&[]).map_err(trouble("giving up groups"))?;
    nix::unistd::setresgid(gid, gid, gid).map_err(trouble(format_args!("becoming group {user}")))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(trouble(format_args!("becoming user {user}")))
}

/// Reading and running what the plan names, writing its `/tmp` and devices, and no more. No signals to and no abstract sockets of other processes.
fn restrict(plan: &Plan) -> Result<Landlock, Trouble> {
    let said = || trouble("Landlock");
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let ruleset = ruleset.handle_access(AccessFs::from_all(LANDLOCK_ABI)).map_err(said())?;
    let ruleset = ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal).map_err(said())?;
    let mut rules = ruleset.create().map_err(said())?;
    let read = AccessFs::from_read(LANDLOCK_ABI);
    let write = AccessFs::from_all(LANDLOCK_ABI) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    if plan.namespaces == Namespaces::None {
        for bind in &plan.files.binds {
            rules = allow(rules, &bind.source, if bind.device { read | AccessFs::WriteFile } else { read })?;
        }
        if let Tmp::Directory(directory) = &plan.files.tmp {
            rules = allow(rules, directory, write)?;
        }
        rules = allow(rules, Path::new("/proc"), read)?;
    } else {
        rules = allow(rules, Path::new("/"), read)?;
        rules = allow(rules, Path::new("/tmp"), write)?;
        rules = allow(rules, Path::new("/proc"), read | AccessFs::WriteFile)?;
        for bind in plan.files.binds.iter().filter(|bind| bind.device) {
            rules = allow(rules, &bind.target, read | AccessFs::WriteFile)?;
        }
    }
    let status = rules.restrict_self().map_err(said())?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
}

fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, Trouble> {
    let said = |error: &dyn std::fmt::Display| format!("Landlock for {}: {error}", path.display());
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(rules) };
    let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(LANDLOCK_ABI) };
    let file = PathFd::new(PathBuf::from(path)).map_err(|error| said(&error))?;
    rules.add_rule(PathBeneath::new(file, access)).map_err(|error| said(&error))
}
