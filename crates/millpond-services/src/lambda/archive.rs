//! Packages: zip archives that strangers made, unpacked so that nothing is written outside and no limit is passed.
//!
//! The sizes that an archive claims are not believed: bytes are counted as they come out. Links are made last, when no file can be written
//! through them any more, and each must lead to something within the package.

use super::LambdaError;
use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// A package and its layers unpacked, in bytes: "Lambda quotas".
pub const UNPACKED_MAX: u64 = 262_144_000;

/// A package in a request, in bytes.
pub const PACKED_MAX: u64 = 52_428_800;

/// Files, links and named folders of a package. AWS names no number; this one bounds memory and the directory.
const ENTRIES_MAX: usize = 100_000;

/// Folders of a package, those that only paths name included: a path of 1,024 bytes may ask for 64 of them, so that there can be many more than
/// entries.
const FOLDERS_MAX: usize = 10_000;

/// What an entry takes of the disk at the least, in bytes, however small it is.
const BLOCK: u64 = 4096;

/// The longest path in a package, in bytes, and how deep it may be.
const PATH_MAX: usize = 1024;
const DEPTH_MAX: usize = 64;

/// The longest name of one file or folder, in bytes: that of common file systems.
const NAME_MAX: usize = 255;

/// The longest target of a link, in bytes.
const LINK_MAX: u64 = 1024;

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Bytes of all files.
    pub size: u64,
    /// Files, folders and links.
    pub entries: usize,
}

/// Begins with AWS's words; says after them what it is about this archive.
fn refused(why: impl std::fmt::Display) -> LambdaError {
    LambdaError::invalid(format!("Could not unzip uploaded file. Please check your file, then try to upload again. ({why})"))
}

fn of_zip(error: ZipError) -> LambdaError {
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof && error.raw_os_error().is_some() => {
            LambdaError::Store(millpond_store::StoreError::Corrupt(format!("a package could not be unpacked: {error}")))
        }
        ZipError::Io(error) => refused(error),
        error => refused(error),
    }
}

fn of_disk(path: &Path) -> impl Fn(io::Error) -> LambdaError + '_ {
    move |error| match error.kind() {
        // What an archive can do to the directory that it is unpacked into: a file and a folder of one name, a name that is too long.
        io::ErrorKind::InvalidFilename => {
            refused(format_args!("the name of the entry '{}' is too long for this disk", file_name(path)))
        }
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            refused(format_args!("two entries have the same name, or one is a file and a folder: {}", file_name(path)))
        }
        _ => LambdaError::Store(millpond_store::StoreError::Corrupt(format!("{}: {error}", path.display()))),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().chars().take(80).collect()
}

/// Unpacks `source` into `root`, an empty directory. What was written is removed by the caller where this fails.
///
/// # Errors
/// It is no zip archive, has entries that lie (or lead) outside, is encrypted, or has more than `size_max` bytes.
pub fn unpack(mut source: impl Read + Seek, root: &Path, size_max: u64) -> Result<Unpacked, LambdaError> {
    let claimed = count_entries(&mut source)?;
    let mut archive = ZipArchive::new(source).map_err(of_zip)?;
    if claimed.is_some_and(|claimed| claimed != archive.len()) {
        return Err(refused("two entries have the same name"));
    }
    let mut unpacking = Unpacking { root, size_max, done: Unpacked::default(), made: HashSet::new(), links: Vec::new() };
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| match error {
            ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => refused("it is encrypted"),
            other => of_zip(other),
        })?;
        unpacking.entry(entry)?;
    }
    if unpacking.done.entries == 0 {
        return Err(LambdaError::invalid("Uploaded file must be a non-empty zip"));
    }
    unpacking.link()?;
    lock(root).map_err(of_disk(root))?;
    Ok(unpacking.done)
}

/// How many entries the archive says it has (`None` where the number does not fit the field), after a look at how many it can have at all: the
/// reader holds all of them in memory.
fn count_entries(source: &mut (impl Read + Seek)) -> Result<Option<usize>, LambdaError> {
    const CENTRAL: &[u8] = b"PK\x01\x02";
    const END: &[u8] = b"PK\x05\x06";
    let read = |error| of_zip(ZipError::Io(error));
    source.seek(SeekFrom::Start(0)).map_err(read)?;
    let (mut found, mut total, mut filled) = (0, None, 0);
    let mut buffer = vec![0u8; 256 * 1024];
    loop {
        let got = source.read(&mut buffer[filled..]).map_err(read)?;
        let (bytes, last) = (filled + got, got == 0);
        // An end record has 22 bytes: the rest is looked at with what follows.
        let upto = if last { bytes } else { bytes.saturating_sub(21) };
        for start in memchr_pk(&buffer[..bytes]).take_while(|start| *start < upto) {
            let rest = &buffer[start..bytes];
            found += usize::from(rest.starts_with(CENTRAL));
            if rest.starts_with(END) && rest.len() >= 22 {
                total = Some(usize::from(u16::from_le_bytes([rest[10], rest[11]])));
            }
        }
        if last {
            break;
        }
        buffer.copy_within(upto..bytes, 0);
        filled = bytes - upto;
    }
    if found > ENTRIES_MAX {
        return Err(refused(format_args!("it has more than {ENTRIES_MAX} files; put what belongs together into one")));
    }
    source.seek(SeekFrom::Start(0)).map_err(read)?;
    Ok(total.filter(|total| *total != usize::from(u16::MAX)))
}

