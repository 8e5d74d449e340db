//! SpookyHash version 2 (Bob Jenkins, in the public domain: `burtleburtle.net/bob/hash/spooky.html`) with seeds 0.

const CONSTANT: u64 = 0xdead_beef_dead_beef;
/// Words of the long hash's state, and bytes of a block.
const WORDS: usize = 12;
const BLOCK: usize = WORDS * 8;
/// Below this the short hash is used.
const LONG: usize = BLOCK * 2;

pub(super) fn hash32(bytes: &[u8]) -> u32 {
    u32::try_from(hash64(bytes) & u64::from(u32::MAX)).unwrap_or(0)
}

pub(super) fn hash64(bytes: &[u8]) -> u64 {
    if bytes.len() < LONG { short(bytes) } else { long(bytes) }
}

/// Up to eight bytes, the lowest first.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn short(bytes: &[u8]) -> u64 {
    let [mut a, mut b, mut c, mut d] = [0, 0, CONSTANT, CONSTANT];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        c = c.wrapping_add(word(&block[..8]));
        d = d.wrapping_add(word(&block[8..16]));
        short_mix(&mut a, &mut b, &mut c, &mut d);
        a = a.wrapping_add(word(&block[16..24]));
        b = b.wrapping_add(word(&block[24..]));
    }
    let mut rest = blocks.remainder();
    if rest.len() >= 16 {
        c = c.wrapping_add(word(&rest[..8]));
        d = d.wrapping_add(word(&rest[8..16]));
        short_mix(&mut a, &mut b, &mut c, &mut d);
        rest = &rest[16..];
    }
    d = d.wrapping_add((bytes.len() as u64) << 56);
    match rest.len() {
        0 => {
            c = c.wrapping_add(CONSTANT);
            d = d.wrapping_add(CONSTANT);
        }
        1..8 => c = c.wrapping_add(word(rest)),
        _ => {
            c = c.wrapping_add(word(&rest[..8]));
            d = d.wrapping_add(word(&rest[8..]));
        }
    }
    short_end(&mut a, &mut b, &mut c, &mut d);
    a
}

fn short_mix(a: &mut u64, b: &mut u64, c: &mut u64, d: &mut u64) {
    let mut step = |x: u8, by: u32| {
        let (turned, added, mixed): (&mut u64, u64, &mut u64) = match x {
            0 => (&mut *c, *d, &mut *a),
            1 => (&mut *d, *a, &mut *b),
            2 => (&mut *a, *b, &mut *c),
            _ => (&mut *b, *c, &mut *d),
        };
        *turned = turned.rotate_left(by).wrapping_add(added);
        *mixed ^= *turned;
    };
    for (index, by) in [50, 52, 30, 41, 54, 48, 38, 37, 62, 34, 5, 36].into_iter().enumerate() {
        step((index % 4) as u8, by);
    }
}

fn short_end(a: &mut u64, b: &mut u64, c: &mut u64, d: &mut u64) {
    for (index, by) in [15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63].into_iter().enumerate() {
        let (mixed, turned): (&mut u64, &mut u64) = match index % 4 {
            0 => (&mut *d, &mut *c),
            1 => (&mut *a, &mut *d),
            2 => (&mut *b, &mut *a),
            _ => (&mut *c, &mut *b),
        };
        *mixed ^= *turned;
        *turned = turned.rotate_left(by);
        *mixed = mixed.wrapping_add(*turned);
    }
}

fn long(bytes: &[u8]) -> u64 {
    let mut state = [0u64; WORDS];
    for index in (2..WORDS).step_by(3) {
        state[index] = CONSTANT;
    }
    let mut blocks = bytes.chunks_exact(BLOCK);
    for block in &mut blocks {
        mix(block, &mut state);
    }
    let rest = blocks.remainder();
    let mut last = [0u8; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    last[BLOCK - 1] = u8::try_from(rest.len()).unwrap_or(0);
    for (index, word_bytes) in last.chunks_exact(8).enumerate() {
        state[index] = state[index].wrapping_add(word(word_bytes));
    }
    for _ in 0..3 {
        end_part(&mut state);
    }
    state[0]
}

const MIX: [u32; WORDS] = [11, 32, 43, 31, 17, 28, 39, 57, 55, 54, 22, 46];
const END: [u32; WORDS] = [44, 15, 34, 21, 38, 33, 10, 13, 38, 53, 42, 54];

fn mix(block: &[u8], s: &mut [u64; WORDS]) {
    for index in 0..WORDS {
        let at = |offset: usize| (index + offset) % WORDS;
        s[index] = s[index].wrapping_add(word(&block[index * 8..index * 8 + 8]));
        s[at(2)] ^= s[at(10)];
        s[at(11)] ^= s[index];
        s[index] = s[index].rotate_left(MIX[index]);
        s[at(11)] = s[at(11)].wrapping_add(s[at(1)]);
    }
}

fn end_part(h: &mut [u64; WORDS]) {
    for (index, by) in END.into_iter().enumerate() {
        let at = |offset: usize| (index + offset) % WORDS;
        h[at(11)] = h[at(11)].wrapping_add(h[at(1)]);
        h[at(2)] ^= h[at(11)];
        h[at(1)] = h[at(1)].rotate_left(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_the_documented_hash() {
        assert_eq!(hash32(b""), 0x6bf5_0919);
        assert_eq!(hash64(b""), 0x2327_06fc_6bf5_0919);
    }

    #[test]
    fn each_byte_counts_whatever_the_length() {
        for length in [1, 7, 8, 15, 16, 31, 32, 100, 191, 192, 193, 300] {
            let bytes = vec![7u8; length];
            for index in 0..length {
                let mut other = bytes.clone();
                other[index] ^= 1;
                assert_ne!(hash64(&bytes), hash64(&other), "{length} bytes, the one at {index}");
            }
        }
    }
}
