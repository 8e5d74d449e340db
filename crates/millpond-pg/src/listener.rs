//! The listener: who may connect, how many at a time, and for how long without saying who they are.

use crate::auth::Verifier;
use crate::cancel::Sessions;
use crate::catalog::Catalog;
use crate::connection::Connection;
use crate::keys::Keys;
use crate::session::Session;
use crate::tls::{Acceptor, TlsError};
use crate::{Server, Settings, startup};
use millpond_engine::query::Engine;
use millpond_engine::table::TableSource;
use millpond_services::athena::Athena;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that have not said who they are: so many at a time, each for so long. More are closed at once.
const STARTING_MAX: usize = 128;
const STARTING: Duration = Duration::from_secs(15);

/// After an error of the listener itself (no more descriptors), that it does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections.
pub struct Listener {
    server: Arc<Server>,
    listener: TcpListener,
    starting: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
}

impl Listener {
    /// On a socket that listens already.
    ///
    /// # Errors
    /// The files of TLS cannot be used.
    pub fn new(
        listener: TcpListener,
        settings: Settings,
        athena: Athena,
        engine: Arc<Engine>,
        tables: Arc<dyn TableSource>,
        keys: Keys,
    ) -> Result<Self, TlsError> {
        let tls = settings.tls.as_ref().map(|(certificate, key)| Acceptor::open(certificate, key)).transpose()?;
        let sessions = Arc::new(Semaphore::new(settings.connections_max));
        let server = Server {
            catalog: Catalog::new(Arc::clone(&engine), Arc::clone(&tables)),
            sessions: Arc::new(Sessions::new(keys.identity.lake().store.env().clone())),
            verifier: Verifier::new(&keys),
            athena,
            tables,
            engine,
            keys,
            settings,
            tls,
        };
        Ok(Self { server: Arc::new(server), listener, starting: Arc::new(Semaphore::new(STARTING_MAX)), sessions })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes connections until `stop`; then sessions are told, and what they run is stopped.
    pub async fn serve(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a PostgreSQL connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.starting).try_acquire_owned() else { continue };
            let (server, sessions, stop) = (Arc::clone(&self.server), Arc::clone(&self.sessions), stop.clone());
            tasks.spawn(async move {
                if let Err(error) = connected(&server, stream, peer, place, &sessions, stop).await {
                    tracing::debug!(%peer, %error, "a PostgreSQL connection broke");
                }
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

async fn connected(
    server: &Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    place: tokio::sync::OwnedSemaphorePermit,
    sessions: &Arc<Semaphore>,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let opened = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = tokio::time::timeout(STARTING, Box::pin(startup::open(server, stream, peer))) => opened,
    };
    // Whoever took too long is not owed an answer.
    let Ok(opened) = opened else { return Ok(()) };
    let Some(opened) = opened? else { return Ok(()) };
    drop(place);
    let Ok(_place) = Arc::clone(sessions).try_acquire_owned() else {
        return refuse(opened.connection, "53300", "sorry, too many clients already").await;
    };
    Box::pin(Session::new(Arc::clone(server), opened).run(stop)).await
}

async fn refuse(mut connection: Connection, code: &str, message: &str) -> io::Result<()> {
    connection.send_fatal(code, message).await?;
    connection.close().await;
    Ok(())
}
