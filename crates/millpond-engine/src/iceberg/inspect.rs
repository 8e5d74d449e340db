//! The metadata of a table as tables (Trino documentation, "Iceberg connector", "Metadata tables"): `"t$snapshots"` and its like.

use super::metadata::{self, Version};
use super::schema::{arrow_type, primitive_type, scalar};
use super::{Objects, invalid, look, plan, provider};
use crate::query::QueryError;
use crate::table::TableSource;
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int32Builder, Int64Array, Int64Builder, ListBuilder, MapBuilder,
    MapFieldNames, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray, new_empty_array,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use iceberg::spec::{
    DataFile, Datum, ManifestContentType, PartitionSpecRef, PrimitiveLiteral, SnapshotReference, SnapshotRetention,
    TableMetadata, Type,
};
use millpond_core::catalog::Table;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

type Columns = Vec<(&'static str, ArrayRef)>;

/// The table about a table that `asked` names; `None`: there is none.
pub(crate) async fn provider(
    table: &Table,
    asked: &str,
    source: &Arc<dyn TableSource>,
) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
    let make: fn(&dyn Objects, &Version) -> Result<Columns, QueryError> = match asked {
        "snapshots" => snapshots,
        "history" => history,
        "manifests" => manifests,
        "files" => files,
        "partitions" => partitions,
        "refs" => refs,
        _ => return Ok(None),
    };
    let version = provider::load(table, source, None).await?;
    let columns = look(source.as_ref(), move |objects| make(objects, &version)).await?;
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(invalid)?;
    let table = MemTable::try_new(schema, vec![vec![batch]]).map_err(QueryError::from_execution)?;
    Ok(Some(Arc::new(table)))
}

/// A table's branches and tags, by name.
pub(super) fn references(metadata: &TableMetadata) -> BTreeMap<String, SnapshotReference> {
    // The crate shows them in the metadata's JSON only.
    let json = serde_json::to_value(metadata).unwrap_or_default();
    json.get("refs").cloned().and_then(|refs| serde_json::from_value(refs).ok()).unwrap_or_default()
}

