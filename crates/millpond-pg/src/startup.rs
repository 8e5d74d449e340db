//! From the first byte to a session: encryption, the startup packet, the password.

use crate::cancel::Entry;
use crate::connection::{Connection, Io};
use crate::errors;
use crate::frontend::{Opening, read_opening};
use crate::keys::Credential;
use crate::settings::{Session as SessionSettings, options};
use crate::{Server, auth};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The most time for TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection that was refused is kept.
const REFUSED: Duration = Duration::from_secs(1);

/// A session that has been opened.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) entry: Entry,
    pub(crate) credential: Credential,
    pub(crate) settings: SessionSettings,
}

/// Opens a session, or does what the connection wants instead of one. Errors are told to the client.
pub(crate) async fn open(server: &Server, stream: TcpStream, peer: SocketAddr) -> io::Result<Option<Opened>> {
    let (mut io, mut encrypted): (Box<dyn Io>, bool) = (Box::new(stream), false);
    // Encryption is asked for once or twice, in either order, then comes the startup packet.
    for _ in 0..4 {
        let mut reader = BufReader::with_capacity(1024, io);
        let opening = match read_opening(&mut reader).await {
            Ok(Some(opening)) => opening,
            Ok(None) => return Ok(None),
            Err(error) => {
                let mut connection = Connection::new(reader.into_inner());
                connection.send_error(errors::of_read(&error)).await?;
                connection.flush().await?;
                return Ok(None);
            }
        };
        match opening {
            Opening::Tls | Opening::Gss if !reader.buffer().is_empty() => {
                // Bytes that came before the answer are not of who is on the other end of the encryption.
                return Ok(None);
            }
            Opening::Tls if server.tls.is_some() && !encrypted => {
                let tls = server.tls.as_ref().expect("it is some");
                let mut plain = reader.into_inner();
                plain.write_all(b"S").await?;
                plain.flush().await?;
                io = Box::new(tokio::time::timeout(HANDSHAKE, tls.accept(plain)).await.map_err(|_| io::ErrorKind::TimedOut)??);
                encrypted = true;
            }
            Opening::Tls | Opening::Gss => {
                io = reader.into_inner();
                io.write_all(b"N").await?;
                io.flush().await?;
            }
            Opening::Cancel { process, secret } => {
                server.sessions.cancel(process, &secret);
                return Ok(None);
            }
            Opening::Startup { version, parameters } => {
                let connection = Connection::new(Box::new(reader));
                return start(server, connection, version, parameters, encrypted || peer.ip().is_loopback()).await;
            }
        }
    }
    Ok(None)
}

async fn start(
    server: &Server,
    mut connection: Connection,
    version: (u16, u16),
    parameters: Vec<(String, String)>,
    is_private: bool,
) -> io::Result<Option<Opened>> {
    if version.0 != 3 {
        let message = format!("unsupported frontend protocol {}.{}: server supports 3.0", version.0, version.1);
        connection.send_fatal("0A000", message).await?;
        return Ok(None);
    }
    let unknown: Vec<String> =
        parameters.iter().map(|(name, _)| name).filter(|name| name.starts_with("_pq_.")).cloned().collect();
    if version.1 > 0 || !unknown.is_empty() {
        connection.send(PgWireBackendMessage::NegotiateProtocolVersion(NegotiateProtocolVersion::new(0, unknown))).await?;
    }
    let find = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let Some(user) = find("user").filter(|user| !user.is_empty()).map(str::to_owned) else {
        connection.send_fatal("28000", "no PostgreSQL user name specified in startup packet: it is an access key's id").await?;
        return Ok(None);
    };
    if find("replication").is_some_and(|value| !matches!(value, "false" | "off" | "no" | "0")) {
        connection.send_fatal("0A000", "there is no replication").await?;
        return Ok(None);
    }
    let proved = auth::authenticate(&server.keys, &server.verifier, &mut connection, &user, is_private).await?;
    let Some(credential) = proved else {
        // The place of who tries passwords is taken for as long.
        tokio::time::sleep(REFUSED).await;
        return Ok(None);
    };
    let mut settings = SessionSettings::new(user);
    let mut given: Vec<(String, String)> = Vec::new();
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "replication" => {}
            "database" => given.push(("database".into(), value)),
            "options" => given.extend(options(&value)),
            name if name.starts_with("_pq_.") => {}
            _ => given.push((name, value)),
        }
    }
    for (name, value) in given {
        if let Err(error) = settings.set(&server.athena, server.tables.as_ref(), &name, Some(&value)).await {
            let mut error = error;
            error.severity = "FATAL".into();
            error.severity_nonlocalized = Some("FATAL".into());
            connection.send_error(error).await?;
            connection.flush().await?;
            return Ok(None);
        }
    }
    let entry = server.sessions.open();
    connection.send(PgWireBackendMessage::Authentication(Authentication::Ok)).await?;
    for (name, value) in settings.reported() {
        connection.send(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))).await?;
    }
    let key = BackendKeyData::new(entry.process, SecretKey::I32(entry.secret));
    connection.send(PgWireBackendMessage::BackendKeyData(key)).await?;
    Ok(Some(Opened { connection, entry, credential, settings }))
}
