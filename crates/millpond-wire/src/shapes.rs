//! The Rust side of shapes: how generated types become JSON values and come from them.
//!
//! Every generated type implements [`Shape`] through one of the macros below, which write two short
//! functions that are not generic. `serde`'s traits are there too, on top of [`Shape`], so that the
//! types can be used wherever serde is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use std::collections::BTreeMap;

/// A value of a shape that is kept as plain JSON.
pub type Document = Value;

/// A type that goes over the wire.
pub trait Shape: Sized {
    /// Its JSON form; `None` leaves the member out.
    fn to_value(&self) -> Option<Value>;

    /// Reads the JSON form. Fails only where the value was not checked against its schema before.
    fn from_value(value: Value) -> Result<Self, ReadError>;

    /// What a member that is not there stands for.
    fn from_absent() -> Result<Self, ReadError> {
        Err(ReadError::new("is missing"))
    }
}

/// Why a value is not of its type, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    reason: String,
    /// The way to the value, innermost first.
    path: Vec<String>,
}

impl ReadError {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), path: Vec::new() }
    }

    fn expected(what: &str, found: &Value) -> Self {
        Self::new(format!("is {} where {what} is expected", describe(found)))
    }

    fn within(mut self, part: impl Into<String>) -> Self {
        self.path.push(part.into());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        write!(f, "'{}' {}", path.join("."), self.reason)
    }
}

impl std::error::Error for ReadError {}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Takes a structure's member out of its JSON object.
pub(crate) fn take<T: Shape>(object: &mut Map<String, Value>, name: &str) -> Result<T, ReadError> {
    match object.remove(name) {
        None | Some(Value::Null) => T::from_absent(),
        Some(value) => T::from_value(value),
    }
    .map_err(|error| error.within(name))
}

/// Puts a structure's member into its JSON object.
pub(crate) fn put<T: Shape>(object: &mut Map<String, Value>, name: &str, member: &T) {
    if let Some(value) = member.to_value() {
        object.insert(name.to_owned(), value);
    }
}

/// The JSON object of a structure.
pub(crate) fn object(value: Value) -> Result<Map<String, Value>, ReadError> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(ReadError::expected("an object", &other)),
    }
}

/// The text of an enumeration's value.
pub(crate) fn allowed<T>(value: &Value, from: impl Fn(&str) -> Option<T>) -> Result<T, ReadError> {
    let Value::String(text) = value else {
        return Err(ReadError::expected("a string", value));
    };
    from(text).ok_or_else(|| ReadError::new(format!("is the value {text:?}, which is not one of its enumeration")))
}

/// serde's side of a shape.
pub(crate) fn serialize<T: Shape, S: Serializer>(shape: &T, serializer: S) -> Result<S::Ok, S::Error> {
    shape.to_value().serialize(serializer)
}

/// serde's side of a shape.
pub(crate) fn deserialize<'de, T: Shape, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::from_value(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl Shape for String {
    fn to_value(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(ReadError::expected("a string", &other)),
        }
    }
}

impl Shape for bool {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Bool(*self))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        value.as_bool().ok_or_else(|| ReadError::expected("a boolean", &value))
    }
}

impl Shape for i32 {
    fn to_value(&self) -> Option<Value> {
        Some(Value::from(*self))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        value
            .as_i64()
            .and_then(|number| number.try_into().ok())
            .ok_or_else(|| ReadError::expected("a whole number of 32 bits", &value))
    }
}

impl Shape for i64 {
    fn to_value(&self) -> Option<Value> {
        Some(Value::from(*self))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        value.as_i64().ok_or_else(|| ReadError::expected("a whole number of 64 bits", &value))
    }
}

impl Shape for f64 {
    fn to_value(&self) -> Option<Value> {
        Some(match serde_json::Number::from_f64(*self) {
            Some(number) => Value::Number(number),
            None if self.is_nan() => Value::from("NaN"),
            None => Value::from(if *self > 0.0 { "Infinity" } else { "-Infinity" }),
        })
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => match text.as_str() {
                "NaN" => Some(Self::NAN),
                "Infinity" => Some(Self::INFINITY),
                "-Infinity" => Some(Self::NEG_INFINITY),
                _ => None,
            },
            _ => None,
        }
        .ok_or_else(|| ReadError::expected("a number", &value))
    }
}

impl Shape for Value {
    fn to_value(&self) -> Option<Value> {
        Some(self.clone())
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        Ok(value)
    }
}

impl<T: Shape> Shape for Option<T> {
    fn to_value(&self) -> Option<Value> {
        self.as_ref().and_then(T::to_value)
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }

    fn from_absent() -> Result<Self, ReadError> {
        Ok(None)
    }
}

