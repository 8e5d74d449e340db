//! The `.csv.metadata` object that Athena writes beside a result.
//!
//! Its format is not documented. Files that Athena wrote (the test resources of the public JDBC driver burtcorp/athena-jdbc, which parses them)
//! show a Protocol Buffers message: field 1 an id of the query in the engine, 2 and 3 what a statement that writes is called and its rows, 4 repeated for each column with 1 catalog, 4 name, 5 label,
//! 6 type, 7 precision, 8 scale, 9 nullability (1 not null, 2 nullable, 3 unknown), 10 case sensitivity; nested types have neither precision, scale
//! nor case sensitivity. We write the same.

use super::ResultColumn;

/// The bytes of the metadata object. `id` is a name of the query's run; readers skip it.
/// `update`: what a statement that writes is called (`INSERT`, `CREATE TABLE`, …), and its rows.
pub fn metadata_file(id: &str, columns: &[ResultColumn], update: Option<(&str, u64)>) -> Vec<u8> {
    let mut file = Vec::new();
    bytes_field(&mut file, 1, id.as_bytes());
    if let Some((kind, rows)) = update {
        bytes_field(&mut file, 2, kind.as_bytes());
        varint_field(&mut file, 3, rows);
    }
    for column in columns {
        let mut message = Vec::new();
        bytes_field(&mut message, 1, b"hive");
        bytes_field(&mut message, 4, column.name.as_bytes());
        bytes_field(&mut message, 5, column.name.as_bytes());
        bytes_field(&mut message, 6, column.data_type.as_bytes());
        let nested = matches!(column.data_type, "array" | "map" | "row");
        if !nested {
            varint_field(&mut message, 7, column.precision.unsigned_abs().into());
            varint_field(&mut message, 8, column.scale.unsigned_abs().into());
        }
        varint_field(&mut message, 9, 3);
        if !nested {
            varint_field(&mut message, 10, column.case_sensitive.into());
        }
        bytes_field(&mut file, 4, &message);
    }
    file
}

fn varint_field(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    varint(out, value);
}

fn bytes_field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TrinoType;

    #[test]
    fn the_bytes_are_those_that_athena_wrote() {
        let mut expected = b"\x0a\x1b20190513_152236_00114_n7swu".to_vec();
        for name in [b"_col0", b"_col1"] {
            expected.extend_from_slice(b"\x22\x25\x0a\x04hive\x22\x05");
            expected.extend_from_slice(name);
            expected.extend_from_slice(b"\x2a\x05");
            expected.extend_from_slice(name);
            expected.extend_from_slice(b"\x32\x07integer\x38\x0a\x40\x00\x48\x03\x50\x00");
        }
        let columns = [ResultColumn::new("_col0", &TrinoType::Integer), ResultColumn::new("_col1", &TrinoType::Integer)];
        assert_eq!(metadata_file("20190513_152236_00114_n7swu", &columns, None), expected);

        let list = TrinoType::Array(Box::new(TrinoType::Varchar(None)));
        let expected = b"\x0a\x1b20190423_125128_00001_ehtur\x22\x19\x0a\x04hive\x22\x03ary\x2a\x03ary2\x05array\x48\x03";
        assert_eq!(metadata_file("20190423_125128_00001_ehtur", &[ResultColumn::new("ary", &list)], None), expected);
    }
}