fn longs(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn ints(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    let array: TimestampMicrosecondArray = values.map(|millis| Some(millis.saturating_mul(1000))).collect();
    Arc::new(array.with_timezone("UTC"))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn map_names() -> MapFieldNames {
    MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() }
}

fn snapshots(_: &dyn Objects, version: &Version) -> Result<Columns, QueryError> {
    let mut all: Vec<_> = version.metadata.snapshots().collect();
    all.sort_by_key(|snapshot| (snapshot.timestamp_ms(), snapshot.sequence_number()));
    let mut summaries = MapBuilder::new(Some(map_names()), StringBuilder::new(), StringBuilder::new());
    for snapshot in &all {
        let sorted: BTreeMap<_, _> = snapshot.summary().additional_properties.iter().collect();
        for (key, value) in sorted {
            summaries.keys().append_value(key);
            summaries.values().append_value(value);
        }
        summaries.append(true).map_err(invalid)?;
    }
    Ok(vec![
        ("committed_at", times(all.iter().map(|snapshot| snapshot.timestamp_ms()))),
        ("snapshot_id", longs(all.iter().map(|snapshot| Some(snapshot.snapshot_id())))),
        ("parent_id", longs(all.iter().map(|snapshot| snapshot.parent_snapshot_id()))),
        ("operation", texts(all.iter().map(|snapshot| Some(snapshot.summary().operation.as_str().to_owned())))),
        ("manifest_list", texts(all.iter().map(|snapshot| Some(snapshot.manifest_list().to_owned())))),
        ("summary", Arc::new(summaries.finish())),
    ])
}

fn history(_: &dyn Objects, version: &Version) -> Result<Columns, QueryError> {
    let metadata = &version.metadata;
    let mut ancestors = HashSet::new();
    let mut next = metadata.current_snapshot();
    while let Some(snapshot) = next.filter(|snapshot| ancestors.insert(snapshot.snapshot_id())) {
        next = snapshot.parent_snapshot_id().and_then(|parent| metadata.snapshot_by_id(parent));
    }
    let log = metadata.history();
    let parent = |id: i64| metadata.snapshot_by_id(id).and_then(|snapshot| snapshot.parent_snapshot_id());
    Ok(vec![
        ("made_current_at", times(log.iter().map(|entry| entry.timestamp_ms()))),
        ("snapshot_id", longs(log.iter().map(|entry| Some(entry.snapshot_id)))),
        ("parent_id", longs(log.iter().map(|entry| parent(entry.snapshot_id)))),
        (
            "is_current_ancestor",
            Arc::new(log.iter().map(|entry| Some(ancestors.contains(&entry.snapshot_id))).collect::<BooleanArray>()),
        ),
    ])
}

fn refs(_: &dyn Objects, version: &Version) -> Result<Columns, QueryError> {
    let refs = references(&version.metadata);
    let kinds = refs.values().map(|reference| match &reference.retention {
        SnapshotRetention::Branch { min_snapshots_to_keep, max_snapshot_age_ms, max_ref_age_ms } => {
            ("BRANCH", *max_ref_age_ms, *min_snapshots_to_keep, *max_snapshot_age_ms)
        }
        SnapshotRetention::Tag { max_ref_age_ms } => ("TAG", *max_ref_age_ms, None, None),
    });
    let kinds: Vec<_> = kinds.collect();
    Ok(vec![
        ("name", texts(refs.keys().cloned().map(Some))),
        ("type", texts(kinds.iter().map(|kind| Some(kind.0.to_owned())))),
        ("snapshot_id", longs(refs.values().map(|reference| Some(reference.snapshot_id)))),
        ("max_reference_age_in_ms", longs(kinds.iter().map(|kind| kind.1))),
        ("min_snapshots_to_keep", ints(kinds.iter().map(|kind| kind.2))),
        ("max_snapshot_age_in_ms", longs(kinds.iter().map(|kind| kind.3))),
    ])
}

fn manifests(objects: &dyn Objects, version: &Version) -> Result<Columns, QueryError> {
    let all = match &version.snapshot {
        Some(snapshot) => metadata::manifests(objects, &version.metadata, snapshot)?,
        None => Vec::new(),
    };
    let fields = Fields::from(vec![
        Field::new("contains_null", DataType::Boolean, true),
        Field::new("contains_nan", DataType::Boolean, true),
        Field::new("lower_bound", DataType::Utf8, true),
        Field::new("upper_bound", DataType::Utf8, true),
    ]);
    let mut lengths = Vec::with_capacity(all.len());
    let (mut nulls, mut nans, mut lower, mut upper) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for manifest in &all {
        let typed = version.metadata.partition_spec_by_id(manifest.partition_spec_id);
        let typed = typed.and_then(|spec| spec.partition_type(version.metadata.current_schema()).ok());
        let summaries = manifest.partitions.as_deref().unwrap_or_default();
        lengths.push(summaries.len());
        for (index, summary) in summaries.iter().enumerate() {
            let primitive = typed.as_ref().and_then(|typed| typed.fields().get(index)?.field_type.as_primitive_type().cloned());
            let text =
                |bytes: Option<&[u8]>| Datum::try_from_bytes(bytes?, primitive.clone()?).ok().map(|datum| datum.to_string());
            nulls.push(Some(summary.contains_null));
            nans.push(summary.contains_nan);
            lower.push(text(summary.lower_bound.as_ref().map(|bytes| bytes.as_slice())));
            upper.push(text(summary.upper_bound.as_ref().map(|bytes| bytes.as_slice())));
        }
    }
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(nulls.into_iter().collect::<BooleanArray>()),
        Arc::new(nans.into_iter().collect::<BooleanArray>()),
        texts(lower.into_iter()),
        texts(upper.into_iter()),
    ];
    let summaries = StructArray::try_new(fields.clone(), arrays, None).map_err(invalid)?;
    let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    let partitions = arrow::array::ListArray::try_new(item, offsets, Arc::new(summaries), None).map_err(invalid)?;
    let count = |value: Option<u32>| value.and_then(|value| i32::try_from(value).ok());
    let rows = |value: Option<u64>| value.map(signed);
    Ok(vec![
        ("content", ints(all.iter().map(|manifest| Some(i32::from(manifest.content == ManifestContentType::Deletes))))),
        ("path", texts(all.iter().map(|manifest| Some(manifest.manifest_path.clone())))),
        ("length", longs(all.iter().map(|manifest| Some(manifest.manifest_length)))),
        ("partition_spec_id", ints(all.iter().map(|manifest| Some(manifest.partition_spec_id)))),
        ("added_snapshot_id", longs(all.iter().map(|manifest| Some(manifest.added_snapshot_id)))),
        ("added_data_files_count", ints(all.iter().map(|manifest| count(manifest.added_files_count)))),
        ("added_rows_count", longs(all.iter().map(|manifest| rows(manifest.added_rows_count)))),
        ("existing_data_files_count", ints(all.iter().map(|manifest| count(manifest.existing_files_count)))),
        ("existing_rows_count", longs(all.iter().map(|manifest| rows(manifest.existing_rows_count)))),
        ("deleted_data_files_count", ints(all.iter().map(|manifest| count(manifest.deleted_files_count)))),
        ("deleted_rows_count", longs(all.iter().map(|manifest| rows(manifest.deleted_rows_count)))),
        ("partitions", Arc::new(partitions)),
    ])
}

