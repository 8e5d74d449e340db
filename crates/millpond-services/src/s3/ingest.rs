//! Takes a body of any size in bounded memory: hashing, writing and receiving overlap.
//!
//! A small body is hashed where it is and stays in memory, for the transaction that names it. A large one goes on in batches of 1 MiB: while one
//! is hashed and written on threads that may block, the next is received. So about 4 MiB are held at the most, whatever comes.

use super::checksum::{Algorithm, Hasher, base64};
use super::{BodyError, S3Error};
use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use md5::{Digest as _, Md5};
use millpond_store::StoreError;
use millpond_store::blobs::{BlobStore, INLINE_MAX, NewBlob};
use std::pin::Pin;

/// The bytes of a request.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Gives what followed the body under a name (a trailing checksum), once the body was read to its end.
pub type Trailers = Box<dyn FnOnce(&str) -> Option<String> + Send>;

/// Bytes that are hashed and written at once.
const BATCH: usize = 1024 * 1024;

/// A body, and what its sender said about it.
pub struct Payload {
    /// The bytes.
    pub body: Body,
    /// Bytes that were announced.
    pub length: Option<u64>,
    /// `Content-MD5`.
    pub md5: Option<String>,
    /// A checksum, if one was given or asked for.
    pub checksum: Option<Given>,
    /// What followed the body.
    pub trailers: Trailers,
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload").field("length", &self.length).field("checksum", &self.checksum).finish_non_exhaustive()
    }
}

impl Payload {
    /// Bytes at hand, about which nothing was said.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            length: Some(bytes.len() as u64),
            body: Box::pin(futures::stream::iter([Ok(bytes)])),
            md5: None,
            checksum: None,
            trailers: Box::new(|_| None),
        }
    }
}

/// The checksum that a sender gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which one.
    pub algorithm: Algorithm,
    /// Its value, or where it comes from.
    pub value: GivenValue,
}

/// Where the value of a checksum comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenValue {
    /// It was given, base64.
    Header(String),
    /// It follows the body.
    Trailer,
    /// The lake computes it.
    None,
}

/// A body that was taken, verified, and is safe on disk (or small).
#[derive(Debug)]
pub struct Ingested {
    /// The bytes.
    pub blob: NewBlob,
    /// Bytes.
    pub size: u64,
    /// Their MD5.
    pub md5: [u8; 16],
    /// Their checksum.
    pub checksum: (Algorithm, Vec<u8>),
}

struct Hashes {
    md5: Md5,
    checksum: Hasher,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.checksum.update(bytes);
    }
}

/// Takes a body of `max` bytes at the most. Without a checksum of the sender's one of `algorithm` is computed.
///
/// # Errors
/// Where the body breaks off, is too large, or is not what its sender says.
pub async fn ingest(blobs: &BlobStore, payload: Payload, algorithm: Algorithm, max: u64) -> Result<Ingested, S3Error> {
    let Payload { mut body, length, md5, checksum, trailers } = payload;
    let expected_md5 = md5.as_deref().map(decode_md5).transpose()?;
    let algorithm = checksum.as_ref().map_or(algorithm, |given| given.algorithm);
    let in_header = match &checksum {
        Some(Given { value: GivenValue::Header(text), .. }) => Some(algorithm.decode(text)?),
        _ => None,
    };
    if length.is_some_and(|length| length > max) {
        return Err(S3Error::EntityTooLarge { max });
    }
    let hashes = Hashes { md5: Md5::new(), checksum: Hasher::new(algorithm) };
    let (blob, size, hashes) = take(blobs, &mut body, hashes, max).await?;
    if let Some(announced) = length.filter(|announced| *announced != size) {
        return Err(S3Error::IncompleteBody { announced, received: size });
    }
    let md5: [u8; 16] = hashes.md5.finalize().into();
    if expected_md5.is_some_and(|expected| expected != md5) {
        return Err(S3Error::BadDigest { computed: base64(&md5) });
    }
    let computed = hashes.checksum.finish();
    let expected = match checksum {
        Some(Given { value: GivenValue::Trailer, .. }) => {
            let name = algorithm.header();
            let text = trailers(name).ok_or_else(|| S3Error::MissingTrailer(name.into()))?;
            Some(algorithm.decode(&text)?)
        }
        _ => in_header,
    };
    if expected.is_some_and(|expected| expected != computed) {
        return Err(S3Error::ChecksumMismatch { algorithm, computed: base64(&computed) });
    }
    Ok(Ingested { blob, size, md5, checksum: (algorithm, computed) })
}

fn decode_md5(text: &str) -> Result<[u8; 16], S3Error> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok();
    decoded.and_then(|bytes| bytes.try_into().ok()).ok_or(S3Error::InvalidDigest)
}

