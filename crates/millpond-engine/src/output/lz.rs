//! Snappy's and LZ4's raw formats, for blocks of some hundred kilobytes: both are literals and copies from what came before, found by one table of
//! hashes of four bytes.

/// Bits of the table's index.
const HASH_BITS: u32 = 14;

/// How far back copies may reach.
const REACH: usize = 65_535;

/// What a block is made of: literals, then a copy of `length` bytes from `back` bytes before; the last has no copy.
struct Sequence<'a> {
    literals: &'a [u8],
    back: usize,
    length: usize,
}

/// Takes a block apart. No copy reaches into its last `tail` bytes.
fn sequences<'a>(block: &'a [u8], tail: usize, mut each: impl FnMut(Sequence<'a>)) {
    let mut table = vec![0u32; 1 << HASH_BITS];
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let end = block.len().saturating_sub(tail);
    let (mut at, mut literals) = (0, 0);
    while at + 4 <= end {
        let slot = (word(at).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize;
        // Places are kept with one added, so that 0 is none.
        let before = table[slot] as usize;
        table[slot] = at as u32 + 1;
        let found = before.checked_sub(1).filter(|&before| at - before <= REACH && word(before) == word(at));
        let Some(before) = found else {
            // Where nothing repeats, steps grow.
            at += 1 + ((at - literals) >> 6);
            continue;
        };
        let more = block[before + 4..].iter().zip(&block[at + 4..end]).take_while(|(a, b)| a == b).count();
        each(Sequence { literals: &block[literals..at], back: at - before, length: 4 + more });
        at += 4 + more;
        literals = at;
    }
    each(Sequence { literals: &block[literals..], back: 0, length: 0 });
}

/// Snappy's raw format (google/snappy, "format_description.txt").
pub(super) fn snappy(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() / 2 + 16);
    let mut length = block.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    sequences(block, 0, |sequence| {
        if let Some(last) = sequence.literals.len().checked_sub(1) {
            match last {
                0..60 => out.push((last as u8) << 2),
                60..256 => out.extend([60 << 2, last as u8]),
                256..65_536 => {
                    out.push(61 << 2);
                    out.extend((last as u16).to_le_bytes());
                }
                _ => {
                    out.push(63 << 2);
                    out.extend((last as u32).to_le_bytes());
                }
            }
            out.extend_from_slice(sequence.literals);
        }
        let mut left = sequence.length;
        while left > 0 {
            let piece = left.min(64);
            out.push(((piece - 1) as u8) << 2 | 2);
            out.extend((sequence.back as u16).to_le_bytes());
            left -= piece;
        }
    });
    out
}

/// LZ4's block format (lz4/lz4, "lz4_Block_format.md"): the last five bytes are literals, and no copy begins in the last twelve.
pub(super) fn lz4(block: &[u8]) -> Vec<u8> {
    fn beyond(mut rest: usize, out: &mut Vec<u8>) {
        while rest >= 255 {
            out.push(255);
            rest -= 255;
        }
        out.push(rest as u8);
    }
    let mut out = Vec::with_capacity(block.len() / 2 + 16);
    sequences(block, 12, |sequence| {
        let literals = sequence.literals.len();
        let copied = sequence.length.saturating_sub(4);
        out.push((literals.min(15) as u8) << 4 | copied.min(15) as u8);
        if literals >= 15 {
            beyond(literals - 15, &mut out);
        }
        out.extend_from_slice(sequence.literals);
        if sequence.length > 0 {
            out.extend((sequence.back as u16).to_le_bytes());
            if copied >= 15 {
                beyond(copied - 15, &mut out);
            }
        }
    });
    out
}
