//! Statements about the session: settings, transactions, cursors.

use super::{Answer, Handled, Session, Transaction, send_rows};
use crate::answer::{Running, texts};
use crate::commands::Command;
use crate::errors::error;
use crate::portal::{PORTALS_MAX, Portal, Prepared, State};
use crate::rows::Columns;
use arrow::array::{ArrayRef, StringArray};
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::response::NoticeResponse;
use pgwire::messages::startup::ParameterStatus;
use std::sync::Arc;

impl Session {
    /// Carries a command out; `FETCH` and `MOVE` are not among them. `literals` are of the query of a cursor.
    pub(super) async fn command(&mut self, command: Command, literals: Vec<String>) -> Handled<Answer> {
        let done = |tag: &str| Ok(Answer::Done(tag.to_owned()));
        match command {
            Command::Set(name, value) => {
                self.set(&name, value.as_deref()).await?;
                done("SET")
            }
            Command::Reset(Some(name)) => {
                self.set(&name, None).await?;
                done("RESET")
            }
            Command::Reset(None) => {
                self.settings.reset();
                done("RESET")
            }
            Command::Show(name) => {
                let value = self.settings.get(&name);
                let value = value.ok_or_else(|| error("42704", format!("unrecognized configuration parameter \"{name}\"")))?;
                Ok(Answer::Rows(Running::of("SHOW", texts(&[&name], vec![column([value])], 1))))
            }
            Command::ShowAll => {
                let all = self.settings.all();
                let count = all.len();
                let (names, values): (Vec<_>, Vec<_>) = all.into_iter().unzip();
                let columns = vec![column(names), column(values), column(vec![String::new(); count])];
                Ok(Answer::Rows(Running::of("SHOW", texts(&["name", "setting", "description"], columns, count))))
            }
            Command::Begin(tag) => {
                if self.transaction == Transaction::None {
                    (self.transaction, self.has_written) = (Transaction::Open, false);
                }
                done(tag)
            }
            Command::Commit => {
                let failed = self.transaction == Transaction::Failed;
                self.end_transaction(failed).await?;
                done(if failed { "ROLLBACK" } else { "COMMIT" })
            }
            Command::Rollback => {
                self.end_transaction(true).await?;
                done("ROLLBACK")
            }
            Command::Nothing(tag) => {
                if tag == "ROLLBACK" && self.transaction == Transaction::Failed {
                    self.transaction = Transaction::Open;
                }
                done(tag)
            }
            Command::Discard(tag) => {
                self.statements.clear();
                self.portals.clear();
                self.settings.reset();
                done(tag)
            }
            Command::Deallocate(Some(name)) => match self.statements.remove(&name) {
                Some(_) => done("DEALLOCATE"),
                None => Err(error("26000", format!("prepared statement \"{name}\" does not exist")).into()),
            },
            Command::Deallocate(None) => {
                self.statements.clear();
                done("DEALLOCATE ALL")
            }
            Command::Declare { cursor, hold, query } => self.declare(cursor, hold, &query, literals).await,
            Command::Close(Some(cursor)) => match self.portals.remove(&cursor) {
                Some(_) => done("CLOSE CURSOR"),
                None => Err(no_cursor(&cursor).into()),
            },
            Command::Close(None) => {
                self.portals.retain(|_, portal| !portal.is_cursor);
                done("CLOSE CURSOR ALL")
            }
            Command::Fetch { .. } | Command::Move { .. } => Err(error("0A000", "FETCH within another statement").into()),
            Command::Unsupported(name) => Err(error("0A000", format!("{name} is not supported")).into()),
        }
    }

    async fn set(&mut self, name: &str, value: Option<&str>) -> Handled {
        self.settings.set(&self.server.athena, self.server.tables.as_ref(), name, value).await?;
        if let Some((name, value)) = self.settings.to_report(name) {
            self.connection.send(Backend::ParameterStatus(ParameterStatus::new(name, value))).await?;
        }
        Ok(())
    }

