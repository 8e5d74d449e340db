use super::{MailTransport, Outgoing};
use crate::runtime::Failure;
use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use millpond_store::task::Task;
use std::time::{Duration, UNIX_EPOCH};

/// A server that says nothing for so long is given up for this try.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// It begins in the clear and must then be encrypted.
    StartTls,
    /// It is encrypted from the start.
    Tls,
}

/// The mail server, and who sends.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Name or address.
    pub host: String,
    /// Usually 25, 465 (TLS) or 587 (STARTTLS).
    pub port: u16,
    /// The sender: `lake@example.com` or `The Lake <lake@example.com>`.
    pub from: String,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Who logs in; nobody where absent.
    pub username: Option<String>,
    /// With what.
    pub password: Option<String>,
}

impl std::fmt::Debug for SmtpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, from, tls, username, .. } = self;
        write!(f, "SmtpSettings {{ {host}:{port}, from: {from}, tls: {tls:?}, username: {username:?} }}")
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The sender is no address.
    #[error("'{0}' is not a mail address to send from")]
    From(String),
    /// The transport's own.
    #[error(transparent)]
    Transport(#[from] lettre::transport::smtp::Error),
}

/// Sends mail through a server.
#[derive(Debug)]
pub struct Smtp {
    settings: SmtpSettings,
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    /// Checks the settings; connects with the first mail. Called within a Tokio runtime, as the pool of connections has a task of its own.
    pub fn new(settings: SmtpSettings) -> Result<Self, SmtpError> {
        let from: Mailbox = settings.from.parse().map_err(|_| SmtpError::From(settings.from.clone()))?;
        let parameters = || TlsParameters::new(settings.host.clone());
        let tls = match settings.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::Tls => Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(PATIENCE));
        if let Some(username) = &settings.username {
            let password = settings.password.clone().unwrap_or_default();
            builder = builder.credentials(Credentials::new(username.clone(), password));
        }
        Ok(Self { from, transport: builder.build(), settings })
    }

    fn message(&self, mail: &Outgoing) -> Result<Message, Failure> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| Failure::lasting(format!("{what}: {error}"));
        let to: Mailbox = mail.to.parse().map_err(|error| wrong(&format!("'{}' is not a mail address", mail.to), &error))?;
        let name = self.from.name.clone().unwrap_or_else(|| mail.from_name.clone());
        let date = UNIX_EPOCH + Duration::from_millis(mail.time_ms.max(0) as u64);
        Message::builder()
            .message_id(Some(mail.message_id.clone()))
            .date(date)
            .from(Mailbox::new(Some(name), self.from.email.clone()))
            .to(to)
            .subject(mail.subject.as_str())
            .header(ContentType::TEXT_PLAIN)
            .body(mail.body.clone())
            .map_err(|error| wrong("the mail cannot be written", &error))
    }
}

#[async_trait]
impl MailTransport for Smtp {
    async fn send(&self, mail: Outgoing, _: &Task) -> Result<(), Failure> {
        let message = self.message(&mail)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let SmtpSettings { host, port, .. } = &self.settings;
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                let reason = format!("the mail server {host}:{port} did not take the mail to {}: {error}{cause}", mail.to);
                Err(Failure { retry: !error.is_permanent(), ..Failure::transient(reason) })
            }
        }
    }
}
