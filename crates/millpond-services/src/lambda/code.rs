//! Packages: their bytes in the store, and their unpacked form as a cache beside it.
//!
//! A package's bytes are a blob that the transaction of its function names. Unpacked it is a directory named by its SHA-256, made under another
//! name and renamed when it is whole, so that there is never half of one. The directories are a cache: one that is missing is unpacked again,
//! and when they are too large together, those go that nobody used for long. One that an invocation uses is pinned.

use super::LambdaError;
use super::archive::{self, PACKED_MAX, UNPACKED_MAX, Unpacked};
use super::sql::{self, CodeRow};
use crate::lake::{Lake, objects};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use millpond_core::env::EnvExt;
use millpond_store::blobs::{BlobId, NewBlob};
use millpond_store::{StoreError, Tx};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// Packages that are unpacked at the same time.
const UNPACKING_MAX: usize = 2;

/// Packages that are unpacked, wait for it, or were refused and are not removed yet. Removing takes as long as unpacking, and nobody waits for
/// it, but what lies there must not grow without bound.
const HALVES_MAX: usize = 16;

/// An unpacked package that was used within this time stays, however large all are together: a warm process may still have it open.
const KEEP: Duration = Duration::from_secs(30 * 60);

/// Where a package comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// In the request.
    Zip(Bytes),
    /// An object of this lake.
    Object {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The version that was asked for.
        version: Option<String>,
    },
}

/// A package that was looked at and unpacked, and is not named by any row yet.
#[derive(Debug)]
pub(super) struct Package {
    sha256: String,
    size: u64,
    unpacked: u64,
    bytes: Kept,
}

#[derive(Debug)]
enum Kept {
    New(NewBlob),
    /// The object's own bytes: they never change, and get one more name.
    Object(BlobId),
}

impl Package {
    /// Hexadecimal.
    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// In bytes, as it is.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// In bytes, when unpacked.
    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// Names it in this transaction: once more where it is there already.
    pub(super) fn name(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if sql::code(tx, &self.sha256)?.is_some() {
            return sql::hold_code(tx, &self.sha256);
        }
        let blob = match &self.bytes {
            Kept::New(new) => tx.adopt(new)?,
            Kept::Object(blob) => {
                tx.retain(blob)?;
                blob.clone()
            }
        };
        let row = CodeRow { sha256: self.sha256.clone(), blob, size: self.size, unpacked: self.unpacked };
        sql::insert_code(tx, &row)
    }
}

/// `CodeSha256` of a package.
pub(super) fn base64_of(sha256: &str) -> String {
    STANDARD.encode(hex::decode(sha256).unwrap_or_default())
}

/// An unpacked package; it stays as long as this is held.
#[derive(Debug, Clone)]
pub(super) struct Pin {
    directory: Arc<PathBuf>,
}

impl Pin {
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

#[derive(Debug)]
struct Known {
    pins: Weak<PathBuf>,
    used: Instant,
}

/// The unpacked packages of a lake.
#[derive(Debug)]
pub(super) struct CodeStore {
    lake: Lake,
    home: PathBuf,
    directory: PathBuf,
    size_max: u64,
    known: Mutex<HashMap<String, Known>>,
    unpacking: Arc<Semaphore>,
    halves: Arc<Semaphore>,
    /// What unpacked packages take of the disk, as far as it was measured.
    measured: Mutex<HashMap<String, u64>>,
}

impl CodeStore {
    /// Packages unpacked below `directory`, `size_max` bytes of them at the most (as far as they are not in use).
    ///
    /// Nothing there is synced: what was written before the machine last started may be there in part. Each start of the machine has a folder
    /// of its own.
    pub(super) fn new(lake: Lake, directory: PathBuf, size_max: u64) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        let boot = if boot.is_empty() { lake.store.env().random_hex(8) } else { boot };
        Self {
            lake,
            home: directory.clone(),
            directory: directory.join(boot),
            size_max,
            known: Mutex::default(),
            unpacking: Arc::new(Semaphore::new(UNPACKING_MAX)),
            halves: Arc::new(Semaphore::new(HALVES_MAX)),
            measured: Mutex::default(),
        }
    }

    /// Takes a package in: looks at it, unpacks it, and has its bytes safe for the transaction that names it.
    pub(super) async fn take(&self, source: Source) -> Result<Package, LambdaError> {
        match source {
            Source::Zip(bytes) => self.take_bytes(bytes).await,
            Source::Object { bucket, key, version } => self.take_object(bucket, key, version).await,
        }
    }

