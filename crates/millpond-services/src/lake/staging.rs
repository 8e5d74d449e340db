//! What a run of a job wrote and nobody else sees yet: objects put and deleted under a run's own session, until the run's end makes them the lake's,
//! in one transaction, or drops them.
