//! Arrays, maps and structs whose items have delimiters of their own (Hive's LazySimpleSerDe): each level of nesting has the next one.

use crate::decode::columns::Node;
use crate::decode::times::Times;
use crate::types::HiveType;

pub(super) struct Nested<'a> {
    /// By level; the fields' own delimiter is the first.
    pub separators: &'a [u8],
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
                for part in parts(text, *separator) {
                    self.push(&mut list.child, item, part, level + 1);
                }
                list.end();
            }
            (Node::Map(list), HiveType::Map(key_type, value_type), Some(separator)) => {
                let Some(between) = self.separators.get(level + 1) else { return node.push_null() };
                let Node::Struct(pairs) = list.child.as_mut() else { return };
                for part in parts(text, *separator) {
                    let [keys, values] = pairs.children.as_mut_slice() else { return };
                    let at = memchr::memchr(*between, part);
                    let (key, value) = at.map_or((part, None), |at| (&part[..at], Some(&part[at + 1..])));
                    // A map's keys are never NULL.
                    let simple = !matches!(**key_type, HiveType::Array(_) | HiveType::Map(..) | HiveType::Struct(_));
                    if !simple || !keys.push_scalar(key, self.times, false) {
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
                let mut texts = parts(text, *separator);
                for (child, (_, t)) in row.children.iter_mut().zip(fields) {
                    match texts.next() {
                        Some(part) => self.push(child, t, part, level + 1),
                        None => child.push_null(),
                    }
                }
                row.end();
            }
            (scalar, _, _) => {
                if !scalar.push_scalar(text, self.times, false) {
                    scalar.push_null();
                }
            }
        }
    }
}

/// The texts between separators; an empty text has none.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let some = !text.is_empty();
    text.split(move |byte| *byte == separator).filter(move |_| some)
}
