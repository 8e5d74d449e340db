//! The path language of SQL/JSON (ISO 9075-2; Trino documentation, "JSON path language"): `lax $.a[*]?(@.b > 3).size()`.

mod parse;

use super::value::Json;
use parse::Parser;

/// The most items that a path may come to at any step.
const ITEMS_MAX: usize = 1_000_000;

/// A parsed path.
#[derive(Debug)]
pub(super) struct SqlPath {
    /// Structures that do not fit are left out, not errors.
    lax: bool,
    root: Expr,
}

#[derive(Debug)]
enum Expr {
    Context,
    Current,
    Last,
    Variable(String),
    Literal(Json),
    Negative(Box<Expr>),
    Binary(char, Box<Expr>, Box<Expr>),
    Member(Box<Expr>, String),
    Members(Box<Expr>),
    Descendants(Box<Expr>, String),
    /// `None`: all.
    Items(Box<Expr>, Option<Vec<(Expr, Option<Expr>)>>),
    Filter(Box<Expr>, Box<Predicate>),
    Method(Box<Expr>, String),
}

#[derive(Debug)]
enum Predicate {
    Or(Box<Predicate>, Box<Predicate>),
    And(Box<Predicate>, Box<Predicate>),
    Not(Box<Predicate>),
    Exists(Expr),
    Unknown(Box<Predicate>),
    Compare(&'static str, Expr, Expr),
    StartsWith(Expr, Expr),
}

type Parsed<T> = Result<T, String>;

impl SqlPath {
    /// # Errors
    /// What is wrong with the path, and from where on.
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let mut parser = Parser::new(text);
        let lax = parser.word("lax");
        if !lax && !parser.word("strict") {
            return parser.wrong("'lax' or 'strict' is missing");
        }
        let root = parser.sum()?;
        parser.end()?;
        Ok(Self { lax, root })
    }

    /// The items that the path finds in a value.
    ///
    /// # Errors
    /// What does not fit: structures in strict mode, numbers that are none.
    pub(super) fn find(&self, context: &Json, variables: &[(String, Json)]) -> Parsed<Vec<Json>> {
        Finder { lax: self.lax, context, variables }.find(&self.root, None, None)
    }
}

struct Finder<'a> {
    lax: bool,
    context: &'a Json,
    variables: &'a [(String, Json)],
}

fn number(value: &Json) -> Parsed<f64> {
    match value {
        Json::Number(digits) => digits.parse().map_err(|_| format!("{digits} is not a number")),
        other => Err(format!("a number is needed, not {}", kind(other))),
    }
}

