//! Signatures as Trino writes them, `(array(T), bigint) -> T`: which arguments a function takes, how they are converted, and what it gives.
//!
//! A type is a Trino type, a single capital letter (any type, the same at each place), `decimal` (of any precision), `array(…)`, `map(…, …)`,
//! or `row` (any). `...` behind the last argument lets it repeat.

use crate::types::TrinoType;
use std::collections::BTreeMap;
use std::fmt;

/// A type as a signature has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    Is(TrinoType),
    Variable(char),
    Decimal,
    Row,
    Array(Box<Pattern>),
    Map(Box<Pattern>, Box<Pattern>),
}

/// One form of a function.
#[derive(Debug, Clone)]
pub(super) struct Signature {
    parameters: Vec<Pattern>,
    /// The last parameter may come any number of times more, or not at all.
    repeats: bool,
    returns: Pattern,
}

/// What the letters of a signature stand for in a call.
pub(super) type Bindings = BTreeMap<char, TrinoType>;

/// A form that takes a call's arguments.
#[derive(Debug)]
pub(super) struct Match {
    /// What the arguments are converted to.
    pub arguments: Vec<TrinoType>,
    pub returns: TrinoType,
    /// How many arguments have to be converted.
    cost: usize,
}

impl Signature {
    /// Reads a signature; wrong ones are mistakes of this crate, found by the test that reads all.
    pub(super) fn parse(text: &str) -> Self {
        let (parameters, returns) = text.split_once(" -> ").expect("a signature has an arrow");
        let inside =
            parameters.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).expect("parameters stand in parentheses");
        let repeats = inside.ends_with("...");
        let parameters = split(inside.trim_end_matches('.')).into_iter().map(Pattern::parse).collect();
        Self { parameters, repeats, returns: Pattern::parse(returns) }
    }

    /// How the form takes these arguments, if it does.
    pub(super) fn matches(&self, arguments: &[TrinoType]) -> Option<Match> {
        let count = self.parameters.len();
        let fits = if self.repeats { arguments.len() + 1 >= count } else { arguments.len() == count };
        if !fits {
            return None;
        }
        let parameter = |index: usize| &self.parameters[index.min(count.saturating_sub(1))];
        let mut bindings = Bindings::new();
        for (index, argument) in arguments.iter().enumerate() {
            parameter(index).bind(argument, &mut bindings)?;
        }
        let mut converted = Vec::with_capacity(arguments.len());
        let mut cost = 0;
        for (index, argument) in arguments.iter().enumerate() {
            let target = parameter(index).resolve(&bindings, Some(argument));
            cost += usize::from(target.to_arrow() != argument.to_arrow() && *argument != TrinoType::Unknown)
                * parameter(index).distance(argument);
            converted.push(target);
        }
        Some(Match { arguments: converted, returns: self.returns.resolve(&bindings, None), cost })
    }
}

/// The form that takes the arguments with the least conversions.
pub(super) fn choose(signatures: &[Signature], arguments: &[TrinoType]) -> Option<Match> {
    signatures.iter().filter_map(|signature| signature.matches(arguments)).min_by_key(|found| found.cost)
}

