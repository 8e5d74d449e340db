//! What a function's process is started with: which paths it sees, which variables, which program.
//!
//! With a mount namespace the paths are AWS's (`/var/task`, `/opt`, `/tmp`, `/var/runtime`). Without one they are those of this machine, and the
//! variables say so (`LAMBDA_TASK_ROOT`, `TMPDIR`, …).

use crate::runtimes::Runtime;
use crate::sandbox::{Bind, Files, Isolation, Limits, Namespaces, Network, Plan, Tmp};
use crate::spec::{HostSettings, SessionCredentials, Spec};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What of the machine every function sees, read only.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"];

/// What of `/etc` it sees: names, certificates, libraries, time zones; no accounts, keys or settings of servers.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "gai.conf",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "resolv.conf",
    "rpc",
    "services",
    "ssl",
    "timezone",
];

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// Files of one process.
const OPEN_FILES: u64 = 1_024;

/// Processes and threads of one user.
const PROCESSES: u64 = 1_024;

/// What a runtime may map beyond its function's memory before an allocation fails: stacks, caches, what a JIT reserves.
const DATA_SLACK_BYTES: u64 = 4 << 30;

/// Paths as the process sees them.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The function's code.
    pub task: PathBuf,
    /// Its layers.
    pub opt: PathBuf,
    /// Where it can write.
    pub tmp: PathBuf,
    /// Our bootstraps.
    pub runtime: PathBuf,
    /// Packages that we promise.
    pub packages: Option<PathBuf>,
}

/// All that a start depends on.
#[derive(Debug)]
pub struct Start<'a> {
    /// The host's settings.
    pub settings: &'a HostSettings,
    /// What is in force on this machine.
    pub isolation: &'a Isolation,
    /// The function.
    pub spec: &'a Spec,
    /// What runs it.
    pub runtime: &'a Runtime,
    /// Its layers, as one tree; none where it has no layers.
    pub opt: Option<&'a Path>,
    /// Where our bootstraps are.
    pub bootstraps: &'a Path,
    /// Where packages for its interpreter are, unless that has them itself.
    pub packages: Option<&'a Path>,
    /// An empty directory to mount on.
    pub root: &'a Path,
    /// A directory of this process alone.
    pub own: &'a Path,
    /// `127.0.0.1:port`.
    pub api: &'a str,
    /// The stream of its log.
    pub stream: &'a str,
    /// Of its role.
    pub credentials: &'a SessionCredentials,
    /// The user to become.
    pub user: Option<u32>,
    /// Its control group.
    pub cgroup_procs: Vec<PathBuf>,
}