    async fn take_bytes(&self, bytes: Bytes) -> Result<Package, LambdaError> {
        let size = bytes.len() as u64;
        if size > PACKED_MAX {
            return Err(LambdaError::TooLarge(format!("Zipped size must be smaller than {PACKED_MAX} bytes")));
        }
        let held = bytes.clone();
        let sha256 = blocking(move || Ok(hex::encode(Sha256::digest(&held)))).await?;
        let held = bytes.clone();
        let unpacked = self.unpack(&sha256, move || Ok(Cursor::new(held))).await?;
        let mut writer = self.lake.store.blobs().writer();
        for chunk in bytes.chunks(1 << 20) {
            writer.write(chunk).await?;
        }
        let bytes = Kept::New(writer.finish().await?);
        Ok(Package { sha256, size, unpacked: unpacked.size, bytes })
    }

    async fn take_object(&self, bucket: String, key: String, version: Option<String>) -> Result<Package, LambdaError> {
        let (blob, size) = self.lake.store.read(move |connection| find_object(connection, &bucket, &key, version)).await?;
        if size > UNPACKED_MAX {
            return Err(LambdaError::invalid(format!("Unzipped size must be smaller than {UNPACKED_MAX} bytes")));
        }
        let (file, sha256) = self.copy(&blob, size).await?;
        let unpacked = self.unpack(&sha256, move || Ok(file)).await?;
        Ok(Package { sha256, size, unpacked: unpacked.size, bytes: Kept::Object(blob) })
    }

