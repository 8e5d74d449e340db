//! The text that Hive, Glue and Athena write (`bigint`, `decimal(12,2)`, `struct<a:int>`), and the Arrow type that each one is.
//!
//! Three things are decided here and nowhere else: how a type's text is read ([`HiveType::parse`]), how two guesses about one column are
//! brought together by a crawl ([`merge`]), and how far an existing table's column may grow to take new data ([`widen`]). A crawl may fall
//! back to `string`, since nothing was written yet; a table with files in it may only grow to types that hold every old value.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};
use millpond_core::catalog::Column;
use std::fmt;
use std::sync::Arc;

/// How deep `array`, `map` and `struct` may nest: deeper text is refused, so that hostile types cannot exhaust the stack.
pub const DEPTH_MAX: usize = 32;

/// A column type in Hive's terms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HiveType {
    /// 8 bits.
    TinyInt,
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Int,
    /// 64 bits.
    BigInt,
    /// 32-bit IEEE.
    Float,
    /// 64-bit IEEE.
    Double,
    /// Precision 1..=38, scale 0..=precision.
    Decimal(u8, u8),
    /// true or false.
    Boolean,
    /// UTF-8 of any length.
    String,
    /// Fixed length in characters; kept as text, not padded.
    Char(u32),
    /// Bounded length in characters; kept as text, not cut.
    Varchar(u32),
    /// Bytes.
    Binary,
    /// Days.
    Date,
    /// Without a zone; microseconds in Arrow.
    Timestamp,
    /// Any number of one type.
    Array(Box<HiveType>),
    /// Keys and values.
    Map(Box<HiveType>, Box<HiveType>),
    /// Named fields, in order.
    Struct(Vec<(String, HiveType)>),
}

/// Why a type's text was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("type '{text}', at character {position}: {message}")]
pub struct TypeError {
    /// The whole text (cut at 200 characters).
    pub text: String,
    /// 1-based.
    pub position: usize,
    /// What was wrong.
    pub message: String,
}

impl HiveType {
    /// Reads a type's text, in any case and with spaces between its parts.
    ///
    /// # Errors
    /// Unknown names, unbalanced brackets, decimals beyond 38 digits, nesting beyond [`DEPTH_MAX`]; with the position.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let mut parser = Parser { text, at: 0 };
        let parsed = parser.one(0)?;
        parser.skip_spaces();
        match parser.peek() {
            None => Ok(parsed),
            Some(c) => Err(parser.error(format!("nothing may follow the type, found '{c}'"))),
        }
    }

    /// The Arrow type that values of this type have in memory and in Parquet.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(*precision, scale.cast_signed()),
            Self::Boolean => DataType::Boolean,
            Self::String | Self::Char(_) | Self::Varchar(_) => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Array(item) => DataType::List(Arc::new(Field::new("element", item.to_arrow(), true))),
            Self::Map(key, value) => {
                let entry =
                    Fields::from(vec![Field::new("key", key.to_arrow(), false), Field::new("value", value.to_arrow(), true)]);
                DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
            }
            Self::Struct(fields) => DataType::Struct(
                fields.iter().map(|(name, t)| Arc::new(Field::new(name, t.to_arrow(), true)) as FieldRef).collect(),
            ),
        }
    }

    /// The type that holds every value of an Arrow type: what a crawler says of a Parquet or Avro column. Types that Hive lacks (times of day,
    /// intervals, 256-bit decimals) are `string`; unsigned integers take the next wider signed type.
    pub fn from_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::TinyInt,
            DataType::Int16 | DataType::UInt8 => Self::SmallInt,
            DataType::Int32 | DataType::UInt16 => Self::Int,
            DataType::Int64 | DataType::UInt32 | DataType::Duration(_) => Self::BigInt,
            DataType::UInt64 => Self::Decimal(20, 0),
            DataType::Float16 | DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
                decimal_from_arrow(*p, *s)
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Self::Binary,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Timestamp(_, _) => Self::Timestamp,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => Self::Array(Box::new(Self::from_arrow(item.data_type()))),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => {
                    Self::Map(Box::new(Self::from_arrow(pair[0].data_type())), Box::new(Self::from_arrow(pair[1].data_type())))
                }
                _ => Self::String,
            },
            DataType::Struct(fields) => {
                Self::Struct(fields.iter().map(|f| (f.name().clone(), Self::from_arrow(f.data_type()))).collect())
            }
            DataType::Dictionary(_, value) => Self::from_arrow(value),
            DataType::RunEndEncoded(_, value) => Self::from_arrow(value.data_type()),
            DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano)
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Null
            | DataType::Union(_, _) => Self::String,
        }
    }

    /// Whether values are text (`string`, `char`, `varchar`).
    pub fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Char(_) | Self::Varchar(_))
    }

    fn integer_digits(&self) -> Option<u8> {
        match self {
            Self::TinyInt => Some(3),
            Self::SmallInt => Some(5),
            Self::Int => Some(10),
            Self::BigInt => Some(19),
            _ => None,
        }
    }
}

