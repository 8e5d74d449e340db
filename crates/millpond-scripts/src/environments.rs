//! Environments: a Python with what an engine needs, made at its first use and kept.
//!
//! An environment is a directory below [`crate::ScriptSettings::environments`], named by engine, version of Python and list of packages: another list
//! makes another directory. It is made under another name and renamed when it is whole, under a lock of the file system, so that several lakes (and
//! several processes of tests) can share the directory.

use crate::{Progress, ScriptError, bundle, pip};
use millpond_functions::Python;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// In the names of directories that are not whole yet.
const UNFINISHED: &str = ".unfinished";

/// No installation takes so long, milliseconds.
const UNFINISHED_MS: i64 = 24 * 60 * 60 * 1_000;

/// Where a Spark Connect server listens that is named without a port (Spark's `spark.connect.grpc.binding.port`).
const SPARK_CONNECT_PORT: u16 = 15_002;

/// What runs the Spark of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Sail, in the script's own process.
    Sail,
    /// Spark itself, in local mode: needs a Java.
    PySpark,
    /// A Spark Connect server somewhere else: `sc://host:port`.
    Remote(String),
    /// None: a Python shell script.
    Shell(LibrarySet),
}

/// What a Python shell script finds installed (developer guide, "Python shell jobs", `library-set`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LibrarySet {
    /// boto3 alone.
    None,
    /// With NumPy, pandas, PyArrow and requests.
    #[default]
    Usual,
    /// All that AWS's analytics set has and that can be had as wheels.
    Analytics,
}

impl Engine {
    /// Reads the engine of `[jobs] engine` and of the argument `--millpond-engine`.
    ///
    /// # Errors
    /// It is none; it says which there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "sail" => Ok(Self::Sail),
            "pyspark" => Ok(Self::PySpark),
            remote if remote.starts_with("sc://") && remote.len() > 5 => Ok(Self::Remote(remote.to_owned())),
            other => Err(format!("'{other}' is no engine: write \"sail\", \"pyspark\" or \"sc://host:port\"")),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sail => "sail",
            Self::PySpark => "pyspark",
            Self::Remote(url) => url,
            Self::Shell(_) => "none",
        }
    }

    /// Where it is a service on this machine's loopback: its address there.
    pub fn local_service(&self) -> Option<SocketAddr> {
        let Self::Remote(url) = self else { return None };
        let place = url.strip_prefix("sc://")?.split(['/', ';']).next()?;
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !place.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, SPARK_CONNECT_PORT),
        };
        let ip = match host.trim_start_matches('[').trim_end_matches(']') {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            other => other.parse::<IpAddr>().ok()?,
        };
        ip.is_loopback().then_some(SocketAddr::new(ip, port))
    }

    /// The list of its packages.
    fn requirements(&self) -> &'static str {
        match self {
            // A remote engine needs the same client, which comes with Sail's list.
            Self::Sail | Self::Remote(_) => "sail",
            Self::PySpark => "pyspark",
            Self::Shell(LibrarySet::None) => "none",
            Self::Shell(LibrarySet::Usual) => "pythonshell",
            Self::Shell(LibrarySet::Analytics) => "analytics",
        }
    }
}

/// A Python with an engine.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its directory.
    pub directory: PathBuf,
    /// The interpreter that it was made from.
    pub python: Python,
}

impl Environment {
    /// Its interpreter.
    pub fn program(&self) -> PathBuf {
        self.directory.join("bin/python")
    }
}

/// Makes the environment of an engine, unless it is there.
pub async fn ready(
    directory: &Path,
    engine: &Engine,
    python: &Python,
    progress: Progress<'_>,
) -> Result<Environment, ScriptError> {
    let list = engine.requirements();
    let text = bundle::requirements(list)
        .ok_or_else(|| ScriptError::Setup(format!("this program has no list of packages for the engine {}", engine.as_str())))?;
    let name = format!("{list}-{}-{}", python.name, digest(&[text, &python.program.to_string_lossy()]));
    let place = directory.join(&name);
    let environment = Environment { directory: place.clone(), python: python.clone() };
    if place.is_dir() {
        return Ok(environment);
    }
    progress(&format!("Installing the environment '{list}' ({}): this happens once, and may take a minute", python.name));
    let said = |reason: String| {
        ScriptError::Setup(format!(
            "The environment '{list}' for scripts of jobs could not be installed in {}: {reason}. The packages come from the index that pip is \
             configured for; when it can be reached, start the run again.",
            directory.display()
        ))
    };
    let made = made_once(directory, &name, progress, async |unfinished: PathBuf| {
        let mut venv = Command::new(&python.program);
        venv.args(["-I", "-m", "venv", "--clear"]).arg(&unfinished);
        pip::run(venv, list, progress).await.map_err(|reason| format!("`python -m venv` fails: {reason}"))?;
        let requirements = unfinished.join("requirements.txt");
        std::fs::write(&requirements, text).map_err(|error| error.to_string())?;
        let mut install = Command::new(unfinished.join("bin/python"));
        install.args(["-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-r"]).arg(&requirements);
        pip::run(install, list, progress).await?;
        if *engine == Engine::PySpark {
            // What it needs for S3 is not on pip's index, and a script in its sandbox cannot fetch anything.
            let mut jars = Command::new(unfinished.join("bin/python"));
            jars.args(["-I", "-c", bundle::text("millpond_job/jars.py").unwrap_or_default()]);
            let fetched = pip::run(jars, "jars", progress).await;
            fetched
                .map_err(|reason| format!("the jars that PySpark needs for S3 cannot be fetched from Maven Central: {reason}"))?;
        }
        Ok(())
    });
    made.await.map_err(said)?;
    progress(&format!("The environment '{list}' is installed"));
    Ok(environment)
}

