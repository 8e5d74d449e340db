//! Texts made of others: cut, padded, joined, in another case; and bytes where the function takes them too.

use crate::query::functions::call::{Call, TextOut, bad, check_bytes, each};
use crate::query::functions::{Function, function};
use crate::types::TrinoType;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use std::borrow::Cow;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("upper", &["(varchar) -> varchar"], |call| each!(call, TextOut, |text: 0 text| Some(upper(text)))),
        function("lower", &["(varchar) -> varchar"], |call| each!(call, TextOut, |text: 0 text| Some(lower(text)))),
        function("title_case", &["(varchar) -> varchar"], |call| each!(call, TextOut, |text: 0 text| Some(title_case(text)))),
        function("length", &["(varchar) -> bigint", "(varbinary) -> bigint"], length),
        function("reverse", &["(varchar) -> varchar", "(varbinary) -> varbinary", "(array(T)) -> array(T)"], reverse),
        function("substr", SUBSTR, substr),
        function("substring", SUBSTR, substr),
        function("lpad", PAD, |call| pad(call, true)),
        function("rpad", PAD, |call| pad(call, false)),
        function("trim", TRIM, |call| trim(call, true, true)),
        function("btrim", TRIM, |call| trim(call, true, true)),
        function("ltrim", TRIM, |call| trim(call, true, false)),
        function("rtrim", TRIM, |call| trim(call, false, true)),
        function("replace", &["(varchar, varchar) -> varchar", "(varchar, varchar, varchar) -> varchar"], replace),
        function(
            "translate",
            &["(varchar, varchar, varchar) -> varchar"],
            |call| each!(call, TextOut, |text: 0 text, from: 1 text, to: 2 text| Some(translate(text, from, to))),
        ),
        function("overlay", &["(varchar, varchar, bigint) -> varchar", "(varchar, varchar, bigint, bigint) -> varchar"], overlay),
        function("concat", CONCAT, concat),
        function("concat_ws", &["(varchar, array(varchar)) -> varchar", "(varchar, varchar, varchar...) -> varchar"], concat_ws),
        function("chr", &["(bigint) -> varchar"], |call| {
            each!(call, TextOut, |code: 0 int| Some(
                u32::try_from(code)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(|| bad(format!("Not a valid Unicode code point: {code}")))?
                    .to_string()
            ))
        }),
        function("codepoint", &["(varchar) -> integer"], |call| {
            each!(call, SmallOut, |text: 0 text| {
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (Some(one), None) => Some((one as u32).cast_signed()),
                    _ => return Err(bad("Input string must be a single character string")),
                }
            })
        }),
        function("to_utf8", &["(varchar) -> varbinary"], |call| each!(call, BytesOut, |text: 0 text| Some(text.as_bytes()))),
        function(
            "from_utf8",
            &["(varbinary) -> varchar", "(varbinary, varchar) -> varchar", "(varbinary, bigint) -> varchar"],
            from_utf8,
        ),
    ]
}

const SUBSTR: &[&str] = &[
    "(varchar, bigint) -> varchar",
    "(varchar, bigint, bigint) -> varchar",
    "(varbinary, bigint) -> varbinary",
    "(varbinary, bigint, bigint) -> varbinary",
];
const PAD: &[&str] = &["(varchar, bigint, varchar) -> varchar", "(varbinary, bigint, varbinary) -> varbinary"];
const TRIM: &[&str] = &["(varchar) -> varchar", "(varchar, varchar) -> varchar"];
const CONCAT: &[&str] = &[
    "(varchar, varchar, varchar...) -> varchar",
    "(varbinary, varbinary, varbinary...) -> varbinary",
    "(array(T), array(T), array(T)...) -> array(T)",
    "(array(T), T) -> array(T)",
    "(T, array(T)) -> array(T)",
];

/// One character for one: `ß` has no capital.
fn upper(text: &str) -> String {
    text.chars().map(|one| single(one, one.to_uppercase())).collect()
}

fn lower(text: &str) -> String {
    text.chars().map(|one| single(one, one.to_lowercase())).collect()
}

fn single(one: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(other), None) => other,
        _ => one,
    }
}

/// Words begin with a capital; what stands between is not a letter or digit.
fn title_case(text: &str) -> String {
    let mut inside = false;
    let change = |one: char| {
        let first = !inside;
        inside = one.is_alphanumeric();
        if first { single(one, one.to_uppercase()) } else { single(one, one.to_lowercase()) }
    };
    text.chars().map(change).collect()
}

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.arrays[0].data_type() == DataType::Binary {
        return each!(call, IntOut, |bytes: 0 bytes| Some(bytes.len() as i64));
    }
    // The blanks that pad it count.
    if let TrinoType::Char(length) = TrinoType::of_field(&call.fields[0]) {
        return each!(call, IntOut, |_text: 0 text| Some(i64::from(length)));
    }
    each!(call, IntOut, |text: 0 text| Some(text.chars().count() as i64))
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    match call.arrays[0].data_type() {
        DataType::Binary => each!(call, BytesOut, |bytes: 0 bytes| Some(bytes.iter().rev().copied().collect::<Vec<u8>>())),
        DataType::Utf8 => each!(call, TextOut, |text: 0 text| Some(text.chars().rev().collect::<String>())),
        _ => crate::query::functions::array::reverse(call),
    }
}