fn decimal_from_arrow(precision: u8, scale: i8) -> HiveType {
    match u8::try_from(scale) {
        Ok(scale) if precision <= 38 && scale <= precision => HiveType::Decimal(precision.max(1), scale),
        Ok(_) => HiveType::String,
        // A negative scale multiplies by a power of ten: the digits are whole, and there are more of them.
        Err(_) => match precision.checked_add(scale.unsigned_abs()) {
            Some(precision) if precision <= 38 => HiveType::Decimal(precision, 0),
            _ => HiveType::String,
        },
    }
}

impl fmt::Display for HiveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TinyInt => f.write_str("tinyint"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal(p, s) => write!(f, "decimal({p},{s})"),
            Self::Boolean => f.write_str("boolean"),
            Self::String => f.write_str("string"),
            Self::Char(n) => write!(f, "char({n})"),
            Self::Varchar(n) => write!(f, "varchar({n})"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Array(item) => write!(f, "array<{item}>"),
            Self::Map(key, value) => write!(f, "map<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, (name, t)) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{name}:{t}")?;
                }
                f.write_str(">")
            }
        }
    }
}

/// The Arrow type of a type's text.
///
/// # Errors
/// As [`HiveType::parse`].
pub fn arrow_type(text: &str) -> Result<DataType, TypeError> {
    HiveType::parse(text).map(|t| t.to_arrow())
}

/// The text that a crawler writes for an Arrow type.
pub fn hive_type(data_type: &DataType) -> String {
    HiveType::from_arrow(data_type).to_string()
}

/// The Arrow schema of catalog columns: all nullable, in order, names as they are.
///
/// # Errors
/// The first column whose type is not understood.
pub fn arrow_schema(columns: &[Column]) -> Result<Schema, TypeError> {
    let fields: Result<Vec<Field>, TypeError> =
        columns.iter().map(|c| Ok(Field::new(&c.name, arrow_type(&c.data_type)?, true))).collect();
    Ok(Schema::new(fields?))
}

/// The narrowest type that a crawl may give a column of which two files (or two rows) say `a` and `b`; `string` where nothing else holds both.
pub fn merge(a: &HiveType, b: &HiveType) -> HiveType {
    use HiveType as T;
    if a == b {
        return a.clone();
    }
    match (a, b) {
        (T::Array(x), T::Array(y)) => T::Array(Box::new(merge(x, y))),
        (T::Map(k, v), T::Map(k2, v2)) => T::Map(Box::new(merge(k, k2)), Box::new(merge(v, v2))),
        (T::Struct(x), T::Struct(y)) => T::Struct(merge_fields(x, y)),
        (T::Date, T::Timestamp) | (T::Timestamp, T::Date) => T::Timestamp,
        (T::Char(x), T::Char(y)) => T::Char(*x.max(y)),
        (T::Varchar(x) | T::Char(x), T::Varchar(y) | T::Char(y)) => T::Varchar(*x.max(y)),
        _ => merge_numbers(a, b).unwrap_or(T::String),
    }
}

