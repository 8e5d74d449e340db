//! The extended protocol: statements are prepared, bound to parameters, described, and executed in parts.

use super::{Answer, Fault, Handled, Session, send_rows};
use crate::commands::Command;
use crate::errors::{error, is_mismatch, of_athena};
use crate::frontend::{Bind, Target};
use crate::portal::{KEPT_BYTES_MAX, PORTALS_MAX, Portal, Prepared, STATEMENTS_MAX, State, Subject};
use crate::rows::Columns;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millpond_engine::query::{QueryLimits, QueryRequest};
use millpond_engine::sql::{self as dialect, Statement};
use pgwire::api::Type;
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use std::sync::Arc;

impl Session {
    pub(super) async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Handled {
        if text_has_several(sql) {
            return Err(error("42601", "cannot insert multiple commands into a prepared statement").into());
        }
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(error("42P05", format!("prepared statement \"{name}\" already exists")).into());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            return Err(
                error("53400", format!("a session has at most {STATEMENTS_MAX} prepared statements; DEALLOCATE some")).into()
            );
        }
        let prepared = Prepared::new(sql, types)?;
        let others = self.statements.iter().filter(|(other, _)| **other != name);
        let kept: usize = others.map(|(_, other)| other.size_bytes()).sum();
        if kept + prepared.size_bytes() > KEPT_BYTES_MAX {
            return Err(too_much("prepared statements; DEALLOCATE some").into());
        }
        self.statements.insert(name, Arc::new(prepared));
        Ok(self.connection.send(Backend::ParseComplete(ParseComplete::new())).await?)
    }

    pub(super) async fn bind(&mut self, bind: Bind) -> Handled {
        let Bind { portal, statement, parameter_formats, parameters, result_formats } = bind;
        let statement = self.statement(&statement)?;
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return Err(error("42P03", format!("portal \"{portal}\" already exists")).into());
        }
        self.portals.remove(&portal);
        if self.portals.len() >= PORTALS_MAX {
            return Err(error("53400", format!("a session has at most {PORTALS_MAX} portals at a time")).into());
        }
        let literals = statement.literals(&parameter_formats, &parameters)?;
        let bound = Portal { statement, literals, formats: result_formats, state: State::New, hold: false, is_cursor: false };
        let kept: usize = self.portals.values().map(Portal::size_bytes).sum();
        if kept + bound.size_bytes() > KEPT_BYTES_MAX {
            return Err(too_much("parameters of portals; close some").into());
        }
        self.portals.insert(portal, bound);
        Ok(self.connection.send(Backend::BindComplete(BindComplete::new())).await?)
    }

    fn statement(&self, name: &str) -> Handled<Arc<Prepared>> {
        let found = self.statements.get(name).cloned();
        Ok(found.ok_or_else(|| error("26000", format!("prepared statement \"{name}\" does not exist")))?)
    }

    pub(super) async fn describe(&mut self, target: &Target) -> Handled {
        let columns = match target {
            Target::Statement(name) => {
                let statement = self.statement(name)?;
                // A client must send something: what is not known is text.
                let oid = |kind: &Type| if *kind == Type::UNKNOWN { Type::TEXT.oid() } else { kind.oid() };
                let types = statement.types.iter().map(oid).collect();
                self.connection.send(Backend::ParameterDescription(ParameterDescription::new(types))).await?;
                let columns = self.columns_of_statement(&statement).await?;
                // The scale of what a number is computed with depends on the number.
                let columns = match statement.types.contains(&Type::NUMERIC) {
                    true => columns.map(|columns| columns.without_scales()),
                    false => columns,
                };
                columns.iter().for_each(|columns| statement.tell(columns));
                columns
            }
            Target::Portal(name) => self.columns_of_portal(name).await?,
        };
        match columns {
            Some(columns) => self.describe_columns(&columns).await,
            None => Ok(self.connection.send(Backend::NoData(NoData::new())).await?),
        }
    }

    /// What a statement would give, without its parameters' values.
    async fn columns_of_statement(&mut self, statement: &Arc<Prepared>) -> Handled<Option<Columns>> {
        if let Some((cursor, _)) = statement.fetches() {
            return self.columns_of_cursor(cursor, &[]).map(Some);
        }
        let schema = match &statement.subject {
            Subject::Nothing => return Ok(None),
            Subject::Session(command) => match shown(command) {
                Some(schema) => schema,
                None => return Ok(None),
            },
            Subject::Catalog => {
                let sql = statement.catalog_sql(&statement.nulls(false));
                let rows = self.server.catalog.query(&sql, &self.settings).await;
                Arc::clone(&rows.map_err(|message| error("42000", message))?.schema)
            }
            Subject::Lake => match dialect::parse(statement.lake_sql()) {
                Ok(Statement::Query { sql }) => match self.schema_of(&sql, statement.nulls(false)).await {
                    Err(told) if is_mismatch(&told) => match self.schema_of(&sql, statement.nulls(true)).await {
                        Ok(schema) => schema,
                        Err(_) => return Err(told.into()),
                    },
                    schema => schema?,
                },
                // Their columns are known when they have run; they change nothing.
                Ok(Statement::Show(_)) if statement.types.is_empty() => match self.run_statement(statement, Vec::new()).await? {
                    Answer::Rows(running) => Arc::clone(&running.schema),
                    Answer::Done(_) => return Ok(None),
                },
                Ok(Statement::Explain(_)) => texts_schema(&["Query Plan"]),
                Ok(_) => return Ok(None),
                Err(cause) => return Err(of_athena(&cause.to_string(), &statement.sql).into()),
            },
        };
        Ok(Some(Columns::of(&schema, &[]).map_err(|message| error("0A000", message))?))
    }

    async fn schema_of(&self, sql: &str, parameters: Vec<String>) -> Result<SchemaRef, ErrorInfo> {
        let request = QueryRequest {
            sql: sql.to_owned(),
            database: Some(self.settings.database.clone()),
            catalog: Arc::clone(&self.server.tables),
            parameters,
            limits: QueryLimits::default(),
            statistics: Arc::default(),
            cancel: self.entry.begin(),
        };
        self.server.engine.schema(request).await.map_err(|cause| of_athena(&cause.to_string(), sql))
    }

    /// The columns of a portal: a query begins to run for them, since it is about to be executed.
    async fn columns_of_portal(&mut self, name: &str) -> Handled<Option<Columns>> {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        match &portal.state {
            State::Rows(_, columns) | State::Ended(columns) => return Ok(Some(columns.clone())),
            State::Done(_) => return Ok(None),
            State::New => {}
        }
        let (statement, formats) = (Arc::clone(&portal.statement), portal.formats.clone());
        if let Some((cursor, _)) = statement.fetches() {
            return self.columns_of_cursor(cursor, &formats).map(Some);
        }
        let reads = match &statement.subject {
            Subject::Nothing => false,
            Subject::Session(command) => shown(command).is_some(),
            Subject::Catalog => true,
            Subject::Lake => {
                let parsed = dialect::parse(statement.lake_sql());
                matches!(parsed, Ok(Statement::Query { .. } | Statement::Show(_) | Statement::Explain(_)))
            }
        };
        if !reads {
            return Ok(None);
        }
        self.start(name).await?;
        match self.portals.get(name).map(|portal| &portal.state) {
            Some(State::Rows(_, columns)) => Ok(Some(columns.clone())),
            _ => Ok(None),
        }
    }

    /// Runs a portal's statement; its rows wait to be fetched.
    async fn start(&mut self, name: &str) -> Handled {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        let (statement, literals, formats) = (Arc::clone(&portal.statement), portal.literals.clone(), portal.formats.clone());
        let state = match self.run_statement(&statement, literals).await? {
            Answer::Rows(running) => {
                let columns = Columns::of(&running.schema, &formats).map_err(|message| error("08P01", message))?;
                State::Rows(Box::new(running), columns)
            }
            Answer::Done(tag) => State::Done(tag),
        };
        // `DISCARD ALL` and the end of a transaction take portals away: theirs too.
        if let Some(portal) = self.portals.get_mut(name) {
            portal.state = state;
            return Ok(());
        }
        match state {
            State::Done(tag) => {
                let gone =
                    Portal { statement, literals: Vec::new(), formats, state: State::Done(tag), hold: false, is_cursor: false };
                self.portals.insert(name.to_owned(), gone);
                Ok(())
            }
            _ => Err(no_portal(name).into()),
        }
    }

    pub(super) async fn execute_portal(&mut self, name: &str, rows_max: usize) -> Handled {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        if let Some((cursor, count)) = portal.statement.fetches() {
            let (cursor, moves, formats) = (cursor.to_owned(), portal.statement.moves(), portal.formats.clone());
            let columns = self.columns_of_cursor(&cursor, &formats)?;
            return self.fetch(&cursor, &columns, count, moves).await;
        }
        if matches!(portal.state, State::New) {
            self.start(name).await?;
            self.check_told(name)?;
        }
        let cancel = self.entry.begin();
        let portal = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let (running, columns) = match &mut portal.state {
            State::Rows(running, columns) => (running, columns.clone()),
            State::Done(tag) => {
                let tag = tag.clone();
                return self.complete(tag).await;
            }
            State::Ended(_) | State::New => return self.complete("SELECT 0".to_owned()).await,
        };
        let tag = running.tag;
        let limit = Some(rows_max).filter(|most| *most > 0);
        match send_rows(&mut self.connection, running, &columns, limit, &cancel).await {
            Ok((count, true)) => {
                portal.state = State::Ended(columns);
                self.complete(format!("{tag} {count}")).await
            }
            Ok((_, false)) => Ok(self.connection.send(Backend::PortalSuspended(PortalSuspended::new())).await?),
            Err(fault) => {
                self.portals.remove(name);
                Err(fault)
            }
        }
    }

    /// Refuses rows of other types than those that the client was told of before it bound the statement: it would read them wrongly.
    fn check_told(&mut self, name: &str) -> Handled {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        match &portal.state {
            State::Rows(_, columns) if !portal.statement.is_told(columns) => {
                self.portals.remove(name);
                Err(error("0A000", "cached plan must not change result type").into())
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn close(&mut self, target: &Target) -> Handled {
        match target {
            Target::Statement(name) => drop(self.statements.remove(name)),
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        self.connection.send(Backend::CloseComplete(CloseComplete::new())).await.map_err(Fault::Io)
    }
}

fn too_much(what: &str) -> ErrorInfo {
    error("53400", format!("a session keeps at most {} MiB of {what}", KEPT_BYTES_MAX >> 20))
}

fn text_has_several(sql: &str) -> bool {
    crate::text::statements(sql).len() > 1
}

/// The columns of what shows settings.
fn shown(command: &Command) -> Option<SchemaRef> {
    match command {
        Command::Show(name) => Some(texts_schema(&[name])),
        Command::ShowAll => Some(texts_schema(&["name", "setting", "description"])),
        _ => None,
    }
}

fn texts_schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

fn no_portal(name: &str) -> ErrorInfo {
    error("34000", format!("portal \"{name}\" does not exist"))
}
