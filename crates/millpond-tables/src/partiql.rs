//! PartiQL statements.
