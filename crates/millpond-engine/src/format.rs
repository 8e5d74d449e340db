//! From a catalog entry's words (serde class, input format, `classification`) to the [`Format`] that the decoders take.

mod grok;

use crate::decode::lines::compile;
use crate::decode::time_pattern::TimePattern;
use crate::decode::times::MILLIS;
use crate::table::{CsvOptions, Format, JsonOptions, LineFields, LineOptions, NULL_VALUES, OrcOptions};
use millpond_core::catalog::{Parameters, StorageDescriptor};

/// A table or partition that the engine cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub String);

/// More lines of header or footer are not believed: those of a footer are held in memory.
const SKIPPED_LINES_MAX: usize = 10_000;

/// The classes that Athena has (Athena user guide, "Choose a SerDe for your data"), by their last names; the last three can't be read here.
const SERDES: &[&str] = &[
    "LazySimpleSerDe",
    "MultiDelimitSerDe",
    "OpenCSVSerde",
    "CSVSerde",
    "JsonSerDe",
    "RegexSerDe",
    "GrokSerDe",
    "ParquetHiveSerDe",
    "AvroSerDe",
    "OrcSerde",
    "IonHiveSerDe",
    "CloudTrailSerde",
    "LazyBinaryColumnarSerDe",
];

const LAZY_SIMPLE: &str = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";

impl Format {
    /// The format of the files that a storage descriptor describes; `table_parameters` are the table's own (`classification`,
    /// `skip.header.line.count`). The serde class decides, then the input format, then `classification`.
    ///
    /// # Errors
    /// A serde or option that the engine does not read, by name.
    pub fn of(storage: &StorageDescriptor, table_parameters: &Parameters) -> Result<Self, FormatError> {
        let found = Found { storage, table: table_parameters };
        let library = storage.serde_info.serialization_library.as_deref().unwrap_or_default();
        match library.rsplit('.').next().unwrap_or_default() {
            "LazySimpleSerDe" => found.lazy_simple(),
            "MultiDelimitSerDe" => found.multi_delimit(),
            "OpenCSVSerde" | "CSVSerde" => found.open_csv(),
            "JsonSerDe" => found.json(),
            "RegexSerDe" => found.regex(),
            "GrokSerDe" => found.grok(),
            "ParquetHiveSerDe" => Ok(Self::Parquet),
            "AvroSerDe" => Ok(Self::Avro),
            "OrcSerde" => found.orc(),
            "" => found.without_serde(),
            "IonHiveSerDe" => Err(FormatError(format!("serde '{library}' is not supported: Amazon Ion can't be read"))),
            _ => Err(FormatError(format!(
                "serde '{library}' is not supported: use {LAZY_SIMPLE}, org.apache.hadoop.hive.serde2.OpenCSVSerde, \
                 org.apache.hadoop.hive.contrib.serde2.MultiDelimitSerDe, org.openx.data.jsonserde.JsonSerDe, org.apache.hive.hcatalog.data.JsonSerDe, \
                 org.apache.hadoop.hive.serde2.RegexSerDe, com.amazonaws.glue.serde.GrokSerDe, \
                 org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe, org.apache.hadoop.hive.ql.io.orc.OrcSerde or \
                 org.apache.hadoop.hive.serde2.avro.AvroSerDe"
            ))),
        }
    }
}

/// Whether `CREATE EXTERNAL TABLE` may name a serde class, or none.
pub fn is_known_serde(library: &str) -> bool {
    library.is_empty() || SERDES.contains(&library.rsplit('.').next().unwrap_or_default())
}

/// Whether a Parquet table's columns are found by their place in the files instead of by their names (`parquet.column.index.access`).
///
/// # Errors
/// The property is neither true nor false.
pub(crate) fn parquet_by_index(storage: &StorageDescriptor, table_parameters: &Parameters) -> Result<bool, FormatError> {
    Found { storage, table: table_parameters }.flag("parquet.column.index.access", false)
}