    /// The bytes of a blob in a file without a name, and their hash.
    async fn copy(&self, blob: &BlobId, size: u64) -> Result<(std::fs::File, String), LambdaError> {
        let directory = self.directory.clone();
        let mut file = blocking(move || {
            std::fs::create_dir_all(&directory).map_err(|error| of_io(&directory, &error))?;
            tempfile::tempfile_in(&directory).map_err(|error| of_io(&directory, &error))
        })
        .await?;
        let mut hash = Sha256::new();
        let mut chunks = self.lake.store.blobs().stream(blob, 0..size).await?;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            (file, hash) = blocking(move || {
                hash.update(&chunk);
                file.write_all(&chunk).map_err(|error| of_io(Path::new("a package's copy"), &error))?;
                Ok((file, hash))
            })
            .await?;
        }
        file.seek(SeekFrom::Start(0)).map_err(|error| of_io(Path::new("a package's copy"), &error))?;
        Ok((file, hex::encode(hash.finalize())))
    }

    /// Unpacks a package under its hash; where it is there already, it is only looked at again.
    async fn unpack<R, F>(&self, sha256: &str, open: F) -> Result<Unpacked, LambdaError>
    where
        R: std::io::Read + Seek,
        F: FnOnce() -> Result<R, LambdaError> + Send + 'static,
    {
        let closed = |_| StoreError::Closed;
        let place = self.halves.clone().acquire_owned().await.map_err(closed)?;
        let turn = self.unpacking.clone().acquire_owned().await.map_err(closed)?;
        let _pin = self.touch(sha256);
        let whole = self.directory.join(sha256);
        let half = self.directory.join(format!("{sha256}.{}", self.lake.store.env().random_hex(8)));
        let (answer, answered) = oneshot::channel();
        // The work goes on, and holds its permits, where nobody waits for it any more.
        tokio::task::spawn_blocking(move || {
            let outcome = unpack_whole(open, &half, &whole);
            drop(turn);
            let _ = answer.send(outcome);
            // What was refused, or was there already. What became whole is not here any more.
            if let Err(error) = archive::remove(&half) {
                tracing::warn!(%error, directory = %half.display(), "half of a package could not be removed; the next start does it");
            }
            drop(place);
        });
        answered.await.map_err(|_| StoreError::Panicked)?
    }

    fn touch(&self, sha256: &str) -> Pin {
        let mut known = self.known.lock().expect("nobody panics while holding the list");
        let entry = known.entry(sha256.to_owned()).or_insert_with(|| Known { pins: Weak::new(), used: Instant::now() });
        entry.used = Instant::now();
        let directory = entry.pins.upgrade().unwrap_or_else(|| Arc::new(self.directory.join(sha256)));
        entry.pins = Arc::downgrade(&directory);
        Pin { directory }
    }

    /// The unpacked package; it is unpacked now where it is not there.
    pub(super) async fn pin(&self, sha256: &str) -> Result<Pin, LambdaError> {
        let pin = self.touch(sha256);
        let directory = pin.directory.clone();
        if blocking(move || Ok(directory.is_dir())).await? {
            return Ok(pin);
        }
        let wanted = sha256.to_owned();
        let row = self.lake.store.read(move |connection| sql::code(connection, &wanted)).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt(format!("the package {sha256} is missing")))?;
        let (file, found) = self.copy(&row.blob, row.size).await?;
        if found != sha256 {
            return Err(StoreError::Corrupt(format!("the package {sha256} has other bytes, with the hash {found}")).into());
        }
        self.unpack(sha256, move || Ok(file)).await?;
        Ok(pin)
    }

    /// Removes what a former process left half done, what no function has any more, and, where the rest is too large, what was not used for long.
    pub(super) async fn sweep(&self) -> Result<(), LambdaError> {
        self.sweep_former().await?;
        let rows = self.lake.store.read(sql::codes).await?;
        let wanted: HashSet<String> = rows.into_iter().map(|row| row.sha256).collect();
        let directory = self.directory.clone();
        let names = blocking(move || {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(of_io(&directory, &error)),
            };
            Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        });
        let mut present = Vec::new();
        let mut unwanted = Vec::new();
        for name in names.await? {
            match wanted.contains(&name) {
                true => present.push((self.measure(&name).await?, name)),
                false => unwanted.push(name),
            }
        }
        unwanted.retain(|name| !self.is_fresh(name.split('.').next().unwrap_or(name)));
        let mut total: u64 = present.iter().map(|(size, _)| size).sum();
        present.sort_by_key(|(_, name)| self.last_used(name));
        for (size, name) in present {
            if total <= self.size_max || self.is_fresh(&name) {
                continue;
            }
            total -= size;
            unwanted.push(name);
        }
        for name in unwanted {
            let directory = self.directory.join(&name);
            self.known.lock().expect("nobody panics while holding the list").remove(&name);
            blocking(move || archive::remove(&directory).map_err(|error| of_io(&directory, &error))).await?;
            // Not sooner: another sweep would measure what is half removed.
            self.measured.lock().expect("nobody panics while holding the list").remove(&name);
        }
        Ok(())
    }

    /// What an unpacked package takes of the disk: more than its bytes where it has many small files. It never changes.
    async fn measure(&self, sha256: &str) -> Result<u64, LambdaError> {
        let known = self.measured.lock().expect("nobody panics while holding the list").get(sha256).copied();
        if let Some(size) = known {
            return Ok(size);
        }
        let directory = self.directory.join(sha256);
        let size = blocking(move || match archive::disk_use(&directory) {
            // Another sweep removed it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some).map_err(|error| of_io(&directory, &error)),
        });
        let Some(size) = size.await? else { return Ok(0) };
        self.measured.lock().expect("nobody panics while holding the list").insert(sha256.to_owned(), size);
        Ok(size)
    }

    /// Removes what was unpacked before the machine last started.
    async fn sweep_former(&self) -> Result<(), LambdaError> {
        let (home, current) = (self.home.clone(), self.directory.clone());
        blocking(move || {
            let Ok(entries) = std::fs::read_dir(&home) else { return Ok(()) };
            for path in entries.flatten().map(|entry| entry.path()).filter(|path| *path != current && path.is_dir()) {
                archive::remove(&path).map_err(|error| of_io(&path, &error))?;
            }
            Ok(())
        })
        .await
    }

    /// Since when nobody used it; those that nobody used since the start come first.
    fn last_used(&self, sha256: &str) -> Option<Instant> {
        self.known.lock().expect("nobody panics while holding the list").get(sha256).map(|known| known.used)
    }

    fn is_fresh(&self, sha256: &str) -> bool {
        let known = self.known.lock().expect("nobody panics while holding the list");
        known.get(sha256).is_some_and(|known| known.pins.strong_count() > 0 || known.used.elapsed() < KEEP)
    }
}

