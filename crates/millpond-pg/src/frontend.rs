//! What clients send: messages read from the connection, bounded, and taken apart without trusting any of their lengths.
//!
//! PostgreSQL documentation, "Message Formats". A message that does not have its form ends the connection.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a startup packet at the most (PostgreSQL's own limit).
pub(crate) const STARTUP_BYTES_MAX: usize = 10_000;

/// Bytes of a password message: a session's token has up to 16 KiB.
const PASSWORD_BYTES_MAX: usize = 20_000;

/// Bytes of a message that carries a statement or its parameters.
const STATEMENT_BYTES_MAX: usize = 4 << 20;

/// Bytes of any other message: names, which are short.
const OTHER_BYTES_MAX: usize = 10_000;

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not have its form.
    #[error("invalid message: {0}")]
    Malformed(&'static str),
    /// It is longer than its kind may be.
    #[error("a message of {length} bytes is too long; at most {most} are read")]
    TooLong {
        /// As announced.
        length: usize,
        /// Of its kind.
        most: usize,
    },
}

/// The first packet of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Asks for TLS.
    Tls,
    /// Asks for encryption by GSSAPI.
    Gss,
    /// Asks to stop what another connection runs.
    Cancel {
        /// Of the other connection.
        process: i32,
        /// As it was given to it.
        secret: Vec<u8>,
    },
    /// Opens a session.
    Startup {
        /// Major and minor version of the protocol.
        version: (u16, u16),
        /// `user`, `database`, `options`, settings.
        parameters: Vec<(String, String)>,
    },
}

/// A prepared statement or a portal, by name; empty for the unnamed one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

/// `Bind`: a portal of a prepared statement with parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    /// None: all text. One: for all. Else one each.
    pub(crate) parameter_formats: Vec<i16>,
    /// `None` is NULL.
    pub(crate) parameters: Vec<Option<Vec<u8>>>,
    /// As `parameter_formats`, of the result's columns.
    pub(crate) result_formats: Vec<i16>,
}

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        rows_max: usize,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    Password(Vec<u8>),
    /// Of `COPY`, which is never begun: ignored, as the protocol wants.
    Copy,
}

impl Message {
    /// Whether an error in it is followed by everything up to `Sync` being left out.
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self, Self::Parse { .. } | Self::Bind(_) | Self::Describe(_) | Self::Execute { .. } | Self::Close(_))
    }

    /// Whether a statement may run for it.
    pub(crate) fn runs(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Describe(_) | Self::Execute { .. })
    }
}

/// Reads the first packet; `None` where the client said nothing.
pub(crate) async fn read_opening(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<Opening>, ReadError> {
    let Some(length) = read_length(io).await? else { return Ok(None) };
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(ReadError::TooLong { length, most: STARTUP_BYTES_MAX });
    }
    let body = read_body(io, length - 4).await?;
    opening(&body).map(Some)
}

