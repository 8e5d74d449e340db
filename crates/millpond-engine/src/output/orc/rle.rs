//! Run-length encodings of version 1 (Apache ORC specification, "Run Length Encoding").

/// Values that are encoded together: runs end with them.
const CHUNK: usize = 4096;

/// Appends a number in groups of seven bits.
pub(super) fn varint(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of which small ones of either sign have few bits.
pub(super) fn zigzag(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)).cast_unsigned()
}

/// Integers.
#[derive(Debug, Default)]
pub(super) struct Integers {
    signed: bool,
    waiting: Vec<i64>,
    out: Vec<u8>,
}

impl Integers {
    pub(super) fn new(signed: bool) -> Self {
        Self { signed, ..Self::default() }
    }

    pub(super) fn push(&mut self, value: i64) {
        self.waiting.push(value);
        if self.waiting.len() >= CHUNK {
            self.encode();
        }
    }

    pub(super) fn held(&self) -> usize {
        self.out.len() + self.waiting.len() * 8
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.encode();
        std::mem::take(&mut self.out)
    }

    fn number(&mut self, value: i64) {
        let bits = if self.signed { zigzag(i128::from(value)) } else { u128::from(value.cast_unsigned()) };
        varint(bits, &mut self.out);
    }

    fn encode(&mut self) {
        let values = std::mem::take(&mut self.waiting);
        let mut at = 0;
        let mut literals = 0;
        while at < values.len() {
            let run = run(&values[at..]);
            if run < 3 {
                at += 1;
                if at - literals == 128 {
                    self.literals(&values[literals..at]);
                    literals = at;
                }
                continue;
            }
            self.literals(&values[literals..at]);
            self.out.push((run - 3) as u8);
            self.out.push(values[at + 1].wrapping_sub(values[at]) as u8);
            self.number(values[at]);
            at += run;
            literals = at;
        }
        self.literals(&values[literals..]);
        self.waiting = values;
        self.waiting.clear();
    }

    fn literals(&mut self, values: &[i64]) {
        if values.is_empty() {
            return;
        }
        self.out.push((values.len() as u8).wrapping_neg());
        for &value in values {
            self.number(value);
        }
    }
}

/// How many of the first values rise by one and the same step of a byte.
fn run(values: &[i64]) -> usize {
    let [first, second, ..] = values else { return values.len() };
    let Some(step) = second.checked_sub(*first).filter(|step| (-128..=127).contains(step)) else { return 1 };
    let rises = |pair: &&[i64]| pair[1].checked_sub(pair[0]) == Some(step);
    1 + values.windows(2).take(129).take_while(rises).count()
}

/// Bytes.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    waiting: Vec<u8>,
    out: Vec<u8>,
}

impl Bytes {
    pub(super) fn push(&mut self, byte: u8) {
        self.waiting.push(byte);
        if self.waiting.len() >= CHUNK {
            self.encode();
        }
    }

    pub(super) fn held(&self) -> usize {
        self.out.len() + self.waiting.len()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.encode();
        std::mem::take(&mut self.out)
    }

    fn encode(&mut self) {
        let bytes = std::mem::take(&mut self.waiting);
        let mut at = 0;
        let mut literals = 0;
        while at < bytes.len() {
            let run = bytes[at..].iter().take(130).take_while(|byte| **byte == bytes[at]).count();
            if run < 3 {
                at += 1;
                if at - literals == 128 {
                    self.literals(&bytes[literals..at]);
                    literals = at;
                }
                continue;
            }
            self.literals(&bytes[literals..at]);
            self.out.push((run - 3) as u8);
            self.out.push(bytes[at]);
            at += run;
            literals = at;
        }
        self.literals(&bytes[literals..]);
    }

    fn literals(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.out.push((bytes.len() as u8).wrapping_neg());
            self.out.extend_from_slice(bytes);
        }
    }
}

/// Bits, the first of a byte highest.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Bytes,
    byte: u8,
    count: u8,
}

impl Bits {
    pub(super) fn push(&mut self, bit: bool) {
        self.byte = self.byte << 1 | u8::from(bit);
        self.count += 1;
        if self.count == 8 {
            self.bytes.push(self.byte);
            (self.byte, self.count) = (0, 0);
        }
    }

    pub(super) fn held(&self) -> usize {
        self.bytes.held()
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.byte << (8 - self.count));
            (self.byte, self.count) = (0, 0);
        }
        self.bytes.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_the_specification() {
        let encoded = |values: &[i64], signed| {
            let mut integers = Integers::new(signed);
            values.iter().for_each(|value| integers.push(*value));
            integers.take()
        };
        // The examples of the specification.
        assert_eq!(encoded(&[7; 100], false), [0x61, 0x00, 0x07]);
        let falling: Vec<i64> = (1..=100).rev().collect();
        assert_eq!(encoded(&falling, false), [0x61, 0xff, 0x64]);
        assert_eq!(encoded(&[2, 3, 6, 7, 11], false), [0xfb, 0x02, 0x03, 0x06, 0x07, 0x0b]);
        assert_eq!(encoded(&[-1, 5], true), [0xfe, 0x01, 0x0a]);
        let mut bytes = Bytes::default();
        (0..100).for_each(|_| bytes.push(0));
        assert_eq!(bytes.take(), [0x61, 0x00]);
        [0x44, 0x45].into_iter().for_each(|byte| bytes.push(byte));
        assert_eq!(bytes.take(), [0xfe, 0x44, 0x45]);
        let mut bits = Bits::default();
        [true, false, false, false, false, false, false, false].into_iter().for_each(|bit| bits.push(bit));
        assert_eq!(bits.take(), [0xff, 0x80]);
    }
}
