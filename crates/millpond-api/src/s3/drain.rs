//! What happens to the rest of a body that nobody reads.
//!
//! A request that is refused before its body was read is answered while the client still sends. If the connection were closed then, the client
//! would often see it break instead of reading why it was refused. So a rest of moderate size is read and thrown away.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes that are read at the most before the connection is closed after all.
const REST_MAX: usize = 32 * 1024 * 1024;

/// How long is waited for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body whose rest is read when it is dropped early.
pub(crate) struct Drained<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    body: Option<Pin<Box<B>>>,
}

impl<B> Drained<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    pub(crate) fn new(body: B) -> Self {
        Self { body: Some(Box::pin(body)) }
    }
}

impl<B> Body for Drained<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counted(frames: usize, read: &Arc<AtomicUsize>) -> impl Body<Data = Bytes, Error = std::io::Error> + Send + 'static {
        let read = read.clone();
        StreamBody::new(stream::iter(0..frames).map(move |_| {
            read.fetch_add(1, Ordering::SeqCst);
            Ok(Frame::data(Bytes::from(vec![0; 1024 * 1024])))
        }))
    }

    async fn dropped(frames: usize, taken: usize) -> usize {
        let read = Arc::new(AtomicUsize::new(0));
        let mut body = Drained::new(counted(frames, &read));
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
        assert_eq!(dropped(5, 0).await, 5);
        assert_eq!(dropped(5, 3).await, 5);
        assert_eq!(dropped(1000, 0).await, 33, "32 MiB, and the frame that showed that there is more");
    }
}