/// Fields of both, matched without regard to case, those of `a` first.
fn merge_fields(a: &[(String, HiveType)], b: &[(String, HiveType)]) -> Vec<(String, HiveType)> {
    let mut fields = a.to_vec();
    for (name, t) in b {
        match fields.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(name)) {
            Some((_, have)) => *have = merge(have, t),
            None => fields.push((name.clone(), t.clone())),
        }
    }
    fields
}

fn merge_numbers(a: &HiveType, b: &HiveType) -> Option<HiveType> {
    use HiveType as T;
    if let (Some(x), Some(y)) = (a.integer_digits(), b.integer_digits()) {
        return Some(if x >= y { a.clone() } else { b.clone() });
    }
    match (a, b) {
        (T::Float | T::Double, T::Float | T::Double) => Some(T::Double),
        (T::Float | T::Double, T::Decimal(..)) | (T::Decimal(..), T::Float | T::Double) => Some(T::Double),
        (T::Float | T::Double, whole) | (whole, T::Float | T::Double) => whole.integer_digits().map(|_| T::Double),
        (T::Decimal(p, s), T::Decimal(p2, s2)) => decimal_union((p - s, *s), (p2 - s2, *s2)),
        (T::Decimal(p, s), whole) | (whole, T::Decimal(p, s)) => decimal_union((p - s, *s), (whole.integer_digits()?, 0)),
        _ => None,
    }
}

/// From (digits before the point, digits after it).
fn decimal_union(a: (u8, u8), b: (u8, u8)) -> Option<HiveType> {
    let (whole, scale) = (a.0.max(b.0), a.1.max(b.1));
    // Integers beyond 64 bits are taken as decimal(38,0); with any fraction beside them the digits no longer fit, and text loses nothing.
    (whole + scale <= 38).then_some(HiveType::Decimal((whole + scale).max(1), scale))
}