impl<T: Shape> Shape for Box<T> {
    fn to_value(&self) -> Option<Value> {
        (**self).to_value()
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        T::from_value(value).map(Self::new)
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(T::to_value).collect()))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        match value {
            Value::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(i, value)| T::from_value(value).map_err(|error| error.within((i + 1).to_string())))
                .collect(),
            other => Err(ReadError::expected("a list", &other)),
        }
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn to_value(&self) -> Option<Value> {
        let entries = self.iter().filter_map(|(name, value)| Some((name.clone(), value.to_value()?)));
        Some(Value::Object(entries.collect()))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        object(value)?
            .into_iter()
            .map(|(name, value)| match T::from_value(value) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(error.within(name)),
            })
            .collect()
    }
}

/// A point in time, in milliseconds since 1970 (UTC). JSON carries seconds as a number with the
/// milliseconds as its fraction, XML an ISO 8601 text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// The years that both forms can carry: 0001 to 9999.
const TIMESTAMPS_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }

    /// From seconds since 1970, if that is in the years 1 to 9999.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let ms = (seconds * 1000.0).round();
        // The cast saturates, and NaN becomes 0, so both are refused before.
        (ms.is_finite() && TIMESTAMPS_MS.contains(&(ms as i64))).then_some(Self(ms as i64))
    }

    /// From ISO 8601 text with an offset (`2024-05-01T10:00:00Z`).
    #[must_use]
    pub fn from_iso8601(text: &str) -> Option<Self> {
        let ms = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        TIMESTAMPS_MS.contains(&ms).then_some(Self(ms))
    }

    /// As `2024-05-01T10:00:00.123Z`.
    #[must_use]
    pub fn iso8601(self) -> String {
        let ms = self.0.clamp(*TIMESTAMPS_MS.start(), *TIMESTAMPS_MS.end());
        DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl Shape for Timestamp {
    fn to_value(&self) -> Option<Value> {
        Some(Value::from(self.0 as f64 / 1000.0))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        match &value {
            Value::Number(number) => number.as_f64().and_then(Self::from_seconds),
            Value::String(text) => Self::from_iso8601(text),
            _ => None,
        }
        .ok_or_else(|| ReadError::expected("a timestamp", &value))
    }
}

/// Bytes; both protocols carry them in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Vec<u8>);

impl Shape for Blob {
    fn to_value(&self) -> Option<Value> {
        Some(Value::String(BASE64.encode(&self.0)))
    }

    fn from_value(value: Value) -> Result<Self, ReadError> {
        match &value {
            Value::String(text) => BASE64.decode(text).ok().map(Self),
            _ => None,
        }
        .ok_or_else(|| ReadError::expected("base64 text", &value))
    }
}

/// An operation's input or output, for tests over all of them: its name, its table, and a function
/// that makes a value the type and the type a value again.
#[cfg(test)]
pub(crate) type Side = (&'static str, &'static crate::schema::Schema, fn(Value) -> Result<Option<Value>, ReadError>);

#[cfg(test)]
pub(crate) fn there_and_back<T: Shape>(value: Value) -> Result<Option<Value>, ReadError> {
    T::from_value(value).map(|shape| shape.to_value())
}

macro_rules! structures {
    ($($name:ident { $($field:ident: $type:ty = $wire:literal,)* })*) => {$(
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $crate::shapes::Shape for $name {
            fn to_value(&self) -> Option<serde_json::Value> {
                #[allow(unused_mut)]
                let mut object = serde_json::Map::new();
                $($crate::shapes::put(&mut object, $wire, &self.$field);)*
                Some(serde_json::Value::Object(object))
            }

            fn from_value(value: serde_json::Value) -> Result<Self, $crate::shapes::ReadError> {
                #[allow(unused_mut, unused_variables)]
                let mut object = $crate::shapes::object(value)?;
                Ok(Self { $($field: $crate::shapes::take(&mut object, $wire)?,)* })
            }
        }

        $crate::shapes::serde_of!($name);
    )*};
}

macro_rules! enumerations {
    ($($name:ident { $first:ident = $first_wire:literal, $($variant:ident = $wire:literal,)* })*) => {$(
        /// The default is the first value; it stands only for required members in
        /// `..Default::default()`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            #[default]
            $first,
            $($variant,)*
        }

        impl $name {
            /// All values, in the model's order.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$variant,)*];

            /// The value as AWS writes it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_wire,
                    $(Self::$variant => $wire,)*
                }
            }

            /// The value that AWS writes so.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::shapes::Shape for $name {
            fn to_value(&self) -> Option<serde_json::Value> {
                Some(serde_json::Value::from(self.as_str()))
            }

            fn from_value(value: serde_json::Value) -> Result<Self, $crate::shapes::ReadError> {
                $crate::shapes::allowed(&value, Self::from_text)
            }
        }

        $crate::shapes::serde_of!($name);
    )*};
}

macro_rules! serde_of {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::shapes::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::shapes::deserialize(deserializer)
            }
        }
    };
}

