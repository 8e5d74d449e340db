//! What a caller can do about an error, whatever service it came from.

/// The short list of what an error asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Transient: the same call may work later.
    Retry,
    /// The input is wrong: the caller must change it.
    Input,
    /// The state does not allow it now (exists already, is running, was changed by another).
    Conflict,
    /// The caller may not do this.
    Denied,
    /// The thing does not exist.
    Missing,
    /// A limit is reached.
    Limit,
    /// Ours: a broken invariant, a full disk, a corrupt file. Details go to the log.
    Bug,
}