struct Found<'a> {
    storage: &'a StorageDescriptor,
    table: &'a Parameters,
}

impl Found<'_> {
    fn serde(&self, key: &str) -> Option<&str> {
        self.storage.serde_info.parameters.get(key).map(String::as_str)
    }

    /// A property that users put on the serde, the descriptor or the table.
    fn anywhere(&self, key: &str) -> Option<&str> {
        self.serde(key).or_else(|| self.storage.parameters.get(key).or_else(|| self.table.get(key)).map(String::as_str))
    }

    fn byte(&self, key: &str, text: &str) -> Result<u8, FormatError> {
        delimiter_byte(text).ok_or_else(|| FormatError(format!("'{key}' must be one ASCII character, is '{text}'")))
    }

    fn lines(&self, key: &str) -> Result<usize, FormatError> {
        let Some(text) = self.anywhere(key) else { return Ok(0) };
        let lines = text.trim().parse().ok().filter(|lines| *lines <= SKIPPED_LINES_MAX);
        lines.ok_or_else(|| FormatError(format!("'{key}' must be a whole number up to {SKIPPED_LINES_MAX}, is '{text}'")))
    }

    fn header_lines(&self) -> Result<usize, FormatError> {
        self.lines("skip.header.line.count")
    }

    fn footer_lines(&self) -> Result<usize, FormatError> {
        self.lines("skip.footer.line.count")
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, FormatError> {
        match self.anywhere(key).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None | Some("") => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(FormatError(format!("'{key}' must be true or false, is '{other}'"))),
        }
    }

    /// `timestamp.formats`: patterns with commas between them.
    fn timestamp_formats(&self) -> Result<Vec<String>, FormatError> {
        let Some(list) = self.serde("timestamp.formats") else { return Ok(Vec::new()) };
        let formats: Vec<String> = list.split(',').map(|format| format.trim().to_owned()).filter(|f| !f.is_empty()).collect();
        for format in formats.iter().filter(|format| *format != MILLIS) {
            TimePattern::parse(format).map_err(|error| FormatError(format!("'timestamp.formats': {error}")))?;
        }
        Ok(formats)
    }

    /// LazySimpleSerDe's delimiters by level: Hive's own are the control characters from 1 on.
    fn separators(&self, fields: u8) -> Result<Vec<u8>, FormatError> {
        let named = |keys: &[&str], default: u8| match keys.iter().find_map(|key| self.serde(key)) {
            Some(text) => self.byte(keys[0], text),
            None => Ok(default),
        };
        // The first is Hive's own misspelling.
        let items = named(&["colelction.delim", "collection.delim"], 2)?;
        let keys = named(&["mapkey.delim"], 3)?;
        Ok([fields, items, keys].into_iter().chain(4..=8).collect())
    }

    fn null_values(&self) -> Vec<String> {
        match self.anywhere("millpond.null-values") {
            Some(list) => list.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect(),
            None => NULL_VALUES.iter().map(|v| (*v).to_owned()).collect(),
        }
    }

    fn encoding(&self) -> Result<Option<String>, FormatError> {
        match self.anywhere("serialization.encoding") {
            None => Ok(None),
            Some(label) if encoding_rs::Encoding::for_label(label.trim().as_bytes()).is_some() => {
                Ok(Some(label.trim().to_owned()))
            }
            Some(label) => Err(FormatError(format!("'serialization.encoding' names no known encoding: '{label}'"))),
        }
    }

    fn by_position(&self) -> Result<bool, FormatError> {
        match self.anywhere("millpond.match-columns") {
            None | Some("name") => Ok(false),
            Some("position") => Ok(true),
            Some(other) => Err(FormatError(format!("'millpond.match-columns' must be 'name' or 'position', is '{other}'"))),
        }
    }

    fn lazy_simple(&self) -> Result<Format, FormatError> {
        let delimiter =
            match self.serde("field.delim").or_else(|| self.serde("serialization.format").filter(|f| f.chars().count() == 1)) {
                // Hive's own default is Ctrl-A; `serialization.format` is often "1", which means the same.
                None | Some("1") => 1,
                Some(text) => self.byte("field.delim", text)?,
            };
        let quote = match self.serde("quote.delim").or_else(|| self.serde("quoteChar")) {
            Some(text) => Some(self.byte("quote.delim", text)?),
            None => (self.anywhere("areColumnsQuoted") == Some("true")).then_some(b'"'),
        };
        let escape = self.serde("escape.delim").map(|text| self.byte("escape.delim", text)).transpose()?;
        // With quotes it is a table of Millpond's own crawler, whose nested values are JSON.
        let separators = if quote.is_none() { self.separators(delimiter)? } else { Vec::new() };
        Ok(Format::Csv(CsvOptions {
            separators,
            lazy: quote.is_none(),
            epoch_times: false,
            footer_lines: self.footer_lines()?,
            timestamp_formats: self.timestamp_formats()?,
            delimiter,
            quote,
            escape,
            header_lines: self.header_lines()?,
            null_text: Some(self.anywhere("serialization.null.format").unwrap_or("\\N").to_owned()),
            null_values: self.null_values(),
            encoding: self.encoding()?,
            by_position: self.by_position()?,
        }))
    }

    /// Defaults from the Athena user guide, "Open CSV SerDe for processing CSV".
    fn open_csv(&self) -> Result<Format, FormatError> {
        let option = |key: &str, default: u8| self.serde(key).map_or(Ok(default), |text| self.byte(key, text));
        let (delimiter, quote, escape) =
            (option("separatorChar", b',')?, option("quoteChar", b'"')?, option("escapeChar", b'\\')?);
        Ok(Format::Csv(CsvOptions {
            separators: Vec::new(),
            lazy: false,
            epoch_times: true,
            footer_lines: self.footer_lines()?,
            timestamp_formats: Vec::new(),
            delimiter,
            quote: (quote != 0).then_some(quote),
            escape: (escape != 0 && escape != quote).then_some(escape),
            header_lines: self.header_lines()?,
            null_text: self.anywhere("serialization.null.format").map(str::to_owned),
            null_values: self.null_values(),
            encoding: self.encoding()?,
            by_position: self.by_position()?,
        }))
    }

    fn line_options(&self, fields: LineFields, null_text: Option<String>) -> Result<Format, FormatError> {
        Ok(Format::Lines(LineOptions {
            fields,
            header_lines: self.header_lines()?,
            footer_lines: self.footer_lines()?,
            null_text,
            encoding: self.encoding()?,
            timestamp_formats: self.timestamp_formats()?,
        }))
    }

    /// Like LazySimpleSerDe where the delimiter is one character.
    fn multi_delimit(&self) -> Result<Format, FormatError> {
        match self.serde("field.delim").filter(|delimiter| delimiter_byte(delimiter).is_none()) {
            None => self.lazy_simple(),
            Some("") => Err(FormatError("'field.delim' is empty".into())),
            Some(delimiter) => {
                let null_text = self.anywhere("serialization.null.format").unwrap_or("\\N").to_owned();
                self.line_options(LineFields::Delimiter(delimiter.to_owned()), Some(null_text))
            }
        }
    }

    fn pattern(&self, key: &str, regex: String, names: Vec<String>) -> Result<Format, FormatError> {
        compile(&regex).map_err(|error| FormatError(format!("'{key}' is no regular expression: {error}")))?;
        self.line_options(LineFields::Pattern { regex, names }, None)
    }

    fn regex(&self) -> Result<Format, FormatError> {
        let regex = self.serde("input.regex").ok_or_else(|| FormatError("the serde property 'input.regex' is missing".into()))?;
        let any_case = self.flag("input.regex.case.insensitive", false)?;
        let regex = if any_case { format!("(?i){regex}") } else { regex.to_owned() };
        self.pattern("input.regex", regex, Vec::new())
    }

    fn grok(&self) -> Result<Format, FormatError> {
        let format =
            self.serde("input.format").ok_or_else(|| FormatError("the serde property 'input.format' is missing".into()))?;
        let custom = self.serde("input.grokCustomPatterns").unwrap_or_default();
        let expanded = grok::expand(format, custom).map_err(|error| FormatError(format!("'input.format': {error}")))?;
        self.pattern("input.format", expanded.regex, expanded.names)
    }

    fn orc(&self) -> Result<Format, FormatError> {
        Ok(Format::Orc(OrcOptions { by_index: self.flag("orc.column.index.access", true)? }))
    }

    fn json(&self) -> Result<Format, FormatError> {
        let serde = &self.storage.serde_info.parameters;
        let mappings =
            serde.iter().filter_map(|(k, v)| Some((k.strip_prefix("mapping.")?.to_ascii_lowercase(), v.clone()))).collect();
        Ok(Format::Json(JsonOptions {
            mappings,
            encoding: self.encoding()?,
            dots_in_keys: self.flag("dots.in.keys", false)?,
            // The SerDe takes all but `true` for false (`JsonSerDe.initialize`); clients write `1` (PyAthena).
            ignore_malformed: self.anywhere("ignore.malformed.json").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
            case_sensitive: !self.flag("case.insensitive", true)?,
            timestamp_formats: self.timestamp_formats()?,
        }))
    }

    fn without_serde(&self) -> Result<Format, FormatError> {
        let input = self.storage.input_format.as_deref().unwrap_or_default();
        match input.rsplit('.').next().unwrap_or_default() {
            "MapredParquetInputFormat" => return Ok(Format::Parquet),
            "AvroContainerInputFormat" => return Ok(Format::Avro),
            "OrcInputFormat" => return self.orc(),
            _ => {}
        }
        match self.anywhere("classification").map(str::to_ascii_lowercase).as_deref() {
            Some("parquet") => Ok(Format::Parquet),
            Some("avro") => Ok(Format::Avro),
            Some("json") => self.json(),
            Some("orc") => self.orc(),
            Some("csv") => {
                let delimiter = self.anywhere("delimiter").map_or(Ok(b','), |text| self.byte("delimiter", text))?;
                let header_lines = self.header_lines()?;
                Ok(Format::Csv(CsvOptions { delimiter, header_lines, null_values: self.null_values(), ..CsvOptions::default() }))
            }
            Some(other) => {
                Err(FormatError(format!("classification '{other}' is not supported: csv, json, parquet, orc and avro are")))
            }
            None if input.ends_with("TextInputFormat") => self.lazy_simple(),
            None => Err(FormatError("the table names no serde, input format or classification".into())),
        }
    }
}