impl Start<'_> {
    /// The plan for the launcher.
    pub fn plan(&self) -> Plan {
        let paths = self.paths();
        let bytes = u64::from(self.spec.ephemeral_mb) << 20;
        let in_memory = self.in_namespace() && self.tmp_in_memory();
        let mut files = system_files(self.root, self.in_namespace(), self.user.unwrap_or(SEEN_USER));
        files.tmp = if in_memory { Tmp::Memory(bytes) } else { Tmp::Directory(self.own.join("tmp")) };
        files.binds.extend(self.binds(&paths));
        let has_own_user = self.user.is_some_and(|user| user != NOBODY) || self.isolation.namespaces == Namespaces::User;
        Plan {
            launcher: self.settings.launcher.iter().map(|part| part.to_string_lossy().into_owned()).collect(),
            argv: self.argv(&paths),
            environment: self.environment(&paths),
            directory: paths.task,
            namespaces: self.isolation.namespaces,
            network: Network::Shared,
            files,
            cgroup_procs: self.cgroup_procs.clone(),
            limits: Limits {
                files: OPEN_FILES,
                processes: has_own_user.then_some(PROCESSES),
                file_bytes: bytes,
                data_bytes: Some((u64::from(self.spec.memory_mb) << 20) + DATA_SLACK_BYTES),
            },
            user: self.user,
            landlock: self.isolation.landlock != crate::sandbox::Landlock::None,
        }
    }

    fn in_namespace(&self) -> bool {
        self.isolation.namespaces != Namespaces::None
    }

    /// A small `/tmp` is in memory, where the kernel enforces its size; a large one is on the disk, under a watch.
    pub fn tmp_in_memory(&self) -> bool {
        u64::from(self.spec.ephemeral_mb) << 20 <= (self.settings.memory_bytes_max / 4).max(512 << 20)
    }

    fn paths(&self) -> Paths {
        if self.in_namespace() {
            let packages = match self.runtime {
                Runtime::Python(python) => {
                    self.packages.map(|_| PathBuf::from(format!("/var/lang/lib/{}/site-packages", python.name)))
                }
                _ => None,
            };
            return Paths {
                task: "/var/task".into(),
                opt: "/opt".into(),
                tmp: "/tmp".into(),
                runtime: "/var/runtime".into(),
                packages,
            };
        }
        Paths {
            task: self.spec.code_dir.clone(),
            opt: self.opt.map_or_else(|| self.own.join("opt"), Path::to_owned),
            tmp: self.own.join("tmp"),
            runtime: self.bootstraps.to_owned(),
            packages: self.packages.map(Path::to_owned),
        }
    }

    fn binds(&self, paths: &Paths) -> Vec<Bind> {
        let read = |source: &Path, target: &Path| Bind { source: source.to_owned(), target: target.to_owned(), device: false };
        let mut binds = vec![read(&self.spec.code_dir, &paths.task), read(self.bootstraps, &paths.runtime)];
        if let (Some(source), Some(target)) = (self.packages, &paths.packages) {
            binds.push(read(source, target));
        }
        // Each entry on its own, so that an interpreter that lies in /opt can be there, too.
        for entry in self.opt.and_then(|opt| std::fs::read_dir(opt).ok()).into_iter().flatten().flatten() {
            binds.push(read(&entry.path(), &paths.opt.join(entry.file_name())));
        }
        let programs = match self.runtime {
            Runtime::Python(python) if self.packages.is_none() => python.files.iter().chain(&python.sites).cloned().collect(),
            Runtime::Python(python) => python.files.clone(),
            Runtime::Node(node) => vec![node.program.clone()],
            Runtime::Own => Vec::new(),
        };
        let is_system = |path: &Path| SYSTEM.iter().any(|system| path.starts_with(system));
        let mut programs: Vec<PathBuf> = programs.into_iter().filter(|path| !is_system(path)).collect();
        programs.sort();
        // What lies in a directory that is seen already is seen.
        let mut kept: Vec<PathBuf> = Vec::new();
        for path in programs {
            if !kept.iter().any(|above| path.starts_with(above)) {
                kept.push(path);
            }
        }
        binds.extend(kept.iter().map(|path| read(path, path)));
        binds
    }

    fn argv(&self, paths: &Paths) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut argv = match self.runtime {
            Runtime::Python(python) => {
                let script = paths.runtime.join(format!("{}.pyc", python.name));
                let mut argv = vec![text(&python.program), "-S".into(), text(&script), text(&paths.opt)];
                match &paths.packages {
                    Some(packages) => argv.push(text(packages)),
                    None => argv.extend(python.sites.iter().map(|site| text(site))),
                }
                argv
            }
            Runtime::Node(node) => vec![text(&node.program), text(&paths.runtime.join("bootstrap.js"))],
            Runtime::Own => {
                let own = self.spec.code_dir.join("bootstrap");
                let in_layer = !own.exists() && self.opt.is_some_and(|opt| opt.join("bootstrap").exists());
                vec![text(&if in_layer { paths.opt.join("bootstrap") } else { paths.task.join("bootstrap") })]
            }
        };
        // AWS: "Modifying the runtime environment", wrapper scripts.
        let wrapper = self.spec.environment.get("AWS_LAMBDA_EXEC_WRAPPER").filter(|wrapper| !wrapper.is_empty());
        if let Some(wrapper) = wrapper.filter(|_| *self.runtime != Runtime::Own) {
            argv.insert(0, here(wrapper, paths));
        }
        argv
    }

    /// AWS: "Defined runtime environment variables".
    fn environment(&self, paths: &Paths) -> Vec<(String, String)> {
        let spec = self.spec;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (task, opt) = (text(&paths.task), text(&paths.opt));
        let mut defaults: Vec<(&str, String)> = vec![
            ("LANG", "en_US.UTF-8".into()),
            ("TZ", ":UTC".into()),
            ("PATH", format!("/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:{opt}/bin")),
            (
                "LD_LIBRARY_PATH",
                format!("/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:{task}:{task}/lib:{opt}/lib"),
            ),
            ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR".into()),
            ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000".into()),
        ];
        match self.runtime {
            Runtime::Python(_) => {
                let packages = paths.packages.as_deref().map(|path| format!(":{}", text(path))).unwrap_or_default();
                defaults.push(("PYTHONPATH", format!("{}{packages}", text(&paths.runtime))));
            }
            Runtime::Node(node) => {
                let major = node.version.split('.').next().unwrap_or_default();
                defaults.push((
                    "NODE_PATH",
                    format!("{opt}/nodejs/node{major}/node_modules:{opt}/nodejs/node_modules:{}:{task}", text(&paths.runtime)),
                ));
            }
            Runtime::Own => {}
        }
        if !self.in_namespace() {
            defaults.push(("TMPDIR", text(&paths.tmp)));
        }
        let mut all: Vec<(String, String)> = defaults.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all.push(("AWS_ENDPOINT_URL".into(), self.settings.endpoint.clone()));
        for (name, value) in &spec.environment {
            all.retain(|(other, _)| other != name);
            all.push((name.clone(), value.clone()));
        }
        for (name, value) in self.reserved(paths) {
            all.retain(|(other, _)| other != name);
            all.push((name.to_owned(), value));
        }
        all
    }

    /// What a function cannot set itself.
    fn reserved(&self, paths: &Paths) -> Vec<(&'static str, String)> {
        let spec = self.spec;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut all = vec![
            ("_HANDLER", spec.handler.clone()),
            ("AWS_REGION", self.settings.region.clone()),
            ("AWS_DEFAULT_REGION", self.settings.region.clone()),
            ("AWS_LAMBDA_FUNCTION_NAME", spec.name.clone()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", spec.memory_mb.to_string()),
            ("AWS_LAMBDA_FUNCTION_VERSION", spec.version.clone()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", spec.log_group.clone()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", self.stream.to_owned()),
            ("AWS_LAMBDA_RUNTIME_API", self.api.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.credentials.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.credentials.secret_key.clone()),
            ("AWS_SESSION_TOKEN", self.credentials.token.clone()),
            ("LAMBDA_TASK_ROOT", text(&paths.task)),
            ("LAMBDA_RUNTIME_DIR", text(&paths.runtime)),
        ];
        if *self.runtime != Runtime::Own {
            all.push(("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", spec.runtime)));
        }
        all
    }
}

