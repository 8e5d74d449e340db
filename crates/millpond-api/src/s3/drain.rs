//! What happens to the rest of a body that nobody reads.
//!
//! A request that is refused before its body was read is answered while the client still sends. If the connection were closed then, the client
//! would often see it break instead of reading why it was refused. So a rest of moderate size is read and thrown away.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes that are read at the most before the connection is closed after all.
const REST_MAX: usize = 32 * 1024 * 1024;

/// How long is waited for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a client that waits for leave to send its body was given it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leave(Arc<AtomicBool>);

impl Leave {
    pub(crate) fn is_given(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body whose rest is read when it is dropped early, unless its client still waits for leave to send it.
pub(crate) struct Drained<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    body: Option<Pin<Box<B>>>,
    waits: Option<Leave>,
}

impl<B> Drained<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    /// `waits` where the client does.
    pub(crate) fn new(body: B, waits: Option<Leave>) -> Self {
        Self { body: Some(Box::pin(body)), waits }
    }
}

impl<B> Body for Drained<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(leave) = &self.waits {
            leave.0.store(true, Ordering::Release);
        }
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = body.as_mut().poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}

impl<B> Drop for Drained<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    fn drop(&mut self) {
        if self.waits.as_ref().is_some_and(|leave| !leave.is_given()) {
            return;
        }
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let rest = async move {
            let mut left = REST_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                let size = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(size) {
                    Some(less) => left = less,
                    None => break,
                }
            }
        };
        runtime.spawn(tokio::time::timeout(PATIENCE, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt, stream};
    use http_body_util::StreamBody;
    use std::sync::atomic::AtomicUsize;

    fn counted(frames: usize, read: &Arc<AtomicUsize>) -> impl Body<Data = Bytes, Error = std::io::Error> + Send + 'static {
        let read = read.clone();
        StreamBody::new(stream::iter(0..frames).map(move |_| {
            read.fetch_add(1, Ordering::SeqCst);
            Ok(Frame::data(Bytes::from(vec![0; 1024 * 1024])))
        }))
    }

    async fn dropped(frames: usize, taken: usize, waits: Option<Leave>) -> usize {
        let read = Arc::new(AtomicUsize::new(0));
        let mut body = Drained::new(counted(frames, &read), waits);
        for _ in 0..taken {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        read.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn the_rest_of_a_dropped_body_is_read_up_to_a_limit() {
        assert_eq!(dropped(5, 0, None).await, 5);
        assert_eq!(dropped(5, 3, None).await, 5);
        assert_eq!(dropped(1000, 0, None).await, 33, "32 MiB, and the frame that showed that there is more");
    }

    #[tokio::test]
    async fn who_waits_for_leave_is_not_read_without_it() {
        let leave = Leave::default();
        assert_eq!(dropped(5, 0, Some(leave.clone())).await, 0);
        assert!(!leave.is_given());
        assert_eq!(dropped(5, 1, Some(leave.clone())).await, 5);
        assert!(leave.is_given());
    }
}
