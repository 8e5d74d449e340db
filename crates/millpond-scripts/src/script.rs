//! Scripts: started in the sandbox, listened to, and ended.

use crate::environments::{self, Engine, Environment};
use crate::installer::Installer;
use crate::modules::{self, InstallerOptions};
use crate::output::{Stream, pump};
use crate::{Progress, ScriptError, bundle};
use millpond_core::env::{EnvExt, SharedEnv};
use millpond_core::log::LogSink;
use millpond_functions::{Desk, End, HostSettings, LakeDoor, Program, ProgramNetwork, Programs, Python, SessionCredentials};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

/// What is still in the pipes when the last process of a script is gone is read within this time.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// How scripts are run.
#[derive(Debug, Clone)]
pub struct ScriptSettings {
    /// Where the sandbox keeps what it makes: its isolation, users and launcher. Its directory is this crate's alone.
    pub host: HostSettings,
    /// How scripts reach the lake from networks of their own; without it they have the machine's.
    pub lake: Option<LakeDoor>,
    /// Where our own packages and additional modules are unpacked; a directory of this lake.
    pub directory: PathBuf,
    /// Where environments are made; several lakes can share it.
    pub environments: PathBuf,
    /// What the scripts' Spark runs on.
    pub engine: Engine,
    /// How many scripts run at a time.
    pub concurrency: usize,
    /// The memory that all of them may take together, bytes; each may take an equal share.
    pub memory_bytes_max: u64,
    /// What one may write to its `/tmp`, bytes.
    pub disk_bytes_max: u64,
    /// A directory with jars for the engine `pyspark`.
    pub spark_jars: Option<PathBuf>,
}

impl ScriptSettings {
    /// What one script may take, bytes.
    pub fn share_bytes(&self) -> u64 {
        self.memory_bytes_max / self.concurrency.max(1) as u64
    }
}

/// A script to be started.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it runs on.
    pub environment: Environment,
    /// The engine that its run asks for.
    pub engine: Engine,
    /// The script's file in its `/tmp`.
    pub file: String,
    /// What follows in `sys.argv`.
    pub arguments: Vec<String>,
    /// What it can import besides its environment, by paths in its `/tmp`: zips, wheels and files.
    pub libraries: Vec<String>,
    /// Directories of additional modules.
    pub modules: Vec<PathBuf>,
    /// Of the run's session.
    pub credentials: SessionCredentials,
    /// Names the run to our packages.
    pub run: String,
    /// More variables.
    pub environment_variables: Vec<(String, String)>,
    /// What it may take, bytes.
    pub memory_bytes: u64,
    /// Where its standard output goes.
    pub stdout: Vec<Stream>,
    /// Where its standard error goes.
    pub stderr: Vec<Stream>,
}

/// Runs scripts. Clones share it; what it needs of the machine is found out at the first script.
#[derive(Debug, Clone)]
pub struct Scripts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: ScriptSettings,
    programs: OnceCell<Programs>,
    compiled: tokio::sync::Mutex<Vec<PathBuf>>,
}

/// Where the process of a script finds things.
struct Paths {
    tmp: PathBuf,
    packages: PathBuf,
    environment: PathBuf,
    modules: Vec<PathBuf>,
    jars: Option<PathBuf>,
    java: Option<PathBuf>,
}

/// What the names of directories begin with that are to be removed.
const LEFT: &str = "left-";

