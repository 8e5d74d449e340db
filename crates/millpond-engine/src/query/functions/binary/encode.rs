//! Bytes as text in several bases, numbers as bytes, compression.

use crate::query::functions::call::{Call, VALUE_BYTES_MAX, bad, check_bytes, each};
use crate::query::functions::{Function, function};
use arrow::array::ArrayRef;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use datafusion::common::Result;
use std::io::Read;

/// Padding is written, and not asked for.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("to_hex", TO_TEXT, |call| each!(call, TextOut, |bytes: 0 bytes| Some(hex(bytes)))),
        function("from_hex", FROM_TEXT, |call| {
            if *call.arrays[0].data_type() == arrow::datatypes::DataType::Binary {
                return each!(call, BytesOut, |text: 0 bytes| Some(from_hex(text)?));
            }
            each!(call, BytesOut, |text: 0 text| Some(from_hex(text.as_bytes())?))
        }),
        function("to_base64", TO_TEXT, |call| each!(call, TextOut, |bytes: 0 bytes| Some(STANDARD.encode(bytes)))),
        function("from_base64", FROM_TEXT, |call| from_base64(call, &STANDARD)),
        function("to_base64url", TO_TEXT, |call| each!(call, TextOut, |bytes: 0 bytes| Some(URL_SAFE.encode(bytes)))),
        function("from_base64url", FROM_TEXT, |call| from_base64(call, &URL_SAFE)),
        function("to_base32", TO_TEXT, |call| each!(call, TextOut, |bytes: 0 bytes| Some(to_base32(bytes)))),
        function("from_base32", FROM_TEXT, |call| {
            if *call.arrays[0].data_type() == arrow::datatypes::DataType::Binary {
                return each!(call, BytesOut, |text: 0 bytes| Some(from_base32(text)?));
            }
            each!(call, BytesOut, |text: 0 text| Some(from_base32(text.as_bytes())?))
        }),
        function("to_big_endian_32", &["(integer) -> varbinary", "(bigint) -> varbinary"], to_big_endian_32),
        function(
            "from_big_endian_32",
            &["(varbinary) -> integer"],
            |call| each!(call, SmallOut, |bytes: 0 bytes| Some(i32::from_be_bytes(exactly(bytes, "4-byte")?))),
        ),
        function(
            "to_big_endian_64",
            &["(bigint) -> varbinary"],
            |call| each!(call, BytesOut, |value: 0 int| Some(value.to_be_bytes())),
        ),
        function(
            "from_big_endian_64",
            &["(varbinary) -> bigint"],
            |call| each!(call, IntOut, |bytes: 0 bytes| Some(i64::from_be_bytes(exactly(bytes, "8-byte")?))),
        ),
        function(
            "to_ieee754_32",
            &["(real) -> varbinary"],
            |call| each!(call, BytesOut, |value: 0 real| Some(value.to_be_bytes())),
        ),
        function(
            "from_ieee754_32",
            &["(varbinary) -> real"],
            |call| each!(call, DoubleOut, |bytes: 0 bytes| Some(f64::from(f32::from_be_bytes(exactly(bytes, "4-byte")?)))),
        ),
        function(
            "to_ieee754_64",
            &["(double) -> varbinary"],
            |call| each!(call, BytesOut, |value: 0 double| Some(value.to_be_bytes())),
        ),
        function(
            "from_ieee754_64",
            &["(varbinary) -> double"],
            |call| each!(call, DoubleOut, |bytes: 0 bytes| Some(f64::from_be_bytes(exactly(bytes, "8-byte")?))),
        ),
        function("zstd_compress", &["(varbinary) -> varbinary", "(varbinary, bigint) -> varbinary"], compress),
        function(
            "zstd_decompress",
            &["(varbinary) -> varbinary"],
            |call| each!(call, BytesOut, |bytes: 0 bytes| Some(decompress(bytes)?)),
        ),
    ]
}