/// All files of the version, delete files too.
fn live(
    objects: &dyn Objects,
    version: &Version,
) -> Result<Vec<(Arc<iceberg::spec::ManifestEntry>, PartitionSpecRef)>, QueryError> {
    let mut all = plan::live(objects, version, None, false)?;
    all.extend(plan::live(objects, version, None, true)?);
    Ok(all)
}

fn counts<'a>(files: &[&'a DataFile], of: impl Fn(&'a DataFile) -> &'a HashMap<i32, u64>) -> Result<ArrayRef, QueryError> {
    let mut maps = MapBuilder::new(Some(map_names()), Int32Builder::new(), Int64Builder::new());
    for file in files {
        let sorted: BTreeMap<_, _> = of(file).iter().collect();
        for (id, count) in &sorted {
            maps.keys().append_value(**id);
            maps.values().append_value(signed(**count));
        }
        maps.append(!sorted.is_empty()).map_err(invalid)?;
    }
    Ok(Arc::new(maps.finish()))
}

fn bounds<'a>(files: &[&'a DataFile], of: impl Fn(&'a DataFile) -> &'a HashMap<i32, Datum>) -> Result<ArrayRef, QueryError> {
    let mut maps = MapBuilder::new(Some(map_names()), Int32Builder::new(), StringBuilder::new());
    for file in files {
        let sorted: BTreeMap<_, _> = of(file).iter().collect();
        for (id, bound) in &sorted {
            maps.keys().append_value(**id);
            maps.values().append_value(bound.to_human_string());
        }
        maps.append(!sorted.is_empty()).map_err(invalid)?;
    }
    Ok(Arc::new(maps.finish()))
}

fn files(objects: &dyn Objects, version: &Version) -> Result<Columns, QueryError> {
    let live = live(objects, version)?;
    let files: Vec<&DataFile> = live.iter().map(|(entry, _)| entry.data_file()).collect();
    let mut keys = BinaryBuilder::new();
    let mut offsets = ListBuilder::new(Int64Builder::new());
    let mut equalities = ListBuilder::new(Int32Builder::new());
    for file in &files {
        keys.append_option(file.key_metadata());
        offsets.append_option(file.split_offsets().map(|offsets| offsets.iter().map(|offset| Some(*offset))));
        equalities.append_option(file.equality_ids().map(|ids| ids.into_iter().map(Some)));
    }
    Ok(vec![
        ("content", ints(files.iter().map(|file| Some(file.content_type() as i32)))),
        ("file_path", texts(files.iter().map(|file| Some(file.file_path().to_owned())))),
        ("file_format", texts(files.iter().map(|file| Some(file.file_format().to_string().to_uppercase())))),
        ("record_count", longs(files.iter().map(|file| Some(signed(file.record_count()))))),
        ("file_size_in_bytes", longs(files.iter().map(|file| Some(signed(file.file_size_in_bytes()))))),
        ("column_sizes", counts(&files, DataFile::column_sizes)?),
        ("value_counts", counts(&files, DataFile::value_counts)?),
        ("null_value_counts", counts(&files, DataFile::null_value_counts)?),
        ("nan_value_counts", counts(&files, DataFile::nan_value_counts)?),
        ("lower_bounds", bounds(&files, DataFile::lower_bounds)?),
        ("upper_bounds", bounds(&files, DataFile::upper_bounds)?),
        ("key_metadata", Arc::new(keys.finish())),
        ("split_offsets", Arc::new(offsets.finish())),
        ("equality_ids", Arc::new(equalities.finish())),
    ])
}

/// What is known of a partition.
#[derive(Default)]
struct Sum {
    values: Vec<Option<PrimitiveLiteral>>,
    records: u64,
    files: u64,
    bytes: u64,
    /// By column id.
    columns: HashMap<i32, Range>,
}

#[derive(Default, Clone)]
struct Range {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    /// Not known of all files.
    unbounded: bool,
    nulls: Option<u64>,
    nans: Option<u64>,
}