/// Moves the directories of former processes away at once, and removes them behind everybody's back: they can be large. What a former server moved away and
/// had not removed when it ended goes with them.
fn remove_left_overs(host: &Path, env: &SharedEnv) -> std::thread::JoinHandle<()> {
    let moved = std::fs::rename(host.join("processes"), host.join(format!("{LEFT}{}", env.random_hex(16))));
    if let Err(error) = moved
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(directory = %host.display(), %error, "what scripts left cannot be moved away");
    }
    let host = host.to_owned();
    std::thread::spawn(move || {
        let entries = std::fs::read_dir(&host).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(LEFT.as_bytes())) {
            if let Err(error) = millpond_functions::remove_tree(&entry.path()) {
                tracing::warn!(directory = %entry.path().display(), %error, "what scripts left cannot be removed");
            }
        }
    })
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that nobody here sent.
    Killed(i32),
    /// It took more memory than it may.
    OutOfMemory,
    /// It wrote more to `/tmp` than it may.
    OutOfDisk,
    /// The file system of its `/tmp` was about to be full.
    DiskFull,
    /// It was told to end.
    Stopped,
    /// It could not be started.
    NotRun(String),
}

/// The end of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: How,
    /// The most memory that it was seen to take, bytes.
    pub peak_bytes: u64,
}

/// A script that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    running: millpond_functions::Running,
    pumps: Vec<JoinHandle<()>>,
}

impl Running {
    /// Tells it to end, at once.
    pub fn stop(&self) {
        self.running.kill();
    }

    /// Waits for its end. May be given up and asked again.
    pub async fn over(&self) -> How {
        match self.running.ended().await {
            End::Exited(code) => How::Exited(code),
            End::Killed(signal) => How::Killed(signal),
            End::OutOfMemory => How::OutOfMemory,
            End::OutOfDisk => How::OutOfDisk,
            End::DiskFull => How::DiskFull,
            End::Ended => How::Stopped,
            End::NotRun(reason) | End::Failed(reason) => How::NotRun(reason),
        }
    }

    /// Waits for its end, and until all that it printed is on its way to the logs and nothing of it is left.
    pub async fn end(self) -> Ended {
        let how = self.over().await;
        self.running.is_gone().await;
        let peak_bytes = self.running.peak_bytes();
        let pumps = futures_join(self.pumps);
        if tokio::time::timeout(DRAIN_TIME, pumps).await.is_err() {
            tracing::warn!("the output of a script does not end");
        }
        Ended { how, peak_bytes }
    }
}

async fn futures_join(pumps: Vec<JoinHandle<()>>) {
    for pump in pumps {
        let _ = pump.await;
    }
}