fn memchr_pk(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes.windows(2).enumerate().filter(|(_, pair)| *pair == b"PK").map(|(at, _)| at)
}

struct Unpacking<'a> {
    root: &'a Path,
    size_max: u64,
    done: Unpacked,
    /// Folders that were made, within the package.
    made: HashSet<PathBuf>,
    links: Vec<(PathBuf, String)>,
}

impl Unpacking<'_> {
    fn entry<R: Read>(&mut self, mut entry: ZipFile<'_, R>) -> Result<(), LambdaError> {
        if entry.encrypted() {
            return Err(refused("it is encrypted"));
        }
        let relative = safe_path(entry.name())?;
        if relative.as_os_str().is_empty() && entry.is_dir() {
            return Ok(()); // `./`: the package itself.
        }
        if relative.as_os_str().is_empty() {
            return Err(refused("an entry has no name"));
        }
        self.done.entries += 1;
        let path = self.root.join(&relative);
        let within = relative.parent().unwrap_or(Path::new(""));
        if entry.is_dir() {
            return self.folders(&relative);
        }
        self.folders(within)?;
        if entry.is_symlink() {
            let mut target = String::new();
            entry.by_ref().take(LINK_MAX).read_to_string(&mut target).map_err(|error| of_zip(error.into()))?;
            self.links.push((relative, target));
            return Ok(());
        }
        let mode = entry.unix_mode().unwrap_or(0o644);
        let mut file = File::create_new(&path).map_err(of_disk(&path))?;
        let room = self.size_max - self.done.size;
        let mut limited = entry.by_ref().take(room + 1);
        let copied = io::copy(&mut limited, &mut file).map_err(|error| of_zip(error.into()))?;
        if copied > room {
            return Err(LambdaError::invalid(format!("Unzipped size must be smaller than {} bytes", self.size_max)));
        }
        self.done.size += copied;
        file.set_permissions(Permissions::from_mode((mode & 0o555) | 0o444)).map_err(of_disk(&path))
    }

    /// Makes the folders of a path within the package, as far as they are missing.
    fn folders(&mut self, relative: &Path) -> Result<(), LambdaError> {
        if self.made.contains(relative) {
            return Ok(());
        }
        let mut folder = PathBuf::new();
        for part in relative.components() {
            folder.push(part);
            if self.made.contains(&folder) {
                continue;
            }
            if self.made.len() == FOLDERS_MAX {
                return Err(refused(format_args!("it has more than {FOLDERS_MAX} folders; put what belongs together into one")));
            }
            let path = self.root.join(&folder);
            match fs::create_dir(&path) {
                Ok(()) => {}
                // No link is there yet: a folder of ours, where the disk does not tell `a` from `A`, or a file.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(error) => return Err(of_disk(&path)(error)),
            }
            self.made.insert(folder.clone());
        }
        Ok(())
    }

    /// Makes the links, and looks where they lead when all are there.
    fn link(&self) -> Result<(), LambdaError> {
        for (relative, target) in &self.links {
            let path = self.root.join(relative);
            let beyond = Path::new(target).is_absolute() || target.is_empty() || target.contains('\0');
            if beyond {
                return Err(leads_out(relative, target));
            }
            std::os::unix::fs::symlink(target, &path).map_err(of_disk(&path))?;
        }
        let root = self.root.canonicalize().map_err(of_disk(self.root))?;
        for (relative, target) in &self.links {
            let led = self.root.join(relative).canonicalize();
            if !led.is_ok_and(|led| led.starts_with(&root)) {
                return Err(leads_out(relative, target));
            }
        }
        Ok(())
    }
}

fn leads_out(link: &Path, target: &str) -> LambdaError {
    let target: String = target.chars().take(80).collect();
    refused(format_args!("the link '{}' leads to '{target}', which is not in the package", link.display()))
}

/// The path of an entry within the package.
fn safe_path(name: &str) -> Result<PathBuf, LambdaError> {
    let shown: String = name.chars().take(80).collect();
    if name.len() > PATH_MAX || name.contains('\0') {
        return Err(refused(format_args!("the name of the entry '{shown}' is too long or not a file's")));
    }
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) if part.len() > NAME_MAX => {
                let bytes = part.len();
                return Err(refused(format_args!(
                    "the entry '{shown}' has a name of {bytes} bytes; files and folders have up to {NAME_MAX}"
                )));
            }
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(refused(format_args!("the entry '{shown}' would lie outside the package")));
            }
        }
    }
    match path.components().count() {
        0..=DEPTH_MAX => Ok(path),
        _ => Err(refused(format_args!("the entry '{shown}' lies more than {DEPTH_MAX} folders deep"))),
    }
}

/// Takes the right to write away from all folders: files have lost it already.
fn lock(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            lock(&entry.path())?;
        }
    }
    fs::set_permissions(folder, Permissions::from_mode(0o555))
}

/// What an unpacked package takes of the disk, in bytes: whole blocks, and one at the least for each file, folder and link.
pub(super) fn disk_use(folder: &Path) -> io::Result<u64> {
    let charge = |size: u64| size.max(1).next_multiple_of(BLOCK);
    let mut total = BLOCK;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        total += match entry.file_type()?.is_dir() {
            true => disk_use(&entry.path())?,
            false => charge(entry.metadata()?.len()),
        };
    }
    Ok(total)
}

/// Removes an unpacked package.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    fn unlock(folder: &Path) -> io::Result<()> {
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                unlock(&entry.path())?;
            }
        }
        Ok(())
    }
    match unlock(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::remove_dir_all(folder),
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
