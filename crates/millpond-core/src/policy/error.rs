/// A policy's text is not a policy.
///
/// `message` is AWS's own words where it has some; `detail` says what is meant, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// What AWS says (`Syntax errors in policy.`).
    pub message: String,
    /// What was wrong there, in a few words; empty where the message says it all.
    pub detail: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts from 1, in characters.
    pub column: usize,
}

impl PolicyError {
    pub(super) fn at(message: impl Into<String>, detail: impl Into<String>, text: &str, offset: usize) -> Self {
        let (line, column) = place(text, offset);
        Self { message: message.into(), detail: detail.into(), line, column }
    }
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { message, detail, line, column } = self;
        match detail.is_empty() {
            true => write!(f, "{message} (line {line}, column {column})"),
            false => write!(f, "{message} (line {line}, column {column}: {detail})"),
        }
    }
}

impl std::error::Error for PolicyError {}

/// Line and column of a byte, both from 1.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let characters = before[line_start..].iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, characters + 1)
}

/// The messages of IAM that have no part of their own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Syntax {
    /// The text is not JSON.
    Json,
    /// It is JSON, and not of a policy's shape.
    Shape,
    Version,
    Actions,
    Resources,
    ForbiddenPrincipal,
    Vendor,
    OneColon,
    Sid,
    SidUnique,
    TrustActions,
    Legacy,
}

impl Syntax {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Json => "This policy contains invalid Json",
            Self::Shape => "Syntax errors in policy.",
            Self::Version => "Policy document must be version 2012-10-17 or greater.",
            Self::Actions => "Policy statement must contain actions.",
            Self::Resources => "Policy statement must contain resources.",
            Self::ForbiddenPrincipal => "Policy document should not specify a principal.",
            Self::Vendor => "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            Self::OneColon => "Actions/Condition can contain only one colon.",
            Self::Sid => {
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
            }
            Self::SidUnique => "Statement IDs (SID) in a single policy must be unique.",
            Self::TrustActions => "AssumeRole policy may only specify STS AssumeRole actions.",
            Self::Legacy => "The policy failed legacy parsing",
        }
    }
}
