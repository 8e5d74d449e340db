//! The PostgreSQL protocol over the engine.