/// Where a Java of this machine keeps its settings, if not beside its programs: Debian's has links to `/etc/java-17-openjdk` and does not start without.
pub fn java_settings() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir("/etc") else { return Vec::new() };
    let of_java =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("java-")) && path.is_dir();
    entries.flatten().map(|entry| entry.path()).filter(of_java).collect()
}

/// A short name for texts.
pub fn digest(texts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hex::encode(&hasher.finalize()[..6])
}

/// Removes, behind everybody's back, what installations of servers that were killed left long ago. `now_ms`: milliseconds since 1970.
pub fn remove_unfinished(directory: PathBuf, now_ms: i64) {
    std::thread::spawn(move || {
        for path in unfinished_before(&directory, now_ms.saturating_sub(UNFINISHED_MS)) {
            if let Err(error) = millpond_functions::remove_tree(&path) {
                tracing::warn!(directory = %path.display(), %error, "what an installation left cannot be removed");
            }
        }
    });
}

/// Unfinished directories that were last changed before.
fn unfinished_before(directory: &Path, before_ms: i64) -> Vec<PathBuf> {
    let changed_ms = |path: &Path| {
        let since = std::fs::symlink_metadata(path).ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    };
    let is_old = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') && name.contains(UNFINISHED) && changed_ms(path).is_some_and(|changed| changed < before_ms)
    };
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_old).collect()
}

/// Makes the directory `name` by `make`, which gets another, empty directory to fill, unless it is there; by one process at a time.
pub async fn made_once(
    directory: &Path,
    name: &str,
    progress: Progress<'_>,
    make: impl AsyncFnOnce(PathBuf) -> Result<(), String>,
) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(directory).map_err(said)?;
    let _lock = locked(directory.join(format!(".{name}.lock")), progress).await.map_err(said)?;
    let place = directory.join(name);
    if place.is_dir() {
        return Ok(());
    }
    // A name of its own each time: an installation can outlive a server that was killed, and must not write into the next one. Removed when dropped.
    let unfinished =
        tempfile::Builder::new().prefix(&format!(".{name}{UNFINISHED}-{}-", std::process::id())).tempdir_in(directory);
    let unfinished = unfinished.map_err(said)?;
    make(unfinished.path().to_owned()).await?;
    let moved = tokio::task::spawn_blocking(move || {
        millpond_functions::open_to_all(unfinished.path())?;
        std::fs::rename(unfinished.path(), &place)
    });
    moved.await.map_err(|error| error.to_string())?.map_err(said)
}

/// Holds the lock of a file until it is dropped.
async fn locked(path: PathBuf, progress: Progress<'_>) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    progress("Another process is installing the same; waiting for it");
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
    locked.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn what_two_want_at_once_is_made_once_and_a_failure_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let count = AtomicU32::new(0);
        let make = || {
            made_once(directory.path(), "x", &|_| {}, async |unfinished: PathBuf| {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                std::fs::write(unfinished.join("file"), "").map_err(|error| error.to_string())
            })
        };
        let (one, two) = tokio::join!(make(), make());
        assert_eq!((one, two, count.load(Ordering::Relaxed)), (Ok(()), Ok(()), 1));
        let failed = made_once(directory.path(), "y", &|_| {}, async |unfinished: PathBuf| {
            std::fs::write(unfinished.join("file"), "").unwrap();
            Err("no network".into())
        });
        assert_eq!(failed.await, Err("no network".into()));
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().flatten().filter(|entry| entry.path().is_dir()).collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn only_old_unfinished_directories_are_left_overs() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".x.unfinished-1-abc", "x", ".x.lock"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        assert_eq!(unfinished_before(directory.path(), 0), Vec::<PathBuf>::new());
        assert_eq!(unfinished_before(directory.path(), i64::MAX), [directory.path().join(".x.unfinished-1-abc")]);
    }

    #[test]
    fn engines_are_read_by_their_names() {
        assert_eq!(Engine::parse(" sail "), Ok(Engine::Sail));
        assert_eq!(Engine::parse("sc://cluster:15002"), Ok(Engine::Remote("sc://cluster:15002".into())));
        assert!(Engine::parse("spark").unwrap_err().contains("sc://host:port"));
    }

    #[test]
    fn an_engine_on_the_loopback_is_told_from_one_elsewhere() {
        for (engine, address) in [
            ("sc://localhost:15002", Some("127.0.0.1:15002")),
            ("sc://127.0.0.2:50051/;user_id=a:b", Some("127.0.0.2:50051")),
            ("sc://[::1]:50051", Some("[::1]:50051")),
            ("sc://[::1]", Some("[::1]:15002")),
            ("sc://localhost;token=x", Some("127.0.0.1:15002")),
            ("sc://cluster:15002", None),
            ("sc://10.0.0.1:15002", None),
            ("sc://localhost:port", None),
            ("sail", None),
        ] {
            let engine = Engine::parse(engine).unwrap();
            assert_eq!(engine.local_service(), address.map(|address| address.parse().unwrap()), "{engine:?}");
        }
    }
}
