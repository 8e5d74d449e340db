//! Our own Python packages (`awsglue`, the launcher): part of this program, unpacked where scripts can read them.

use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/bundle.rs"));
}

/// What is in the program, named by its content.
pub fn digest() -> String {
    let mut hasher = Sha256::new();
    for (name, bytes) in generated::FILES {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hex::encode(&hasher.finalize()[..8])
}

/// The list of packages of an environment: `requirements-NAME.txt`.
pub fn requirements(name: &str) -> Option<&'static str> {
    text(&format!("requirements-{name}.txt"))
}

/// A file of the packages.
pub fn text(wanted: &str) -> Option<&'static str> {
    let (_, bytes) = generated::FILES.iter().find(|(path, _)| *path == wanted)?;
    std::str::from_utf8(bytes).ok()
}

/// Unpacks the packages below `directory`, unless they are there; answers where.
///
/// # Errors
/// The file system's.
pub fn unpack(directory: &Path) -> io::Result<PathBuf> {
    let place = directory.join(format!("python-{}", digest()));
    if place.is_dir() {
        return Ok(place);
    }
    std::fs::create_dir_all(directory)?;
    let unfinished = directory.join(format!(".python-{}-{}", digest(), std::process::id()));
    let _ = std::fs::remove_dir_all(&unfinished);
    for (name, bytes) in generated::FILES.iter().filter(|(name, _)| name.ends_with(".py")) {
        let path = unfinished.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&unfinished))?;
        std::fs::write(path, bytes)?;
    }
    millpond_functions::open_to_all(&unfinished)?;
    match std::fs::rename(&unfinished, &place) {
        // Somebody else was quicker.
        Err(_) if place.is_dir() => std::fs::remove_dir_all(&unfinished)?,
        renamed => renamed?,
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_and_the_lists_of_packages_are_in_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let place = unpack(directory.path()).unwrap();
        assert!(place.join("awsglue/__init__.py").is_file() && place.join("millpond_job/__main__.py").is_file());
        assert_eq!(unpack(directory.path()).unwrap(), place);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        for name in ["sail", "pythonshell", "analytics", "none"] {
            assert!(requirements(name).unwrap().contains("boto3"), "{name}");
        }
    }
}
