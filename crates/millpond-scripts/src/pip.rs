//! Programs that install: run to their end, with what they print told as progress and the last of it kept as a reason.

use crate::Progress;
use std::collections::VecDeque;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

/// An installation that takes longer has failed.
const INSTALL_TIME: Duration = Duration::from_secs(30 * 60);

/// While nothing is printed, this often it is said that it goes on.
const STILL: Duration = Duration::from_secs(5);

/// Lines of the reason at the most.
const REASON_LINES: usize = 12;

/// A longer line is cut.
const LINE_CHARS: usize = 400;

/// Runs to the end.
///
/// # Errors
/// The last lines that it printed.
pub async fn run(mut command: Command, what: &str, progress: Progress<'_>) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let (sender, mut lines) = mpsc::channel(64);
    for pipe in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)].into_iter().flatten() {
        tokio::spawn(relay(pipe, sender.clone()));
    }
    drop(sender);
    let begun = Instant::now();
    let mut last: VecDeque<String> = VecDeque::new();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = tokio::time::sleep(STILL) => {
                if begun.elapsed() > INSTALL_TIME {
                    let _ = child.kill().await;
                    return Err(format!("it did not end within {} minutes", INSTALL_TIME.as_secs() / 60));
                }
                progress(&format!("{what}: still at it after {} s", begun.elapsed().as_secs()));
                continue;
            }
        };
        let Some(line) = line else { break };
        if line.starts_with("Collecting ") || line.starts_with("Downloading ") || line.starts_with("Installing ") {
            let shown = line.split(" (from ").next().unwrap_or(&line);
            progress(&format!("{what}: {shown}"));
        }
        if last.len() == REASON_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    match status.success() {
        true => Ok(()),
        false => Err(reason(&last)),
    }
}

/// What says most: the lines that tell of errors, else the last ones.
fn reason(last: &VecDeque<String>) -> String {
    let errors: Vec<&str> = last.iter().filter(|line| line.to_lowercase().contains("error")).map(String::as_str).collect();
    match (errors.is_empty(), last.is_empty()) {
        (false, _) => errors.join("; "),
        (true, false) => last.iter().map(String::as_str).collect::<Vec<_>>().join("; "),
        (true, true) => "it fails without a word".into(),
    }
}

fn boxed(pipe: impl AsyncRead + Send + Unpin + 'static) -> Box<dyn AsyncRead + Send + Unpin> {
    Box::new(pipe)
}

async fn relay(pipe: Box<dyn AsyncRead + Send + Unpin>, to: mpsc::Sender<String>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line: String = line.trim().chars().take(LINE_CHARS).collect();
        if !line.is_empty() && to.send(line).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reason_is_what_tells_of_errors() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo Collecting x; echo working; echo 'ERROR: no such thing' >&2; exit 1"]);
        let told = std::sync::Mutex::new(Vec::new());
        let progress = |line: &str| told.lock().unwrap().push(line.to_owned());
        let reason = run(command, "x", &progress).await.unwrap_err();
        assert_eq!(reason, "ERROR: no such thing");
        assert_eq!(*told.lock().unwrap(), ["x: Collecting x"]);
    }
}
