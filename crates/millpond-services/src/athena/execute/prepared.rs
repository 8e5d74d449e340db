//! Prepared statements in SQL. What is executed was looked up when the execution was submitted: what comes here is what could not be, and
//! what changes the workgroup's statements.

use super::{Commit, Context, Outcome, RunError};
use crate::athena::prepared::{self, Expected, NewPreparedStatement};
use millpond_engine::sql::Prepared;
use millpond_engine::sql::render::TextResult;

pub(super) async fn run(cx: &Context<'_>, statement: &Prepared) -> Result<Outcome, RunError> {
    let workgroup = cx.execution.workgroup.clone();
    let commit: Commit = match statement.clone() {
        Prepared::Prepare { name, sql } => Box::new(move |tx| {
            let new = NewPreparedStatement { workgroup, name, query: sql, description: None };
            Ok(prepared::put(tx, new, Expected::New)?)
        }),
        Prepared::Deallocate { name } => Box::new(move |tx| Ok(prepared::remove(tx, &workgroup, &name)?)),
        Prepared::Execute { name, .. } => return Err(prepared::missing(&workgroup, &name).into()),
        Prepared::ExecuteImmediate { sql, .. } => {
            // Its statement parsed at submission, so it is what is carried out.
            return Err(millpond_engine::query::QueryError::Internal(format!("'{sql}' was not resolved")).into());
        }
    };
    Outcome::text(cx, &TextResult::default(), commit).await
}
