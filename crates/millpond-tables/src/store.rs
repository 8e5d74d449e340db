//! A durable store of items.
