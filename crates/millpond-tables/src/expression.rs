//! Condition, key condition, filter, projection and update expressions.
