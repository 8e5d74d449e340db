//! Answers that hold their share of the server's memory until they have been sent.

use bytes::Bytes;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, DropGuard};

/// An answer's bytes, and the share of memory that goes when they do: the connection keeps them until they are written.
struct Held {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
    _sent: DropGuard,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A share of the memory that large answers have, for one answer.
pub(crate) struct Room {
    /// In units of `unit` bytes.
    pub share: OwnedSemaphorePermit,
    /// Bytes.
    pub unit: usize,
    /// For how long the client may take its answer. Then the connection is given up, as its memory is others'.
    pub patience: Duration,
    /// Closes the connection.
    pub connection: CancellationToken,
}

/// The bytes of an answer. Of their room they keep as much as they are large, until they are gone; few keep nothing.
pub(crate) fn held(bytes: Bytes, room: Option<Room>) -> Bytes {
    let Some(Room { mut share, unit, patience, connection }) = room.filter(|room| bytes.len() >= room.unit) else { return bytes };
    let Some(share) = share.split(bytes.len() / unit) else { return bytes };
    let sent = CancellationToken::new();
    let is_sent = sent.clone();
    tokio::spawn(async move {
        if tokio::time::timeout(patience, is_sent.cancelled()).await.is_err() {
            connection.cancel();
        }
    });
    Bytes::from_owner(Held { bytes, _share: share, _sent: sent.drop_guard() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    const LONG: Duration = Duration::from_secs(600);

    fn room(memory: &Arc<Semaphore>, unit: usize, patience: Duration) -> Option<Room> {
        let share = memory.clone().try_acquire_many_owned(60).unwrap();
        Some(Room { share, unit, patience, connection: CancellationToken::new() })
    }

    #[tokio::test]
    async fn a_share_goes_with_the_bytes_and_not_with_the_body() {
        let memory = Arc::new(Semaphore::new(100));
        let mut body = s3s::Body::from(held(Bytes::from(vec![7; 25]), room(&memory, 1, LONG)));
        assert_eq!(memory.available_permits(), 75, "what is more than the answer is given back at once");
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert_eq!((memory.available_permits(), &frame[..]), (75, &[7; 25][..]));
        drop(frame);
        assert_eq!(memory.available_permits(), 100);
        let _small = held(Bytes::from_static(b"small"), room(&memory, 10, LONG));
        assert_eq!(memory.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_its_answer_is_given_up() {
        let memory = Arc::new(Semaphore::new(100));
        let answer = || {
            let room = room(&memory, 1, Duration::from_millis(20));
            let connection = room.as_ref().unwrap().connection.clone();
            (held(Bytes::from(vec![7; 25]), room), connection)
        };
        let (bytes, connection) = answer();
        drop(bytes);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!connection.is_cancelled());
        let (_bytes, connection) = answer();
        tokio::time::timeout(Duration::from_secs(20), connection.cancelled()).await.unwrap();
    }
}
