//! What a script needs before it starts: its environment, its modules, its file and those that it names, at its desk.

use super::arguments::{PYTHON, ScriptArguments, argv, memory_bytes};
use super::fetch::{FetchError, Room, fetch, name_of};
use crate::glue::job::rows::JobRun;
use crate::lake::Lake;
use millpond_core::log::Line;
use millpond_functions::SessionCredentials;
use millpond_scripts::{Desk, Environment, Script, ScriptError, Scripts, Stream};
use std::path::{Path, PathBuf};

/// What is ready to be started, but for the credentials of its session.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) desk: Desk,
    environment: Environment,
    file: String,
    libraries: Vec<String>,
    modules: Vec<PathBuf>,
}

/// Why it could not be made ready.
#[derive(Debug)]
pub(super) enum Unready {
    /// For people: another try will not help.
    Lasting(String),
    /// It may.
    Transient(String),
}

impl From<ScriptError> for Unready {
    fn from(error: ScriptError) -> Self {
        match error {
            ScriptError::Setup(text) | ScriptError::Input(text) => Self::Lasting(text),
            ScriptError::Launch(_) => Self::Transient(error.to_string()),
        }
    }
}

impl From<FetchError> for Unready {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Missing(text) => Self::Lasting(text),
            FetchError::Store(error) => Self::Transient(error.to_string()),
        }
    }
}

/// The log streams of standard output and standard error of a run.
pub(super) fn streams(run: &JobRun, wanted: &ScriptArguments) -> (Vec<Stream>, Vec<Stream>) {
    let (output, error) = wanted.kind.groups();
    let stream = |group: &str, name: String| Stream { group: group.to_owned(), name };
    let continuous: Vec<Stream> =
        wanted.continuous_group.iter().map(|group| stream(group, format!("{}-driver", run.id))).collect();
    let with = |group: &str| [vec![stream(group, run.id.clone())], continuous.clone()].concat();
    (with(output), with(error))
}

/// A name that is no path and starts with no dash.
fn plain_name(uri: &str) -> String {
    let name = name_of(uri).replace(['/', '\0'], "_");
    match name.as_str() {
        "" | "." | ".." => "script.py".into(),
        dashed if dashed.starts_with('-') => format!("_{dashed}"),
        _ => name,
    }
}

/// Directories of ours beside the script.
const OURS: [&str; 2] = [".python", ".modules"];

/// The files that lie beside the script, each by another name than the script, the others and what is ours.
fn extra_files<'a>(script: &str, uris: &'a [String]) -> Result<Vec<(&'a str, String)>, String> {
    let mut files: Vec<(&str, String)> = Vec::new();
    for uri in uris {
        let name = plain_name(uri);
        let taken = if name == script {
            "the script has that name, too".to_owned()
        } else if OURS.contains(&name.as_str()) {
            "Millpond keeps its own files by that name".to_owned()
        } else if let Some((other, _)) = files.iter().find(|(_, of)| *of == name) {
            format!("{other} has that name, too")
        } else {
            files.push((uri, name));
            continue;
        };
        return Err(format!("--extra-files: {uri} would lie beside the script as '{name}', and {taken}; give it another name"));
    }
    Ok(files)
}

