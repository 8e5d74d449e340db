//! Partition values in the types that their columns have now.
//!
//! A column that was widened leaves manifests behind whose partitions are of the narrower type. They are brought to the wider one where they are read,
//! so that values of old and new files compare and can be written side by side (Iceberg specification, "Schema Evolution").

use iceberg::spec::{
    DataFile, DataFileBuilder, DataFileBuilderError, Literal, ManifestEntryRef, PrimitiveLiteral, PrimitiveType,
};
use iceberg::spec::{Struct, StructType, Type};
use std::sync::Arc;

/// Brings an entry's partition to `types`.
pub(super) fn promote(entry: &mut ManifestEntryRef, types: &StructType, spec_id: i32) -> Result<(), DataFileBuilderError> {
    let values = entry.data_file().partition().fields();
    if values.len() != types.fields().len() {
        return Ok(());
    }
    let wider: Vec<_> =
        values.iter().zip(types.fields()).map(|(value, field)| wider(value.as_ref(), &field.field_type)).collect();
    if wider.iter().all(Option::is_none) {
        return Ok(());
    }
    let promoted = values.iter().zip(wider).map(|(value, wider)| wider.or_else(|| value.clone()));
    let data_file = with_partition(entry.data_file(), Struct::from_iter(promoted), spec_id)?;
    Arc::make_mut(entry).data_file = data_file;
    Ok(())
}

/// The value in the wider type; `None`: it stays as it is.
fn wider(value: Option<&Literal>, to: &Type) -> Option<Literal> {
    let (Some(Literal::Primitive(value)), Type::Primitive(to)) = (value, to) else { return None };
    match (value, to) {
        (PrimitiveLiteral::Int(value), PrimitiveType::Long) => Some(Literal::long(i64::from(*value))),
        (PrimitiveLiteral::Float(value), PrimitiveType::Double) => Some(Literal::double(f64::from(value.0))),
        _ => None,
    }
}

fn with_partition(file: &DataFile, partition: Struct, spec_id: i32) -> Result<DataFile, DataFileBuilderError> {
    let mut builder = DataFileBuilder::default();
    builder
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(partition)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(file.first_row_id())
        .partition_spec_id(spec_id)
        .referenced_data_file(file.referenced_data_file())
        .content_offset(file.content_offset())
        .content_size_in_bytes(file.content_size_in_bytes());
    if let Some(order) = file.sort_order_id() {
        builder.sort_order_id(order);
    }
    builder.build()
}
