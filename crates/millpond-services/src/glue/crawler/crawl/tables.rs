//! What a crawl writes into the catalog: tables and partitions as Glue's crawler describes them.

use super::plan::{Part, TablePlan};
use super::schema::Shape;
use crate::glue::crawler::rows::Crawler;
use crate::glue::crawler::spec::Exclusions;
use millpond_core::catalog::{Column, Parameters, Partition, StorageDescriptor, Table};

/// Says of CSV whether fields are in quotes.
const QUOTED: &str = "areColumnsQuoted";

/// Whether a table lies at a location, with or without a slash at its end.
pub(super) fn lies_at(table: &Table, location: &str) -> bool {
    let own = table.storage.location.as_deref().unwrap_or_default();
    own.trim_end_matches('/') == location.trim_end_matches('/')
}

/// A new table; `None` where the plan has no format.
pub(super) fn new_table(crawler: &Crawler, crawl: &str, database: &str, plan: &TablePlan) -> Option<Table> {
    let shape = plan.whole.main()?;
    let columns = without_keys(plan.whole.columns.new_columns(), &plan.keys, shape);
    let mut parameters = shape.parameters.clone();
    let mut add = |key: &str, value: String| parameters.insert(key.to_owned(), value);
    add("CrawlerSchemaDeserializerVersion", "1.0".into());
    add("CrawlerSchemaSerializerVersion", "1.0".into());
    add("UPDATED_BY_CRAWLER", crawler.name.clone());
    add("CRAWL_RUN_ID", crawl.to_owned());
    let target = crawler.spec.targets.s3.get(plan.target);
    if let Some(target) = target.filter(|target| !target.exclusions.is_empty()) {
        let base = format!("{}/", target.path.trim_end_matches('/'));
        let patterns: Vec<String> =
            target.exclusions.iter().map(|pattern| format!("{base}{}", Exclusions::in_components(pattern))).collect();
        add("exclusions", serde_json::Value::from(patterns).to_string());
    }
    if !plan.keys.is_empty() {
        add("partition_filtering.enabled", "true".into());
    }
    count(&mut parameters, &plan.whole, false);
    quote(&mut parameters, &plan.whole);
    let mut storage = storage(shape, columns, plan.location.clone());
    storage.parameters.clone_from(&parameters);
    Some(Table {
        database: database.to_owned(),
        name: plan.name.clone(),
        owner: Some("owner".into()),
        storage,
        partition_keys: plan.keys.iter().map(|key| Column::new(key, "string")).collect(),
        table_type: Some("EXTERNAL_TABLE".into()),
        parameters,
        ..Table::default()
    })
}

fn storage(shape: &Shape, columns: Vec<Column>, location: String) -> StorageDescriptor {
    let mut storage = StorageDescriptor { columns, location: Some(location), ..shape.storage.clone() };
    storage.parameters.clone_from(&shape.parameters);
    describe_paths(&mut storage);
    storage
}

/// A partition's key wins over a column of the same name in its files. Text that is read by position keeps the column under another name.
fn without_keys(columns: Vec<Column>, keys: &[String], shape: &Shape) -> Vec<Column> {
    let by_position = shape.classification == "csv";
    let rename = |column: Column| match keys.contains(&column.name) {
        false => Some(column),
        true => by_position.then(|| Column { name: format!("{}_in_file", column.name), ..column }),
    };
    columns.into_iter().filter_map(rename).collect()
}

/// Text in quotes, once seen, makes all of its table be read with quotes: files without any read the same then. Answers whether this changed anything.
pub(super) fn quote(parameters: &mut Parameters, part: &Part) -> bool {
    let is = |parameters: &Parameters, value: &str| parameters.get(QUOTED).is_some_and(|text| text == value);
    let change = is(parameters, "false") && part.shapes.iter().any(|(shape, _)| is(&shape.parameters, "true"));
    if change {
        parameters.insert(QUOTED.into(), "true".into());
    }
    change
}

/// The serde parameter of JSON that lists the columns.
pub(super) fn describe_paths(storage: &mut StorageDescriptor) {
    if let Some(paths) = storage.serde_info.parameters.get_mut("paths") {
        *paths = storage.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(",");
    }
}

/// A new partition: described by its own files, or by its table.
pub(super) fn new_partition(
    table: &Table,
    values: Vec<String>,
    location: String,
    part: &Part,
    inherit: bool,
    now_ms: i64,
) -> Partition {
    let storage = match part.main().filter(|_| !inherit) {
        Some(shape) => {
            let keys: Vec<String> = table.partition_keys.iter().map(|key| key.name.clone()).collect();
            let columns = without_keys(part.columns.as_in(&table.storage.columns), &keys, shape);
            let mut storage = storage(shape, columns, location);
            quote(&mut storage.parameters, part);
            storage
        }
        None => StorageDescriptor { location: Some(location), ..table.storage.clone() },
    };
    let mut parameters = Parameters::new();
    count(&mut parameters, part, false);
    Partition { values, storage, parameters, created_ms: now_ms, ..Partition::default() }
}

/// The columns take the types that the table has for them.
pub(super) fn types_of(columns: &mut [Column], table: &[Column]) {
    for column in columns {
        if let Some(own) = table.iter().find(|own| own.name == column.name) {
            column.data_type.clone_from(&own.data_type);
        }
    }
}

/// Whether objects of a shape can be read as a partition says.
pub(super) fn is_alike(storage: &StorageDescriptor, shape: &Shape) -> bool {
    let differs = |key: &str, absent: &str| {
        let text = |parameters: &Parameters| parameters.get(key).cloned().unwrap_or_else(|| absent.to_owned());
        !storage.parameters.is_empty() && text(&storage.parameters) != text(&shape.parameters)
    };
    !["classification", "delimiter"].iter().any(|key| differs(key, "")) && !differs("skip.header.line.count", "0")
}

/// `objectCount`, `sizeKey`, `recordCount`, `averageRecordSize`: of the objects that the crawl saw, added to the former numbers where it saw only what
/// was new.
pub(super) fn count(parameters: &mut Parameters, part: &Part, add: bool) {
    let former = |key: &str| parameters.get(key).filter(|_| add).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (objects, bytes, records) = (former("objectCount"), former("sizeKey"), former("recordCount"));
    let (objects, bytes, records) = (objects + part.objects, bytes + part.bytes, records + part.records);
    let average = bytes.checked_div(records).unwrap_or(0);
    let numbers = [("objectCount", objects), ("sizeKey", bytes), ("recordCount", records), ("averageRecordSize", average)];
    parameters.extend(numbers.map(|(key, number)| (key.to_owned(), number.to_string())));
}