/// Makes all ready. The first run of an engine takes as long as its installation.
pub(super) async fn prepare(lake: &Lake, scripts: &Scripts, run: &JobRun, wanted: &ScriptArguments) -> Result<Prepared, Unready> {
    let (output, _) = streams(run, wanted);
    let env = lake.store.env().clone();
    let progress = |line: &str| {
        for stream in &output {
            scripts.logs().write(&stream.group, &stream.name, vec![Line::new(env.now_ms(), format!("Millpond: {line}"))]);
        }
    };
    let desk = scripts.desk().await?;
    let tmp = desk.tmp();
    let mut room = Room::new(scripts.settings().disk_bytes_max);
    let file = match plain_name(&wanted.location) {
        ours if OURS.contains(&ours.as_str()) => "script.py".to_owned(),
        name => name,
    };
    fetch(lake, &mut room, "Python script", &wanted.location, &tmp.join(&file)).await?;
    for (uri, name) in extra_files(&file, &wanted.files).map_err(Unready::Lasting)? {
        fetch(lake, &mut room, "--extra-files:", uri, &tmp.join(name)).await?;
    }
    let environment = scripts.environment(&wanted.engine(scripts.settings()), PYTHON, &progress).await?;
    let (libraries, mut wheels) = libraries(lake, &mut room, wanted, &tmp).await?;
    let (addresses, names): (Vec<String>, Vec<String>) =
        wanted.modules.iter().cloned().partition(|module| module.starts_with("s3://"));
    for (at, uri) in addresses.iter().enumerate() {
        let path = tmp.join(format!(".modules/{at}")).join(plain_name(uri));
        fetch(lake, &mut room, "--additional-python-modules:", uri, &path).await?;
        wheels.push(path);
    }
    let mut modules = Vec::new();
    if !names.is_empty() || !wheels.is_empty() {
        modules.push(scripts.modules(&environment, &names, &wheels, &wanted.installer, &progress).await?);
    }
    let _ = tokio::fs::remove_dir_all(tmp.join(".modules")).await;
    Ok(Prepared { desk, environment, file, libraries, modules })
}

/// `--extra-py-files`: what is imported from where it lies, and wheels, which are installed.
async fn libraries(
    lake: &Lake,
    room: &mut Room,
    wanted: &ScriptArguments,
    tmp: &Path,
) -> Result<(Vec<String>, Vec<PathBuf>), Unready> {
    let (mut libraries, mut wheels) = (Vec::new(), Vec::new());
    for (at, uri) in wanted.python_files.iter().enumerate() {
        let name = plain_name(uri);
        if name.ends_with(".whl") {
            let path = tmp.join(format!(".modules/w{at}")).join(&name);
            fetch(lake, room, "--extra-py-files:", uri, &path).await?;
            wheels.push(path);
            continue;
        }
        let folder = format!(".python/{at}");
        fetch(lake, room, "--extra-py-files:", uri, &tmp.join(&folder).join(&name)).await?;
        // A module lies in a folder; a zip or an egg is one.
        libraries.push(if name.ends_with(".py") { folder } else { format!("{folder}/{name}") });
    }
    Ok((libraries, wheels))
}

/// The script with the credentials of its run's session.
pub(super) fn script(
    prepared: Prepared,
    scripts: &Scripts,
    run: &JobRun,
    wanted: &ScriptArguments,
    credentials: SessionCredentials,
) -> (Desk, Script) {
    let (stdout, stderr) = streams(run, wanted);
    let arguments = run.spec.arguments(&run.arguments);
    let Prepared { desk, environment, file, libraries, modules } = prepared;
    let script = Script {
        environment,
        engine: wanted.engine(scripts.settings()),
        file,
        arguments: argv(run, &arguments),
        libraries,
        modules,
        credentials,
        run: run.id.clone(),
        environment_variables: wanted.variables.clone(),
        memory_bytes: memory_bytes(&run.spec, scripts.settings()),
        stdout,
        stderr,
    };
    (desk, script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_files_have_names_that_nothing_else_has() {
        let check = |uris: &[&str]| {
            let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
            extra_files("job.py", &uris).map(|files| files.len())
        };
        assert_eq!(check(&["s3://b/a.json", "s3://b/x/b.json"]), Ok(2));
        for (uris, why) in [
            (&["s3://b/lib/job.py"][..], "the script has"),
            (&["s3://b/.python"], "Millpond keeps"),
            (&["s3://b/.modules"], "Millpond keeps"),
            (&["s3://b/x/a", "s3://b/y/a"], "s3://b/x/a has"),
        ] {
            let refused = check(uris).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
