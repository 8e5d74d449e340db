//! `millpond up`: the server.

use super::{Global, connect, out};
use crate::app::{App, Settings};
use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  millpond up                                          in ./millpond-data, at 127.0.0.1:4566
  millpond up --data /var/lib/millpond --listen 0.0.0.0:4566
  millpond up --config millpond.toml                   with the flows, zones and mail server that it declares

A millpond.toml:
  [[flow]]
  name         = \"flights\"
  from         = \"s3://raw/flights/\"
  to           = \"processed.flights\"
  partition_by = [\"year\", \"month\"]
  notify       = [\"mailto:ops@example.com\"]

Next, in another terminal: eval \"$(millpond env)\"
SIGTERM or Ctrl-C ends it; nothing is lost if it is killed. MILLPOND_LOG=debug shows more.";

/// Where it listens when nothing says otherwise.
const LISTEN: &str = "127.0.0.1:4566";

/// The command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Up {
    /// Address and port to serve at; port 0 takes a free one [default: what millpond.toml says, else 127.0.0.1:4566]
    #[arg(long, value_name = "ADDR", value_parser = crate::config::listen_address)]
    listen: Option<String>,
}

impl Up {
    /// Serves until SIGTERM or SIGINT.
    pub async fn run(self, global: &Global) -> Result<()> {
        if global.endpoint.is_some() {
            bail!("`up` starts a lake here; --endpoint is for commands that talk to one");
        }
        let config = global.load()?;
        let data = global.directory(&config);
        let listen = self.listen.or_else(|| config.server.listen.clone()).unwrap_or_else(|| LISTEN.into());
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
        let started = App::start(Settings { data: data.clone(), listen, config, announce: true }).await;
        let app = match started {
            Ok(app) => app,
            Err(error) => {
                if let Some(client) = connect::running(&data).await {
                    bail!("a lake runs on {} already, at {}", data.display(), client.endpoint());
                }
                return Err(error);
            }
        };
        out::line(format!("Millpond {} serves {} at {}", env!("CARGO_PKG_VERSION"), data.display(), app.endpoint().url));
        if let Some(postgres) = &app.endpoint().postgres {
            let (host, port) = postgres.rsplit_once(':').unwrap_or((postgres, "5432"));
            out::line(format!(
                "  SQL clients connect by PostgreSQL's protocol:  psql -h {host} -p {port} -U {}",
                app.access_key_id()
            ));
        }
        for flow in app.flows().await? {
            out::line(format!("  flow {}: {} -> {}", flow.name, flow.source(), flow.target()));
        }
        let at =
            if data == std::path::Path::new(crate::config::DATA) { String::new() } else { format!(" --data {}", data.display()) };
        out::line(format!("  point AWS clients at it:  eval \"$(millpond env{at})\""));
        out::flush();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        tokio::select! {
            () = app.stop() => {}
            // Once more: at once. Nothing is lost by that.
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
}
