//! JSON (Trino documentation, "JSON functions and operators"). JSON is kept as text; numbers keep their digits.

pub(crate) mod clauses;
mod functions;
mod path;
mod sql;
mod sql_path;
pub(crate) mod value;

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    let mut all = functions::functions();
    all.extend(sql::functions());
    all
}