macro_rules! operations {
    ($service:ident; $($name:ident:
        $input:ident = $input_schema:path, $output:ident = $output_schema:path, $result:expr, $action:literal, $resource:expr;)*) => {
        /// The operations with types, in the order of `services.toml`.
        pub const TYPED: &[&str] = &[$(stringify!($name),)*];

        $(
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl $crate::Operation for $name {
                type Input = $input;
                type Output = $output;
                const NAME: &'static str = stringify!($name);
                const SERVICE: &'static $crate::Service = &$service;
                const INPUT: &'static $crate::schema::Schema = &$input_schema;
                const OUTPUT: &'static $crate::schema::Schema = &$output_schema;
                const RESULT: Option<&'static str> = $result;
                const ACTION: &'static str = $action;
                const RESOURCE: &'static [$crate::resource::Part] = $resource;
            }
        )*

        #[cfg(test)]
        pub(crate) const RIGHTS: &[(&str, &str, &[$crate::resource::Part])] = &[$((stringify!($name), $action, $resource),)*];

        #[cfg(test)]
        pub(crate) const INPUTS: &[((&str, &str), &$crate::schema::Schema)] =
            &[$((($service.name, stringify!($name)), &$input_schema),)*];

        #[cfg(test)]
        pub(crate) const SIDES: &[$crate::shapes::Side] = &[$(
            ($input_schema.name, &$input_schema, $crate::shapes::there_and_back::<$input>),
            ($output_schema.name, &$output_schema, $crate::shapes::there_and_back::<$output>),
        )*];
    };
}

macro_rules! errors {
    ($($constant:ident: $code:literal, $status:literal, $sender_fault:literal, $message_member:literal;)*) => {$(
        pub const $constant: $crate::ErrorShape = $crate::ErrorShape {
            code: $code,
            status: $status,
            sender_fault: $sender_fault,
            message_member: $message_member,
        };
    )*};
}

pub(crate) use {enumerations, errors, operations, serde_of, structures};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glue;
    use serde_json::json;

    #[test]
    fn timestamps_keep_their_milliseconds_in_both_forms() {
        for (ms, seconds, text) in [
            (0, json!(0.0), "1970-01-01T00:00:00.000Z"),
            (1_714_557_600_123, json!(1_714_557_600.123), "2024-05-01T10:00:00.123Z"),
            (-1, json!(-0.001), "1969-12-31T23:59:59.999Z"),
            (253_402_300_799_999, json!(253_402_300_799.999), "9999-12-31T23:59:59.999Z"),
        ] {
            let timestamp = Timestamp(ms);
            assert_eq!(timestamp.to_value(), Some(seconds.clone()));
            assert_eq!(Timestamp::from_value(seconds).unwrap(), timestamp);
            assert_eq!(timestamp.iso8601(), text);
            assert_eq!(Timestamp::from_iso8601(text), Some(timestamp));
        }
        assert_eq!(Timestamp::from_iso8601("2024-05-01T12:00:00+02:00"), Some(Timestamp(1_714_557_600_000)));
        for wrong in [json!(1e300), json!("yesterday"), json!(true), json!("2024-05-01")] {
            assert!(Timestamp::from_value(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!(Timestamp(i64::MAX).iso8601(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_type_comes_back_from_serde_as_it_was() {
        let table = glue::TableInput {
            name: "flights".to_owned(),
            parameters: Some(BTreeMap::from([("classification".to_owned(), "csv".to_owned())])),
            storage_descriptor: Some(glue::StorageDescriptor {
                columns: Some(vec![glue::Column {
                    name: "year".to_owned(),
                    r#type: Some("bigint".to_owned()),
                    ..Default::default()
                }]),
                compressed: Some(false),
                number_of_buckets: Some(-1),
                ..Default::default()
            }),
            last_access_time: Some(Timestamp(1500)),
            ..Default::default()
        };
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<glue::TableInput>(&text).unwrap(), table);
        assert!(text.contains(r#""LastAccessTime":1.5"#), "{text}");
        assert!(!text.contains("null"), "{text}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_with_its_way() {
        for (value, expected) in [
            (json!({}), "'Name' is missing"),
            (
                json!({"Name": "t", "StorageDescriptor": {"Columns": [{"Name": "a"}, {"Name": 1}]}}),
                "'StorageDescriptor.Columns.2.Name' is a number where a string is expected",
            ),
            (json!({"Name": "t", "Parameters": {"k": []}}), "'Parameters.k' is a list where a string is expected"),
        ] {
            let error = glue::TableInput::from_value(value).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = glue::CrawlerState::from_value(json!("ASLEEP")).unwrap_err();
        assert!(error.to_string().contains("\"ASLEEP\""), "{error}");
    }

    #[test]
    fn numbers_that_json_cannot_write_become_text_and_return() {
        for number in [f64::INFINITY, f64::NEG_INFINITY, 0.25] {
            assert_eq!(f64::from_value(number.to_value().unwrap()).unwrap(), number);
        }
        assert!(f64::from_value(f64::NAN.to_value().unwrap()).unwrap().is_nan());
    }
}