impl Scripts {
    /// Nothing is made or started yet; what scripts of a former server left in their `/tmp` begins to be removed.
    pub fn new(settings: ScriptSettings) -> Self {
        remove_left_overs(&settings.host.directory, &settings.host.env);
        environments::remove_unfinished(settings.environments.clone(), settings.host.env.now_ms());
        let inner = Inner { settings, programs: OnceCell::new(), compiled: tokio::sync::Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// How scripts are run.
    pub fn settings(&self) -> &ScriptSettings {
        &self.inner.settings
    }

    /// Time, and where lines go.
    fn env(&self) -> &SharedEnv {
        &self.inner.settings.host.env
    }

    /// Where lines go.
    pub fn logs(&self) -> &Arc<dyn LogSink> {
        &self.inner.settings.host.logs
    }

    async fn programs(&self) -> Result<&Programs, ScriptError> {
        let make =
            async || Programs::new(self.inner.settings.host.clone(), self.inner.settings.lake.clone()).map_err(ScriptError::from);
        self.inner.programs.get_or_try_init(make).await
    }

    /// The Python and the engine for a script, installed where they are missing. `python` is the version that the job asks for: `3.11`.
    ///
    /// # Errors
    /// [`ScriptError::Setup`] where there is no Python, or the packages cannot be installed.
    pub async fn environment(&self, engine: &Engine, python: &str, progress: Progress<'_>) -> Result<Environment, ScriptError> {
        let python = self.programs().await?.python(&format!("python{python}")).await;
        let python = python.map_err(|error| ScriptError::Setup(error.to_string().replace("[functions]", "[jobs]")))?;
        let told = |line: &str| {
            tracing::info!("{line}");
            progress(line);
        };
        environments::ready(&self.inner.settings.environments, engine, &python, &told).await
    }

    /// Installs additional modules, by names and as wheels (files of this machine); answers the directory to import them from.
    ///
    /// # Errors
    /// [`ScriptError::Input`] for what is no module, [`ScriptError::Setup`] where one cannot be installed.
    pub async fn modules(
        &self,
        environment: &Environment,
        names: &[String],
        wheels: &[PathBuf],
        options: &InstallerOptions,
        progress: Progress<'_>,
    ) -> Result<PathBuf, ScriptError> {
        let told = |line: &str| {
            tracing::info!("{line}");
            progress(line);
        };
        let settings = &self.inner.settings;
        let installer = Installer {
            programs: self.programs().await?,
            environment,
            memory_bytes: settings.share_bytes(),
            disk_bytes: settings.disk_bytes_max,
        };
        modules::ready(&settings.environments, &installer, names, wheels, options, &told).await
    }

    /// A place for a script.
    ///
    /// # Errors
    /// See [`Programs::desk`].
    pub async fn desk(&self) -> Result<Desk, ScriptError> {
        Ok(self.programs().await?.desk().await?)
    }

    /// Starts a script at its desk, into which its file was put.
    ///
    /// # Errors
    /// [`ScriptError::Launch`].
    pub async fn start(&self, desk: Desk, script: Script) -> Result<Running, ScriptError> {
        let packages = self.packages(&script.environment.python).await?;
        millpond_functions::open_to_all(&desk.tmp()).map_err(|error| ScriptError::Launch(error.to_string()))?;
        let program = self.program(&desk, &script, &packages);
        let mut running = self.programs().await?.start(desk, &program).await?;
        let pipes = [(running.stdout.take(), script.stdout), (running.stderr.take(), script.stderr)];
        let pumps = pipes.into_iter().filter_map(|(pipe, streams)| {
            let pump = pump(pipe?, streams, self.logs().clone(), self.env().clone());
            Some(tokio::spawn(pump))
        });
        Ok(Running { pumps: pumps.collect(), running })
    }

    /// Our packages, unpacked and compiled.
    async fn packages(&self, python: &Python) -> Result<PathBuf, ScriptError> {
        // One at a time: others wait for what the first one makes.
        let mut compiled = self.inner.compiled.lock().await;
        let directory = self.inner.settings.directory.clone();
        let unpacked = tokio::task::spawn_blocking(move || bundle::unpack(&directory)).await;
        let said = |error: &dyn std::fmt::Display| ScriptError::Launch(format!("unpacking our packages: {error}"));
        let place = unpacked.map_err(|error| said(&error))?.map_err(|error| said(&error))?;
        if !compiled.contains(&python.program) {
            let mut command = Command::new(&python.program);
            command.args(["-I", "-m", "compileall", "-q", "-j", "1"]).arg(&place).kill_on_drop(true);
            // Without it scripts start a little later.
            if let Err(error) = command.stdin(std::process::Stdio::null()).output().await {
                tracing::warn!(%error, "our packages could not be compiled");
            }
            let _ = millpond_functions::open_to_all(&place);
            compiled.push(python.program.clone());
        }
        Ok(place)
    }

    fn program(&self, desk: &Desk, script: &Script, packages: &Path) -> Program {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut reads = Vec::new();
        let mut see = |source: &Path, target: &str| desk.see(&mut reads, source, target);
        let java = std::env::var_os("JAVA_HOME").map(PathBuf::from).filter(|_| script.engine == Engine::PySpark);
        let paths = Paths {
            tmp: desk.seen_tmp(),
            packages: see(packages, "/opt/millpond/python"),
            environment: see(&script.environment.directory, "/opt/millpond/environment"),
            modules: (0..).zip(&script.modules).map(|(at, path)| see(path, &format!("/opt/millpond/modules/{at}"))).collect(),
            jars: self.inner.settings.spark_jars.as_deref().map(|jars| see(jars, "/opt/millpond/jars")),
            java: java.as_deref().map(|java| see(java, "/opt/millpond/java")),
        };
        // The interpreter itself looks for its library where it was built to be.
        reads.extend(script.environment.python.files.iter().map(|path| (path.clone(), path.clone())));
        if script.engine == Engine::PySpark {
            reads.extend(environments::java_settings().into_iter().map(|path| (path.clone(), path)));
        }
        let python = text(&paths.environment.join("bin/python"));
        let mut argv = vec![python, "-m".into(), "millpond_job".into(), text(&paths.tmp.join(&script.file))];
        argv.extend(script.arguments.iter().cloned());
        Program {
            argv,
            environment: self.variables(script, &paths),
            reads,
            network: ProgramNetwork::Own { services: self.inner.settings.engine.local_service().into_iter().collect() },
            memory_bytes_max: script.memory_bytes,
            disk_bytes_max: self.inner.settings.disk_bytes_max,
            keeps_tmp: false,
        }
    }

    fn variables(&self, script: &Script, paths: &Paths) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (host, tmp) = (&self.inner.settings.host, &paths.tmp);
        let mut python_path: Vec<String> = script.libraries.iter().map(|library| text(&tmp.join(library))).collect();
        python_path.extend(paths.modules.iter().map(|path| text(path)));
        python_path.push(text(&paths.packages));
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", text(&paths.environment.join("bin")));
        let mut all: Vec<(&str, String)> = vec![
            ("HOME", text(tmp)),
            ("TMPDIR", text(tmp)),
            ("TZ", "UTC".into()),
            ("LANG", "C.UTF-8".into()),
            ("PATH", path),
            ("PYTHONPATH", python_path.join(":")),
            ("PYTHONUNBUFFERED", "1".into()),
            ("AWS_ENDPOINT_URL", host.endpoint.clone()),
            ("AWS_REGION", host.region.clone()),
            ("AWS_DEFAULT_REGION", host.region.clone()),
            ("AWS_ACCESS_KEY_ID", script.credentials.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", script.credentials.secret_key.clone()),
            ("AWS_SESSION_TOKEN", script.credentials.token.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            // Readers of S3 in Rust (Sail): no TLS on the loopback, and long streams.
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_TIMEOUT", "3600s".into()),
            ("MILLPOND_JOB_RUN", script.run.clone()),
            ("MILLPOND_MEMORY_BYTES", script.memory_bytes.to_string()),
        ];
        if let Some(jars) = &paths.jars {
            all.push(("MILLPOND_SPARK_JARS", text(jars)));
        }
        if let Some(java) = &paths.java {
            all.push(("JAVA_HOME", text(java)));
        }
        let mut all: Vec<(String, String)> = all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in &script.environment_variables {
            // What names the lake and the run is not the job's to change.
            if !name.starts_with("AWS_") && !name.starts_with("MILLPOND_") && !name.starts_with("PYTHON") {
                all.retain(|(other, _)| other != name);
                all.push((name.clone(), value.clone()));
            }
        }
        all
    }

    /// Ends all scripts.
    pub async fn stop(&self) {
        if let Some(programs) = self.inner.programs.get() {
            programs.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;

    #[test]
    fn what_servers_left_goes_whatever_another_one_had_begun_to_remove() {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path();
        // The first process of a container has the same id each time.
        let begun = format!("{LEFT}{}", std::process::id());
        for left in ["processes/a/tmp", "packages", &format!("{begun}/b/tmp"), "left-1/c/tmp"] {
            std::fs::create_dir_all(host.join(left)).unwrap();
            std::fs::write(host.join(left).join("file"), "x").unwrap();
        }
        let removal = remove_left_overs(host, &(Arc::new(SystemEnv) as SharedEnv));
        assert!(!host.join("processes").exists(), "the next scripts need not wait for it");
        removal.join().unwrap();
        let names: Vec<_> = std::fs::read_dir(host).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["packages"]);
    }
}