/// Cuts `a, map(b, c)` at the commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        out.push(text[start..].trim());
    }
    out
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let inside = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
        if let Some(item) = inside("array(") {
            return Self::Array(Box::new(Self::parse(item)));
        }
        if let Some(entry) = inside("map(") {
            let parts = split(entry);
            return Self::Map(Box::new(Self::parse(parts[0])), Box::new(Self::parse(parts[1])));
        }
        match text {
            "decimal" => Self::Decimal,
            "row" => Self::Row,
            letter if letter.len() == 1 => Self::Variable(letter.chars().next().expect("there is one")),
            name => Self::Is(TrinoType::parse(name).unwrap_or_else(|error| panic!("{name} in a signature: {error}"))),
        }
    }

    /// Learns what the letters stand for; `None` where the argument does not fit.
    fn bind(&self, argument: &TrinoType, bindings: &mut Bindings) -> Option<()> {
        match (self, argument) {
            (_, TrinoType::Unknown) => {
                if let Self::Variable(name) = self {
                    bindings.entry(*name).or_insert(TrinoType::Unknown);
                }
                Some(())
            }
            (Self::Variable(name), argument) => {
                let argument = plain(argument);
                let bound = match bindings.get(name) {
                    Some(before) => TrinoType::common(before, &argument)?,
                    None => argument,
                };
                bindings.insert(*name, bound);
                Some(())
            }
            (Self::Array(item), TrinoType::Array(argument)) => item.bind(argument, bindings),
            (Self::Map(key, value), TrinoType::Map(k, v)) => {
                key.bind(k, bindings)?;
                value.bind(v, bindings)
            }
            (Self::Row, TrinoType::Row(_)) => Some(()),
            (Self::Decimal, argument) => argument.digits().map(|_| ()),
            (Self::Is(wanted), argument) => converts(argument, wanted).then_some(()),
            _ => None,
        }
    }

    /// The type with the letters replaced; what is open is taken from the argument.
    fn resolve(&self, bindings: &Bindings, argument: Option<&TrinoType>) -> TrinoType {
        match self {
            Self::Is(wanted) => match (wanted, argument) {
                // Zone, precision and kind of text are the argument's.
                (TrinoType::TimestampWithZone(_), Some(given @ TrinoType::TimestampWithZone(_)))
                | (TrinoType::Timestamp(_), Some(given @ TrinoType::Timestamp(_)))
                | (TrinoType::Time(_), Some(given @ TrinoType::Time(_))) => given.clone(),
                _ => wanted.clone(),
            },
            Self::Variable(name) => bindings.get(name).cloned().unwrap_or(TrinoType::Unknown),
            Self::Decimal => {
                let (precision, scale) = argument.and_then(TrinoType::digits).unwrap_or((38, 0));
                TrinoType::Decimal(precision, scale)
            }
            Self::Row => argument.cloned().unwrap_or(TrinoType::Unknown),
            Self::Array(item) => {
                let inner = match argument {
                    Some(TrinoType::Array(inner)) => Some(inner.as_ref()),
                    _ => None,
                };
                TrinoType::Array(Box::new(item.resolve(bindings, inner)))
            }
            Self::Map(key, value) => {
                let (k, v) = match argument {
                    Some(TrinoType::Map(k, v)) => (Some(k.as_ref()), Some(v.as_ref())),
                    _ => (None, None),
                };
                TrinoType::Map(Box::new(key.resolve(bindings, k)), Box::new(value.resolve(bindings, v)))
            }
        }
    }

    /// How far the argument is from what is wanted: integers go to `bigint` before `decimal`, and that before `double`.
    fn distance(&self, argument: &TrinoType) -> usize {
        match (self, argument) {
            (Self::Is(TrinoType::Double | TrinoType::Real), given) if *given != TrinoType::Real => 3,
            (Self::Decimal, _) => 2,
            _ => 1,
        }
    }
}

/// A text's length and a time's digits do not distinguish types here.
fn plain(given: &TrinoType) -> TrinoType {
    match given {
        TrinoType::Varchar(_) | TrinoType::Char(_) => TrinoType::Varchar(None),
        other => other.clone(),
    }
}

fn converts(from: &TrinoType, to: &TrinoType) -> bool {
    // Whether a text is JSON, a UUID or an address is seen from the field, which is not known here.
    let text = |given: &TrinoType| given.to_arrow() == TrinoType::Json.to_arrow();
    match (from, to) {
        _ if text(from) && text(to) => true,
        (TrinoType::Timestamp(_), TrinoType::Timestamp(_))
        | (TrinoType::TimestampWithZone(_), TrinoType::TimestampWithZone(_))
        | (TrinoType::Time(_), TrinoType::Time(_)) => true,
        _ => TrinoType::common(from, to).as_ref() == Some(to),
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} -> {}", self.arguments, self.returns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signatures: &[&str], arguments: &[&str], expected: &str) {
        let signatures: Vec<Signature> = signatures.iter().map(|text| Signature::parse(text)).collect();
        let arguments: Vec<TrinoType> = arguments.iter().map(|text| TrinoType::parse(text).unwrap()).collect();
        let found = choose(&signatures, &arguments).map(|found| {
            let converted: Vec<String> = found.arguments.iter().map(ToString::to_string).collect();
            format!("{} -> {}", converted.join(", "), found.returns)
        });
        assert_eq!(found.unwrap_or_default(), expected, "{arguments:?}");
    }

    #[test]
    fn letters_stand_for_the_same_type_everywhere() {
        check(&["(array(T), T) -> T"], &["array(integer)", "bigint"], "array(bigint), bigint -> bigint");
        check(&["(array(T), T) -> T"], &["array(integer)", "varchar"], "");
        check(&["(map(K,V), K) -> V"], &["map(varchar(3),double)", "varchar(1)"], "map(varchar, double), varchar -> double");
        check(&["(T...) -> T"], &["integer", "double", "unknown"], "double, double, double -> double");
    }

    #[test]
    fn the_nearest_form_is_taken() {
        let forms = ["(bigint) -> bigint", "(double) -> double", "(decimal) -> decimal"];
        check(&forms, &["integer"], "bigint -> bigint");
        check(&forms, &["real"], "double -> double");
        check(&forms, &["double"], "double -> double");
        check(&forms, &["decimal(3,1)"], "decimal(3,1) -> decimal(38,0)");
        check(&forms, &["varchar"], "");
    }
}