    /// Tells who rolls back that nothing is.
    async fn end_transaction(&mut self, rolls_back: bool) -> Handled {
        if rolls_back && self.has_written {
            let message = "statements that were carried out are not undone: each commits by itself";
            let mut notice = ErrorInfo::new("WARNING".into(), "25000".into(), message.into());
            notice.severity_nonlocalized = Some("WARNING".into());
            self.connection.send(Backend::NoticeResponse(NoticeResponse::from(notice))).await?;
        }
        (self.transaction, self.has_written) = (Transaction::None, false);
        self.end_portals();
        Ok(())
    }

    async fn declare(&mut self, cursor: String, hold: bool, query: &str, literals: Vec<String>) -> Handled<Answer> {
        if self.transaction == Transaction::None && !hold {
            return Err(error("25P01", "DECLARE CURSOR can only be used in transaction blocks").into());
        }
        if self.portals.contains_key(&cursor) {
            return Err(error("42P03", format!("cursor \"{cursor}\" already exists")).into());
        }
        if self.portals.len() >= PORTALS_MAX {
            return Err(error("53400", format!("a session has at most {PORTALS_MAX} cursors at a time")).into());
        }
        let statement = Arc::new(Prepared::new(query, &[])?);
        let answer = Box::pin(self.run_statement(&statement, literals)).await?;
        let Answer::Rows(running) = answer else {
            return Err(error("42P11", "a cursor is of a query").into());
        };
        let columns = Columns::of(&running.schema, &[]).map_err(|message| error("0A000", message))?;
        let state = State::Rows(Box::new(running), columns);
        self.portals
            .insert(cursor, Portal { statement, literals: Vec::new(), formats: Vec::new(), state, hold, is_cursor: true });
        Ok(Answer::Done("DECLARE CURSOR".to_owned()))
    }

    /// The columns that a `FETCH` from a cursor gives, in the formats that it was bound with.
    pub(super) fn columns_of_cursor(&self, cursor: &str, formats: &[i16]) -> Handled<Columns> {
        match self.portals.get(cursor).map(|portal| &portal.state) {
            Some(State::Rows(running, _)) => {
                Ok(Columns::of(&running.schema, formats).map_err(|message| error("08P01", message))?)
            }
            Some(State::Ended(columns)) => Ok(columns.with_formats(formats).map_err(|message| error("08P01", message))?),
            _ => Err(no_cursor(cursor).into()),
        }
    }

    /// Sends the next rows of a cursor, or only counts them.
    pub(super) async fn fetch(&mut self, cursor: &str, columns: &Columns, count: Option<usize>, moves: bool) -> Handled {
        if self.transaction == Transaction::Failed {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(error("25P02", message).into());
        }
        let cancel = self.entry.begin();
        let portal = self.portals.get_mut(cursor).ok_or_else(|| no_cursor(cursor))?;
        let mut sent = 0;
        if let State::Rows(running, _) = &mut portal.state {
            let fetched = match moves {
                false => send_rows(&mut self.connection, running, columns, count, &cancel).await,
                true => skip_rows(running, count).await,
            };
            let ended;
            (sent, ended) = match fetched {
                Ok(fetched) => fetched,
                Err(fault) => {
                    self.portals.remove(cursor);
                    return Err(fault);
                }
            };
            if ended {
                portal.state = State::Ended(columns.clone());
            }
        }
        self.complete(format!("{} {sent}", if moves { "MOVE" } else { "FETCH" })).await
    }
}

async fn skip_rows(running: &mut Running, count: Option<usize>) -> Handled<(usize, bool)> {
    let mut skipped = 0;
    loop {
        let most = count.map_or(usize::MAX, |count| count - skipped);
        if most == 0 {
            return Ok((skipped, false));
        }
        match running.take(most).await? {
            Some(batch) => skipped += batch.num_rows(),
            None => return Ok((skipped, true)),
        }
    }
}

fn no_cursor(cursor: &str) -> ErrorInfo {
    error("34000", format!("cursor \"{cursor}\" does not exist"))
}

fn column(values: impl IntoIterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}
