//! A connection's bytes: messages in, messages out, with time limits and without unbounded buffers.

use crate::errors;
use crate::frontend::{Message, ReadError, read_message};
use bytes::BytesMut;
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// What is written at once.
const FLUSH_BYTES: usize = 64 << 10;

/// What a client sends ahead is kept up to here; the rest waits in its own buffers.
const AHEAD_BYTES: usize = 64 << 10;

/// A reader that takes nothing for so long is given up, with the query that it holds.
const STALL: Duration = Duration::from_secs(300);

/// Plain, or TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}

/// A connection after its TLS handshake, where it has one.
pub(crate) struct Connection {
    io: Ahead,
    out: BytesMut,
}

/// Bytes that were read before they were wanted, and those that follow.
struct Ahead {
    io: Box<dyn Io>,
    bytes: BytesMut,
}

impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() && into.remaining() < AHEAD_BYTES {
            let ahead = &mut *self;
            ahead.bytes.reserve(8192);
            let read = std::pin::pin!(ahead.io.read_buf(&mut ahead.bytes)).poll(context);
            match read {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        } else if self.bytes.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, into);
        }
        let count = self.bytes.len().min(into.remaining());
        into.put_slice(&self.bytes.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl Connection {
    /// Over bytes that were not read yet.
    pub(crate) fn new(io: Box<dyn Io>) -> Self {
        Self { io: Ahead { io, bytes: BytesMut::new() }, out: BytesMut::new() }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn read(&mut self) -> Result<Option<Message>, ReadError> {
        read_message(&mut self.io).await
    }

    /// Waits until the client has closed the connection. Of one that sends too much ahead this is not known, and it never ends.
    pub(crate) async fn hung_up(&mut self) {
        let Ahead { io, bytes } = &mut self.io;
        while bytes.len() < AHEAD_BYTES {
            bytes.reserve(4096);
            if !matches!(io.read_buf(bytes).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Puts a message into the buffer, and writes what is enough for a write.
    pub(crate) async fn send(&mut self, message: PgWireBackendMessage) -> io::Result<()> {
        message.encode(&mut self.out).map_err(io::Error::other)?;
        match self.out.len() >= FLUSH_BYTES {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Sends an error.
    pub(crate) async fn send_error(&mut self, error: ErrorInfo) -> io::Result<()> {
        self.send(PgWireBackendMessage::ErrorResponse(error.into())).await
    }

    /// Sends an error that ends the connection.
    pub(crate) async fn send_fatal(&mut self, code: &str, message: impl Into<String>) -> io::Result<()> {
        self.send_error(errors::fatal(code, message)).await?;
        self.flush().await
    }

    /// Writes what is in the buffer.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = timeout(STALL, async {
            self.io.io.write_all(&self.out).await?;
            self.io.io.flush().await
        });
        written.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.out.clear();
        Ok(())
    }

    /// Tells the other side that nothing comes any more.
    pub(crate) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.io.io.shutdown()).await;
    }
}
