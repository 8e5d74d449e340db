//! Which program runs a runtime that was asked for: what the machine has, found by running it.
//!
//! A name on the search path proves nothing (a version manager puts one there for versions that it does not have), so each candidate is asked for
//! its version. What was found is remembered until its file changes.

use crate::error::RuntimeMissing;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::process::Command;

/// The oldest Python that our bootstrap runs on.
const PYTHON_MINOR_MIN: u32 = 8;

/// The newest Python and Node that are looked for by name.
const PYTHON_MINOR_MAX: u32 = 20;

/// An interpreter that does not answer within this time is none.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// What a runtime is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// A Python interpreter.
    Python(Python),
    /// Node.js.
    Node(Node),
    /// The function's own `bootstrap`.
    Own,
}

/// A Python interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The program itself, no link or shim.
    pub program: PathBuf,
    /// For example `3.11.7`.
    pub version: String,
    /// For example `python3.11`.
    pub name: String,
    /// Directories and files that it needs to run.
    pub files: Vec<PathBuf>,
    /// Where its own packages are.
    pub sites: Vec<PathBuf>,
    /// Whether it has all packages that functions are promised.
    pub has_packages: bool,
}

/// Node.js.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The program itself.
    pub program: PathBuf,
    /// For example `20.20.2`.
    pub version: String,
}

impl Runtime {
    /// For the log: `python:3.11.7`.
    pub fn describe(&self) -> String {
        match self {
            Self::Python(python) => format!("python:{}", python.version),
            Self::Node(node) => format!("nodejs:{}", node.version),
            Self::Own => "provided".into(),
        }
    }

    /// Where it is another version than the one that was asked for: what runs instead.
    pub fn substitution(&self, asked: &str) -> Option<String> {
        let (name, program) = match self {
            Self::Python(python) => (python.name.clone(), &python.program),
            Self::Node(node) => (format!("nodejs{}.x", node.version.split('.').next().unwrap_or_default()), &node.program),
            Self::Own => return None,
        };
        (name != asked).then(|| {
            format!(
                "[MILLPOND] {asked} is not on this machine; this function runs with {} ({})",
                self.describe(),
                program.display()
            )
        })
    }

    /// The program itself; none where the function brings its own.
    pub fn program(&self) -> Option<&Path> {
        match self {
            Self::Python(python) => Some(&python.program),
            Self::Node(node) => Some(&node.program),
            Self::Own => None,
        }
    }
}

/// Finds and remembers.
#[derive(Debug)]
pub struct Runtimes {
    python: Option<PathBuf>,
    packages: Vec<String>,
    found: Mutex<HashMap<String, (Runtime, Option<SystemTime>)>>,
    /// One search at a time.
    searching: tokio::sync::Mutex<()>,
}

impl Runtimes {
    /// `python` overrides the search; `packages` are what functions are promised.
    pub fn new(python: Option<PathBuf>, packages: Vec<String>) -> Arc<Self> {
        Arc::new(Self { python, packages, found: Mutex::default(), searching: tokio::sync::Mutex::new(()) })
    }

    /// What runs the runtime of this name.
    ///
    /// # Errors
    /// Nothing on this machine does.
    pub async fn find(&self, name: &str) -> Result<Runtime, RuntimeMissing> {
        if let Some(runtime) = self.remembered(name) {
            return Ok(runtime);
        }
        let _one = self.searching.lock().await;
        if let Some(runtime) = self.remembered(name) {
            return Ok(runtime);
        }
        let runtime = self.search(name).await?;
        let changed = runtime.program().and_then(modified);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), (runtime.clone(), changed));
        Ok(runtime)
    }

    /// What was found for this name, unless its program changed since.
    pub fn remembered(&self, name: &str) -> Option<Runtime> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (runtime, changed) = found.get(name)?;
        (runtime.program().and_then(modified) == *changed).then(|| runtime.clone())
    }

    async fn search(&self, name: &str) -> Result<Runtime, RuntimeMissing> {
        if let Some(version) = name.strip_prefix("python3.") {
            let wanted: u32 = version.parse().map_err(|_| unknown(name))?;
            return self.search_python(name, wanted).await.map(Runtime::Python);
        }
        if name.starts_with("nodejs") {
            return search_node(name).await.map(Runtime::Node);
        }
        match name {
            "provided" | "provided.al2" | "provided.al2023" => Ok(Runtime::Own),
            _ => Err(unknown(name)),
        }
    }

    async fn search_python(&self, name: &str, wanted: u32) -> Result<Python, RuntimeMissing> {
        if let Some(python) = &self.python {
            return probe_python(python, &self.packages).await.map_err(|reason| RuntimeMissing {
                runtime: name.into(),
                reason: format!(
                    "{}, which `[functions] python` of millpond.toml names, does not run: {reason}",
                    python.display()
                ),
                remedy: "correct the setting, or remove it to let Millpond find an interpreter".into(),
            });
        }
        let exact = PYTHON_MINOR_MIN <= wanted;
        let newest_first = (PYTHON_MINOR_MIN..=PYTHON_MINOR_MAX).rev().filter(|minor| *minor != wanted);
        for minor in exact.then_some(wanted).into_iter().chain(newest_first) {
            for candidate in python_candidates(minor) {
                match probe_python(&candidate, &self.packages).await {
                    Ok(python) if python.name == format!("python3.{minor}") => return Ok(python),
                    Ok(_) => {}
                    Err(reason) => tracing::debug!(candidate = %candidate.display(), reason, "a Python that does not run"),
                }
            }
        }
        for candidate in on_path("python3") {
            if let Ok(python) = probe_python(&candidate, &self.packages).await {
                return Ok(python);
            }
        }
        Err(RuntimeMissing {
            runtime: name.into(),
            reason: format!("no Python of version 3.{PYTHON_MINOR_MIN} or newer was found"),
            remedy: format!(
                "install {} (or any newer python3), or name an interpreter as `[functions] python` in millpond.toml",
                name.replace("python", "python ")
            ),
        })
    }
}

