//! `millpond token`: a short-lived user and password for SQL clients, and a bearer token for those of Iceberg's REST catalog.

use super::connect::Lake;
use super::{Global, out};
use anyhow::{Result, bail};
use clap::Args;
use millpond_wire::sts;

const EXAMPLES: &str = "\
Examples:
  millpond token                                   a user and a password that are good for 12 hours
  millpond token --hours 1
  eval \"$(millpond token --env)\" && psql -h 127.0.0.1 -p 5439

The password is a token of a session of yours, bound to the access key that is the user's name. It opens the PostgreSQL listener
([postgres] in millpond.toml) until it expires; nothing else needs to be deleted then. The bearer token opens the same session for clients of
the Iceberg REST catalog (`token` of PyIceberg and Spark).";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Token {
    /// How long it is good: 1 to 36
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=36))]
    hours: i32,
    /// Print shell exports of PGUSER and PGPASSWORD
    #[arg(long)]
    env: bool,
}

impl Token {
    /// Prints it.
    pub async fn run(self, global: &Global) -> Result<()> {
        let lake = Lake::connect(global).await?;
        let input = sts::GetSessionTokenInput { duration_seconds: Some(self.hours * 3600), ..Default::default() };
        let answer = lake.client.call(sts::GetSessionToken, &input).await;
        lake.close().await;
        let Some(credentials) = answer?.credentials else { bail!("the lake answered without credentials") };
        match self.env {
            true => {
                out::line(format!("export PGUSER='{}'", credentials.access_key_id));
                out::line(format!("export PGPASSWORD='{}'", credentials.session_token));
            }
            false => {
                out::line(format!("user      {}", credentials.access_key_id));
                out::line(format!("password  {}", credentials.session_token));
                out::line(format!("bearer    {}.{}", credentials.access_key_id, credentials.session_token));
            }
        }
        Ok(())
    }
}