/// A path as on AWS, where it is for this process.
fn here(path: &str, paths: &Paths) -> String {
    let placed = [("/var/task", &paths.task), ("/opt", &paths.opt)].into_iter().find_map(|(on_aws, here)| {
        let rest = Path::new(path).strip_prefix(on_aws).ok()?;
        Some(here.join(rest).to_string_lossy().into_owned())
    });
    placed.unwrap_or_else(|| path.to_owned())
}

/// Whom a process sees itself as inside a user namespace.
pub const SEEN_USER: u32 = 993;

/// The user to become where there are no others.
pub const NOBODY: u32 = 65_534;

/// What of the machine every function sees. `/tmp` is not decided yet.
pub fn system_files(root: &Path, in_namespace: bool, user: u32) -> Files {
    let mut files = Files { root: root.to_owned(), ..Files::default() };
    let read = |path: &str| Bind { source: path.into(), target: path.into(), device: false };
    for path in SYSTEM {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() && in_namespace => {
                if let Ok(target) = std::fs::read_link(path) {
                    files.links.push((path.into(), target));
                }
            }
            Ok(_) => files.binds.push(read(path)),
            Err(_) => {}
        }
    }
    for name in ETC {
        let path = PathBuf::from("/etc").join(name);
        if let Ok(source) = std::fs::canonicalize(&path) {
            files.binds.push(Bind { source, target: path, device: false });
        }
    }
    for name in DEVICES {
        let path = PathBuf::from("/dev").join(name);
        if path.exists() {
            files.binds.push(Bind { source: path.clone(), target: path, device: true });
        }
    }
    let links = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ];
    files.links.extend(links.map(|(path, target)| (path.into(), target.into())));
    let name = "sbx_user1051";
    files.texts.push((
        "/etc/passwd".into(),
        format!("root:x:0:0:root:/root:/sbin/nologin\n{name}:x:{user}:{user}::/home/{name}:/sbin/nologin\n"),
    ));
    files.texts.push(("/etc/group".into(), format!("root:x:0:\n{name}:x:{user}:\n")));
    files
}

/// A plan that starts nothing: it shows what can be in force.
pub fn rehearsal(
    launcher: &[OsString],
    root: &Path,
    own: &Path,
    namespaces: Namespaces,
    user: Option<u32>,
    landlock: bool,
) -> Plan {
    let in_namespace = namespaces != Namespaces::None;
    let mut files = system_files(root, in_namespace, SEEN_USER);
    files.tmp = if in_namespace { Tmp::Memory(1 << 20) } else { Tmp::Directory(own.to_owned()) };
    Plan {
        launcher: launcher.iter().map(|part| part.to_string_lossy().into_owned()).collect(),
        argv: Vec::new(),
        environment: Vec::new(),
        directory: "/".into(),
        namespaces,
        network: Network::Shared,
        files,
        cgroup_procs: Vec::new(),
        limits: Limits { files: OPEN_FILES, processes: None, file_bytes: 1 << 30, data_bytes: None },
        user,
        landlock,
    }
}