fn unknown(name: &str) -> RuntimeMissing {
    let remedy = match name {
        name if name.starts_with("go") => "build the program as `bootstrap` and use provided.al2023, as on AWS",
        _ => "use one of these, or bring a program that speaks the Lambda Runtime API as `bootstrap` with provided.al2023",
    };
    RuntimeMissing {
        runtime: name.into(),
        reason: "Millpond runs python3.*, nodejs* and provided.*".into(),
        remedy: remedy.into(),
    }
}

fn modified(program: &Path) -> Option<SystemTime> {
    std::fs::metadata(program).and_then(|metadata| metadata.modified()).ok()
}

fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
    let mut found: Vec<PathBuf> = Vec::new();
    for candidate in std::env::split_paths(&path).chain(usual).map(|directory| directory.join(name)) {
        if candidate.is_absolute() && candidate.is_file() && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// Programs below `directory` whose own directory begins with `prefix`: `versions/3.12.1/bin/python3.12`. The highest come first.
fn versions(directory: PathBuf, prefix: &str, program: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(&directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(program))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.reverse();
    found
}

fn python_candidates(minor: u32) -> Vec<PathBuf> {
    let program = format!("python3.{minor}");
    let mut candidates = on_path(&program);
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| home().map(|home| home.join(".pyenv")));
    if let Some(pyenv) = pyenv {
        candidates.extend(versions(pyenv.join("versions"), &format!("3.{minor}."), &format!("bin/{program}")));
    }
    if let Some(home) = home() {
        candidates.extend(versions(
            home.join(".local/share/uv/python"),
            &format!("cpython-3.{minor}."),
            &format!("bin/{program}"),
        ));
    }
    candidates
}

const PROBE_PYTHON: &str = r#"
import importlib.util, json, os, platform, site, sys, sysconfig
own = os.path.realpath(sys.executable)
variables = sysconfig.get_config_vars()
files = {own, os.path.dirname(os.path.realpath(os.__file__))}
files.add(os.path.realpath(sysconfig.get_path("platstdlib")))
for name in ("LDLIBRARY", "INSTSONAME"):
    if variables.get("Py_ENABLE_SHARED") and variables.get(name):
        library = os.path.join(variables.get("LIBDIR") or "", variables[name])
        if os.path.exists(library):
            files.add(library)
def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except Exception:
        return False
sites = [path for path in site.getsitepackages() if os.path.isdir(path)]
print(json.dumps({"implementation": platform.python_implementation(), "version": platform.python_version(), "minor": sys.version_info[:2], "program": own,
    "files": sorted(files), "sites": sites, "has": all(has(name) for name in sys.argv[1:])}))
"#;

#[derive(Debug, serde::Deserialize)]
struct Probed {
    implementation: String,
    version: String,
    minor: (u32, u32),
    program: PathBuf,
    files: Vec<PathBuf>,
    sites: Vec<PathBuf>,
    has: bool,
}