/// Unpacks into `half`, and names it `whole` when it is.
fn unpack_whole<R, F>(open: F, half: &Path, whole: &Path) -> Result<Unpacked, LambdaError>
where
    R: std::io::Read + Seek,
    F: FnOnce() -> Result<R, LambdaError>,
{
    std::fs::create_dir_all(half).map_err(|error| of_io(half, &error))?;
    let unpacked = archive::unpack(open()?, half, UNPACKED_MAX)?;
    match std::fs::rename(half, whole) {
        // Another request was faster with the same bytes.
        Err(_) if whole.is_dir() => Ok(unpacked),
        Err(error) => Err(of_io(whole, &error)),
        Ok(()) => Ok(unpacked),
    }
}

fn find_object(
    connection: &rusqlite::Connection,
    bucket: &str,
    key: &str,
    version: Option<String>,
) -> Result<(BlobId, u64), LambdaError> {
    let failed = |code: &str, message: &str| {
        LambdaError::invalid(format!("Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"))
    };
    let found = objects::bucket(connection, bucket)?;
    let found = found.ok_or_else(|| failed("NoSuchBucket", "The specified bucket does not exist"))?;
    if version.is_some_and(|version| version != "null") {
        return Err(failed("NoSuchVersion", "The specified version does not exist."));
    }
    let object = objects::get(connection, found.id, key)?;
    let object = object.ok_or_else(|| failed("NoSuchKey", "The specified key does not exist."))?;
    Ok((object.blob, object.size))
}

fn of_io(path: &Path, error: &std::io::Error) -> LambdaError {
    LambdaError::Store(StoreError::Corrupt(format!("{}: {error}", path.display())))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, LambdaError> + Send + 'static) -> Result<T, LambdaError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Panicked)?
}

#[cfg(test)]
mod tests {
    use super::super::COMPONENT;
    use super::*;
    use millpond_core::arn::Place;
    use millpond_core::env::SystemEnv;
    use millpond_store::Store;
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn lake(directory: &Path) -> Lake {
        let store = Store::open(directory, &[COMPONENT], Arc::new(SystemEnv)).unwrap();
        Lake { store, place: Arc::new(Place::default()) }
    }

    fn zip(names: impl IntoIterator<Item = String>) -> Source {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
        }
        Source::Zip(writer.finish().unwrap().into_inner().into())
    }

    fn names(code: &CodeStore) -> Vec<String> {
        let entries = std::fs::read_dir(&code.directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_refused_package_is_removed_and_gives_its_place_back() {
        let directory = tempfile::tempdir().unwrap();
        let code = CodeStore::new(lake(&directory.path().join("lake")), directory.path().join("code"), 1 << 30);
        for round in 0..HALVES_MAX + 1 {
            let refused = code.take(zip([format!("ok{round}"), "n".repeat(300)])).await.unwrap_err();
            assert!(refused.to_string().contains("has a name of 300 bytes"), "{refused}");
        }
        // Nobody waits for the removal but those that need the place.
        let all = code.halves.acquire_many(HALVES_MAX as u32).await.unwrap();
        assert_eq!((names(&code), code.unpacking.available_permits()), (vec![], UNPACKING_MAX));
        drop(all);
        let package = code.take(zip(["ok".to_owned()])).await.unwrap();
        let again = code.take(zip(["ok".to_owned()])).await.unwrap();
        assert_eq!(package.sha256(), again.sha256());
        let _all = code.halves.acquire_many(HALVES_MAX as u32).await.unwrap();
        assert_eq!(names(&code), [package.sha256()]);
    }

    #[tokio::test]
    async fn packages_of_empty_files_are_swept_by_the_disk_that_they_take() {
        let directory = tempfile::tempdir().unwrap();
        let lake = lake(&directory.path().join("lake"));
        let open = |size_max| CodeStore::new(lake.clone(), directory.path().join("code"), size_max);
        let package = open(1 << 30).take(zip((0..20).map(|number| format!("{number}/empty")))).await.unwrap();
        assert_eq!(package.unpacked(), 0);
        let sha256 = package.sha256().to_owned();
        lake.store.write(move |tx| package.name(tx)).await.unwrap();
        // After a start nobody has used it yet.
        let disk = 41 * 4096;
        let enough = open(disk);
        enough.sweep().await.unwrap();
        assert_eq!(names(&enough), [sha256]);
        let small = open(disk - 1);
        small.sweep().await.unwrap();
        assert!(names(&small).is_empty());
    }
}
