//! Paths of `json_extract`, `json_extract_scalar` and `json_size`: `$.a['b'][0]."c d"` (not those of SQL/JSON).

use super::value::Json;
use crate::query::functions::call::bad;
use datafusion::common::Result;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path(Vec<String>);

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = || bad(format!("Invalid JSON path: '{text}'"));
        let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
                subscript(inside)
            } else if let Some(name) = rest.strip_prefix('.') {
                match name.strip_prefix('[') {
                    Some(inside) => subscript(inside),
                    None => field(name),
                }
            } else {
                None
            }
            .ok_or_else(wrong)?;
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }

    /// A step is a member's name, or of an array the place, from 0.
    pub(super) fn walk<'a>(&self, value: &'a Json) -> Option<&'a Json> {
        self.0.iter().try_fold(value, |value, step| match value {
            Json::Object(_) => value.member(step),
            Json::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// Behind a bracket: a quoted name, or letters and digits.
fn subscript(text: &str) -> Option<(String, &str)> {
    let (step, after) = match text.chars().next()? {
        quote @ ('"' | '\'') => quoted(&text[1..], quote)?,
        _ => plain(text, false)?,
    };
    Some((step, after.strip_prefix(']')?))
}

fn field(text: &str) -> Option<(String, &str)> {
    match text.strip_prefix('"') {
        Some(inside) => quoted(inside, '"'),
        None => plain(text, true),
    }
}

fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, one)) = characters.next() {
        match one {
            '\\' => {
                let (_, escaped) = characters.next()?;
                // Only the quote and the backslash are escaped.
                if escaped != quote && escaped != '\\' {
                    return None;
                }
                out.push(escaped);
            }
            one if one == quote => return Some((out, &text[at + 1..])),
            other => out.push(other),
        }
    }
    None
}

fn plain(text: &str, colon: bool) -> Option<(String, &str)> {
    let part = |one: char| one.is_alphanumeric() || one == '_' || one == '-' || (colon && one == ':');
    let end = text.find(|one| !part(one)).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let steps = |steps: &[&str]| Path(steps.iter().map(|step| (*step).to_owned()).collect());
        assert_eq!(Path::parse("$.a['b'][0].\"c d\"[e]").unwrap(), steps(&["a", "b", "0", "c d", "e"]));
        assert_eq!(Path::parse("$").unwrap(), steps(&[]));
        for wrong in ["a", "$a", "$.", "$[", "$[0", " $.a", "$.a b", "$[\"a]", ""] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
    }
}
