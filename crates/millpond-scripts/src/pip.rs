//! Programs that install: run to their end, with what they print told as progress and the last of it kept as a reason.

use crate::Progress;
use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// An installation that takes longer has failed.
pub const INSTALL_TIME: Duration = Duration::from_secs(30 * 60);

/// While nothing is printed, this often it is said that it goes on.
const STILL: Duration = Duration::from_secs(5);

/// Lines of the reason at the most.
const REASON_LINES: usize = 12;

/// A longer line is cut.
const LINE_CHARS: usize = 400;

/// And so much of it is held at a time, bytes.
const LINE_BYTES_READ: u64 = 16 << 10;

/// Lines of progress that are told at the most.
const TOLD_MAX: usize = 1_000;

/// Runs to the end.
///
/// # Errors
/// The last lines that it printed.
pub async fn run(mut command: Command, what: &str, progress: Progress<'_>) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let deadline = Instant::now() + INSTALL_TIME;
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let pipes = [child.stdout.take().map(boxed), child.stderr.take().map(boxed)].into_iter().flatten().collect();
    // Dropping it kills it.
    let last = listen(pipes, what, deadline, progress).await?;
    let status = tokio::time::timeout_at(deadline, child.wait()).await.map_err(|_| too_long())?;
    match status.map_err(|error| error.to_string())?.success() {
        true => Ok(()),
        false => Err(reason(&last)),
    }
}

/// Reads until nobody can write any more; answers the last lines.
///
/// # Errors
/// The deadline is over.
pub async fn listen(pipes: Vec<Pipe>, what: &str, deadline: Instant, progress: Progress<'_>) -> Result<VecDeque<String>, String> {
    let (sender, mut lines) = mpsc::channel(64);
    for pipe in pipes {
        tokio::spawn(relay(pipe, sender.clone()));
    }
    drop(sender);
    let begun = Instant::now();
    let mut last: VecDeque<String> = VecDeque::new();
    let mut told = 0usize;
    loop {
        let line = tokio::select! {
            biased;
            () = tokio::time::sleep_until(deadline) => return Err(too_long()),
            line = lines.recv() => line,
            () = tokio::time::sleep(STILL) => {
                progress(&format!("{what}: still at it after {} s", begun.elapsed().as_secs()));
                continue;
            }
        };
        let Some(line) = line else { return Ok(last) };
        let is_step = line.starts_with("Collecting ") || line.starts_with("Downloading ") || line.starts_with("Installing ");
        if is_step && told < TOLD_MAX {
            told += 1;
            let shown = line.split(" (from ").next().unwrap_or(&line);
            progress(&format!("{what}: {shown}"));
        }
        if last.len() == REASON_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}

/// Why what does not end is ended.
pub fn too_long() -> String {
    format!("it did not end within {} minutes", INSTALL_TIME.as_secs() / 60)
}

/// What says most: the lines that tell of errors, else the last ones.
pub fn reason(last: &VecDeque<String>) -> String {
    let errors: Vec<&str> = last.iter().filter(|line| line.to_lowercase().contains("error")).map(String::as_str).collect();
    match (errors.is_empty(), last.is_empty()) {
        (false, _) => errors.join("; "),
        (true, false) => last.iter().map(String::as_str).collect::<Vec<_>>().join("; "),
        (true, true) => "it fails without a word".into(),
    }
}

/// The reading end of what a program prints.
pub type Pipe = Box<dyn AsyncRead + Send + Unpin>;

pub fn boxed(pipe: impl AsyncRead + Send + Unpin + 'static) -> Pipe {
    Box::new(pipe)
}

async fn relay(pipe: Pipe, to: mpsc::Sender<String>) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    // A line without an end comes in pieces.
    while (&mut reader).take(LINE_BYTES_READ).read_until(b'\n', &mut bytes).await.is_ok_and(|count| count > 0) {
        let line: String = String::from_utf8_lossy(&bytes).trim().chars().take(LINE_CHARS).collect();
        bytes.clear();
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

    #[tokio::test]
    async fn what_prints_without_end_is_given_up_at_the_deadline() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "while :; do echo line; done"]).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let pipes = vec![boxed(child.stdout.take().unwrap())];
        let deadline = Instant::now() + Duration::from_millis(200);
        assert_eq!(listen(pipes, "x", deadline, &|_| {}).await, Err(too_long()));
    }
}
