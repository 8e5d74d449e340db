//! A session: message by message, statement by statement.
//!
//! Errors of a statement are told and leave the session as it is; after one in the extended protocol, everything up to `Sync` is left out. What
//! is read after the client has gone is stopped.

mod commands;
mod extended;

use crate::answer::{self, Answer, Running};
use crate::cancel::Entry;
use crate::connection::Connection;
use crate::errors::{CANCELLED, cancelled, error, fatal, is_mismatch, of_read};
use crate::frontend::Message;
use crate::keys::Credential;
use crate::portal::{Portal, Prepared, Subject};
use crate::rows::Columns;
use crate::startup::Opened;
use crate::{Server, settings, text};
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Statements in one message of the simple protocol at the most.
const STATEMENTS_MAX: usize = 1_000;

/// Why a message could not be answered.
pub(super) enum Fault {
    /// It is told, and the session goes on (unless it is fatal).
    Told(ErrorInfo),
    /// The connection broke, or the client has gone.
    Io(io::Error),
}

impl From<ErrorInfo> for Fault {
    fn from(error: ErrorInfo) -> Self {
        Self::Told(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Handled<T = ()> = Result<T, Fault>;

/// Between `BEGIN` and `COMMIT`, as clients keep account of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    /// After an error in it.
    Failed,
}

/// A session.
pub(crate) struct Session {
    server: Arc<Server>,
    connection: Connection,
    entry: Entry,
    credential: Credential,
    settings: settings::Session,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    transaction: Transaction,
    /// Whether a statement of the transaction changed something, which `ROLLBACK` does not undo.
    has_written: bool,
}

impl Session {
    pub(crate) fn new(server: Arc<Server>, opened: Opened) -> Self {
        let Opened { connection, entry, credential, settings } = opened;
        Self {
            server,
            connection,
            entry,
            credential,
            settings,
            statements: HashMap::new(),
            portals: HashMap::new(),
            transaction: Transaction::None,
            has_written: false,
        }
    }

    /// Answers messages until the client leaves, or `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> io::Result<()> {
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            ended = self.answer() => Some(ended),
        };
        if ended.is_none() {
            // What it runs goes with it.
            self.portals.clear();
            self.connection.send_fatal("57P01", "terminating connection due to administrator command").await?;
        }
        let Self { connection, .. } = self;
        connection.close().await;
        ended.unwrap_or(Ok(()))
    }

