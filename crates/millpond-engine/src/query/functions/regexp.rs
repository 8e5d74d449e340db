//! Regular expressions in Java's syntax, with look-around and back references (Trino documentation, "Regular expression functions").
//!
//! Patterns that need no backtracking run in linear time; the others stop at a number of steps.

use super::call::{Call, TextOut, bad, check_bytes, each};
use super::limits::Room;
use super::{Function, function};
use arrow::array::{Array, ArrayBuilder, ArrayRef, ListBuilder, StringArray, StringBuilder};
use datafusion::common::Result;
use fancy_regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function("regexp_like", &["(varchar, varchar) -> boolean"], |call| {
            let mut known = Patterns::default();
            each!(call, BooleanOut, |text: 0 text, pattern: 1 text| Some(known.get(pattern)?.is_match(text).map_err(gave_up)?))
        }),
        function("regexp_count", &["(varchar, varchar) -> bigint"], |call| {
            let mut known = Patterns::default();
            each!(call, IntOut, |text: 0 text, pattern: 1 text| {
                let mut count = 0;
                for found in known.get(pattern)?.find_iter(text) {
                    found.map_err(gave_up)?;
                    count += 1;
                }
                Some(count)
            })
        }),
        function("regexp_extract", &["(varchar, varchar) -> varchar", "(varchar, varchar, bigint) -> varchar"], extract),
        function(
            "regexp_extract_all",
            &["(varchar, varchar) -> array(varchar)", "(varchar, varchar, bigint) -> array(varchar)"],
            extract_all,
        ),
        function(
            "regexp_position",
            &[
                "(varchar, varchar) -> integer",
                "(varchar, varchar, bigint) -> integer",
                "(varchar, varchar, bigint, bigint) -> integer",
            ],
            position,
        ),
        function("regexp_replace", &["(varchar, varchar) -> varchar", "(varchar, varchar, varchar) -> varchar"], replace),
        function("regexp_split", &["(varchar, varchar) -> array(varchar)"], split),
    ]
}

/// Steps of backtracking after which a pattern is given up.
const STEPS_MAX: usize = 1_000_000;
/// Bytes of a compiled pattern.
const COMPILED_BYTES_MAX: usize = 4 << 20;

fn gave_up(error: fancy_regex::Error) -> datafusion::common::DataFusionError {
    bad(format!("The regular expression takes too many steps on this text: {error}"))
}

/// Patterns are nearly always the same for all rows.
#[derive(Default)]
pub(super) struct Patterns(HashMap<String, Regex>);

impl Patterns {
    /// Few patterns are kept, so that a column of patterns does not fill the memory.
    const KEPT: usize = 64;

    pub(super) fn get(&mut self, pattern: &str) -> Result<&Regex> {
        if !self.0.contains_key(pattern) {
            let mut builder = RegexBuilder::new(&from_java(pattern));
            builder
                .backtrack_limit(STEPS_MAX)
                .delegate_size_limit(COMPILED_BYTES_MAX)
                .delegate_dfa_size_limit(COMPILED_BYTES_MAX);
            let regex = builder.build().map_err(|error| bad(format!("invalid regular expression '{pattern}': {error}")))?;
            if self.0.len() >= Self::KEPT {
                self.0.clear();
            }
            self.0.insert(pattern.to_owned(), regex);
        }
        Ok(&self.0[pattern])
    }
}

/// What Java writes otherwise: quoted passages, and escapes that Rust's crates do not know.
fn from_java(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(quoted) = rest.strip_prefix('Q') {
            let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(literal));
            rest = after;
            continue;
        }
        let Some(next) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        match next {
            'h' => out.push_str("[ \\t\\u{A0}\\u{1680}\\u{180E}\\u{2000}-\\u{200A}\\u{202F}\\u{205F}\\u{3000}]"),
            'R' => out.push_str("(?:\\r\\n|[\\n\\x0B\\f\\r\\u{85}\\u{2028}\\u{2029}])"),
            'Z' => out.push_str("(?=\\n?\\z)"),
            _ => {
                out.push('\\');
                out.push(next);
            }
        }
        rest = &rest[next.len_utf8()..];
    }
    out.push_str(rest);
    out
}

fn group(regex: &Regex, group: i64) -> Result<usize> {
    let groups = regex.captures_len() - 1;
    match usize::try_from(group) {
        Err(_) => Err(bad("Group cannot be negative")),
        Ok(group) if group > groups => Err(bad(format!("Pattern has {groups} groups. Cannot access group {group}"))),
        Ok(group) => Ok(group),
    }
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let find = |regex: &Regex, text: &str, index: i64| -> Result<Option<String>> {
        let index = group(regex, index)?;
        let found = regex.captures(text).map_err(gave_up)?;
        Ok(found.and_then(|found| found.get(index)).map(|found| found.as_str().to_owned()))
    };
    if call.count() == 2 {
        return each!(call, TextOut, |text: 0 text, pattern: 1 text| find(known.get(pattern)?, text, 0)?);
    }
    each!(call, TextOut, |text: 0 text, pattern: 1 text, index: 2 int| find(known.get(pattern)?, text, index)?)
}

