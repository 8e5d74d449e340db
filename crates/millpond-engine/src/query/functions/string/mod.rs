//! Texts (Trino documentation, "String functions"). Positions and lengths count code points, from 1.

mod compare;
mod edit;
mod split;

use super::Function;

pub(super) fn functions() -> Vec<Function> {
    let mut all = edit::functions();
    all.extend(compare::functions());
    all.extend(split::functions());
    all
}
