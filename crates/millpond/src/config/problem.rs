//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    /// Bytes of the file that are meant.
    pub span: Range<usize>,
    /// The key, for example `flow.to`.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Why a configuration cannot be used. Its text is ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    text: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self { text: format!("{} cannot be read: {error}", path.display()) }
    }

    pub(super) fn of(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        let shown: Vec<String> = problems.iter().map(|problem| show(path, text, problem)).collect();
        Self { text: shown.join("\n") }
    }

    pub(super) fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let problem = Problem { span, key: String::new(), message: error.message().trim_end().to_owned() };
        Self::of(path, text, vec![problem])
    }
}

/// The fault with its place: `file:line:column: key: message`, the line, and a mark below what is meant.
fn show(path: &Path, text: &str, problem: &Problem) -> String {
    let start = floor(text, problem.span.start);
    let before = &text[..start];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[line_start..].chars().count() + 1;
    let source = text[line_start..].lines().next().unwrap_or_default();
    // A tab in the line stays one in the margin, so that the mark stands below what it means.
    let margin: String = before[line_start..].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let end = floor(text, problem.span.end.min(line_start + source.len()));
    let width = text.get(start..end).map_or(0, |meant| meant.chars().count()).max(1);
    let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    format!(
        "{}:{line}:{column}: {key}{}\n {gutter} |\n {number} | {source}\n {gutter} | {margin}{}",
        path.display(),
        problem.message,
        "^".repeat(width)
    )
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
