//! A function's layers as one tree, as they are seen in `/opt`: later ones win.

use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Answers the tree of these layers: the only one itself, or a new directory below `directory` with links to the files of all. It is made once.
///
/// # Errors
/// A layer cannot be read, or the tree cannot be written.
pub fn merged(directory: &Path, layers: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    match layers {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        _ => merge(directory, layers).map(Some),
    }
}

fn merge(directory: &Path, layers: &[PathBuf]) -> io::Result<PathBuf> {
    let mut hasher = std::hash::DefaultHasher::new();
    layers.hash(&mut hasher);
    let place = directory.join(format!("{:016x}", hasher.finish()));
    if place.is_dir() {
        return Ok(place);
    }
    std::fs::create_dir_all(directory)?;
    let unfinished = tempfile::tempdir_in(directory)?;
    for layer in layers {
        add(layer, unfinished.path())?;
    }
    crate::files::open_to_all(unfinished.path())?;
    seal(unfinished.path())?;
    let unfinished = unfinished.keep();
    match std::fs::rename(&unfinished, &place) {
        // Another start was faster.
        Err(_) if place.is_dir() => {
            let _ = crate::files::remove_tree(&unfinished);
            Ok(place)
        }
        done => done.map(|()| place),
    }
}

/// Nobody is to change a tree that several processes see. Folders get their mode now: one that cannot be written cannot be filled, except by root.
fn seal(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            seal(&entry.path())?;
        }
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o555))
}

fn add(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let there = std::fs::symlink_metadata(&target).ok();
        if entry.file_type()?.is_dir() {
            if there.as_ref().is_some_and(|there| !there.is_dir()) {
                std::fs::remove_file(&target)?;
            }
            std::fs::create_dir_all(&target)?;
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))?;
            add(&source, &target)?;
            continue;
        }
        match there {
            Some(there) if there.is_dir() => std::fs::remove_dir_all(&target)?,
            Some(_) => std::fs::remove_file(&target)?,
            None => {}
        }
        if entry.file_type()?.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)?;
        } else if std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win_and_directories_are_joined() {
        let temporary = tempfile::tempdir().unwrap();
        let layer = |name: &str, files: &[(&str, &str)]| {
            let root = temporary.path().join(name);
            for (path, text) in files {
                std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
                std::fs::write(root.join(path), text).unwrap();
            }
            root
        };
        let one = layer("one", &[("python/a.py", "one"), ("python/b.py", "one"), ("bin", "a file")]);
        let two = layer("two", &[("python/b.py", "two"), ("bin/tool", "two")]);
        // As they are unpacked.
        for folder in ["one", "one/python", "two", "two/python", "two/bin"] {
            std::fs::set_permissions(temporary.path().join(folder), std::fs::Permissions::from_mode(0o555)).unwrap();
        }
        let place = merged(&temporary.path().join("merged"), &[one.clone(), two]).unwrap().unwrap();
        let read = |path: &str| std::fs::read_to_string(place.join(path)).unwrap();
        assert_eq!((read("python/a.py"), read("python/b.py"), read("bin/tool")), ("one".into(), "two".into(), "two".into()));
        assert_eq!(std::fs::read_to_string(one.join("python/b.py")).unwrap(), "one", "a layer itself does not change");
        assert_eq!(merged(temporary.path(), std::slice::from_ref(&one)).unwrap(), Some(one));
        assert_eq!(merged(temporary.path(), &[]).unwrap(), None);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join("python"))), (0o555, 0o555), "nobody writes to what processes share");
        crate::files::remove_tree(temporary.path()).unwrap();
        assert!(!temporary.path().exists(), "folders without a right to write go, too");
    }
}