/// The part from `start` (from 1, or from the end when negative) on, of at most `length`; `None` where it is empty.
fn window(total: usize, start: i64, length: Option<i64>) -> std::ops::Range<usize> {
    let whole = i64::try_from(total).unwrap_or(i64::MAX);
    let first = match start {
        1.. => start - 1,
        ..0 => whole.saturating_add(start),
        0 => return 0..0,
    };
    let length = length.unwrap_or(i64::MAX);
    if first < 0 || first >= whole || length <= 0 {
        return 0..0;
    }
    let end = first.saturating_add(length).min(whole);
    let index = |at: i64| usize::try_from(at).unwrap_or(0);
    index(first)..index(end)
}

fn characters(text: &str, range: std::ops::Range<usize>) -> &str {
    if range.is_empty() {
        return "";
    }
    if text.is_ascii() {
        return &text[range];
    }
    let at = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    &text[at(range.start)..at(range.end)]
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let cut = |text, start, length| {
        let total = str::chars(text).count();
        Some(characters(text, window(total, start, length)))
    };
    let binary = *call.arrays[0].data_type() == DataType::Binary;
    match (binary, call.count()) {
        (false, 2) => each!(call, TextOut, |text: 0 text, start: 1 int| cut(text, start, None)),
        (false, _) => each!(call, TextOut, |text: 0 text, start: 1 int, length: 2 int| cut(text, start, Some(length))),
        (true, 2) => {
            each!(call, BytesOut, |bytes: 0 bytes, start: 1 int| Some(&bytes[window(bytes.len(), start, None)]))
        }
        (true, _) => each!(call, BytesOut, |bytes: 0 bytes, start: 1 int, length: 2 int| {
            Some(&bytes[window(bytes.len(), start, Some(length))])
        }),
    }
}

fn pad_size(size: i64, unit_empty: bool) -> Result<usize> {
    let target = usize::try_from(size).ok().filter(|size| *size <= i32::MAX as usize);
    let target = target.ok_or_else(|| bad("Target length must be in the range [0..2147483647]"))?;
    if unit_empty {
        return Err(bad("Padding string must not be empty"));
    }
    check_bytes(target)?;
    Ok(target)
}

fn pad(call: &Call<'_>, left: bool) -> Result<ArrayRef> {
    if *call.arrays[0].data_type() == DataType::Binary {
        return each!(call, BytesOut, |bytes: 0 bytes, size: 1 int, fill: 2 bytes| {
            let target = pad_size(size, fill.is_empty())?;
            let missing = fill.iter().copied().cycle().take(target.saturating_sub(bytes.len()));
            let kept = bytes.iter().copied().take(target);
            Some(if left { missing.chain(kept).collect::<Vec<u8>>() } else { kept.chain(missing).collect() })
        });
    }
    each!(call, TextOut, |text: 0 text, size: 1 int, fill: 2 text| {
        let target = pad_size(size, fill.is_empty())?;
        let kept = text.chars().count().min(target);
        let (missing, unit) = (target - kept, fill.chars().count());
        let kept = characters(text, 0..kept);
        check_bytes((missing / unit).saturating_mul(fill.len()).saturating_add(kept.len()))?;
        let (whole, part) = (fill.repeat(missing / unit), characters(fill, 0..missing % unit));
        Some(if left { [&whole, part, kept].concat() } else { [kept, &whole, part].concat() })
    })
}

fn trim(call: &Call<'_>, start: bool, end: bool) -> Result<ArrayRef> {
    let cut = |text, drop: &dyn Fn(char) -> bool| {
        let mut text: &str = text;
        if start {
            text = text.trim_start_matches(drop);
        }
        if end {
            text = text.trim_end_matches(drop);
        }
        Some(text)
    };
    if call.count() == 1 {
        return each!(call, TextOut, |text: 0 text| cut(text, &char::is_whitespace));
    }
    let mut out = TextOut::with_rows(call.rows);
    let (texts, sets) = (call.text(0), call.text(1));
    for row in 0..call.rows {
        if texts.is_null(row) || sets.is_null(row) {
            out.null();
            continue;
        }
        let set = sets.value(row);
        out.push(cut(texts.value(row), &|one| set.contains(one)))?;
    }
    Ok(out.finish())
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    if call.count() == 2 {
        return each!(call, TextOut, |text: 0 text, search: 1 text| Some(text.replace(search, "")));
    }
    each!(call, TextOut, |text: 0 text, search: 1 text, with: 2 text| {
        check_bytes((text.len() / search.len().max(1) + 1).saturating_mul(with.len()).saturating_add(text.len()) / 4)?;
        Some(text.replace(search, with))
    })
}