/// Reads the next message; `None` where the client closed the connection between two.
pub(crate) async fn read_message(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<Message>, ReadError> {
    let kind = match io.read_u8().await {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let most = match kind {
        b'Q' | b'P' | b'B' => STATEMENT_BYTES_MAX,
        b'p' => PASSWORD_BYTES_MAX,
        _ => OTHER_BYTES_MAX,
    };
    let length = read_length(io).await?.ok_or(ReadError::Malformed("it ends before its length"))?;
    if length < 4 {
        return Err(ReadError::Malformed("its length is less than four"));
    }
    if length > most {
        return Err(ReadError::TooLong { length, most });
    }
    let body = read_body(io, length - 4).await?;
    message(kind, &body).map(Some)
}

/// A big-endian length; `None` at the end of the connection.
async fn read_length(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<usize>, ReadError> {
    match io.read_u32().await {
        Ok(length) => Ok(Some(length as usize)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Memory grows as bytes come, not as they are announced.
async fn read_body(io: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::with_capacity(length.min(8192));
    let read = io.take(length as u64).read_to_end(&mut body).await?;
    if read < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(body)
}

fn opening(body: &[u8]) -> Result<Opening, ReadError> {
    let mut body = Body(body);
    let code = body.i32()?;
    Ok(match code {
        80_877_103 => Opening::Tls,
        80_877_104 => Opening::Gss,
        80_877_102 => Opening::Cancel { process: body.i32()?, secret: body.0.to_vec() },
        version => {
            let mut parameters = Vec::new();
            loop {
                let name = body.text()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, body.text()?));
            }
            Opening::Startup { version: ((version >> 16) as u16, version as u16), parameters }
        }
    })
}

fn message(kind: u8, body: &[u8]) -> Result<Message, ReadError> {
    let mut body = Body(body);
    Ok(match kind {
        b'Q' => Message::Query(body.text()?),
        b'P' => {
            let (name, sql) = (body.text()?, body.text()?);
            let types = (0..body.count()?).map(|_| body.i32().map(|oid| oid as u32)).collect::<Result<_, _>>()?;
            Message::Parse { name, sql, types }
        }
        b'B' => Message::Bind(bind(&mut body)?),
        b'D' => Message::Describe(target(&mut body)?),
        b'C' => Message::Close(target(&mut body)?),
        b'E' => {
            let portal = body.text()?;
            // Zero, and what a client gives that counts below it, is "all".
            Message::Execute { portal, rows_max: usize::try_from(body.i32()?).unwrap_or(0) }
        }
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'p' => Message::Password(body.0.to_vec()),
        b'd' | b'c' | b'f' => Message::Copy,
        _ => return Err(ReadError::Malformed("its type is unknown")),
    })
}

/// The body of a `SASLInitialResponse`: the mechanism, and what the client says first.
pub(crate) fn sasl_initial(body: &[u8]) -> Result<(String, Vec<u8>), ReadError> {
    let mut body = Body(body);
    let mechanism = body.text()?;
    let length = usize::try_from(body.i32()?).map_err(|_| ReadError::Malformed("it says nothing"))?;
    Ok((mechanism, body.bytes(length)?.to_vec()))
}

fn bind(body: &mut Body<'_>) -> Result<Bind, ReadError> {
    let (portal, statement) = (body.text()?, body.text()?);
    let parameter_formats = formats(body)?;
    let mut parameters = Vec::new();
    for _ in 0..body.count()? {
        let length = body.i32()?;
        parameters.push(match usize::try_from(length) {
            Ok(length) => Some(body.bytes(length)?.to_vec()),
            Err(_) => None,
        });
    }
    let result_formats = formats(body)?;
    Ok(Bind { portal, statement, parameter_formats, parameters, result_formats })
}

fn formats(body: &mut Body<'_>) -> Result<Vec<i16>, ReadError> {
    (0..body.count()?).map(|_| body.i16()).collect()
}

fn target(body: &mut Body<'_>) -> Result<Target, ReadError> {
    match body.u8()? {
        b'S' => body.text().map(Target::Statement),
        b'P' => body.text().map(Target::Portal),
        _ => Err(ReadError::Malformed("it names neither a statement nor a portal")),
    }
}

/// What is left of a message's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ReadError::Malformed("it is shorter than it says"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, ReadError> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn i16(&mut self) -> Result<i16, ReadError> {
        self.bytes(2).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A count of things that follow: 16 bits without sign.
    fn count(&mut self) -> Result<u16, ReadError> {
        self.i16().map(|count| count as u16)
    }

    fn i32(&mut self) -> Result<i32, ReadError> {
        self.bytes(4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Text up to its zero byte.
    fn text(&mut self) -> Result<String, ReadError> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(ReadError::Malformed("a text has no end"))?;
        let text = std::str::from_utf8(&self.0[..end]).map_err(|_| ReadError::Malformed("a text is not UTF-8"))?;
        self.0 = &self.0[end + 1..];
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Option<Message>, ReadError> {
        read_message(&mut &bytes[..]).await
    }

    fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[tokio::test]
    async fn messages_are_read_as_they_were_written() {
        let query = read(&framed(b'Q', b"SELECT 1\0")).await;
        assert_eq!(query.unwrap(), Some(Message::Query("SELECT 1".into())));
        let parse = read(&framed(b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17")).await;
        assert_eq!(parse.unwrap(), Some(Message::Parse { name: "s".into(), sql: "SELECT $1".into(), types: vec![23] }));
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0";
        let expected = Bind {
            portal: "p".into(),
            statement: "s".into(),
            parameter_formats: vec![1],
            parameters: vec![Some(b"ab".to_vec()), None],
            result_formats: vec![],
        };
        assert_eq!(read(&framed(b'B', body)).await.unwrap(), Some(Message::Bind(expected)));
        assert_eq!(read(b"").await.unwrap(), None);
    }

    #[tokio::test]
    async fn lengths_are_not_trusted() {
        let bodies: [(u8, &[u8]); 6] = [
            (b'P', b"s\0SELECT 1\0\xff\xff"),
            (b'B', b"p\0s\0\0\0\0\x01\x7f\xff\xff\xffab"),
            (b'Q', b"no end"),
            (b'Q', b"\xff\xfe\0"),
            (b'D', b"X\0"),
            (b'!', b""),
        ];
        for (kind, body) in bodies {
            let error = read(&framed(kind, body)).await.unwrap_err();
            assert!(matches!(error, ReadError::Malformed(_)), "{}: {error}", char::from(kind));
        }
        let long = read(b"Q\x7f\xff\xff\xff").await.unwrap_err();
        assert!(matches!(long, ReadError::TooLong { .. }), "{long}");
        let short = read(b"Q\0\0\0\x03").await.unwrap_err();
        assert!(matches!(short, ReadError::Malformed(_)), "{short}");
        let cut = read(b"Q\0\0\0\x40SELECT").await.unwrap_err();
        assert!(matches!(cut, ReadError::Io(_)), "{cut}");
    }

    #[tokio::test]
    async fn openings_are_told_apart() {
        async fn opened(body: &[u8]) -> Result<Option<Opening>, ReadError> {
            let mut bytes = (body.len() as u32 + 4).to_be_bytes().to_vec();
            bytes.extend(body);
            read_opening(&mut &bytes[..]).await
        }
        assert_eq!(opened(&80_877_103_i32.to_be_bytes()).await.unwrap(), Some(Opening::Tls));
        let startup = opened(b"\0\x03\0\0user\0me\0\0").await.unwrap();
        assert_eq!(startup, Some(Opening::Startup { version: (3, 0), parameters: vec![("user".into(), "me".into())] }));
        let cancel = opened(b"\x04\xd2\x16\x2e\0\0\0\x07abcd").await.unwrap();
        assert_eq!(cancel, Some(Opening::Cancel { process: 7, secret: b"abcd".to_vec() }));
        assert!(opened(b"\0\x03\0\0user\0me").await.is_err());
        assert!(read_opening(&mut &b"\xff\xff\xff\xff"[..]).await.is_err());
    }
}
