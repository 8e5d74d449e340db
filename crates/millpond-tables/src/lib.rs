//! Tables of items, as DynamoDB has them: values, expressions, and a durable store of items.
//!
//! No HTTP, no wire types and no SQL here. [`value`] is what an item is made of; [`expression`] reads and evaluates condition, key condition,
//! filter, projection and update expressions; [`partiql`] reads statements; [`store`] keeps items in order of their keys and changes several of
//! them at once, durably. What a table is called, its tags and its state are the service's.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod expression;
pub mod number;
pub mod partiql;
pub mod store;
pub mod value;

pub use number::Number;
pub use value::{Item, Value};
