//! `millpond env`: shell exports for AWS clients.

use super::{Global, connect, out};
use crate::client::Client;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  eval \"$(millpond env)\"                             sh, bash, zsh
  millpond env --shell fish | source                 fish
  millpond env --shell powershell | Invoke-Expression
  millpond env --shell dotenv > .env                 docker run --env-file .env …

Then any AWS client talks to the lake: `aws s3 ls`, boto3, awswrangler, Spark, DuckDB's httpfs.";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Env {
    /// Whose syntax [default: fish where $SHELL says so, else sh]
    #[arg(long, value_enum)]
    shell: Option<Shell>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Sh,
    Fish,
    Powershell,
    Dotenv,
}

impl Env {
    /// Prints the exports.
    pub async fn run(self, global: &Global) -> Result<()> {
        let directory = global.directory(&global.load()?);
        let Some(client) = connect::running(&directory).await else {
            bail!(
                "no lake runs on {0}; start it with `millpond up --data {0}` (in another terminal, or with & at the end)",
                directory.display()
            );
        };
        let shell = self.shell.unwrap_or_else(Shell::of_this_user);
        for (name, value) in variables(&client) {
            out::line(shell.export(name, &value));
        }
        Ok(())
    }
}

/// What AWS clients read. The path-style setting is for clients that would put the bucket before `localhost`.
pub fn variables(client: &Client) -> [(&'static str, String); 5] {
    let credentials = client.credentials();
    [
        ("AWS_ENDPOINT_URL", client.endpoint().to_owned()),
        ("AWS_REGION", client.region().to_owned()),
        ("AWS_DEFAULT_REGION", client.region().to_owned()),
        ("AWS_ACCESS_KEY_ID", credentials.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key.clone()),
    ]
}

impl Shell {
    fn of_this_user() -> Self {
        let shell = std::env::var("SHELL").unwrap_or_default();
        if shell.ends_with("/fish") { Self::Fish } else { Self::Sh }
    }

    fn export(self, name: &str, value: &str) -> String {
        match self {
            Self::Sh => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Self::Fish => format!("set -gx {name} '{}'", value.replace('\\', r"\\").replace('\'', r"\'")),
            Self::Powershell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
            Self::Dotenv => format!("{name}={value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_each_shell() {
        for (shell, expected) in [
            (Shell::Sh, r"export A='x'\''y\'"),
            (Shell::Fish, r"set -gx A 'x\'y\\'"),
            (Shell::Powershell, r"$env:A = 'x''y\'"),
            (Shell::Dotenv, r"A=x'y\"),
        ] {
            assert_eq!(shell.export("A", r"x'y\"), expected);
        }
    }
}
