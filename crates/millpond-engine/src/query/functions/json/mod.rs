//! JSON (Trino documentation, "JSON functions and operators"). JSON is kept as text; numbers keep their digits.

mod functions;
mod path;
pub(crate) mod value;

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    functions::functions()
}
