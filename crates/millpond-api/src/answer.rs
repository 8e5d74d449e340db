//! Answers that hold their share of the server's memory until they have been sent.

use bytes::Bytes;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_io_timeout::TimeoutStream;

/// An answer's bytes, and the share of memory that goes when they do: the connection keeps them until they are written.
struct Held {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The bytes of an answer. Of `share` (in units of `unit` bytes) they keep as much as they are large, until they are gone; few keep nothing.
pub(crate) fn held(bytes: Bytes, share: Option<OwnedSemaphorePermit>, unit: usize) -> Bytes {
    match share.and_then(|mut share| share.split(bytes.len() / unit)) {
        Some(share) if bytes.len() >= unit => Bytes::from_owner(Held { bytes, _share: share }),
        _ => bytes,
    }
}

/// A connection that breaks when its client takes nothing for so long: what is held for it is others'.
pub(crate) fn patient(stream: TcpStream, patience: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience));
    Box::pin(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Arc;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_share_goes_with_the_bytes_and_not_with_the_body() {
        let memory = Arc::new(Semaphore::new(100));
        let share = memory.clone().try_acquire_many_owned(60).unwrap();
        let mut body = s3s::Body::from(held(Bytes::from(vec![7; 25]), Some(share), 1));
        assert_eq!(memory.available_permits(), 75, "what is more than the answer is given back at once");
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert_eq!((memory.available_permits(), &frame[..]), (75, &[7; 25][..]));
        drop(frame);
        assert_eq!(memory.available_permits(), 100);
        let share = memory.clone().try_acquire_many_owned(60).unwrap();
        let _small = held(Bytes::from_static(b"small"), Some(share), 10);
        assert_eq!(memory.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = patient(stream, Duration::from_millis(50));
        let error = loop {
            if let Err(error) = stream.write_all(&[0; 65536]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(client);
    }
}
