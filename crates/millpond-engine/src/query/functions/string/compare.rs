//! Texts looked into and compared.

use crate::query::functions::call::{Call, bad, each};
use crate::query::functions::{Function, function};
use arrow::array::ArrayRef;
use datafusion::common::Result;

pub(super) fn functions() -> Vec<Function> {
    vec![
        function(
            "starts_with",
            &["(varchar, varchar) -> boolean"],
            |call| each!(call, BooleanOut, |text: 0 text, start: 1 text| Some(text.starts_with(start))),
        ),
        function(
            "ends_with",
            &["(varchar, varchar) -> boolean"],
            |call| each!(call, BooleanOut, |text: 0 text, end: 1 text| Some(text.ends_with(end))),
        ),
        function("strpos", &["(varchar, varchar) -> bigint", "(varchar, varchar, bigint) -> bigint"], strpos),
        function(
            "position",
            &["(varchar, varchar) -> bigint"],
            |call| each!(call, IntOut, |search: 0 text, text: 1 text| Some(nth(text, search, 1))),
        ),
        function("hamming_distance", &["(varchar, varchar) -> bigint"], |call| {
            each!(call, IntOut, |a: 0 text, b: 1 text| {
                if a.chars().count() != b.chars().count() {
                    return Err(bad("The input strings to hamming_distance function must have the same length"));
                }
                Some(a.chars().zip(b.chars()).filter(|(a, b)| a != b).count() as i64)
            })
        }),
        function(
            "levenshtein_distance",
            &["(varchar, varchar) -> bigint"],
            |call| each!(call, IntOut, |a: 0 text, b: 1 text| Some(levenshtein(a, b)?)),
        ),
        function("luhn_check", &["(varchar) -> boolean"], |call| each!(call, BooleanOut, |text: 0 text| Some(luhn(text)?))),
        function("soundex", &["(varchar) -> varchar"], |call| each!(call, TextOut, |text: 0 text| Some(soundex(text)?))),
    ]
}

fn strpos(call: &Call<'_>) -> Result<ArrayRef> {
    if call.count() == 2 {
        return each!(call, IntOut, |text: 0 text, search: 1 text| Some(nth(text, search, 1)));
    }
    each!(call, IntOut, |text: 0 text, search: 1 text, instance: 2 int| {
        if instance == 0 {
            return Err(bad("'instance' must not be equal to zero."));
        }
        Some(nth(text, search, instance))
    })
}

/// Where the n-th occurrence begins, counted from the end when negative; occurrences may overlap.
fn nth(text: &str, search: &str, instance: i64) -> i64 {
    if search.is_empty() {
        return 1;
    }
    let skip = usize::try_from(instance.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let places = (0..=text.len().saturating_sub(search.len())).filter(|at| text.as_bytes()[*at..].starts_with(search.as_bytes()));
    let found = if instance > 0 { nth_of(places, skip) } else { nth_of(places.rev(), skip) };
    found.map_or(0, |at| text[..at].chars().count() as i64 + 1)
}

fn nth_of(mut places: impl Iterator<Item = usize>, skip: usize) -> Option<usize> {
    places.nth(skip)
}

/// Trino limits the product of the lengths, since the time is that.
const LEVENSHTEIN_STEPS_MAX: usize = 1_000_000;

fn levenshtein(a: &str, b: &str) -> Result<i64> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().saturating_mul(b.len().saturating_sub(1)) > LEVENSHTEIN_STEPS_MAX {
        return Err(bad("The combined inputs for Levenshtein distance are too large"));
    }
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (i, one) in a.iter().enumerate() {
        let mut corner = costs[0];
        costs[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = corner + usize::from(one != other);
            corner = costs[j + 1];
            costs[j + 1] = changed.min(costs[j] + 1).min(corner + 1);
        }
    }
    Ok(costs[b.len()] as i64)
}

fn luhn(text: &str) -> Result<bool> {
    let digits: Option<Vec<u32>> = text.chars().map(|one| one.to_digit(10)).collect();
    let digits = digits.filter(|digits| !digits.is_empty()).ok_or_else(|| bad("Input string must contain only digits"))?;
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) => doubled / 10 + doubled % 10,
        })
        .sum();
    Ok(sum.is_multiple_of(10))
}

/// American Soundex: `h` and `w` do not part letters of one code, vowels do.
fn soundex(text: &str) -> Result<String> {
    let code = |letter: char| match letter {
        'B' | 'F' | 'P' | 'V' => Some('1'),
        'C' | 'G' | 'J' | 'K' | 'Q' | 'S' | 'X' | 'Z' => Some('2'),
        'D' | 'T' => Some('3'),
        'L' => Some('4'),
        'M' | 'N' => Some('5'),
        'R' => Some('6'),
        _ => None,
    };
    if let Some(odd) = text.chars().find(|one| one.is_alphabetic() && !one.is_ascii()) {
        return Err(bad(format!("The character is not mapped: {odd}")));
    }
    let mut letters = text.chars().filter(char::is_ascii_alphabetic).map(|one| one.to_ascii_uppercase());
    let Some(first) = letters.next() else { return Ok(String::new()) };
    let mut out = String::from(first);
    let mut last = code(first);
    for letter in letters {
        if out.len() == 4 {
            break;
        }
        if matches!(letter, 'H' | 'W') {
            continue;
        }
        let next = code(letter);
        if let Some(digit) = next.filter(|_| next != last) {
            out.push(digit);
        }
        last = next;
    }
    while out.len() < 4 {
        out.push('0');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_are_coded() {
        for (name, code) in [("Robert", "R163"), ("Ashcraft", "A261"), ("Tymczak", "T522"), ("Pfister", "P236"), ("Lee", "L000")]
        {
            assert_eq!(soundex(name).unwrap(), code, "{name}");
        }
    }

    #[test]
    fn distances_of_long_texts_are_refused() {
        assert!(levenshtein(&"a".repeat(5000), &"b".repeat(5000)).is_err());
        assert_eq!(levenshtein("kitten", "sitting").unwrap(), 3);
    }
}
