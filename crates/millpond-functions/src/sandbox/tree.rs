//! The function's own file tree: a small tmpfs on which only what it may see is mounted, in a mount namespace.

use super::launcher::{Trouble, trouble};
use super::plan::{Bind, Files, Tmp};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};

const NOTHING: Option<&str> = None;

/// Makes the tree and enters it; answers whether `/proc` could be mounted. Needs a mount namespace of its own, and to be in the process namespace
/// whose `/proc` is to be seen.
pub fn enter(files: &Files) -> Result<bool, Trouble> {
    let root = &files.root;
    // Nothing that is mounted here is to be seen outside.
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING).map_err(trouble("making mounts private"))?;
    let careful = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), root, Some("tmpfs"), careful, Some("mode=0755,size=4m,nr_inodes=8k"))
        .map_err(trouble("mounting a root"))?;
    for (path, text) in &files.texts {
        let path = place(root, path)?;
        std::fs::write(&path, text).map_err(trouble(path.display()))?;
    }
    // It is there without layers, too.
    std::fs::create_dir_all(root.join("opt")).map_err(trouble("/opt"))?;
    for bind in &files.binds {
        bind_one(root, bind)?;
    }
    for (path, target) in &files.links {
        let path = place(root, path)?;
        std::os::unix::fs::symlink(target, &path).map_err(trouble(path.display()))?;
    }
    mount_tmp(root, &files.tmp)?;
    let proc = mount_proc(root)?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | careful;
    mount(NOTHING, root, NOTHING, read_only, NOTHING).map_err(trouble("making the root read-only"))?;
    nix::unistd::chdir(root).map_err(trouble("entering the root"))?;
    // The old root comes to lie on the new one, and is taken away.
    nix::unistd::pivot_root(".", ".").map_err(trouble("changing the root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(trouble("leaving the old root"))?;
    nix::unistd::chdir("/").map_err(trouble("entering the new root"))?;
    Ok(proc)
}

/// `path` below `root`, with its parents made.
fn place(root: &Path, path: &Path) -> Result<PathBuf, Trouble> {
    let inside = root.join(path.strip_prefix("/").unwrap_or(path));
    if let Some(parent) = inside.parent() {
        std::fs::create_dir_all(parent).map_err(trouble(parent.display()))?;
    }
    Ok(inside)
}

fn bind_one(root: &Path, bind: &Bind) -> Result<(), Trouble> {
    let said = |error: Errno| format!("mounting {} as {}: {error}", bind.source.display(), bind.target.display());
    let target = place(root, &bind.target)?;
    let is_dir = std::fs::metadata(&bind.source).map_err(trouble(bind.source.display()))?.is_dir();
    if is_dir {
        std::fs::create_dir_all(&target).map_err(trouble(target.display()))?;
    } else if !target.exists() {
        std::fs::File::create(&target).map(drop).map_err(trouble(target.display()))?;
    }
    mount(Some(&bind.source), &target, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING).map_err(said)?;
    if bind.device {
        return Ok(());
    }
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    match mount(NOTHING, &target, NOTHING, flags, NOTHING) {
        // In a user namespace what the source's mount forbids must stay forbidden.
        Err(Errno::EPERM) => mount(NOTHING, &target, NOTHING, flags | MsFlags::MS_NOEXEC, NOTHING).map_err(said),
        done => done.map_err(said),
    }
}

fn mount_tmp(root: &Path, tmp: &Tmp) -> Result<(), Trouble> {
    let target = root.join("tmp");
    std::fs::create_dir_all(&target).map_err(trouble("/tmp"))?;
    let careful = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    match tmp {
        Tmp::Memory(bytes) => {
            let options = format!("mode=1777,size={bytes},nr_inodes=1m");
            mount(Some("tmpfs"), &target, Some("tmpfs"), careful, Some(options.as_str())).map_err(trouble("mounting /tmp"))
        }
        Tmp::Directory(directory) => {
            mount(Some(directory), &target, NOTHING, MsFlags::MS_BIND, NOTHING).map_err(trouble("mounting /tmp"))?;
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | careful;
            mount(NOTHING, &target, NOTHING, flags, NOTHING).map_err(trouble("mounting /tmp"))
        }
    }
}

/// A container that hides parts of its own `/proc` does not let a user namespace mount a whole one; then functions have none.
fn mount_proc(root: &Path) -> Result<bool, Trouble> {
    let target = root.join("proc");
    std::fs::create_dir_all(&target).map_err(trouble("/proc"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), &target, Some("proc"), flags, NOTHING).is_ok())
}
