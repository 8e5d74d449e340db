//! A block's bytes as its codec packed them ("Required Codecs" and "Optional Codecs" in the Avro specification), up to a bound.

use std::io::{self, Read, Write};

/// Bytes of one block at the most, unpacked.
pub(super) const BLOCK_BYTES_MAX: u64 = 256 << 20;
/// Deflate makes no more bytes out of one.
const DEFLATE_RATIO: u64 = 1032;
/// About what it makes out of one.
const DEFLATE_USUAL_RATIO: u64 = 4;
/// The longest packed block of `xz`, whose bytes are believed without a look.
const XZ_BYTES_MAX: u64 = 64 << 10;

pub(super) fn damaged(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

fn too_large(most: u64) -> io::Error {
    damaged(format!("a block has more than {most} bytes unpacked"))
}

/// Reads a packed block of `length` bytes, and refuses one of more than `most` bytes unpacked. Answers about how many it has.
pub(super) fn measure(codec: &str, length: u64, block: &mut dyn Read, most: u64) -> io::Result<u64> {
    if length > most {
        return Err(too_large(most));
    }
    match codec {
        "xz" if length > XZ_BYTES_MAX => {
            Err(damaged(format!("a block packed by xz has more than {XZ_BYTES_MAX} bytes; write the file with another codec")))
        }
        "snappy" => {
            let (bytes, _) = snappy_length(block)?;
            if bytes > most { Err(too_large(most)) } else { Ok(bytes) }
        }
        "deflate" if length * DEFLATE_RATIO > most => bounded(&mut flate2::read::DeflateDecoder::new(block), most),
        "zstandard" => bounded(&mut zstd::Decoder::new(block)?, most),
        "bzip2" => bounded(&mut bzip2::read::BzDecoder::new(block), most),
        "deflate" => Ok(length.saturating_mul(DEFLATE_USUAL_RATIO)),
        _ => Ok(length),
    }
}

fn bounded(unpacked: &mut dyn Read, most: u64) -> io::Result<u64> {
    let count = io::copy(&mut unpacked.take(most + 1), &mut io::sink())?;
    if count > most { Err(too_large(most)) } else { Ok(count) }
}

/// A block's bytes, unpacked: `most` of them at the most.
pub(super) fn unpack(codec: &str, block: &[u8], most: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let unpacked: &mut dyn Read = match codec {
        "null" | "" => return Ok(block.to_vec()),
        "snappy" => return snappy(block, most),
        "deflate" => &mut flate2::read::DeflateDecoder::new(block),
        "zstandard" => &mut zstd::Decoder::new(block)?,
        "bzip2" => &mut bzip2::read::BzDecoder::new(block),
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err(damaged(format!("blocks are packed by '{shown}', which is not supported here")));
        }
    };
    unpacked.take(most + 1).read_to_end(&mut out)?;
    if out.len() as u64 > most { Err(too_large(most)) } else { Ok(out) }
}

/// The bytes that a snappy block promises, and how many say so.
fn snappy_length(block: &mut dyn Read) -> io::Result<(u64, usize)> {
    let mut value = 0u64;
    for index in 0..5 {
        let mut byte = [0];
        block.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << (7 * index);
        if byte[0] & 0x80 == 0 {
            return Ok((value, index + 1));
        }
    }
    Err(damaged("a block packed by snappy has no length"))
}

/// Snappy's format: literals, and copies of what came before (snappy's `format_description.txt`). Four bytes at the end are a checksum, which the
/// reader checks.
fn snappy(block: &[u8], most: u64) -> io::Result<Vec<u8>> {
    let broken = || damaged("a block packed by snappy is damaged");
    let packed = block.len().checked_sub(4).map(|end| &block[..end]).ok_or_else(broken)?;
    let (length, at) = snappy_length(&mut &*packed)?;
    if length > most {
        return Err(too_large(most));
    }
    let (mut rest, mut out) = (&packed[at..], Vec::new());
    let number = |rest: &mut &[u8], bytes: usize| -> io::Result<usize> {
        let (head, tail) = rest.split_at_checked(bytes).ok_or_else(broken)?;
        *rest = tail;
        Ok(head.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    };
    while let Some((&tag, tail)) = rest.split_first() {
        rest = tail;
        let high = usize::from(tag >> 2);
        let (count, back) = match tag & 3 {
            0 => {
                let count = 1 + if high < 60 { high } else { number(&mut rest, high - 59)? };
                let (literal, tail) = rest.split_at_checked(count).ok_or_else(broken)?;
                out.write_all(literal)?;
                rest = tail;
                (0, 0)
            }
            1 => (4 + (high & 7), (high >> 3) << 8 | number(&mut rest, 1)?),
            2 => (1 + high, number(&mut rest, 2)?),
            _ => (1 + high, number(&mut rest, 4)?),
        };
        if count > 0 {
            let from = out.len().checked_sub(back).filter(|_| back > 0).ok_or_else(broken)?;
            for index in from..from + count {
                out.push(out[index]);
            }
        }
        if out.len() as u64 > length {
            return Err(broken());
        }
    }
    if out.len() as u64 == length { Ok(out) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(bytes: u64) -> Vec<u8> {
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        io::copy(&mut io::repeat(b' ').take(bytes), &mut packed).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn blocks_that_grow_without_end_are_refused() {
        const MOST: u64 = 1 << 20;
        let bomb = deflated(MOST + 1);
        assert!(bomb.len() < 1 << 12);
        assert!(measure("deflate", bomb.len() as u64, &mut bomb.as_slice(), MOST).is_err());
        assert!(unpack("deflate", &bomb, MOST).is_err());
        let fine = deflated(MOST);
        measure("deflate", fine.len() as u64, &mut fine.as_slice(), MOST).unwrap();
        let mut packed = zstd::Encoder::new(Vec::new(), 3).unwrap();
        io::copy(&mut io::repeat(b' ').take(MOST + 1), &mut packed).unwrap();
        let bomb = packed.finish().unwrap();
        assert!(measure("zstandard", bomb.len() as u64, &mut bomb.as_slice(), MOST).is_err());
        assert!(measure("snappy", 5, &mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..], MOST).is_err());
        assert!(measure("null", MOST + 1, &mut io::empty(), MOST).is_err());
    }

    #[test]
    fn snappy_is_unpacked() {
        // "Wikipedia is a free" with a literal, and a copy that overlaps itself.
        let block = [11, 2 << 2, b'a', b'b', b'c', (8 - 1) << 2 | 2, 3, 0, 0, 0, 0, 0];
        assert_eq!(unpack("snappy", &block, 100).unwrap(), b"abcabcabcab");
        for end in 0..block.len() - 1 {
            assert!(unpack("snappy", &block[..end], 100).is_err());
        }
        assert!(unpack("snappy", &[4, 3 << 2 | 2, 1, 0, 0, 0, 0, 0], 100).is_err(), "a copy of nothing");
    }
}
