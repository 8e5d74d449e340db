//! `[postgres]`: the listener of PostgreSQL's protocol.

use super::check::{Faults, listen_address};
use super::raw::RawPostgres;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Sessions at a time, and how long one may do nothing, where the file does not say.
const CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(8 * 60 * 60);

/// `[postgres]`: where SQL clients connect without a driver of Athena's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Address and port.
    pub listen: String,
    /// PEM files of a certificate chain and its key; relative to the file's directory. Without them tokens are taken on the loopback only.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Sessions at a time.
    pub connections_max: usize,
    /// How long a session may do nothing.
    pub idle: Duration,
}

impl Postgres {
    /// With its paths taken from `folder`.
    pub(super) fn below(mut self, folder: &Path) -> Self {
        self.tls = self.tls.map(|(certificate, key)| (folder.join(certificate), folder.join(key)));
        self
    }
}

pub(super) fn check(faults: &mut Faults, raw: Spanned<RawPostgres>) -> Option<Postgres> {
    let whole = raw.span();
    let raw = raw.into_inner();
    let Some(listen) = raw.listen else {
        let at = Spanned::new(whole, ());
        let message = "is missing; write for example \"127.0.0.1:5439\", or leave [postgres] out".to_owned();
        return faults.take(&at, "postgres.listen", Err::<Postgres, _>(message));
    };
    let listen = faults.take(&listen, "postgres.listen", listen_address(listen.get_ref()))?;
    let tls = match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => Some((PathBuf::from(certificate.into_inner()), PathBuf::from(key.into_inner()))),
        (None, None) => None,
        (Some(at), None) => faults.take(&at, "postgres.certificate", Err("has no key; set postgres.key too".to_owned()))?,
        (None, Some(at)) => {
            faults.take(&at, "postgres.key", Err("has no certificate; set postgres.certificate too".to_owned()))?
        }
    };
    let connections_max = match raw.connections {
        None => CONNECTIONS,
        Some(at) => {
            let good = (1..=10_000).contains(at.get_ref()).then_some(*at.get_ref() as usize);
            faults.take(&at, "postgres.connections", good.ok_or("must be from 1 to 10000".to_owned()))?
        }
    };
    let idle = match raw.idle_s {
        None => IDLE,
        Some(at) => {
            let good = (*at.get_ref() > 0).then(|| Duration::from_secs(u64::from(*at.get_ref())));
            faults.take(&at, "postgres.idle_s", good.ok_or("must be at least 1 second".to_owned()))?
        }
    };
    Some(Postgres { listen, tls, connections_max, idle })
}