async fn take(blobs: &BlobStore, body: &mut Body, mut hashes: Hashes, max: u64) -> Result<(NewBlob, u64, Hashes), S3Error> {
    let mut writer = blobs.writer();
    let mut batch = gather(body).await?;
    let mut size = 0u64;
    if batch.len() <= INLINE_MAX {
        hashes.update(&batch);
        writer.write(&batch).await?;
        return Ok((writer.finish().await?, batch.len() as u64, hashes));
    }
    while !batch.is_empty() {
        size += batch.len() as u64;
        if size > max {
            return Err(S3Error::EntityTooLarge { max });
        }
        let bytes = batch.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            hashes.update(&bytes);
            hashes
        });
        let (hashed, written, next) = tokio::join!(hashing, writer.write(&batch), gather(body));
        hashes = hashed.map_err(|_| StoreError::Panicked)?;
        written?;
        batch = next?;
    }
    Ok((writer.finish().await?, size, hashes))
}

/// The next bytes, [`BATCH`] or a little more; fewer only at the end, and none after it.
///
/// They are copied together, because what comes may be tiny pieces of large buffers.
async fn gather(body: &mut Body) -> Result<Bytes, BodyError> {
    let Some(first) = body.next().await else { return Ok(Bytes::new()) };
    let first = first?;
    if first.len() >= BATCH {
        return Ok(first);
    }
    let mut batch = BytesMut::from(first.as_ref());
    while batch.len() < BATCH {
        match body.next().await {
            Some(bytes) => batch.extend_from_slice(&bytes?),
            None => break,
        }
    }
    Ok(batch.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::env::SystemEnv;
    use millpond_store::Store;
    use std::sync::Arc;

    fn payload(bytes: &[u8], pieces: usize) -> Payload {
        let chunks: Vec<_> = bytes.chunks(pieces).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Payload { body: Box::pin(futures::stream::iter(chunks)), ..Payload::of(bytes.to_vec()) }
    }

    async fn check(payload: Payload) -> Result<Ingested, S3Error> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &[], Arc::new(SystemEnv)).unwrap();
        ingest(store.blobs(), payload, Algorithm::Crc64Nvme, 4_000_000).await
    }

    #[tokio::test]
    async fn bodies_of_every_size_have_the_digests_of_their_bytes() {
        for size in [0, 1, INLINE_MAX, INLINE_MAX + 1, BATCH, BATCH + 1, 3_500_000] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let taken = check(payload(&bytes, 70_001)).await.unwrap();
            assert_eq!((taken.size, taken.blob.size()), (size as u64, size as u64));
            assert_eq!(taken.md5, <[u8; 16]>::from(Md5::digest(&bytes)));
            let mut hasher = Hasher::new(Algorithm::Crc64Nvme);
            hasher.update(&bytes);
            assert_eq!(taken.checksum.1, hasher.finish());
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_what_its_sender_says_is_refused() {
        let bytes = vec![7u8; 200_000];
        let longer = Payload { length: Some(200_001), ..payload(&bytes, 1000) };
        assert!(matches!(check(longer).await, Err(S3Error::IncompleteBody { announced: 200_001, received: 200_000 })));
        let md5 = Payload { md5: Some(base64(&[0; 16])), ..payload(&bytes, 1000) };
        assert!(matches!(check(md5).await, Err(S3Error::BadDigest { .. })));
        let no_md5 = Payload { md5: Some("x".into()), ..payload(&bytes, 1000) };
        assert!(matches!(check(no_md5).await, Err(S3Error::InvalidDigest)));
        let given = |value| Some(Given { algorithm: Algorithm::Crc32, value });
        let header = Payload { checksum: given(GivenValue::Header("AAAAAA==".into())), ..payload(&bytes, 1000) };
        assert!(matches!(check(header).await, Err(S3Error::ChecksumMismatch { .. })));
        let trailer = Payload { checksum: given(GivenValue::Trailer), ..payload(&bytes, 1000) };
        assert!(matches!(check(trailer).await, Err(S3Error::MissingTrailer(_))));
        let large = payload(&vec![0; 4_000_001], 100_000);
        assert!(matches!(check(large).await, Err(S3Error::EntityTooLarge { .. })));
        let unannounced = Payload { length: None, ..payload(&vec![0; 6_000_000], 100_000) };
        assert!(matches!(check(unannounced).await, Err(S3Error::EntityTooLarge { .. })));
        let broken = Payload {
            body: Box::pin(futures::stream::iter([Ok(Bytes::from_static(b"ab")), Err(BodyError::Signature)])),
            ..Payload::of("ab")
        };
        assert!(matches!(check(broken).await, Err(S3Error::Body(BodyError::Signature))));
    }
}