/// Each character of `from` becomes the one at its place in `to`, or nothing; the first mention counts.
fn translate(text: &str, from: &str, to: &str) -> String {
    let mut map = std::collections::HashMap::new();
    let mut targets = to.chars();
    for source in from.chars() {
        let target = targets.next();
        map.entry(source).or_insert(target);
    }
    text.chars().filter_map(|one| map.get(&one).copied().unwrap_or(Some(one))).collect()
}

fn overlay(call: &Call<'_>) -> Result<ArrayRef> {
    let put = |text: &str, with: &str, start: i64, length: Option<i64>| {
        let total = text.chars().count();
        let length = length.map_or(with.chars().count(), |length| usize::try_from(length).unwrap_or(0));
        let start = usize::try_from(start - 1).unwrap_or(0).min(total);
        let end = start.saturating_add(length).min(total);
        Some(format!("{}{with}{}", characters(text, 0..start), characters(text, end..total)))
    };
    if call.count() == 3 {
        return each!(call, TextOut, |text: 0 text, with: 1 text, start: 2 int| put(text, with, start, None));
    }
    each!(call, TextOut, |text: 0 text, with: 1 text, start: 2 int, length: 3 int| put(text, with, start, Some(length)))
}

fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    if matches!(call.returns, DataType::List(_)) {
        return crate::query::functions::array::concat(call);
    }
    let null = |row: usize| call.arrays.iter().any(|array| array.is_null(row));
    if *call.returns == DataType::Binary {
        let mut out = crate::query::functions::call::BytesOut::with_rows(call.rows);
        for row in 0..call.rows {
            let joined: Vec<u8> = if null(row) {
                Vec::new()
            } else {
                call.arrays.iter().flat_map(|array| array.as_binary::<i32>().value(row)).copied().collect()
            };
            out.push((!null(row)).then_some(joined))?;
        }
        return Ok(out.finish());
    }
    let mut out = TextOut::with_rows(call.rows);
    let mut joined = String::new();
    for row in 0..call.rows {
        if null(row) {
            out.null();
            continue;
        }
        joined.clear();
        call.arrays.iter().for_each(|array| joined.push_str(array.as_string::<i32>().value(row)));
        out.push(Some(&joined))?;
    }
    Ok(out.finish())
}

/// NULLs among what is joined are left out.
fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separators = call.text(0);
    let mut out = TextOut::with_rows(call.rows);
    let lists = (*call.arrays[1].data_type() != DataType::Utf8).then(|| call.list(1));
    for row in 0..call.rows {
        if separators.is_null(row) || lists.is_some_and(|lists| lists.is_null(row)) {
            out.null();
            continue;
        }
        let joined = match lists {
            Some(lists) => {
                let items = lists.value(row);
                let items = items.as_string::<i32>();
                items.iter().flatten().collect::<Vec<_>>().join(separators.value(row))
            }
            None => {
                let texts = call.arrays[1..].iter().map(|array| array.as_string::<i32>());
                texts
                    .filter(|texts| texts.is_valid(row))
                    .map(|texts| texts.value(row))
                    .collect::<Vec<_>>()
                    .join(separators.value(row))
            }
        };
        out.push(Some(joined))?;
    }
    Ok(out.finish())
}

/// Bytes that are no UTF-8 become the replacement, or nothing.
fn from_utf8(call: &Call<'_>) -> Result<ArrayRef> {
    let decode = |bytes, with: &str| {
        let mut out = String::new();
        for chunk in <[u8]>::utf8_chunks(bytes) {
            out.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                out.push_str(with);
            }
        }
        Some(out)
    };
    if call.count() == 1 {
        return each!(call, TextOut, |bytes: 0 bytes| Some(String::from_utf8_lossy(bytes)));
    }
    if *call.arrays[1].data_type() == DataType::Utf8 {
        return each!(call, TextOut, |bytes: 0 bytes, with: 1 text| {
            if with.chars().count() > 1 {
                return Err(bad("Replacement character string must empty or a single character"));
            }
            decode(bytes, with)
        });
    }
    each!(call, TextOut, |bytes: 0 bytes, code: 1 int| {
        let with = u32::try_from(code).ok().and_then(char::from_u32);
        let with: Cow<'_, str> = with.ok_or_else(|| bad("Invalid replacement character"))?.to_string().into();
        decode(bytes, &with)
    })
}
