//! Small blocks of Snappy and LZ4: those of footers, which say what a file claims before its reader is asked.

/// Footers are never so long.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// One raw Snappy block (Snappy format description).
pub(super) fn snappy(mut input: &[u8], out: &mut Vec<u8>) -> Option<()> {
    super::varint(&mut input)?;
    let start = out.len();
    while let Some((&tag, rest)) = input.split_first() {
        input = rest;
        let number = |input: &mut &[u8], bytes: usize| {
            let (number, rest) = input.split_at_checked(bytes)?;
            *input = rest;
            Some(number.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)))
        };
        let (offset, length) = match tag & 3 {
            0 => {
                let length = match usize::from(tag >> 2) {
                    short @ 0..60 => short + 1,
                    long => number(&mut input, long - 59)? + 1,
                };
                let (literal, rest) = input.split_at_checked(length)?;
                input = rest;
                out.extend_from_slice(literal);
                continue;
            }
            1 => (usize::from(tag >> 5) << 8 | number(&mut input, 1)?, usize::from(tag >> 2 & 7) + 4),
            2 => (number(&mut input, 2)?, usize::from(tag >> 2) + 1),
            _ => (number(&mut input, 4)?, usize::from(tag >> 2) + 1),
        };
        repeat(out, start, offset, length)?;
    }
    Some(())
}

/// One raw LZ4 block (LZ4 block format description).
pub(super) fn lz4(mut input: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    while let Some((&token, rest)) = input.split_first() {
        input = rest;
        let literals = length(&mut input, usize::from(token >> 4))?;
        let (literal, rest) = input.split_at_checked(literals)?;
        input = rest;
        out.extend_from_slice(literal);
        if input.is_empty() {
            break;
        }
        let (offset, rest) = input.split_at_checked(2)?;
        input = rest;
        let matched = length(&mut input, usize::from(token & 15))? + 4;
        repeat(out, start, usize::from(u16::from_le_bytes([offset[0], offset[1]])), matched)?;
    }
    Some(())
}

fn length(input: &mut &[u8], nibble: usize) -> Option<usize> {
    let mut length = nibble;
    if nibble == 15 {
        loop {
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            length += usize::from(byte);
            if byte != 255 {
                break;
            }
        }
    }
    Some(length)
}

/// Repeats what was written `offset` bytes ago in this block; it may overlap what it writes.
fn repeat(out: &mut Vec<u8>, start: usize, offset: usize, length: usize) -> Option<()> {
    let from = out.len().checked_sub(offset).filter(|from| offset > 0 && *from >= start)?;
    if out.len() + length > UNPACKED_BYTES_MAX {
        return None;
    }
    for at in from..from + length {
        out.push(out[at]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_unpacked_and_damaged_ones_are_not() {
        let mut out = Vec::new();
        snappy(&[12, 0x08, b'a', b'b', b'c', 0x11, 3, 0x00, b'!'], &mut out).unwrap();
        assert_eq!(out, b"abcabcabcab!");
        let mut out = Vec::new();
        lz4(&[0x31, b'a', b'b', b'c', 3, 0, 0x10, b'!'], &mut out).unwrap();
        assert_eq!(out, b"abcabcab!");
        for bad in [&[5, 0x11, 9][..], &[5, 0x08, b'a'], &[0xff]] {
            assert_eq!(snappy(bad, &mut Vec::new()), None, "{bad:?}");
        }
        for bad in [&[0x10][..], &[0x11, b'a', 9, 0, 0x00], &[0xf0, 255]] {
            assert_eq!(lz4(bad, &mut Vec::new()), None, "{bad:?}");
        }
    }
}
