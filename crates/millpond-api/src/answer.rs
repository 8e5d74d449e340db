//! Answers that hold their share of the server's memory until the client has read them.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;

/// An answer's bytes, and the share of memory that goes when they do.
struct Held {
    bytes: Option<Bytes>,
    _share: OwnedSemaphorePermit,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}

/// The body of an answer. Of `share` (in units of `unit` bytes) it keeps as much as it is large, until it has been sent; small ones keep nothing.
pub(crate) fn held(bytes: Bytes, share: Option<OwnedSemaphorePermit>, unit: usize) -> s3s::Body {
    match share.and_then(|mut share| share.split(bytes.len() / unit)) {
        Some(kept) if bytes.len() >= unit => s3s::Body::http_body(Held { bytes: Some(bytes), _share: kept }),
        _ => s3s::Body::from(bytes),
    }
}
