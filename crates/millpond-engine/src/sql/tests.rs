//! Statements, their errors, and their answers.

use super::*;
use crate::query::{ExplainFormat, ExplainType};
use millpond_core::partition_expr::CompareOp;

fn ok(sql: &str) -> Statement {
    parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn ddl(sql: &str) -> Ddl {
    let Statement::Ddl(ddl) = ok(sql) else { panic!("{sql} is no DDL") };
    ddl
}

fn show(sql: &str) -> Show {
    let Statement::Show(show) = ok(sql) else { panic!("{sql} shows nothing") };
    show
}

fn name(database: Option<&str>, name: &str) -> (Option<String>, String) {
    (database.map(str::to_owned), name.to_owned())
}

fn parts(table: &TableName) -> (Option<String>, String) {
    (table.database.clone(), table.name.clone())
}

#[test]
fn queries_are_left_as_they_are() {
    let check = |sql: &str, expected: &str| assert_eq!(ok(sql), Statement::Query { sql: expected.to_owned() });
    check("SELECT 1", "SELECT 1");
    check("  -- note\n/* more */ select '\\' from t ; ", "select '\\' from t");
    check("WITH a AS (SELECT 1) SELECT * FROM a;;", "WITH a AS (SELECT 1) SELECT * FROM a");
    check("(SELECT ';')", "(SELECT ';')");
    check("VALUES 1", "VALUES 1");
    assert_eq!(
        ok("EXPLAIN ANALYZE SELECT '\\'"),
        Statement::Explain(Explain {
            sql: "SELECT '\\'".into(),
            analyze: true,
            format: ExplainFormat::Text,
            kind: ExplainType::Distributed
        })
    );
    assert_eq!(
        ok("explain (FORMAT TEXT, TYPE LOGICAL) SELECT 1;"),
        Statement::Explain(Explain {
            sql: "SELECT 1".into(),
            analyze: false,
            format: ExplainFormat::Text,
            kind: ExplainType::Logical
        })
    );
    assert_eq!(
        ok("EXPLAIN (SELECT 1)"),
        Statement::Explain(Explain {
            sql: "(SELECT 1)".into(),
            analyze: false,
            format: ExplainFormat::Text,
            kind: ExplainType::Distributed
        })
    );
}

#[test]
fn databases() {
    let Ddl::CreateDatabase { name, if_not_exists, comment, location, properties } = ddl(
        "CREATE DATABASE IF NOT EXISTS `Sales` COMMENT 'it\\'s' LOCATION 's3://b/sales/' WITH DBPROPERTIES ('a'='1', \"b\"='2');",
    ) else {
        panic!()
    };
    assert_eq!((name.as_str(), if_not_exists, comment.as_deref()), ("sales", true, Some("it's")));
    assert_eq!(location.as_deref(), Some("s3://b/sales/"));
    assert_eq!(properties.into_iter().collect::<Vec<_>>(), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    let drop = |name: &str, if_exists, cascade| Ddl::DropDatabase { name: name.into(), if_exists, cascade };
    assert_eq!(ddl("drop schema x"), drop("x", false, false));
    assert_eq!(ddl("DROP DATABASE IF EXISTS X CASCADE"), drop("x", true, true));
    assert!(matches!(ddl("CREATE SCHEMA s"), Ddl::CreateDatabase { if_not_exists: false, .. }));
    assert!(matches!(ddl("ALTER DATABASE d SET DBPROPERTIES ('k'='v')"), Ddl::AlterDatabase { .. }));
}

#[test]
fn names_of_tables_are_written_in_many_ways() {
    let check = |written: &str, expected: (Option<String>, String)| {
        let Ddl::DropTable { name, .. } = ddl(&format!("DROP TABLE {written}")) else { panic!() };
        assert_eq!(parts(&name), expected, "{written}");
        assert_eq!(name.position, Position { line: 1, column: 12 });
    };
    check("t", name(None, "t"));
    check("Db.T", name(Some("db"), "t"));
    check("`db`.`t`", name(Some("db"), "t"));
    check("`db.t`", name(Some("db"), "t"));
    check("\"db\".\"t\"", name(Some("db"), "t"));
    check("AwsDataCatalog.db.t", name(Some("db"), "t"));
    check("2024_sales", name(None, "2024_sales"));
    assert!(matches!(parse("DROP TABLE x.db.t"), Err(QueryError::CatalogNotFound { .. })));
    assert!(parse("DROP TABLE ``").unwrap_err().is_syntax());
}

#[test]
fn a_table_of_delimited_text() {
    let sql = "CREATE EXTERNAL TABLE IF NOT EXISTS `web.logs` (
      `Id` BIGINT COMMENT 'the key', -- a comment
      price DECIMAL(12, 2),
      tags array < string >,
      o STRUCT<A:int COMMENT 'x', `b`: map<string,double>>
    ) COMMENT 'Logs'
    PARTITIONED BY (year int, Month string COMMENT 'mm')
    ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' COLLECTION ITEMS TERMINATED BY '\\002' NULL DEFINED AS ''
    STORED AS TEXTFILE
    LOCATION 's3://web/logs/'
    TBLPROPERTIES ('skip.header.line.count'='1', 'classification'='csv')";
    let Ddl::CreateExternalTable { name: written, table, if_not_exists } = ddl(sql) else { panic!() };
    assert!(if_not_exists);
    assert_eq!(parts(&written), name(Some("web"), "logs"));
    let types: Vec<(&str, &str)> = table.storage.columns.iter().map(|c| (c.name.as_str(), c.data_type.as_str())).collect();
    let expected =
        [("id", "bigint"), ("price", "decimal(12,2)"), ("tags", "array<string>"), ("o", "struct<a:int,b:map<string,double>>")];
    assert_eq!(types, expected);
    assert_eq!(table.storage.columns[0].comment.as_deref(), Some("the key"));
    assert_eq!(table.partition_keys.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["year", "month"]);
    let serde = &table.storage.serde_info;
    assert_eq!(serde.serialization_library.as_deref(), Some("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"));
    let get = |key: &str| serde.parameters.get(key).map(String::as_str);
    assert_eq!((get("field.delim"), get("escape.delim"), get("colelction.delim")), (Some("\t"), Some("\\"), Some("\u{2}")));
    assert_eq!((get("serialization.null.format"), get("serialization.format")), (Some(""), Some("\t")));
    assert_eq!(table.parameters["EXTERNAL"], "TRUE");
    assert_eq!(table.parameters["skip.header.line.count"], "1");
    assert_eq!(table.storage.input_format.as_deref(), Some("org.apache.hadoop.mapred.TextInputFormat"));
}

#[test]
fn tables_of_other_formats() {
    let check = |clauses: &str, serde: &str, input: &str| {
        let sql = format!("CREATE EXTERNAL TABLE t (a int) {clauses} LOCATION 's3://b/t/'");
        let Ddl::CreateExternalTable { table, .. } = ddl(&sql) else { panic!() };
        let ends = |text: &Option<String>, end: &str| text.as_deref().is_some_and(|text| text.ends_with(end));
        assert!(ends(&table.storage.serde_info.serialization_library, serde), "{clauses}: {:?}", table.storage.serde_info);
        assert!(ends(&table.storage.input_format, input), "{clauses}: {:?}", table.storage.input_format);
    };
    check("", "LazySimpleSerDe", "TextInputFormat");
    check("STORED AS PARQUET", "ParquetHiveSerDe", "MapredParquetInputFormat");
    check("stored as avro", "AvroSerDe", "AvroContainerInputFormat");
    check(
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('case.insensitive'='TRUE')",
        "openx.data.jsonserde.JsonSerDe",
        "TextInputFormat",
    );
    check(
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES (\"separatorChar\" = \",\")",
        "OpenCSVSerde",
        "TextInputFormat",
    );
    check(
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe'",
        "ParquetHiveSerDe",
        "MapredParquetInputFormat",
    );
    check("STORED AS INPUTFORMAT 'x.In' OUTPUTFORMAT 'x.Out'", "LazySimpleSerDe", "x.In");
}

#[test]
fn partitions() {
    let Ddl::AlterTable { action, .. } =
        ddl("ALTER TABLE d.t ADD IF NOT EXISTS PARTITION (y='2024', m=1) LOCATION 's3://b/x/' PARTITION (y='2024', m=-2)")
    else {
        panic!()
    };
    let spec = |y: &str, m: &str| vec![("y".to_owned(), y.to_owned()), ("m".to_owned(), m.to_owned())];
    let partitions = vec![(spec("2024", "1"), Some("s3://b/x/".to_owned())), (spec("2024", "-2"), None)];
    assert_eq!(action, AlterTable::AddPartitions { if_not_exists: true, partitions });
    let Ddl::AlterTable { action, .. } =
        ddl("ALTER TABLE t DROP PARTITION (d < DATE '2024-01-01', x = 'a'), PARTITION (d = '9')")
    else {
        panic!()
    };
    let condition = |key: &str, op, value: &str| PartitionCondition { key: key.into(), op, value: value.into() };
    let first = vec![condition("d", CompareOp::Lt, "2024-01-01"), condition("x", CompareOp::Eq, "a")];
    let partitions = vec![first, vec![condition("d", CompareOp::Eq, "9")]];
    assert_eq!(action, AlterTable::DropPartitions { if_exists: false, partitions });
    for (sql, expected) in [
        ("ALTER TABLE t SET LOCATION 's3://b/n/'", "SetLocation"),
        ("ALTER TABLE t PARTITION (a='1') SET LOCATION 's3://b/n/'", "SetLocation"),
        ("ALTER TABLE t PARTITION (a='1') RENAME TO PARTITION (a='2')", "RenamePartition"),
        ("ALTER TABLE t SET TBLPROPERTIES ('a'='b')", "SetProperties"),
        ("ALTER TABLE t ADD COLUMNS (a int, b string)", "AddColumns"),
        ("ALTER TABLE t REPLACE COLUMNS (a int)", "ReplaceColumns"),
        ("ALTER TABLE t PARTITION (a='1') ADD COLUMNS (b string)", "AddColumns"),
        ("ALTER TABLE t CHANGE COLUMN a b bigint COMMENT 'c'", "ChangeColumn"),
        ("ALTER TABLE t CHANGE a a bigint AFTER b", "ChangeColumn"),
        ("ALTER TABLE t DROP COLUMN a", "DropColumn"),
        ("ALTER TABLE t UNSET TBLPROPERTIES IF EXISTS ('a', 'b')", "UnsetProperties"),
        ("ALTER TABLE t RENAME TO d.u", "RenameTo"),
        ("ALTER TABLE t SET SERDE 'x' WITH SERDEPROPERTIES ('a'='b')", "Unsupported"),
        ("ALTER TABLE t PARTITION (a='1') SET FILEFORMAT orc", "Unsupported"),
    ] {
        let Ddl::AlterTable { action, .. } = ddl(sql) else { panic!("{sql}") };
        assert!(format!("{action:?}").starts_with(expected), "{sql}: {action:?}");
    }
    assert!(matches!(ddl("MSCK REPAIR TABLE `d`.`t`;"), Ddl::MsckRepair { .. }));
}

#[test]
fn shows() {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(show("SHOW DATABASES"), Show::Databases { like: None });
    assert_eq!(show("show schemas like 'a*'"), Show::Databases { like: text("a*") });
    assert_eq!(show("SHOW TABLES IN `Db` '*x*'"), Show::Tables { database: text("db"), like: text("*x*") });
    assert_eq!(show("SHOW TABLES"), Show::Tables { database: None, like: None });
    assert_eq!(show("SHOW VIEWS IN d LIKE \"v*\""), Show::Views { database: text("d"), like: text("v*") });
    let Show::Columns { name: table } = show("SHOW COLUMNS FROM t IN d") else { panic!() };
    assert_eq!(parts(&table), name(Some("d"), "t"));
    assert!(matches!(show("SHOW PARTITIONS d.t"), Show::Partitions { .. }));
    assert!(matches!(show("SHOW CREATE TABLE d.t"), Show::CreateTable { .. }));
    assert!(matches!(show("SHOW CREATE VIEW v"), Show::CreateView { .. }));
    assert!(matches!(show("SHOW TBLPROPERTIES t ('p')"), Show::TblProperties { property: Some(_), .. }));
    let Show::Describe { name: table, formatted, extended, partition, column } = show("DESC FORMATTED d.t PARTITION (y=1) c")
    else {
        panic!()
    };
    assert_eq!(parts(&table), name(Some("d"), "t"));
    assert!(formatted && !extended && partition.is_some() && column.as_deref() == Some("c"));
    let Show::Describe { name: table, formatted, .. } = show("DESCRIBE formatted") else { panic!() };
    assert_eq!((parts(&table), formatted), (name(None, "formatted"), false));
}

#[test]
fn views() {
    let Ddl::CreateView { name: view, or_replace, sql } = ddl("CREATE OR REPLACE VIEW d.\"V\" AS\nSELECT '\\d' x FROM t;") else {
        panic!()
    };
    assert_eq!((parts(&view), or_replace, sql.as_str()), (name(Some("d"), "v"), true, "SELECT '\\d' x FROM t"));
    assert!(matches!(ddl("DROP VIEW IF EXISTS v"), Ddl::DropView { if_exists: true, .. }));
}

#[test]
fn what_is_known_and_not_supported_is_a_statement_that_fails() {
    for (sql, why) in [
        ("CREATE EXTERNAL TABLE t (a int) STORED AS SEQUENCEFILE LOCATION 's3://b/'", "tables STORED AS SEQUENCEFILE"),
        ("USING EXTERNAL FUNCTION f(x int) RETURNS int LAMBDA 'l' SELECT f(1)", "USING EXTERNAL FUNCTION"),
    ] {
        let Ddl::Unsupported(message) = ddl(sql) else { panic!("{sql}") };
        assert!(message.starts_with(why), "{message}");
    }
}

#[test]
fn functions_are_listed_by_like() {
    assert_eq!(show("SHOW FUNCTIONS LIKE 'array%'"), Show::Functions { like: Some("array%".into()) });
    for (pattern, name, fits) in
        [("array%", "array_sort", true), ("a_s", "abs", true), ("a_s", "cos", false), ("%_%_x", "x", false)]
    {
        assert_eq!(like(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
    }
    let listed = show_functions(Some("regexp_like"));
    assert!(listed.contains("('regexp_like', 'boolean', 'varchar, varchar', 'scalar', true, 'Regular expression')"), "{listed}");
    check_query(&show_functions(None)).unwrap();
    check_query(&show_functions(Some("nothing"))).unwrap();
}

#[test]
fn errors_say_where_and_what_was_expected() {
    let check = |sql: &str, expected: &str| {
        let error = parse(sql).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{sql}\n     got {error}\nexpected {expected}");
    };
    check("", "line 1:1: mismatched input '<EOF>'. Expecting: 'ALTER', 'CREATE'");
    check("FROB x", "line 1:1: mismatched input 'FROB'. Expecting: 'ALTER'");
    check("CREATE\nTABEL t", "line 2:1: mismatched input 'TABEL'. Expecting: 'DATABASE', 'EXTERNAL'");
    check("DROP DATABASE a b", "line 1:17: mismatched input 'b'. Expecting: <EOF>");
    check("CREATE EXTERNAL TABLE t (a int,) LOCATION 's3://b/'", "line 1:32: mismatched input ')'. Expecting: <identifier>");
    check("CREATE EXTERNAL TABLE t (a wat) LOCATION 's3://b/'", "line 1:28: type 'wat'");
    check("CREATE EXTERNAL TABLE t (a int)", "No location was specified for table. An S3 location must be specified");
    check(
        "CREATE EXTERNAL TABLE t (a int) LOCATION 's3://b/c/' TBLPROPERTIES ('table_type'='ICEBERG')",
        "External keyword not supported for table type ICEBERG",
    );
    check("ALTER TABLE IF EXISTS t ADD COLUMNS (a int)", "line 1:16: mismatched input 'EXISTS'");
    check("ALTER TABLE t ADD COLUMN a int", "line 1:19: mismatched input 'COLUMN'");
    check("CREATE EXTERNAL TABLE t (a int) LOCATION 'b/c'", "line 1:42: LOCATION must be of the form 's3://bucket/prefix/'");
    check("CREATE EXTERNAL TABLE t (a int, A string) LOCATION 's3://b/'", "line 1:61: Column 'a' is repeated");
    check("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://b/", "line 1:42: a text begins here and does not end");
    check("/* open", "line 1:1: a comment begins here");
    check(&format!("CREATE EXTERNAL TABLE t (a {}", "array<".repeat(10_000)), "line 1:");
}

#[test]
fn patterns_of_show() {
    let check =
        |pattern: &str, name: &str, expected: bool| assert_eq!(show_pattern(Some(pattern), name), expected, "{pattern} {name}");
    check("*", "anything", true);
    check("sales*", "Sales_2024", true);
    check("sales", "sales_2024", false);
    check("*20*4", "sales_2024", true);
    check("a*|b*", "bc", true);
    check("a.*", "abc", true);
    check("%les%", "sales", true);
    check("", "x", false);
    assert!(show_pattern(None, "x"));
}

#[test]
fn a_table_can_be_made_again_from_what_show_create_table_says() {
    for sql in [
        "CREATE EXTERNAL TABLE d.t (id bigint COMMENT 'it''s', o struct<a:int,b:array<string>>) COMMENT 'c' PARTITIONED BY (y int, m string) \
         ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' LOCATION 's3://b/t/' TBLPROPERTIES ('k'='v\\n', 'a'='1')",
        "CREATE EXTERNAL TABLE d.t (a int) STORED AS PARQUET LOCATION 's3://b/t/' TBLPROPERTIES ('parquet.compress'='SNAPPY')",
        "CREATE EXTERNAL TABLE d.t (a int) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' \
         WITH SERDEPROPERTIES ('separatorChar'='\\u0001', 'quoteChar'='\"') LOCATION 's3://b/t/' TBLPROPERTIES ('x'='y')",
    ] {
        let Ddl::CreateExternalTable { table, .. } = ddl(sql) else { panic!() };
        let shown = render::show_create_table(&table, true).text();
        let Ddl::CreateExternalTable { table: again, .. } = ddl(&shown) else { panic!() };
        assert_eq!(again, table, "{shown}");
    }
}

#[test]
fn show_create_table_is_laid_out_as_athena_does() {
    let sql = "CREATE EXTERNAL TABLE d.t (a int, b string) PARTITIONED BY (y int) STORED AS PARQUET LOCATION 's3://b/t' TBLPROPERTIES ('k'='v')";
    let Ddl::CreateExternalTable { table, .. } = ddl(sql) else { panic!() };
    let expected = "CREATE EXTERNAL TABLE `d.t`(\n  `a` int, \n  `b` string)\nPARTITIONED BY ( \n  `y` int)\nROW FORMAT SERDE \n  \
                    'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' \nSTORED AS INPUTFORMAT \n  \
                    'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat' \nOUTPUTFORMAT \n  \
                    'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat'\nLOCATION\n  's3://b/t'\nTBLPROPERTIES (\n  'k'='v')";
    assert_eq!(render::show_create_table(&table, true).text(), expected);
}

#[test]
fn describe_is_laid_out_as_hive_does() {
    let sql = "CREATE EXTERNAL TABLE d.t (a int COMMENT 'x') PARTITIONED BY (y int) LOCATION 's3://b/t'";
    let Ddl::CreateExternalTable { table, .. } = ddl(sql) else { panic!() };
    let lines = render::describe(&table, None).lines;
    let expected = [
        "a                   \tint                 \tx                   ",
        "y                   \tint                 \t                    ",
        "\t \t ",
        "# Partition Information\t \t ",
        "# col_name            \tdata_type           \tcomment             ",
        "\t \t ",
        "y                   \tint                 \t                    ",
    ];
    assert_eq!(lines, expected);
    assert_eq!(render::describe(&table, Some("A")).lines, expected[..1]);
    let formatted = render::describe_formatted(&table, None).text();
    assert!(formatted.contains("Location:           \ts3://b/t            \t "), "{formatted}");
    assert!(render::describe_extended(&table).lines.last().unwrap().contains("tableName:t, dbName:d"));
}

#[test]
fn partitions_are_shown_as_paths() {
    let Ddl::CreateExternalTable { table, .. } =
        ddl("CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (y int, n string) LOCATION 's3://b/t'")
    else {
        panic!()
    };
    let values = [vec!["2024".to_owned(), "a/b c".to_owned()]];
    assert_eq!(render::partitions(&table, values.iter().map(Vec::as_slice)).lines, ["y=2024/n=a%2Fb c"]);
}
