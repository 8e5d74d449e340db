//! Bytes: hashes, encodings, numbers as bytes (Trino documentation, "Binary functions").

mod encode;
mod hash;
mod murmur;
mod spooky;

use super::Function;

pub(super) use hash::xxhash64;

pub(super) fn functions() -> Vec<Function> {
    let mut all = hash::functions();
    all.extend(encode::functions());
    all
}
