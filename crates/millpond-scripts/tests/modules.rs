//! Additional modules with the real sandbox. This program is its own launcher, so it has no harness.
#![allow(clippy::print_stdout)] // its own test runner: printing is its output
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use millpond_core::env::SystemEnv;
use millpond_core::log::{Line, LogSink};
use millpond_functions::{HostSettings, LAUNCHER_ARGUMENT, Programs};
use millpond_scripts::{Engine, Environment, InstallerOptions, LibrarySet, ScriptSettings, Scripts};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

#[derive(Debug)]
struct Nowhere;

impl LogSink for Nowhere {
    fn write(&self, _group: &str, _stream: &str, _lines: Vec<Line>) {}
}

/// A source distribution whose build tells what it could do: read a file, see a variable, write to the environment.
const HOSTILE: &str = r#"
import io, sys, tarfile
secret, environment, target = sys.argv[1:]
backend = f'''
import os, sys, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    found = []
    try:
        open({secret!r}).read(); found.append("read")
    except OSError: pass
    if "CARGO_MANIFEST_DIR" in os.environ: found.append("variable")
    for place in ({environment!r}, sys.prefix, "/opt/millpond/environment"):
        try:
            open(os.path.join(place, "poison"), "w").close(); found.append("wrote " + place)
        except OSError: pass
    name = "hostile-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("hostile.py", "found = " + repr(found))
        wheel.writestr("hostile-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hostile\\nVersion: 1\\n")
        wheel.writestr("hostile-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("hostile-1.dist-info/RECORD", "")
    return name
'''
files = {"pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n', "backend.py": backend}
with tarfile.open(target, "w:gz") as made:
    for name, text in files.items():
        info = tarfile.TarInfo("hostile-1/" + name)
        info.size = len(text.encode())
        made.addfile(info, io.BytesIO(text.encode()))
"#;

async fn hostile_builds_see_nothing_and_write_nowhere_else(directory: &Path) {
    let mut host = HostSettings::new(directory.join("host"), Arc::new(SystemEnv), Arc::new(Nowhere));
    host.launcher = HostSettings::this_program();
    let mut probing = host.clone();
    probing.directory = directory.join("probing");
    let python = Programs::new(probing, None).unwrap().python("python3.11").await.unwrap();
    let place = directory.join("environment");
    assert!(Command::new(&python.program).args(["-I", "-m", "venv"]).arg(&place).status().unwrap().success());
    millpond_functions::open_to_all(&place).unwrap();
    let (secret, sdist) = (directory.join("secret"), directory.join("hostile-1.tar.gz"));
    std::fs::write(&secret, "secret").unwrap();
    let made = Command::new(&python.program).args(["-I", "-c", HOSTILE]).args([&secret, &place, &sdist]).status();
    assert!(made.unwrap().success());
    let scripts = Scripts::new(ScriptSettings {
        host,
        lake: None,
        directory: directory.to_owned(),
        environments: directory.join("environments"),
        engine: Engine::Shell(LibrarySet::None),
        concurrency: 1,
        memory_bytes_max: 1 << 30,
        disk_bytes_max: 256 << 20,
        spark_jars: None,
    });
    let environment = Environment { directory: place.clone(), python };
    let options = InstallerOptions::default();
    let modules = scripts.modules(&environment, &[], &[sdist], &options, &|line| println!("{line}")).await.unwrap();
    assert_eq!(std::fs::read_to_string(modules.join("hostile.py")).unwrap(), "found = []");
    assert!(!place.join("poison").exists());
    let missing = scripts.modules(&environment, &["no-such-module-of-any-kind==1".into()], &[], &options, &|_| {}).await;
    assert!(missing.unwrap_err().to_string().contains("could not be installed"));
    let left: Vec<_> =
        std::fs::read_dir(directory.join("environments")).unwrap().flatten().filter(|entry| entry.path().is_dir()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read_dir(directory.join("host/processes")).unwrap().count(), 0);
    scripts.stop().await;
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == LAUNCHER_ARGUMENT) {
        return ExitCode::from(millpond_functions::sandbox::main(&arguments.collect::<Vec<_>>()));
    }
    let directory = tempfile::tempdir().unwrap();
    // Other users have to come through it.
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(hostile_builds_see_nothing_and_write_nowhere_else(directory.path()));
    println!("hostile_builds_see_nothing_and_write_nowhere_else ... ok");
    ExitCode::SUCCESS
}