const TO_TEXT: &[&str] = &["(varbinary) -> varchar"];
const FROM_TEXT: &[&str] = &["(varchar) -> varbinary", "(varbinary) -> varbinary"];

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(text: &[u8]) -> Result<Vec<u8>> {
    if text.len() % 2 == 1 {
        return Err(bad(format!("hex text must have an even number of digits: it has {}", text.len())));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    let bytes: Option<Vec<u8>> = text.chunks_exact(2).map(byte).collect();
    bytes.ok_or_else(|| bad(format!("not a hex text: '{}'", String::from_utf8_lossy(&text[..text.len().min(50)]))))
}

fn from_base64(call: &Call<'_>, alphabet: &GeneralPurpose) -> Result<ArrayRef> {
    let decode = |text: &[u8]| alphabet.decode(text).map_err(|error| bad(format!("not a base64 text: {error}")));
    if *call.arrays[0].data_type() == arrow::datatypes::DataType::Binary {
        return each!(call, BytesOut, |text: 0 bytes| Some(decode(text)?));
    }
    each!(call, BytesOut, |text: 0 text| Some(decode(text.as_bytes())?))
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn to_base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut group = [0u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group);
        let used = (chunk.len() * 8).div_ceil(5);
        for index in 0..8 {
            let value = usize::try_from(bits >> (35 - 5 * index) & 31).unwrap_or(0);
            out.push(if index < used { char::from(BASE32[value]) } else { '=' });
        }
    }
    out
}

fn from_base32(text: &[u8]) -> Result<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::with_capacity(end * 5 / 8));
    for byte in &text[..end] {
        let value = BASE32.iter().position(|letter| *letter == byte.to_ascii_uppercase());
        let value = value.ok_or_else(|| bad(format!("not a base32 text: it has the character '{}'", char::from(*byte))))?;
        bits = (bits << 5 | u32::try_from(value).unwrap_or(0)) & 0xFFFF;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 255).unwrap_or(0));
        }
    }
    Ok(out)
}

fn exactly<const N: usize>(bytes: &[u8], size: &str) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| bad(format!("expected {size} input, but got instead: {} bytes", bytes.len())))
}

fn to_big_endian_32(call: &Call<'_>) -> Result<ArrayRef> {
    let wide = arrow::compute::cast(&call.arrays[0], &arrow::datatypes::DataType::Int64)?;
    let arrays = [wide];
    let call = Call { arrays: &arrays, ..*call };
    each!(&call, BytesOut, |value: 0 int| {
        let small = i32::try_from(value).map_err(|_| crate::query::functions::call::out_of_range(format!("Out of range for integer: {value}")))?;
        Some(small.to_be_bytes())
    })
}

fn compress(call: &Call<'_>) -> Result<ArrayRef> {
    let failed = |error: std::io::Error| bad(format!("the value could not be compressed: {error}"));
    if call.count() == 1 {
        return each!(call, BytesOut, |bytes: 0 bytes| Some(zstd::bulk::compress(bytes, 3).map_err(failed)?));
    }
    each!(call, BytesOut, |bytes: 0 bytes, level: 1 int| {
        let level = i32::try_from(level).ok().filter(|level| (1..=22).contains(level));
        let level = level.ok_or_else(|| bad("the compression level is from 1 to 22"))?;
        Some(zstd::bulk::compress(bytes, level).map_err(failed)?)
    })
}

/// A few bytes can stand for gigabytes: what comes out is counted as it comes.
fn decompress(bytes: &[u8]) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| bad(format!("the value is not compressed by zstd: {error}"));
    let mut out = Vec::new();
    let reader = zstd::stream::read::Decoder::new(bytes).map_err(failed)?;
    reader.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut out).map_err(failed)?;
    check_bytes(out.len())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_goes_both_ways() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|index| index.wrapping_mul(77)).collect();
            assert_eq!(from_base32(to_base32(&bytes).as_bytes()).unwrap(), bytes);
        }
        assert!(from_base32(b"1").is_err());
    }

    #[test]
    fn bombs_are_refused() {
        let bomb = zstd::bulk::compress(&vec![0; VALUE_BYTES_MAX + 1], 1).unwrap();
        assert!(bomb.len() < 100_000 && decompress(&bomb).is_err());
    }
}