/// Lists of texts, row by row; `fill` appends a row's.
fn lists(call: &Call<'_>, mut fill: impl FnMut(usize, &mut StringBuilder) -> Result<()>) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        if call.arrays.iter().any(|array| array.is_null(row)) {
            out.append(false);
            continue;
        }
        fill(row, out.values())?;
        Room::of(call.rows).check("the matches of a batch", 0, out.values().len())?;
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (call.text(0), call.text(1));
    let mut known = Patterns::default();
    lists(call, |row, out| {
        let regex = known.get(patterns.value(row))?;
        let index = group(regex, if call.count() == 3 { call.int(2).value(row) } else { 0 })?;
        for found in regex.captures_iter(texts.value(row)) {
            out.append_option(found.map_err(gave_up)?.get(index).map(|found| found.as_str()));
        }
        Ok(())
    })
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (call.text(0), call.text(1));
    let mut known = Patterns::default();
    lists(call, |row, out| {
        let (text, mut from) = (texts.value(row), 0);
        for found in known.get(patterns.value(row))?.find_iter(text) {
            let found = found.map_err(gave_up)?;
            out.append_value(&text[from..found.start()]);
            from = found.end();
        }
        out.append_value(&text[from..]);
        Ok(())
    })
}

/// Where the n-th match from a character on begins, or -1.
fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    let find = |regex: &Regex, text: &str, start: i64, nth: i64| -> Result<Option<i32>> {
        let start = usize::try_from(start)
            .ok()
            .and_then(|start| start.checked_sub(1))
            .ok_or_else(|| bad("start position cannot be smaller than 1"))?;
        let nth = usize::try_from(nth)
            .ok()
            .and_then(|nth| nth.checked_sub(1))
            .ok_or_else(|| bad("occurrence cannot be smaller than 1"))?;
        let Some(from) = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(start) else { return Ok(Some(-1)) };
        let mut at = from;
        for _ in 0..nth {
            let Some(found) = regex.find_from_pos(text, at).map_err(gave_up)? else { return Ok(Some(-1)) };
            at = next_after(text, found.start(), found.end());
            if at > text.len() {
                return Ok(Some(-1));
            }
        }
        let found = regex.find_from_pos(text, at).map_err(gave_up)?;
        Ok(Some(found.map_or(-1, |found| i32::try_from(text[..found.start()].chars().count() + 1).unwrap_or(i32::MAX))))
    };
    match call.count() {
        2 => each!(call, SmallOut, |text: 0 text, pattern: 1 text| find(known.get(pattern)?, text, 1, 1)?),
        3 => each!(call, SmallOut, |text: 0 text, pattern: 1 text, start: 2 int| find(known.get(pattern)?, text, start, 1)?),
        _ => each!(call, SmallOut, |text: 0 text, pattern: 1 text, start: 2 int, nth: 3 int| {
            find(known.get(pattern)?, text, start, nth)?
        }),
    }
}

/// Where the search goes on behind a match, which may be empty.
fn next_after(text: &str, start: usize, end: usize) -> usize {
    if end > start {
        return end;
    }
    end + text[end..].chars().next().map_or(1, char::len_utf8)
}

/// Replaces all occurrences; `$1` and `${name}` in the replacement are groups. Two arguments: occurrences are removed.
fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let mut known = Patterns::default();
    if call.count() == 2 {
        return each!(call, TextOut, |text: 0 text, pattern: 1 text| Some(replaced(known.get(pattern)?, text, &[])?));
    }
    each!(call, TextOut, |text: 0 text, pattern: 1 text, with: 2 text| {
        let regex = known.get(pattern)?;
        Some(replaced(regex, text, &pieces(regex, with)?)?)
    })
}

/// A part of a replacement.
enum Piece {
    Literal(String),
    Group(usize),
}