fn partitions(objects: &dyn Objects, version: &Version) -> Result<Columns, QueryError> {
    let spec = version.metadata.default_partition_spec();
    let typed = version.metadata.default_partition_type();
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for (entry, own) in plan::live(objects, version, None, false)? {
        let file = entry.data_file();
        // Of other specifications the fields that this one has too.
        let values: Vec<_> = spec
            .fields()
            .iter()
            .map(|field| {
                let place = own.fields().iter().position(|other| other.field_id == field.field_id)?;
                file.partition().fields().get(place)?.as_ref()?.as_primitive_literal()
            })
            .collect();
        let sum = sums.entry(format!("{values:?}")).or_default();
        sum.add(file, version);
        sum.values = values;
    }
    let sums: Vec<Sum> = sums.into_values().collect();
    let mut columns: Columns = Vec::new();
    if !typed.fields().is_empty() {
        let mut arrays = Vec::new();
        let mut fields = Vec::new();
        for (index, field) in typed.fields().iter().enumerate() {
            let Type::Primitive(primitive) = field.field_type.as_ref() else { continue };
            let values =
                sums.iter().map(|sum| sum.values.get(index).cloned().flatten().and_then(|value| scalar(primitive, &value)));
            fields.push(Field::new(field.name.to_lowercase(), primitive_type(primitive), true));
            arrays.push(array(values, &primitive_type(primitive))?);
        }
        columns.push(("partition", Arc::new(StructArray::try_new(fields.into(), arrays, None).map_err(invalid)?)));
    }
    columns.push(("record_count", longs(sums.iter().map(|sum| Some(signed(sum.records))))));
    columns.push(("file_count", longs(sums.iter().map(|sum| Some(signed(sum.files))))));
    columns.push(("total_size", longs(sums.iter().map(|sum| Some(signed(sum.bytes))))));
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for field in version.schema.as_struct().fields() {
        let Type::Primitive(_) = field.field_type.as_ref() else { continue };
        let data_type = arrow_type(&field.field_type);
        let of = |sum: &Sum| sum.columns.get(&field.id).cloned().unwrap_or_default();
        let known = |range: &Range, value: Option<ScalarValue>| value.filter(|_| !range.unbounded);
        let parts: Vec<ArrayRef> = vec![
            array(
                sums.iter().map(|sum| {
                    let range = of(sum);
                    known(&range, range.min.clone())
                }),
                &data_type,
            )?,
            array(
                sums.iter().map(|sum| {
                    let range = of(sum);
                    known(&range, range.max.clone())
                }),
                &data_type,
            )?,
            longs(sums.iter().map(|sum| of(sum).nulls.map(signed))),
            longs(sums.iter().map(|sum| of(sum).nans.map(signed))),
        ];
        let names =
            [("min", data_type.clone()), ("max", data_type), ("null_count", DataType::Int64), ("nan_count", DataType::Int64)];
        let inner: Fields = names.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
        let data = StructArray::try_new(inner.clone(), parts, None).map_err(invalid)?;
        fields.push(Field::new(field.name.to_lowercase(), DataType::Struct(inner), true));
        arrays.push(Arc::new(data) as ArrayRef);
    }
    if !fields.is_empty() {
        columns.push(("data", Arc::new(StructArray::try_new(fields.into(), arrays, None).map_err(invalid)?)));
    }
    Ok(columns)
}

impl Sum {
    fn add(&mut self, file: &DataFile, version: &Version) {
        self.records += file.record_count();
        self.files += 1;
        self.bytes += file.file_size_in_bytes();
        for field in version.schema.as_struct().fields() {
            let Type::Primitive(primitive) = field.field_type.as_ref() else { continue };
            let range = self.columns.entry(field.id).or_default();
            let value = |of: &HashMap<i32, Datum>| {
                let value = of.get(&field.id).and_then(|datum| scalar(datum.data_type(), datum.literal()))?;
                value.cast_to(&primitive_type(primitive)).ok()
            };
            let nulls = file.null_value_counts().get(&field.id).copied();
            range.nulls = nulls.map(|nulls| nulls + range.nulls.unwrap_or_default()).or(range.nulls);
            let nans = file.nan_value_counts().get(&field.id).copied();
            range.nans = nans.map(|nans| nans + range.nans.unwrap_or_default()).or(range.nans);
            let (min, max) = (value(file.lower_bounds()), value(file.upper_bounds()));
            if min.is_none() && nulls != Some(file.record_count()) {
                range.unbounded = true;
            }
            if let Some(min) = min
                && range.min.as_ref().is_none_or(|known| min < *known)
            {
                range.min = Some(min);
            }
            if let Some(max) = max
                && range.max.as_ref().is_none_or(|known| max > *known)
            {
                range.max = Some(max);
            }
        }
    }
}

fn array(values: impl Iterator<Item = Option<ScalarValue>>, data_type: &DataType) -> Result<ArrayRef, QueryError> {
    let null = ScalarValue::try_from(data_type).map_err(invalid)?;
    let values: Vec<ScalarValue> = values.map(|value| value.unwrap_or_else(|| null.clone())).collect();
    if values.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    ScalarValue::iter_to_array(values).map_err(invalid)
}
