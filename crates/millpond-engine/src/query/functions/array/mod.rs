//! Arrays (Trino documentation, "Array functions and operators"). Items are compared by their values, NULL being equal to NULL where sets are made.

mod combine;
mod pick;
mod search;
mod sequence;
mod sets;

use super::Function;

pub(super) use pick::{concat, reverse};

pub(super) fn functions() -> Vec<Function> {
    let mut all = pick::functions();
    all.extend(search::functions());
    all.extend(sets::functions());
    all.extend(combine::functions());
    all.extend(sequence::functions());
    all
}
