//! Walks over a block's records as their schema says, so that no reader has to believe a length or a count that the block does not have.

use super::schema::{Shape, Type};

/// Records without bytes in one block at the most.
const EMPTY_RECORDS_MAX: u64 = 1 << 20;

/// Bytes of a block that are still to come.
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl Walk<'_> {
    /// Walks over `count` records.
    ///
    /// # Errors
    /// The block has not so many.
    pub(super) fn records(&mut self, count: u64, shape: &Shape) -> Result<(), String> {
        if shape.is_empty() && count > EMPTY_RECORDS_MAX {
            return Err(format!("a block promises {count} records of no bytes"));
        }
        for _ in 0..count {
            self.value(shape)?;
        }
        Ok(())
    }

    fn value(&mut self, shape: &Shape) -> Result<(), String> {
        match &shape.kind {
            Type::Nothing => Ok(()),
            Type::Fixed(bytes) => self.skip(*bytes),
            Type::Number => self.number().map(drop),
            Type::Bytes => self.bytes(),
            Type::Record(fields) => fields.iter().try_for_each(|field| self.value(field)),
            Type::Array(item) => self.blocks(|walk| walk.value(item)),
            Type::Map(item) => self.blocks(|walk| walk.bytes().and_then(|()| walk.value(item))),
            Type::Union(branches) => {
                let branch = usize::try_from(self.number()?).ok().and_then(|index| branches.get(index));
                self.value(branch.ok_or("a union has no such branch")?)
            }
        }
    }

    /// Each item has a byte at least: see what the schema may not have.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        loop {
            let count = self.number()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.number()?;
            }
            if count.unsigned_abs() > self.0.len() as u64 {
                return Err(format!("a block of {} bytes promises {} items", self.0.len(), count.unsigned_abs()));
            }
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
        }
    }

    fn bytes(&mut self) -> Result<(), String> {
        let length = u64::try_from(self.number()?).map_err(|_| "a length is negative")?;
        self.skip(length)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), String> {
        let rest = usize::try_from(bytes).ok().and_then(|bytes| self.0.get(bytes..));
        self.0 = rest.ok_or_else(|| format!("a value of {bytes} bytes is longer than its block"))?;
        Ok(())
    }

    /// A zigzag number of variable length.
    fn number(&mut self) -> Result<i64, String> {
        let mut value = 0u64;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err("a number has no end".into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::parse;
    use super::*;

    #[test]
    fn counts_and_lengths_are_within_the_block() {
        let nested = r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"array","items":["null","string"]}},{"name":"m","type":{"type":"map","values":"int"}}]}"#;
        // Two items: NULL, 'x'; one entry: k = 1.
        let good = [4, 0, 2, 2, b'x', 0, 2, 2, b'k', 2, 0];
        let shape = parse(nested.as_bytes()).unwrap();
        let mut walk = Walk(&good);
        walk.records(1, &shape).unwrap();
        assert!(walk.0.is_empty());
        assert!(Walk(&good).records(2, &shape).is_err(), "there is only one");
        let promised = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0];
        assert!(Walk(&promised).records(1, &shape).unwrap_err().contains("promises"));
        let text = parse(br#""string""#).unwrap();
        assert!(Walk(&[20, b'x']).records(1, &text).is_err());
        assert!(Walk(&[1, b'x']).records(1, &text).is_err(), "a negative length");
        let union = parse(br#"["null"]"#).unwrap();
        assert!(Walk(&[2]).records(1, &union).is_err());
        let nothing = parse(br#""null""#).unwrap();
        assert!(Walk(&[]).records(5, &nothing).is_ok());
        assert!(Walk(&[]).records(1 << 40, &nothing).is_err());
    }
}