/// One byte from the ways in which delimiters are written: itself, `\t`, `\001`, `\u0001`, a back-slashed character (`\;`).
pub(crate) fn delimiter_byte(text: &str) -> Option<u8> {
    let bytes = text.as_bytes();
    match bytes {
        [one] if one.is_ascii() => Some(*one),
        [b'\\', b't'] => Some(b'\t'),
        [b'\\', b'n'] => Some(b'\n'),
        [b'\\', b'r'] => Some(b'\r'),
        [b'\\', b'0'] => Some(0),
        [b'\\', other] if other.is_ascii_punctuation() => Some(*other),
        [b'\\', b'u', hex @ ..] if hex.len() == 4 => {
            u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok().filter(u8::is_ascii)
        }
        [b'\\', octal @ ..] if octal.len() == 3 => {
            u8::from_str_radix(std::str::from_utf8(octal).ok()?, 8).ok().filter(u8::is_ascii)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_core::catalog::SerDeInfo;

    fn storage(library: &str, parameters: &[(&str, &str)]) -> StorageDescriptor {
        let parameters = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let library = (!library.is_empty()).then(|| library.to_owned());
        StorageDescriptor {
            serde_info: SerDeInfo { name: None, serialization_library: library, parameters },
            ..StorageDescriptor::default()
        }
    }

    #[test]
    fn delimiters_are_read_in_every_way_that_people_write_them() {
        for (text, want) in
            [(",", b','), ("\\t", b'\t'), ("\t", b'\t'), ("\\001", 1), ("\\u0001", 1), ("\u{1}", 1), ("\\;", b';')]
        {
            assert_eq!(delimiter_byte(text), Some(want), "{text}");
        }
        assert_eq!(delimiter_byte("||"), None);
        assert_eq!(delimiter_byte("é"), None);
    }

    #[test]
    fn serde_and_its_parameters_decide_the_format() {
        let table = Parameters::from([("skip.header.line.count".to_owned(), "1".to_owned())]);
        let Format::Csv(csv) = Format::of(&storage(LAZY_SIMPLE, &[("field.delim", "|")]), &table).unwrap() else { panic!("csv") };
        assert_eq!((csv.delimiter, csv.quote, csv.header_lines, csv.null_text.as_deref()), (b'|', None, 1, Some("\\N")));
        let Format::Csv(csv) = Format::of(&storage(LAZY_SIMPLE, &[]), &Parameters::new()).unwrap() else { panic!("csv") };
        assert_eq!(csv.delimiter, 1);
        let open = storage("org.apache.hadoop.hive.serde2.OpenCSVSerde", &[("separatorChar", "\\t")]);
        let Format::Csv(csv) = Format::of(&open, &table).unwrap() else { panic!("csv") };
        assert_eq!((csv.delimiter, csv.quote, csv.escape), (b'\t', Some(b'"'), Some(b'\\')));
        let json = storage("org.openx.data.jsonserde.JsonSerDe", &[("mapping.user_id", "userId")]);
        let Format::Json(json) = Format::of(&json, &table).unwrap() else { panic!("json") };
        assert_eq!(json.mappings["user_id"], "userId");
        let by_class = Parameters::from([("classification".to_owned(), "parquet".to_owned())]);
        assert_eq!(Format::of(&storage("", &[]), &by_class).unwrap(), Format::Parquet);
    }

    #[test]
    fn known_classes_are_read_but_for_three() {
        for class in SERDES {
            assert!(is_known_serde(&format!("org.x.{class}")));
            let found = Format::of(&storage(class, &[]), &Parameters::new());
            let unread = found.is_err_and(|error| error.0.contains("is not supported"));
            assert_eq!(unread, SERDES[SERDES.len() - 3..].contains(class), "{class}");
        }
        assert!(!is_known_serde("com.example.Nope"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Format::of(&storage("com.amazon.ionhiveserde.IonHiveSerDe", &[]), &Parameters::new()).unwrap_err();
        assert!(error.0.contains("IonHiveSerDe") && error.0.contains("Ion can't be read"), "{error}");
        let check = |library: &str, parameters: &[(&str, &str)], message: &str| {
            let error = Format::of(&storage(library, parameters), &Parameters::new()).unwrap_err();
            assert!(error.0.contains(message), "{library}: {error}");
        };
        check("x.GrokSerDe", &[], "the serde property 'input.format' is missing");
        check("x.GrokSerDe", &[("input.format", "%{NOPE:a}")], "the Grok pattern 'NOPE' is not known");
        check("x.RegexSerDe", &[], "the serde property 'input.regex' is missing");
        check("x.RegexSerDe", &[("input.regex", "(a")], "'input.regex' is no regular expression");
        check("x.JsonSerDe", &[("timestamp.formats", "nope")], "'timestamp.formats': the letters");
        check("x.OrcSerde", &[("orc.column.index.access", "1")], "'orc.column.index.access' must be true or false");
        check(LAZY_SIMPLE, &[("skip.footer.line.count", "1000000")], "'skip.footer.line.count' must be a whole number up to");
        let error = Format::of(&storage(LAZY_SIMPLE, &[("field.delim", "ab")]), &Parameters::new()).unwrap_err();
        assert!(error.0.contains("'field.delim' must be one ASCII character"), "{error}");
    }
}