    async fn answer(&mut self) -> io::Result<()> {
        self.ready().await?;
        let mut until_sync = false;
        loop {
            let message = match tokio::time::timeout(self.server.settings.idle, self.connection.read()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => {
                    self.connection.send_error(of_read(&error)).await?;
                    return self.connection.flush().await;
                }
                Err(_) => return self.connection.send_fatal("57P05", "terminating connection due to idle-session timeout").await,
            };
            let is_extended = message.is_extended();
            match message {
                Message::Terminate => return Ok(()),
                Message::Sync => until_sync = false,
                _ if until_sync => continue,
                _ => {}
            }
            let time = self.settings.statement_timeout().filter(|_| message.runs());
            let timeout = time.map(|time| self.entry.stop_after(time));
            match self.handle(message).await {
                Ok(()) => {}
                Err(Fault::Io(error)) => return Err(error),
                Err(Fault::Told(mut told)) => {
                    if told.code == CANCELLED && timeout.is_some_and(|timeout| timeout.is_over()) {
                        told = error(CANCELLED, "canceling statement due to statement timeout");
                    }
                    let is_fatal = told.is_fatal();
                    self.connection.send_error(told).await?;
                    if is_fatal {
                        return self.connection.flush().await;
                    }
                    if self.transaction == Transaction::Open {
                        self.transaction = Transaction::Failed;
                    }
                    until_sync = is_extended;
                    match is_extended {
                        true => self.connection.flush().await?,
                        false => self.ready().await?,
                    }
                }
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Handled {
        match message {
            Message::Query(sql) => self.simple(&sql).await,
            Message::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Message::Bind(bind) => self.bind(bind).await,
            Message::Describe(target) => self.describe(&target).await,
            Message::Execute { portal, rows_max } => self.execute_portal(&portal, rows_max).await,
            Message::Close(target) => self.close(&target).await,
            Message::Flush => Ok(self.connection.flush().await?),
            Message::Sync => {
                if self.transaction == Transaction::None {
                    self.end_portals();
                }
                Ok(self.ready().await?)
            }
            Message::Copy | Message::Terminate => Ok(()),
            Message::Password(_) => Err(fatal("08P01", "the session is open already").into()),
        }
    }

    /// The simple protocol: statements one after the other, up to the first that fails.
    async fn simple(&mut self, sql: &str) -> Handled {
        self.portals.remove("");
        let statements = text::statements(sql);
        if statements.is_empty() {
            self.connection.send(Backend::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        if statements.len() > STATEMENTS_MAX {
            let message = format!("one message has more than {STATEMENTS_MAX} statements; send them in several");
            return Err(error("54000", message).into());
        }
        let (mut offset, mut at) = (0, 0);
        for statement in statements {
            let start = statement.as_ptr() as usize - sql.as_ptr() as usize;
            offset += sql[at..start].chars().count();
            at = start;
            // What does not wait for anything would hold the thread for all of them.
            tokio::task::yield_now().await;
            self.simple_statement(statement).await.map_err(|fault| within(fault, offset))?;
        }
        if self.transaction == Transaction::None {
            self.end_portals();
        }
        Ok(self.ready().await?)
    }

    async fn simple_statement(&mut self, sql: &str) -> Handled {
        let prepared = Prepared::new(sql, &[])?;
        if !prepared.types.is_empty() {
            return Err(error("42P02", "there is no parameter $1: the simple protocol has none").into());
        }
        if let Some((cursor, count)) = prepared.fetches() {
            let (cursor, columns) = (cursor.to_owned(), self.columns_of_cursor(cursor, &[])?);
            self.describe_columns(&columns).await?;
            return self.fetch(&cursor, &columns, count, prepared.moves()).await;
        }
        match self.run_statement(&prepared, Vec::new()).await? {
            Answer::Rows(mut running) => {
                let columns = Columns::of(&running.schema, &[]).map_err(|message| error("08P01", message))?;
                self.describe_columns(&columns).await?;
                let cancel = self.entry.begin();
                let (count, _) = send_rows(&mut self.connection, &mut running, &columns, None, &cancel).await?;
                self.complete(format!("{} {count}", running.tag)).await
            }
            Answer::Done(tag) => self.complete(tag).await,
        }
    }

    /// Runs a statement that is not a `FETCH`.
    async fn run_statement(&mut self, prepared: &Prepared, literals: Vec<String>) -> Handled<Answer> {
        self.server.keys.check(&self.credential).map_err(|refusal| fatal("28000", refusal.to_string()))?;
        if self.transaction == Transaction::Failed && !prepared.ends_transaction() {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(error("25P02", message).into());
        }
        let cancel = self.entry.begin();
        match &prepared.subject {
            Subject::Nothing => Ok(Answer::Done(String::new())),
            Subject::Session(command) => self.command(command.clone(), literals).await,
            Subject::Catalog => {
                let sql = prepared.catalog_sql(&literals);
                let work = answer::of_catalog(&self.server, &self.settings, &sql);
                let work = async {
                    tokio::select! {
                        () = cancel.cancelled() => Err(cancelled()),
                        answer = work => answer,
                    }
                };
                unless_gone(&mut self.connection, work).await
            }
            Subject::Lake => {
                let mut answer = self.ask_lake(prepared, literals.clone(), cancel).await;
                if matches!(&answer, Err(Fault::Told(told)) if is_mismatch(told)) {
                    for literals in prepared.guesses(&literals) {
                        let cancel = self.entry.begin();
                        match self.ask_lake(prepared, literals, cancel).await {
                            // What was wrong at first says more.
                            Err(Fault::Told(told)) if is_mismatch(&told) => {}
                            other => {
                                answer = other;
                                break;
                            }
                        }
                    }
                }
                let answer = answer?;
                if matches!(answer, Answer::Done(_)) && self.transaction == Transaction::Open {
                    self.has_written = true;
                }
                Ok(answer)
            }
        }
    }

    async fn ask_lake(&mut self, prepared: &Prepared, literals: Vec<String>, cancel: CancellationToken) -> Handled<Answer> {
        let work = answer::of_lake(&self.server, &self.settings, prepared.lake_sql(), literals, cancel);
        unless_gone(&mut self.connection, work).await
    }

    async fn describe_columns(&mut self, columns: &Columns) -> Handled {
        let fields = columns.fields.iter().map(FieldDescription::from).collect();
        Ok(self.connection.send(Backend::RowDescription(RowDescription::new(fields))).await?)
    }

    async fn complete(&mut self, tag: String) -> Handled {
        let message = match tag.is_empty() {
            true => Backend::EmptyQueryResponse(EmptyQueryResponse::new()),
            false => Backend::CommandComplete(CommandComplete::new(tag)),
        };
        Ok(self.connection.send(message).await?)
    }

    async fn ready(&mut self) -> io::Result<()> {
        let status = match self.transaction {
            Transaction::None => TransactionStatus::Idle,
            Transaction::Open => TransactionStatus::Transaction,
            Transaction::Failed => TransactionStatus::Error,
        };
        self.connection.send(Backend::ReadyForQuery(ReadyForQuery::new(status))).await?;
        self.connection.flush().await
    }

    /// At the end of a transaction only cursors `WITH HOLD` stay.
    fn end_portals(&mut self) {
        self.portals.retain(|_, portal| portal.hold);
    }
}

/// The place of an error in a text of several statements.
fn within(fault: Fault, offset: usize) -> Fault {
    match fault {
        Fault::Told(mut error) => {
            let position = error.position.as_deref().and_then(|position| position.parse::<usize>().ok());
            error.position = position.map(|position| (position + offset).to_string());
            Fault::Told(error)
        }
        fault => fault,
    }
}

/// Does the work, unless the client closes the connection meanwhile.
async fn unless_gone<T>(connection: &mut Connection, work: impl Future<Output = Result<T, ErrorInfo>>) -> Handled<T> {
    tokio::select! {
        biased;
        done = work => Ok(done?),
        () = connection.hung_up() => Err(Fault::Io(io::Error::from(io::ErrorKind::ConnectionReset))),
    }
}

/// Sends rows, `limit` at the most; answers how many, and whether there are no more (as far as is known).
async fn send_rows(
    connection: &mut Connection,
    running: &mut Running,
    columns: &Columns,
    limit: Option<usize>,
    cancel: &CancellationToken,
) -> Handled<(usize, bool)> {
    let mut sent = 0;
    loop {
        let most = limit.map_or(usize::MAX, |limit| limit - sent);
        if most == 0 {
            return Ok((sent, false));
        }
        let work = async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(cancelled()),
                batch = running.take(most) => batch,
            }
        };
        let Some(batch) = unless_gone(connection, work).await? else { return Ok((sent, true)) };
        sent += batch.num_rows();
        let mut rows = columns.rows(&batch).map_err(|message| error("0A000", message))?;
        while let Some(row) = rows.next() {
            let row = row.map_err(ErrorInfo::from)?;
            connection.send(Backend::DataRow(row)).await?;
        }
    }
}
