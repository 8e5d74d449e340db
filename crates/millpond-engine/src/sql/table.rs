//! `CREATE EXTERNAL TABLE`, to the entry that Athena writes into the Glue catalog for it.

use super::Ddl;
use super::ddl::{distinct, list, location, properties, table_name};
use super::token::{Cursor, Token};
use crate::query::{Position, QueryError};
use crate::types::HiveType;
use millpond_core::catalog::{Column, Parameters, SerDeInfo, StorageDescriptor, Table};

const LAZY_SIMPLE: &str = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";
const TEXT_INPUT: &str = "org.apache.hadoop.mapred.TextInputFormat";
const TEXT_OUTPUT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";

/// `STORED AS` names: serde, input and output format.
const FORMATS: &[(&str, [&str; 3])] = &[
    ("TEXTFILE", [LAZY_SIMPLE, TEXT_INPUT, TEXT_OUTPUT]),
    (
        "PARQUET",
        [
            "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        ],
    ),
    (
        "ORC",
        [
            "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
            "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
            "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
        ],
    ),
    (
        "AVRO",
        [
            "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
            "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
            "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
        ],
    ),
    ("JSONFILE", ["org.apache.hive.hcatalog.data.JsonSerDe", TEXT_INPUT, TEXT_OUTPUT]),
];

/// The clauses as they are met, in any order, each once.
#[derive(Default)]
struct Clauses {
    comment: Option<String>,
    partition_keys: Option<Vec<Column>>,
    buckets: Option<(Vec<String>, u32)>,
    serde: Option<String>,
    delimited: Option<Parameters>,
    serde_properties: Option<Parameters>,
    stored: Option<Stored>,
    location: Option<String>,
    properties: Option<Parameters>,
}

enum Stored {
    Named([&'static str; 3]),
    Formats(String, String),
}

pub(super) fn create_external(cursor: &mut Cursor<'_>) -> Result<Ddl, QueryError> {
    let if_not_exists = cursor.takes(&["IF", "NOT", "EXISTS"]);
    let name = table_name(cursor)?;
    let columns = if cursor.peek().token == Token::Symbol("(") { self::columns(cursor)? } else { Vec::new() };
    let mut clauses = Clauses::default();
    while clauses.one(cursor)? {}
    if !matches!(cursor.peek().token, Token::End | Token::Symbol(";")) {
        return Err(cursor.unexpected(&[
            "'CLUSTERED'",
            "'COMMENT'",
            "'LOCATION'",
            "'PARTITIONED'",
            "'ROW'",
            "'STORED'",
            "'TBLPROPERTIES'",
            "'WITH'",
            "<EOF>",
        ]));
    }
    let kind = clauses.properties.as_ref().and_then(|properties| properties.get("table_type"));
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg")) {
        return Err(QueryError::Refused("External keyword not supported for table type ICEBERG".into()));
    }
    if clauses.location.is_none() {
        return Err(QueryError::Refused("No location was specified for table. An S3 location must be specified".into()));
    }
    let all: Vec<&Column> = columns.iter().chain(clauses.partition_keys.iter().flatten()).collect();
    distinct(&all, cursor)?;
    let mut table = clauses.table(columns);
    table.database = name.database.clone().unwrap_or_default();
    table.name.clone_from(&name.name);
    Ok(Ddl::CreateExternalTable { name, table: Box::new(table), if_not_exists })
}

impl Clauses {
    /// Takes one clause; `false` when none stands next.
    fn one(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, QueryError> {
        let position = cursor.position();
        let fresh = |free: bool, what: &str| {
            if free { Ok(()) } else { Err(QueryError::syntax(position, format!("{what} is written twice"))) }
        };
        if cursor.takes(&["COMMENT"]) {
            fresh(self.comment.is_none(), "COMMENT")?;
            self.comment = Some(cursor.text()?);
        } else if cursor.takes(&["PARTITIONED", "BY"]) {
            fresh(self.partition_keys.is_none(), "PARTITIONED BY")?;
            self.partition_keys = Some(columns(cursor)?);
        } else if cursor.takes(&["CLUSTERED", "BY"]) {
            fresh(self.buckets.is_none(), "CLUSTERED BY")?;
            let names = list(cursor, |cursor| cursor.name())?;
            cursor.expect(&["INTO"])?;
            let count = cursor.number()?;
            cursor.expect(&["BUCKETS"])?;
            self.buckets = Some((names, count));
        } else if cursor.takes(&["ROW", "FORMAT", "SERDE"]) {
            fresh(self.serde.is_none() && self.delimited.is_none(), "ROW FORMAT")?;
            self.serde = Some(cursor.text()?);
        } else if cursor.takes(&["ROW", "FORMAT", "DELIMITED"]) {
            fresh(self.serde.is_none() && self.delimited.is_none(), "ROW FORMAT")?;
            self.delimited = Some(delimited(cursor)?);
        } else if cursor.takes(&["WITH", "SERDEPROPERTIES"]) {
            fresh(self.serde_properties.is_none(), "WITH SERDEPROPERTIES")?;
            self.serde_properties = Some(properties(cursor)?);
        } else if cursor.takes(&["STORED", "AS"]) {
            fresh(self.stored.is_none(), "STORED AS")?;
            self.stored = Some(stored(cursor)?);
        } else if cursor.takes(&["LOCATION"]) {
            fresh(self.location.is_none(), "LOCATION")?;
            self.location = Some(location(cursor)?);
        } else if cursor.takes(&["TBLPROPERTIES"]) {
            fresh(self.properties.is_none(), "TBLPROPERTIES")?;
            self.properties = Some(properties(cursor)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn table(self, columns: Vec<Column>) -> Table {
        let formats = self.formats();
        let [library, input, output] = formats;
        let mut serde = self.delimited.unwrap_or_default();
        serde.extend(self.serde_properties.unwrap_or_default());
        // Hive repeats the delimiter here, and writes 1 where there is none.
        let delimiter = serde.get("field.delim").cloned().unwrap_or_else(|| "1".into());
        serde.entry("serialization.format".into()).or_insert(delimiter);
        let mut parameters = self.properties.unwrap_or_default();
        parameters.insert("EXTERNAL".into(), "TRUE".into());
        if let Some(comment) = &self.comment {
            parameters.insert("comment".into(), comment.clone());
        }
        let mut kept = serde_json::Map::new();
        let mut number_of_buckets = -1;
        if let Some((names, count)) = self.buckets {
            number_of_buckets = i32::try_from(count).unwrap_or(i32::MAX);
            kept.insert("BucketColumns".into(), names.into());
        }
        Table {
            description: self.comment,
            storage: StorageDescriptor {
                columns,
                location: self.location,
                input_format: Some(input),
                output_format: Some(output),
                compressed: false,
                number_of_buckets,
                serde_info: SerDeInfo { name: None, serialization_library: Some(library), parameters: serde },
                parameters: Parameters::new(),
                kept,
            },
            partition_keys: self.partition_keys.unwrap_or_default(),
            table_type: Some("EXTERNAL_TABLE".into()),
            parameters,
            ..Table::default()
        }
    }

    /// Serde, input and output format. A serde alone brings its formats along.
    fn formats(&self) -> [String; 3] {
        let text = FORMATS[0].1;
        let [serde, input, output] = match (&self.stored, &self.serde) {
            (Some(Stored::Named(names)), _) => names.map(str::to_owned),
            (Some(Stored::Formats(input, output)), _) => {
                let known = FORMATS.iter().find(|(_, names)| names[1] == input && *input != TEXT_INPUT);
                [known.map_or(LAZY_SIMPLE, |(_, names)| names[0]).to_owned(), input.clone(), output.clone()]
            }
            (None, Some(serde)) => {
                let known = FORMATS.iter().find(|(_, names)| names[0] == serde);
                known.map_or(text, |(_, names)| *names).map(str::to_owned)
            }
            (None, None) => text.map(str::to_owned),
        };
        [self.serde.clone().unwrap_or(serde), input, output]
    }
}

/// Hive's names of the delimiters, its misspelling among them.
fn delimited(cursor: &mut Cursor<'_>) -> Result<Parameters, QueryError> {
    let mut parameters = Parameters::new();
    let mut put = |key: &str, value: String| parameters.insert(key.to_owned(), value);
    loop {
        if cursor.takes(&["FIELDS", "TERMINATED", "BY"]) {
            put("field.delim", cursor.text()?);
        } else if cursor.takes(&["ESCAPED", "BY"]) {
            put("escape.delim", cursor.text()?);
        } else if cursor.takes(&["COLLECTION", "ITEMS", "TERMINATED", "BY"]) {
            put("colelction.delim", cursor.text()?);
        } else if cursor.takes(&["MAP", "KEYS", "TERMINATED", "BY"]) {
            put("mapkey.delim", cursor.text()?);
        } else if cursor.takes(&["LINES", "TERMINATED", "BY"]) {
            put("line.delim", cursor.text()?);
        } else if cursor.takes(&["NULL", "DEFINED", "AS"]) {
            put("serialization.null.format", cursor.text()?);
        } else {
            return Ok(parameters);
        }
    }
}

fn stored(cursor: &mut Cursor<'_>) -> Result<Stored, QueryError> {
    if cursor.takes(&["INPUTFORMAT"]) {
        let input = cursor.text()?;
        cursor.expect(&["OUTPUTFORMAT"])?;
        return Ok(Stored::Formats(input, cursor.text()?));
    }
    let Token::Word(word) = &cursor.peek().token else {
        return Err(cursor.unexpected(&["'AVRO'", "'INPUTFORMAT'", "'JSONFILE'", "'ORC'", "'PARQUET'", "'TEXTFILE'"]));
    };
    let word = word.to_uppercase();
    let name = match word.as_str() {
        "JSON" => "JSONFILE",
        other => other,
    };
    match FORMATS.iter().find(|(format, _)| *format == name) {
        Some((_, names)) => {
            cursor.next();
            Ok(Stored::Named(*names))
        }
        None if ["SEQUENCEFILE", "RCFILE", "ION"].contains(&name) => Err(QueryError::NotSupported(format!(
            "tables STORED AS {name} can't be read; use PARQUET, ORC, AVRO, JSONFILE or TEXTFILE"
        ))),
        None => Err(cursor.unexpected(&["'AVRO'", "'INPUTFORMAT'", "'JSONFILE'", "'ORC'", "'PARQUET'", "'TEXTFILE'"])),
    }
}

/// `(name type [COMMENT 'text'], …)`
pub(super) fn columns(cursor: &mut Cursor<'_>) -> Result<Vec<Column>, QueryError> {
    list(cursor, column)
}

/// `name type [COMMENT 'text']`
pub(super) fn column(cursor: &mut Cursor<'_>) -> Result<Column, QueryError> {
    let name = cursor.name()?;
    let data_type = data_type(cursor)?;
    let comment = if cursor.takes(&["COMMENT"]) { Some(cursor.text()?) } else { None };
    Ok(Column { name, data_type, comment, parameters: Parameters::new() })
}

/// A type, written as the catalog has it. Comments inside of structs are left out.
fn data_type(cursor: &mut Cursor<'_>) -> Result<String, QueryError> {
    let position = cursor.position();
    let mut text = String::new();
    type_text(cursor, &mut text, 0)?;
    normal_type(&text, position)
}

fn normal_type(text: &str, position: Position) -> Result<String, QueryError> {
    match HiveType::parse(text) {
        Ok(parsed) => Ok(parsed.to_string()),
        Err(error) => Err(QueryError::syntax(position, error.to_string())),
    }
}

fn type_text(cursor: &mut Cursor<'_>, out: &mut String, depth: usize) -> Result<(), QueryError> {
    if depth > crate::types::DEPTH_MAX {
        return Err(QueryError::syntax(cursor.position(), "the type nests too deeply"));
    }
    let Token::Word(name) = &cursor.peek().token else { return Err(cursor.unexpected(&["<type>"])) };
    let name = name.to_lowercase();
    cursor.next();
    out.push_str(&name);
    if name == "double" {
        cursor.takes(&["PRECISION"]);
    }
    if cursor.takes_symbol("(") {
        out.push('(');
        out.push_str(&cursor.number()?.to_string());
        while cursor.takes_symbol(",") {
            out.push(',');
            out.push_str(&cursor.number()?.to_string());
        }
        cursor.expect_symbol(")")?;
        out.push(')');
    }
    if !cursor.takes_symbol("<") {
        return Ok(());
    }
    out.push('<');
    loop {
        if name == "struct" {
            let field = cursor.name()?;
            cursor.expect_symbol(":")?;
            out.push_str(&field);
            out.push(':');
        }
        type_text(cursor, out, depth + 1)?;
        if name == "struct" && cursor.takes(&["COMMENT"]) {
            cursor.text()?;
        }
        if cursor.takes_symbol(",") {
            out.push(',');
            continue;
        }
        if cursor.takes_symbol(">") {
            out.push('>');
            return Ok(());
        }
        return Err(cursor.unexpected(&["','", "'>'"]));
    }
}