/// What an existing column of type `target` becomes to take data of type `source`: it grows where every old value stays exact or is a number
/// still (integers to wider integers, decimals or `double`; `float` to `double`; decimals to more digits; structs by fields), else it is kept,
/// and values that do not fit it are quarantined.
pub fn widen(target: &HiveType, source: &HiveType) -> HiveType {
    use HiveType as T;
    match (target, source) {
        (T::Array(x), T::Array(y)) => T::Array(Box::new(widen(x, y))),
        (T::Map(k, v), T::Map(k2, v2)) => T::Map(Box::new(widen(k, k2)), Box::new(widen(v, v2))),
        (T::Struct(x), T::Struct(y)) => {
            let mut fields = x.clone();
            for (name, t) in y {
                match fields.iter_mut().find(|(have, _)| have.eq_ignore_ascii_case(name)) {
                    Some((_, have)) => *have = widen(have, t),
                    None => fields.push((name.clone(), t.clone())),
                }
            }
            T::Struct(fields)
        }
        (T::Float, T::Double) => T::Double,
        (T::Decimal(..), T::Decimal(..)) => merge_numbers(target, source).unwrap_or_else(|| target.clone()),
        (T::Decimal(..), whole) if whole.integer_digits().is_some() => {
            merge_numbers(target, source).unwrap_or_else(|| target.clone())
        }
        (whole, T::Decimal(..)) if whole.integer_digits().is_some() => merge_numbers(target, source).unwrap_or(T::Double),
        (whole, T::Float | T::Double) if whole.integer_digits().is_some() => T::Double,
        (x, y) if x.integer_digits().is_some() && y.integer_digits().is_some() => merge(x, y),
        _ => target.clone(),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, message: String) -> TypeError {
        let position = self.text[..self.at].chars().count() + 1;
        TypeError { text: self.text.chars().take(200).collect(), position, message }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_spaces(&mut self) {
        while let Some(c) = self.peek().filter(|c| c.is_whitespace()) {
            self.at += c.len_utf8();
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), TypeError> {
        self.skip_spaces();
        match self.peek() {
            Some(c) if c == wanted => {
                self.at += c.len_utf8();
                Ok(())
            }
            Some(c) => Err(self.error(format!("expected '{wanted}', found '{c}'"))),
            None => Err(self.error(format!("expected '{wanted}', found the end"))),
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.expect(wanted).is_ok()
    }

    fn word(&mut self) -> String {
        self.skip_spaces();
        let start = self.at;
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            self.at += c.len_utf8();
        }
        self.text[start..self.at].to_ascii_lowercase()
    }

    fn number(&mut self) -> Result<u32, TypeError> {
        self.skip_spaces();
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        self.text[start..self.at].parse().map_err(|_| self.error("expected a whole number".into()))
    }

    fn one(&mut self, depth: usize) -> Result<HiveType, TypeError> {
        if depth > DEPTH_MAX {
            return Err(self.error(format!("types may nest {DEPTH_MAX} deep at most")));
        }
        self.skip_spaces();
        let start = self.at;
        let word = self.word();
        Ok(match word.as_str() {
            "tinyint" | "byte" => HiveType::TinyInt,
            "smallint" | "short" => HiveType::SmallInt,
            "int" | "integer" => HiveType::Int,
            "bigint" | "long" => HiveType::BigInt,
            "float" | "real" => HiveType::Float,
            "double" => HiveType::Double,
            "boolean" => HiveType::Boolean,
            "string" => HiveType::String,
            "binary" | "varbinary" => HiveType::Binary,
            "date" => HiveType::Date,
            "timestamp" => HiveType::Timestamp,
            "decimal" | "numeric" => self.decimal()?,
            "char" => HiveType::Char(self.length(255)?),
            "varchar" => HiveType::Varchar(self.length(65_535)?),
            "array" => {
                self.expect('<')?;
                let item = self.one(depth + 1)?;
                self.expect('>')?;
                HiveType::Array(Box::new(item))
            }
            "map" => {
                self.expect('<')?;
                let key = self.one(depth + 1)?;
                self.expect(',')?;
                let value = self.one(depth + 1)?;
                self.expect('>')?;
                HiveType::Map(Box::new(key), Box::new(value))
            }
            "struct" => HiveType::Struct(self.fields(depth)?),
            _ => {
                self.at = start;
                let message = if word.is_empty() { "expected a type".into() } else { format!("unknown type '{word}'") };
                return Err(self.error(message));
            }
        })
    }

    fn decimal(&mut self) -> Result<HiveType, TypeError> {
        if !self.eat('(') {
            return Ok(HiveType::Decimal(10, 0));
        }
        let precision = self.number()?;
        let scale = if self.eat(',') { self.number()? } else { 0 };
        self.expect(')')?;
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(p @ 1..=38), Ok(s)) if s <= p => Ok(HiveType::Decimal(p, s)),
            _ => {
                Err(self.error(format!("decimal({precision},{scale}) needs a precision of 1 to 38 and a scale of at most that")))
            }
        }
    }

    fn length(&mut self, default: u32) -> Result<u32, TypeError> {
        if !self.eat('(') {
            return Ok(default);
        }
        let length = self.number()?;
        self.expect(')')?;
        Ok(length)
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<(String, HiveType)>, TypeError> {
        self.expect('<')?;
        let mut fields = Vec::new();
        if self.eat('>') {
            return Ok(fields);
        }
        loop {
            let name = self.field_name()?;
            self.expect(':')?;
            fields.push((name, self.one(depth + 1)?));
            if !self.eat(',') {
                break;
            }
        }
        self.expect('>')?;
        Ok(fields)
    }

    /// Anything up to the colon (JSON keys become field names as they are), or between back-ticks.
    fn field_name(&mut self) -> Result<String, TypeError> {
        self.skip_spaces();
        if self.eat('`') {
            let rest = &self.text[self.at..];
            let end = rest.find('`').ok_or_else(|| self.error("a back-tick is not closed".into()))?;
            let name = rest[..end].to_owned();
            self.at += end + 1;
            return Ok(name);
        }
        let rest = &self.text[self.at..];
        let end = rest.find([':', '<', '>', ',']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_owned();
        if name.is_empty() {
            return Err(self.error("expected a field name".into()));
        }
        self.at += end;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> HiveType {
        HiveType::parse(text).unwrap()
    }

    #[test]
    fn type_text_survives_a_round_trip_through_arrow() {
        for text in [
            "tinyint",
            "smallint",
            "int",
            "bigint",
            "float",
            "double",
            "decimal(15,2)",
            "boolean",
            "string",
            "binary",
            "date",
            "timestamp",
            "array<string>",
            "map<string,array<int>>",
            "struct<a:int,b:struct<c d:string,e:array<double>>>",
        ] {
            assert_eq!(parse(text).to_string(), text);
            assert_eq!(hive_type(&arrow_type(text).unwrap()), text);
        }
    }

    #[test]
    fn type_text_is_read_in_any_case_and_with_spaces() {
        assert_eq!(parse(" STRUCT< A : Int , `b:c` : Decimal ( 7 ) > ").to_string(), "struct<A:int,b:c:decimal(7,0)>");
        assert_eq!(parse("varchar(10)").to_arrow(), DataType::Utf8);
        assert_eq!(parse("decimal"), HiveType::Decimal(10, 0));
    }

    #[test]
    fn wrong_type_text_is_refused_with_its_position() {
        let at = |text: &str| HiveType::parse(text).unwrap_err();
        assert_eq!(at("array<strin>").position, 7);
        assert!(at("array<strin>").message.contains("unknown type 'strin'"));
        assert_eq!(at("struct<a:int,>").message, "expected a field name");
        assert_eq!(at("int int").position, 5);
        assert!(at("decimal(40,2)").message.contains("1 to 38"));
        assert!(at("").message.contains("expected a type"));
        assert!(at(&"array<".repeat(5_000)).message.contains("nest"));
    }

    #[test]
    fn merging_two_guesses_takes_the_narrowest_type_that_holds_both() {
        for (a, b, want) in [
            ("int", "bigint", "bigint"),
            ("bigint", "double", "double"),
            ("bigint", "decimal(5,2)", "decimal(21,2)"),
            ("decimal(12,2)", "decimal(10,4)", "decimal(14,4)"),
            ("decimal(38,0)", "decimal(10,4)", "string"),
            ("date", "timestamp", "timestamp"),
            ("date", "bigint", "string"),
            ("boolean", "bigint", "string"),
            ("array<int>", "array<double>", "array<double>"),
            ("struct<a:int,b:int>", "struct<B:bigint,c:date>", "struct<a:int,b:bigint,c:date>"),
            ("struct<a:int>", "string", "string"),
            ("map<string,int>", "map<string,string>", "map<string,string>"),
        ] {
            assert_eq!(merge(&parse(a), &parse(b)).to_string(), want, "{a} + {b}");
            let back = merge(&parse(b), &parse(a)).to_string();
            assert_eq!(back.to_lowercase().len(), want.len(), "{b} + {a}: {back}");
        }
    }

    #[test]
    fn a_table_column_grows_but_never_turns_into_text() {
        for (target, source, want) in [
            ("int", "bigint", "bigint"),
            ("bigint", "int", "bigint"),
            ("bigint", "double", "double"),
            ("int", "decimal(10,2)", "decimal(12,2)"),
            ("decimal(10,2)", "decimal(12,4)", "decimal(12,4)"),
            ("decimal(10,2)", "double", "decimal(10,2)"),
            ("float", "double", "double"),
            ("bigint", "string", "bigint"),
            ("date", "timestamp", "date"),
            ("string", "bigint", "string"),
            ("struct<a:int>", "struct<a:bigint,b:string>", "struct<a:bigint,b:string>"),
        ] {
            assert_eq!(widen(&parse(target), &parse(source)).to_string(), want, "{target} <- {source}");
        }
    }
}