async fn probe_python(candidate: &Path, packages: &[String]) -> Result<Python, String> {
    let mut command = Command::new(candidate);
    // `-I` for what the server's environment would add; the packages of its user are not a function's.
    command.arg("-I").arg("-c").arg(PROBE_PYTHON).args(packages.iter().map(|package| module_of(package)));
    let text = ask(command).await?;
    let probed: Probed = serde_json::from_str(text.trim()).map_err(|error| format!("its answer is not understood: {error}"))?;
    if probed.minor.0 != 3 || probed.minor.1 < PYTHON_MINOR_MIN {
        return Err(format!("its version is {}, and 3.{PYTHON_MINOR_MIN} or newer is needed", probed.version));
    }
    if probed.implementation != "CPython" {
        return Err(format!("it is {}, and CPython is needed", probed.implementation));
    }
    Ok(Python {
        program: probed.program,
        version: probed.version,
        name: format!("python3.{}", probed.minor.1),
        files: probed.files,
        sites: probed.sites,
        has_packages: probed.has,
    })
}

/// The module by which the presence of a package is seen: `awswrangler[sql]>=3` is `awswrangler`.
fn module_of(package: &str) -> String {
    let end = package.find(['<', '>', '=', '!', '~', '[', ';', ' ', '@']).unwrap_or(package.len());
    package[..end].trim().replace('-', "_").to_lowercase()
}

async fn search_node(name: &str) -> Result<Node, RuntimeMissing> {
    let wanted: String = name.trim_start_matches("nodejs").chars().take_while(char::is_ascii_digit).collect();
    let mut candidates = on_path("node");
    candidates.extend(on_path("nodejs"));
    if let Some(home) = home() {
        candidates.extend(versions(home.join(".nvm/versions/node"), "v", "bin/node"));
    }
    let mut found: Vec<Node> = Vec::new();
    for candidate in candidates {
        let mut command = Command::new(&candidate);
        command.arg("-p").arg("process.execPath + '\\n' + process.versions.node");
        let Ok(text) = ask(command).await else { continue };
        let Some((program, version)) = text.trim().split_once('\n') else { continue };
        let node = Node { program: std::fs::canonicalize(program).unwrap_or_else(|_| program.into()), version: version.into() };
        if major(&node) == wanted.parse().unwrap_or(0) {
            return Ok(node);
        }
        found.push(node);
    }
    let newest = found.into_iter().max_by_key(major).filter(|node| major(node) >= 16);
    newest.ok_or_else(|| RuntimeMissing {
        runtime: name.into(),
        reason: "no Node.js of version 16 or newer was found".into(),
        remedy: format!("install Node.js {wanted} (or any newer one), so that `node` is on the PATH of the lake"),
    })
}

fn major(node: &Node) -> u32 {
    node.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// Runs a program and answers what it prints.
async fn ask(mut command: Command) -> Result<String, String> {
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PROBE_TIME, command.output()).await;
    let output = output.map_err(|_| "it does not answer".to_owned())?.map_err(|error| error.to_string())?;
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(|error| error.to_string());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or("it fails without a word").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_of_a_package_is_its_name() {
        for (package, module) in [
            ("boto3", "boto3"),
            ("awswrangler[sql]>=3", "awswrangler"),
            ("aws-xray-sdk==2.1", "aws_xray_sdk"),
            ("X @ file:y", "x"),
        ] {
            assert_eq!(module_of(package), module);
        }
    }

    #[tokio::test]
    async fn a_python_is_found_by_running_it_and_another_version_stands_in() {
        let runtimes = Runtimes::new(None, vec!["json".into()]);
        let Runtime::Python(python) = runtimes.find("python3.99").await.unwrap() else { panic!("a Python") };
        assert!(python.program.is_absolute() && python.has_packages && python.files.contains(&python.program), "{python:?}");
        let runtime = Runtime::Python(python.clone());
        assert_eq!(runtimes.find("python3.99").await.unwrap(), runtime);
        assert!(runtime.substitution("python3.99").unwrap().contains("python3.99 is not on this machine"));
        assert_eq!(runtime.substitution(&python.name), None);
    }

    #[tokio::test]
    async fn what_cannot_run_says_what_to_do() {
        let runtimes = Runtimes::new(Some("/nowhere/python".into()), Vec::new());
        let missing = runtimes.find("python3.12").await.unwrap_err().to_string();
        assert!(missing.contains("/nowhere/python") && missing.contains("correct the setting"), "{missing}");
        for name in ["java21", "go1.x", "dotnet8", "ruby3.3", "python3.x", "python2.7", ""] {
            let missing = runtimes.find(name).await.unwrap_err();
            assert!(missing.remedy.contains("provided.al2023"), "{name}: {missing}");
        }
    }
}