/// A number's shortest digits.
fn shown(value: f64) -> Parsed<Json> {
    if value.is_finite() { Ok(Json::Number(format!("{value}"))) } else { Err("a number is out of range".into()) }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::Text(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

impl Finder<'_> {
    fn find(&self, expr: &Expr, current: Option<&Json>, last: Option<usize>) -> Parsed<Vec<Json>> {
        let of = |inner: &Expr| self.find(inner, current, last);
        let items = match expr {
            Expr::Context => vec![self.context.clone()],
            Expr::Current => vec![current.cloned().ok_or("@ stands outside of a filter")?],
            Expr::Last => vec![Json::Number(last.ok_or("last stands outside of a subscript")?.to_string())],
            Expr::Variable(name) => {
                let found = self.variables.iter().find(|(known, _)| known == name);
                vec![found.ok_or_else(|| format!("no value is passed for ${name}"))?.1.clone()]
            }
            Expr::Literal(value) => vec![value.clone()],
            Expr::Negative(inner) => of(inner)?.iter().map(|item| shown(-number(item)?)).collect::<Parsed<_>>()?,
            Expr::Binary(sign, left, right) => vec![self.binary(*sign, &of(left)?, &of(right)?)?],
            Expr::Member(inner, name) => {
                let mut out = Vec::new();
                for item in self.opened(of(inner)?, |item| matches!(item, Json::Array(_))) {
                    match item.member(name) {
                        Some(value) => out.push(value.clone()),
                        None if self.lax => {}
                        None => return Err(format!("there is no member '{name}' in the {}", kind(&item))),
                    }
                }
                out
            }
            Expr::Members(inner) => {
                let mut out = Vec::new();
                for item in self.opened(of(inner)?, |item| matches!(item, Json::Array(_))) {
                    match item {
                        Json::Object(members) => out.extend(members.into_iter().map(|(_, value)| value)),
                        _ if self.lax => {}
                        other => return Err(format!("the {} has no members", kind(&other))),
                    }
                }
                out
            }
            Expr::Descendants(inner, name) => {
                let mut out = Vec::new();
                of(inner)?.iter().for_each(|item| descend(item, name, &mut out));
                out
            }
            Expr::Items(inner, ranges) => self.items(of(inner)?, ranges.as_deref(), current)?,
            Expr::Filter(inner, predicate) => {
                let items = self.opened(of(inner)?, |item| matches!(item, Json::Array(_)));
                items.into_iter().filter(|item| self.holds(predicate, item) == Some(true)).collect()
            }
            Expr::Method(inner, name) => self.method(of(inner)?, name)?,
        };
        if items.len() > ITEMS_MAX { Err("the path finds too many items".into()) } else { Ok(items) }
    }

    /// In lax mode arrays become their items where something else is wanted.
    fn opened(&self, items: Vec<Json>, open: fn(&Json) -> bool) -> Vec<Json> {
        if !self.lax || !items.iter().any(open) {
            return items;
        }
        let mut out = Vec::new();
        for item in items {
            match item {
                Json::Array(inner) => out.extend(inner),
                other => out.push(other),
            }
        }
        out
    }

    fn items(&self, items: Vec<Json>, ranges: Option<&[(Expr, Option<Expr>)]>, current: Option<&Json>) -> Parsed<Vec<Json>> {
        let mut out = Vec::new();
        for item in items {
            let inner = match item {
                Json::Array(inner) => inner,
                other if self.lax => vec![other],
                other => return Err(format!("the {} is no array", kind(&other))),
            };
            let Some(ranges) = ranges else {
                out.extend(inner);
                continue;
            };
            let place = |expr: &Expr| -> Parsed<i64> {
                let found = self.find(expr, current, Some(inner.len().saturating_sub(1)))?;
                match found.as_slice() {
                    [one] => Ok(number(one)?.trunc() as i64),
                    _ => Err("a subscript is one number".into()),
                }
            };
            for (from, to) in ranges {
                let from = place(from)?;
                let to = to.as_ref().map_or(Ok(from), &place)?;
                let inside = |at: i64| usize::try_from(at).is_ok_and(|at| at < inner.len());
                if !self.lax && (!inside(from) || !inside(to) || from > to) {
                    return Err(format!("the subscript {from} to {to} is outside of an array of {}", inner.len()));
                }
                let end = usize::try_from(to.saturating_add(1)).unwrap_or(0).min(inner.len());
                let start = usize::try_from(from.max(0)).unwrap_or(0).min(end);
                out.extend_from_slice(&inner[start..end]);
            }
        }
        Ok(out)
    }

    fn binary(&self, sign: char, left: &[Json], right: &[Json]) -> Parsed<Json> {
        let ([left], [right]) = (left, right) else { return Err("an operand is not one value".into()) };
        if let (Json::Number(a), Json::Number(b)) = (left, right)
            && let (Ok(a), Ok(b)) = (a.parse::<i64>(), b.parse::<i64>())
        {
            let whole = match sign {
                '+' => a.checked_add(b),
                '-' => a.checked_sub(b),
                '*' => a.checked_mul(b),
                '%' => a.checked_rem(b),
                _ => a.checked_rem(b).filter(|rest| *rest == 0).and_then(|_| a.checked_div(b)),
            };
            if let Some(whole) = whole {
                return Ok(Json::Number(whole.to_string()));
            }
        }
        let (a, b) = (number(left)?, number(right)?);
        if matches!(sign, '/' | '%') && b == 0.0 {
            return Err("division by zero".into());
        }
        shown(match sign {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            '/' => a / b,
            _ => a % b,
        })
    }

    fn method(&self, items: Vec<Json>, name: &str) -> Parsed<Vec<Json>> {
        let items =
            if matches!(name, "size" | "type") { items } else { self.opened(items, |item| matches!(item, Json::Array(_))) };
        let one = |item: Json| -> Parsed<Json> {
            match name {
                "type" => Ok(Json::Text(kind(&item).into())),
                "size" => match &item {
                    Json::Array(inner) => Ok(Json::Number(inner.len().to_string())),
                    _ if self.lax => Ok(Json::Number("1".into())),
                    other => Err(format!("the {} has no size", kind(other))),
                },
                "abs" => match &item {
                    Json::Number(digits) => Ok(Json::Number(digits.trim_start_matches('-').to_owned())),
                    other => number(other).and_then(shown),
                },
                "floor" => shown(number(&item)?.floor()),
                "ceiling" => shown(number(&item)?.ceil()),
                "double" => match &item {
                    Json::Text(text) => shown(text.trim().parse().map_err(|_| format!("'{text}' is not a number"))?),
                    other => shown(number(other)?),
                },
                _ => Err(format!("there is no method {name}()")),
            }
        };
        if name == "keyvalue" {
            let mut out = Vec::new();
            for (id, item) in items.into_iter().enumerate() {
                let Json::Object(members) = item else { return Err("keyvalue() is of objects".into()) };
                out.extend(members.into_iter().map(|(name, value)| {
                    Json::Object(vec![
                        ("name".into(), Json::Text(name)),
                        ("value".into(), value),
                        ("id".into(), Json::Number(id.to_string())),
                    ])
                }));
            }
            return Ok(out);
        }
        items.into_iter().map(one).collect()
    }

    /// With three values: `None` is unknown.
    fn holds(&self, predicate: &Predicate, item: &Json) -> Option<bool> {
        match predicate {
            Predicate::Or(a, b) => match (self.holds(a, item), self.holds(b, item)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Predicate::And(a, b) => match (self.holds(a, item), self.holds(b, item)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Predicate::Not(inner) => self.holds(inner, item).map(|holds| !holds),
            Predicate::Exists(expr) => self.find(expr, Some(item), None).ok().map(|found| !found.is_empty()),
            Predicate::Unknown(inner) => Some(self.holds(inner, item).is_none()),
            Predicate::Compare(sign, left, right) => self.any(left, right, item, |a, b| compare(sign, a, b)),
            Predicate::StartsWith(left, right) => self.any(left, right, item, |a, b| match (a, b) {
                (Json::Text(a), Json::Text(b)) => Some(a.starts_with(b.as_str())),
                _ => None,
            }),
        }
    }

    /// Whether it holds for any pair; one that cannot be compared makes the whole unknown.
    fn any(&self, left: &Expr, right: &Expr, item: &Json, test: impl Fn(&Json, &Json) -> Option<bool>) -> Option<bool> {
        let side =
            |expr| self.find(expr, Some(item), None).ok().map(|found| self.opened(found, |item| matches!(item, Json::Array(_))));
        let (left, right) = (side(left)?, side(right)?);
        let mut found = false;
        for a in &left {
            for b in &right {
                found |= test(a, b)?;
            }
        }
        Some(found)
    }
}

fn compare(sign: &str, a: &Json, b: &Json) -> Option<bool> {
    let order = match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.parse::<f64>().ok()?.partial_cmp(&b.parse().ok()?)?,
        (Json::Text(a), Json::Text(b)) => a.cmp(b),
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        (Json::Null, Json::Null) => std::cmp::Ordering::Equal,
        (Json::Null, _) | (_, Json::Null) => return Some(matches!(sign, "<>" | "!=")),
        _ => return None,
    };
    Some(match sign {
        "=" | "==" => order.is_eq(),
        "<>" | "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// All members of the name, outer ones before inner.
fn descend(value: &Json, name: &str, out: &mut Vec<Json>) {
    match value {
        Json::Object(members) => {
            for (key, member) in members {
                if key == name {
                    out.push(member.clone());
                }
                descend(member, name, out);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| descend(item, name, out)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, value: &str, expected: &str) {
        let found = SqlPath::parse(path)
            .and_then(|path| path.find(&Json::parse(value, &mut |_| true).unwrap(), &[("low".into(), Json::Number("3".into()))]));
        let shown = found.map(|items| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(shown.unwrap_or_else(|_| "error".into()), expected, "{path}");
    }

    #[test]
    fn paths_find_what_the_standard_says() {
        check("lax $.a[*]?(@ > 12)", r#"{"a":[10,13,16]}"#, "13 16");
        check("lax $.a[last]", r#"{"a":[10,13,16]}"#, "16");
        check("lax $.a.b", r#"{"a":[{"b":1},{"b":2}]}"#, "1 2");
        check("strict $.a.b", r#"{"a":[{"b":1},{"b":2}]}"#, "error");
        check("lax $[1 to 2, 0]", "[0,1,2,3]", "1 2 0");
        check("strict $[7]", "[0]", "error");
        check("lax $..k", r#"{"a":{"k":1,"b":{"k":2}}}"#, "1 2");
        check("lax $?(@.a > $low).a", r#"{"a":5}"#, "5");
        check("strict $.a + $.b * 2", r#"{"a":4,"b":5}"#, "14");
        check("lax $[*].type()", r#"[1,"a",null,{}]"#, r#""number" "string" "null" "object""#);
        check("lax $[0].abs().floor()", "[-1.7]", "1");
        check(r#"lax $?((@.a == "x" || @.b < 2) && !(exists(@.c)))"#, r#"{"a":"x"}"#, r#"{"a":"x"}"#);
        check(r#"lax $?(@.a starts with "x")"#, r#"{"a":"xy"}"#, r#"{"a":"xy"}"#);
        check("lax $?((@.a > 1) is unknown)", r#"{"a":"x"}"#, r#"{"a":"x"}"#);
    }

    #[test]
    fn hostile_paths_are_refused() {
        for path in ["", "$", "lax", "lax $.", "lax $[", "lax $?(@)", "lax $?(@ > )", "lax $ $", "lax $.a b"] {
            assert!(SqlPath::parse(path).is_err(), "{path}");
        }
        assert!(SqlPath::parse(&format!("lax {}$", "(".repeat(10_000))).is_err());
        assert!(SqlPath::parse(&format!("lax {}$", "-".repeat(10_000))).is_err());
        assert!(SqlPath::parse(&format!("lax $?({}@ > 1", "!(".repeat(10_000))).is_err());
    }
}