/// Java's replacement: a group's number goes on as long as there is such a group; a backslash makes the next character plain.
fn pieces(regex: &Regex, text: &str) -> Result<Vec<Piece>> {
    let groups = regex.captures_len() - 1;
    let mut out = Vec::new();
    let mut literal = String::new();
    let mut characters = text.chars().peekable();
    while let Some(one) = characters.next() {
        match one {
            '\\' => literal.extend(characters.next()),
            '$' => {
                let index = match characters.next() {
                    Some('{') => {
                        let name: String = characters.by_ref().take_while(|one| *one != '}').collect();
                        let found = regex.capture_names().position(|candidate| candidate == Some(name.as_str()));
                        found.ok_or_else(|| bad(format!("Illegal replacement sequence: unknown group {{ {name} }}")))?
                    }
                    Some(digit) if digit.is_ascii_digit() => {
                        let mut index = digit as usize - '0' as usize;
                        if index > groups {
                            return Err(bad(format!("Illegal replacement sequence: unknown group {index}")));
                        }
                        while let Some(digit) = characters.peek().and_then(|digit| digit.to_digit(10)) {
                            let longer = index * 10 + digit as usize;
                            if longer > groups {
                                break;
                            }
                            index = longer;
                            characters.next();
                        }
                        index
                    }
                    _ => return Err(bad("Illegal replacement sequence: a $ is followed by a group's number or name")),
                };
                if !literal.is_empty() {
                    out.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                out.push(Piece::Group(index));
            }
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        out.push(Piece::Literal(literal));
    }
    Ok(out)
}

fn replaced(regex: &Regex, text: &str, with: &[Piece]) -> Result<String> {
    let mut out = String::new();
    let mut from = 0;
    for found in regex.captures_iter(text) {
        let found = found.map_err(gave_up)?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[from..whole.start()]);
        for piece in with {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Group(index) => out.push_str(found.get(*index).map_or("", |group| group.as_str())),
            }
        }
        check_bytes(out.len())?;
        from = whole.end();
    }
    out.push_str(&text[from..]);
    Ok(out)
}

/// All matches of a column: for each row the pieces between, and each match's groups, for a function that computes what comes in their place.
pub(super) struct Matches {
    /// Lists of each match's groups, all rows' one after the other.
    pub groups: ArrayRef,
    /// To which row a match belongs.
    pub rows: Vec<u32>,
    /// Where it stands in the row's text.
    pub spans: Vec<(usize, usize)>,
}

/// Finds all matches of the rows of `texts`.
pub(super) fn matches(texts: &StringArray, patterns: &StringArray) -> Result<Matches> {
    let mut known = Patterns::default();
    let mut groups = ListBuilder::new(StringBuilder::new());
    let (mut rows, mut spans) = (Vec::new(), Vec::new());
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) {
            continue;
        }
        for found in known.get(patterns.value(row))?.captures_iter(texts.value(row)) {
            let found = found.map_err(gave_up)?;
            let Some(whole) = found.get(0) else { continue };
            for index in 1..found.len() {
                groups.values().append_option(found.get(index).map(|group| group.as_str()));
            }
            groups.append(true);
            rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            spans.push((whole.start(), whole.end()));
        }
        Room::of(texts.len()).check("the matches of a batch", 0, spans.len())?;
    }
    Ok(Matches { groups: Arc::new(groups.finish()), rows, spans })
}

/// Puts texts in the places of matches.
pub(super) fn put(texts: &StringArray, patterns: &StringArray, matches: &Matches, with: &StringArray) -> Result<ArrayRef> {
    let mut out = TextOut::with_rows(texts.len());
    let mut next = 0;
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) {
            out.null();
            continue;
        }
        let text = texts.value(row);
        let (mut made, mut from, mut null) = (String::new(), 0, false);
        while next < matches.rows.len() && matches.rows[next] as usize == row {
            let (start, end) = matches.spans[next];
            made.push_str(&text[from..start]);
            null |= with.is_null(next);
            if with.is_valid(next) {
                made.push_str(with.value(next));
            }
            check_bytes(made.len())?;
            from = end;
            next += 1;
        }
        made.push_str(&text[from..]);
        out.push((!null).then_some(made))?;
    }
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_patterns_end() {
        let mut known = Patterns::default();
        let regex = known.get(r"(a|aa|b\1?)+(?<!x)$\z(?=c)").unwrap();
        assert!(regex.is_match(&"a".repeat(60)).is_err() || !regex.is_match(&"a".repeat(60)).unwrap());
        assert!(known.get(&format!("(?:{}){{1000}}{{1000}}", "a{1000}")).is_err());
    }

    #[test]
    fn java_is_understood() {
        let mut known = Patterns::default();
        for (pattern, text) in
            [(r"\Qa.b\E+", "a.b"), (r"a\hb", "a b"), (r"x++y", "xxy"), (r"[\w&&[^\d]]", "w"), (r"(?<q>a)\k<q>", "aa")]
        {
            assert!(known.get(pattern).unwrap().is_match(text).unwrap(), "{pattern}");
        }
    }
}
