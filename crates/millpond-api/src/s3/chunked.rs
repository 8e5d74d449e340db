//! Chunked bodies (`aws-chunked`) in bounded memory.
//!
//! `s3s` holds a chunk until it is whole, because a signed one is trusted only then; and some clients send their whole body as one chunk. So the
//! framing is read here first. Chunks without signatures are cut into smaller ones, which changes nothing. Signed ones are passed on as they are,
//! up to [`SIGNED_MAX`]. The form is that of the S3 API reference, "Signature calculations for the authorization header: transferring payload in
//! multiple chunks".

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use s3s::StdError;

/// Bytes of a signed chunk at the most. Clients send 64 KiB to 1 MiB.
const SIGNED_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of a chunk's first line at the most.
const LINE_MAX: usize = 1024;

/// What a chunked body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Without signatures: `STREAMING-UNSIGNED-PAYLOAD-TRAILER`.
    Unsigned,
    /// With a signature in each chunk.
    Signed,
}

impl Kind {
    /// The kind that `x-amz-content-sha256` names.
    pub(super) fn of(content_sha256: &str) -> Option<Self> {
        match content_sha256 {
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Self::Unsigned),
            name if name.starts_with("STREAMING-") => Some(Self::Signed),
            _ => None,
        }
    }
}

/// The framing of a chunked body is wrong.
#[derive(Debug, thiserror::Error)]
#[error("AwsChunkedStreamError: FormatError: {0}")]
pub(super) struct Malformed(String);

#[derive(Debug)]
enum State {
    /// In the first line of a chunk, of which so much is known.
    Line(BytesMut),
    /// In its bytes, of which so many are left.
    Data(u64),
    /// In the two bytes after them, of which so many are left.
    End(u8),
    /// After the last chunk.
    Trailers,
}

/// Reads the framing, and answers what to pass on.
#[derive(Debug)]
struct Framing {
    kind: Kind,
    state: State,
}

impl Framing {
    fn new(kind: Kind) -> Self {
        Self { kind, state: State::Line(BytesMut::new()) }
    }

    fn feed(&mut self, mut bytes: Bytes) -> Result<Vec<Bytes>, Malformed> {
        let mut out = Vec::new();
        while bytes.has_remaining() {
            match &mut self.state {
                State::Line(line) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                    if line.len() + end > LINE_MAX {
                        return Err(Malformed(format!("the first line of a chunk is longer than {LINE_MAX} bytes")));
                    }
                    line.extend_from_slice(&bytes.split_to(end));
                    if line.ends_with(b"\n") {
                        let line = std::mem::take(line).freeze();
                        self.begin(line, &mut out)?;
                    }
                }
                State::Data(left) => {
                    let piece = bytes.split_to(usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len()));
                    *left -= piece.len() as u64;
                    let ended = *left == 0;
                    if self.kind == Kind::Unsigned {
                        out.push(format!("{:x}\r\n", piece.len()).into());
                        out.push(piece);
                        out.push(Bytes::from_static(b"\r\n"));
                    } else {
                        out.push(piece);
                    }
                    if ended {
                        self.state = State::End(2);
                    }
                }
                State::End(left) => {
                    let expected = if *left == 2 { b'\r' } else { b'\n' };
                    if bytes[0] != expected {
                        return Err(Malformed("a chunk does not end where its first line says".into()));
                    }
                    let byte = bytes.split_to(1);
                    if self.kind == Kind::Signed {
                        out.push(byte);
                    }
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Line(BytesMut::new());
                    }
                }
                State::Trailers => out.push(std::mem::take(&mut bytes)),
            }
        }
        Ok(out)
    }

    fn begin(&mut self, line: Bytes, out: &mut Vec<Bytes>) -> Result<(), Malformed> {
        let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_hexdigit).collect();
        let size = std::str::from_utf8(&digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let Some(size) = size else { return Err(Malformed("a chunk does not begin with its size in hexadecimal".into())) };
        match (self.kind, size) {
            (Kind::Signed, size) if size > SIGNED_MAX => {
                return Err(Malformed(format!("a signed chunk has {size} bytes, at most {SIGNED_MAX} are allowed")));
            }
            (_, 0) => {
                self.state = State::Trailers;
                out.push(line);
            }
            (Kind::Signed, size) => {
                self.state = State::Data(size);
                out.push(line);
            }
            // Its own first line is made for each piece.
            (Kind::Unsigned, size) => self.state = State::Data(size),
        }
        Ok(())
    }
}

/// The same body in chunks of bounded size.
pub(super) fn bounded<S, E>(body: S, kind: Kind) -> impl Stream<Item = Result<Bytes, StdError>> + Send
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<StdError> + Send,
{
    let framed = body.scan(Framing::new(kind), |framing, bytes| {
        let pieces: Vec<Result<Bytes, StdError>> =
            match bytes.map_err(|error| -> StdError { error.into() }).and_then(|bytes| Ok(framing.feed(bytes)?)) {
                Ok(pieces) => pieces.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
        std::future::ready(Some(stream::iter(pieces)))
    });
    framed.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    async fn through(body: &[u8], cut: usize, kind: Kind) -> Result<Vec<u8>, StdError> {
        let frames: Vec<_> = body.chunks(cut).map(|frame| Ok::<_, StdError>(Bytes::copy_from_slice(frame))).collect();
        let pieces: Vec<Bytes> = bounded(stream::iter(frames), kind).try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn unsigned_chunks_are_cut_and_keep_their_bytes() {
        let body = b"a\r\n0123456789\r\n3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for cut in [1, 2, 5, 100] {
            let out = through(body, cut, Kind::Unsigned).await.unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), "{text}");
            let again = through(text.as_bytes(), 1, Kind::Signed).await.unwrap();
            assert_eq!(again, text.as_bytes(), "what came out is well formed");
            let data: String = text.split("\r\n").filter(|line| line.len() != 1 || !"13a5420".contains(line)).collect();
            if cut > 1 {
                assert!(data.contains("89"), "{data}");
            }
        }
    }

    #[tokio::test]
    async fn signed_chunks_pass_as_they_are() {
        let line = format!("5;chunk-signature={}\r\n", "0".repeat(64));
        let body = format!("{line}hello\r\n{}", line.replace('5', "0"));
        for cut in [1, 7, 1000] {
            assert_eq!(through(body.as_bytes(), cut, Kind::Signed).await.unwrap(), body.as_bytes());
        }
    }

    #[tokio::test]
    async fn broken_and_oversized_framing_is_refused() {
        for body in [&b"xyz\r\n"[..], b"5\r\nhello!\r\n", b"\r\n", b"fffffffffffffffffff\r\n"] {
            assert!(through(body, 3, Kind::Unsigned).await.is_err(), "{body:?}");
        }
        assert!(through(&[b'1'; 2000], 100, Kind::Unsigned).await.is_err());
        assert!(through(b"ffffffff;chunk-signature=0\r\n", 3, Kind::Signed).await.is_err());
    }
}
