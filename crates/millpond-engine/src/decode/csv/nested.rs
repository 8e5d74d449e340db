//! Arrays, maps and structs whose items have delimiters of their own (Hive's LazySimpleSerDe): each level of nesting has the next one.

use super::index::unescaped;
use crate::decode::columns::Node;
use crate::decode::times::Times;
use crate::types::HiveType;

pub(super) struct Nested<'a> {
    /// By level; the fields' own delimiter is the first.
    pub separators: &'a [u8],
    /// Before separators that are text.
    pub escape: Option<u8>,
    pub null: Option<&'a [u8]>,
    pub times: &'a Times,
}

impl Nested<'_> {
    /// Pushes one value, NULL where it is not of its type or nests deeper than there are delimiters.
    pub fn push(&self, node: &mut Node, t: &HiveType, text: &[u8], level: usize) {
        if self.null == Some(text) {
            return node.push_null();
        }
        let separator = self.separators.get(level);
        match (&mut *node, t, separator) {
            (Node::List(list), HiveType::Array(item), Some(separator)) => {
                for part in self.parts(text, *separator) {
                    self.push(&mut list.child, item, part, level + 1);
                }
                list.end();
            }
            (Node::Map(list), HiveType::Map(key_type, value_type), Some(separator)) => {
                let Some(between) = self.separators.get(level + 1) else { return node.push_null() };
                let Node::Struct(pairs) = list.child.as_mut() else { return };
                for part in self.parts(text, *separator) {
                    let [keys, values] = pairs.children.as_mut_slice() else { return };
                    let key = self.until(part, *between);
                    let value = part.get(key.len() + 1..);
                    // A map's keys are never NULL.
                    let simple = !matches!(**key_type, HiveType::Array(_) | HiveType::Map(..) | HiveType::Struct(_));
                    if !simple || !self.push_scalar(keys, key) {
                        continue;
                    }
                    match value {
                        Some(value) => self.push(values, value_type, value, level + 2),
                        None => values.push_null(),
                    }
                    pairs.end();
                }
                list.end();
            }
            (Node::Struct(row), HiveType::Struct(fields), Some(separator)) => {
                let mut texts = self.parts(text, *separator);
                for (child, (_, t)) in row.children.iter_mut().zip(fields) {
                    match texts.next() {
                        Some(part) => self.push(child, t, part, level + 1),
                        None => child.push_null(),
                    }
                }
                row.end();
            }
            (scalar, _, _) => {
                if !self.push_scalar(scalar, text) {
                    scalar.push_null();
                }
            }
        }
    }

    fn push_scalar(&self, node: &mut Node, text: &[u8]) -> bool {
        node.push_scalar(unescaped(text, self.escape, &mut Vec::new()), self.times, false)
    }

    /// The text before the first separator that is not escaped.
    fn until<'t>(&self, text: &'t [u8], separator: u8) -> &'t [u8] {
        let Some(escape) = self.escape else { return &text[..memchr::memchr(separator, text).unwrap_or(text.len())] };
        let mut at = 0;
        while at < text.len() && text[at] != separator {
            at += 1 + usize::from(text[at] == escape);
        }
        &text[..at.min(text.len())]
    }

    /// The texts between separators; an empty text has none.
    fn parts<'t>(&self, text: &'t [u8], separator: u8) -> impl Iterator<Item = &'t [u8]> {
        let mut rest = Some(text).filter(|text| !text.is_empty());
        std::iter::from_fn(move || {
            let text = rest?;
            let part = self.until(text, separator);
            rest = text.get(part.len() + 1..);
            Some(part)
        })
    }
}
