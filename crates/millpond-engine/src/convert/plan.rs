//! Which columns a conversion reads, under which types, and where they go.

use super::pass::Pass;
use super::{ConvertError, ConvertSpec};
use crate::names::clean;
use crate::table::{DataFile, FileGroup, Format};
use crate::types::{HiveType, merge, widen};
use arrow::datatypes::{Field, Schema, SchemaRef};
use millpond_core::catalog::{Column, StorageDescriptor};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Names of the columns that a conversion may add.
pub(crate) const INGESTION_TIMESTAMP: &str = "ingestion_timestamp";
pub(crate) const SOURCE_FILE: &str = "source_file";

/// A named, typed column.
pub(crate) type Typed = (String, HiveType);

/// What earlier passes found out.
#[derive(Debug)]
pub(crate) struct Learned {
    /// Columns that files have and the raw table lacks.
    pub columns: Vec<Typed>,
    /// Files (by number) that are refused as a whole, and why.
    pub refused: BTreeMap<usize, String>,
    /// Columns whose nested types lack fields, and types that have them.
    pub grown: BTreeMap<String, HiveType>,
    /// So many columns were learned that no more are taken: what has them is refused.
    pub full: bool,
}

/// Columns that may be added to a table by one conversion.
const LEARNED_MAX: usize = 2_000;

impl Learned {
    pub fn new() -> Self {
        Self { columns: Vec::new(), refused: BTreeMap::new(), grown: BTreeMap::new(), full: false }
    }

    /// Takes what a pass found out; `true` where the pass must be repeated with it.
    pub fn take(&mut self, pass: &Pass) -> bool {
        let mut again = false;
        for (name, t) in &pass.unknown {
            let room = self.columns.len() < LEARNED_MAX;
            match self.columns.iter_mut().find(|(have, _)| have == name) {
                Some((_, have)) => *have = merge(have, t),
                None if !room => self.full = true,
                None => self.columns.push((name.clone(), t.clone())),
            }
            again = true;
        }
        for (name, t) in &pass.grown {
            let grown = self.grown.get(name).map_or_else(|| t.clone(), |have| merge(have, t));
            // The second time the same fields are lacking nothing can be done: the rows stay in quarantine.
            again |= self.grown.get(name) != Some(&grown);
            self.grown.insert(name.clone(), grown);
        }
        for (file, reason) in &pass.refused {
            // A file of which no row was taken has done no harm.
            again |= pass.counts[*file].0 + pass.counts[*file].1 > 0;
            self.refused.insert(*file, reason.clone());
        }
        again
    }
}

/// A set of files that are read alike.
#[derive(Debug)]
pub(crate) struct Shape {
    pub format: Format,
    /// Names of the files' columns, in order, lower case.
    pub names: Vec<String>,
    /// Their types, as the catalog has them.
    pub types: Vec<HiveType>,
    /// Of those, the ones that are read.
    pub wanted: Vec<usize>,
    /// What they are parsed as: name and type for each of `wanted`.
    pub parsed: Vec<Typed>,
    /// For each input column, where it comes from.
    pub origins: Vec<Origin>,
}

/// Where an input column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Parsed: position in [`Shape::parsed`].
    File(usize),
    /// A partition value: position among the raw table's keys.
    Key(usize),
    /// The time of ingestion.
    Ingestion,
    /// The object's URI.
    SourceFile,
    /// The order of the inputs and of the rows in them.
    Order,
    /// Files of this shape lack it.
    Absent,
}

/// One input file.
#[derive(Debug)]
pub(crate) struct Input {
    pub file: DataFile,
    pub group: usize,
    pub shape: usize,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub shapes: Vec<Shape>,
    pub inputs: Vec<Input>,
    /// Formats that cannot be read, by input: why.
    pub unreadable: Vec<(usize, String)>,
    /// What comes from the files: the input of the transformation, or else the target's columns and keys.
    pub input: Vec<Typed>,
    pub input_schema: SchemaRef,
    /// The target's columns and keys, in the order in which batches are written.
    pub output: Vec<Typed>,
    /// Without the keys.
    pub file_schema: SchemaRef,
    /// Positions of the keys in `output`.
    pub keys: Vec<usize>,
}

fn schema_of(columns: &[Typed]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, t)| Field::new(name, t.to_arrow(), true)).collect::<Vec<_>>()))
}

fn typed(columns: &[Column], of: &str) -> Result<Vec<Typed>, ConvertError> {
    columns
        .iter()
        .map(|c| {
            let t =
                HiveType::parse(&c.data_type).map_err(|e| ConvertError::Input(format!("column '{}' of {of}: {e}", c.name)))?;
            Ok((c.name.to_lowercase(), t))
        })
        .collect()
}

fn add(columns: &mut Vec<Typed>, name: &str, t: &HiveType) {
    match columns.iter_mut().find(|(have, _)| have == name) {
        Some((_, have)) => *have = merge(have, t),
        None => columns.push((name.to_owned(), t.clone())),
    }
}

impl Plan {
    pub fn new(spec: &ConvertSpec, learned: &Learned) -> Result<Self, ConvertError> {
        let mut found = Found::default();
        found.inputs(spec, learned)?;
        let keys = typed(&spec.source.partition_keys, "the source's partition keys")?;
        let mut source = Vec::new();
        for shape in &found.shapes {
            shape.columns.iter().filter(|c| !keys.iter().any(|k| k.0 == c.0)).for_each(|(name, t)| add(&mut source, name, t));
        }
        keys.iter().for_each(|(name, t)| add(&mut source, name, t));
        if spec.options.ingestion_timestamp_ms.is_some() {
            source.retain(|c| c.0 != INGESTION_TIMESTAMP);
            source.push((INGESTION_TIMESTAMP.into(), HiveType::Timestamp));
        }
        if spec.options.source_file {
            source.retain(|c| c.0 != SOURCE_FILE);
            source.push((SOURCE_FILE.into(), HiveType::String));
        }
        if let Some(order) = spec.options.order.as_ref().filter(|_| spec.transform.is_none()) {
            source.retain(|c| c.0 != *order);
            source.push((order.clone(), HiveType::BigInt));
        }
        if spec.options.text && spec.transform.is_none() && found.shapes.iter().any(FoundShape::is_text) {
            let is_time = |name: &str| name == INGESTION_TIMESTAMP && spec.options.ingestion_timestamp_ms.is_some();
            let own = |name: &str| is_time(name) || spec.options.order.as_deref() == Some(name);
            source.iter_mut().filter(|c| !own(&c.0)).for_each(|c| c.1 = HiveType::String);
        }
        let produced = match &spec.transform {
            None => source.clone(),
            Some(transform) => transformed(&**transform, &source)?,
        };
        let (output, keys_at) = target(spec, &produced)?;
        // Without a transformation text is parsed right away as what the target holds.
        let input = if spec.transform.is_some() { source } else { output.clone() };
        let unreadable = found.unreadable();
        let shapes = found.shapes.into_iter().map(|s| shape(spec, s.format, &s.columns, &keys, &input)).collect();
        let file_columns: Vec<Typed> = (0..output.len()).filter(|i| !keys_at.contains(i)).map(|i| output[i].clone()).collect();
        if file_columns.is_empty() {
            return Err(ConvertError::Input("the target would have no columns besides its partition keys".into()));
        }
        Ok(Self {
            shapes,
            inputs: found.inputs,
            unreadable,
            input_schema: schema_of(&input),
            input,
            output,
            file_schema: schema_of(&file_columns),
            keys: keys_at,
        })
    }
}

#[derive(Default)]
struct Found {
    shapes: Vec<FoundShape>,
    inputs: Vec<Input>,
}

struct FoundShape {
    format: Format,
    columns: Vec<Typed>,
    /// Why such files cannot be read.
    unreadable: Option<String>,
}

impl FoundShape {
    fn is_text(&self) -> bool {
        matches!(self.format, Format::Csv(_) | Format::Json(_))
    }
}

impl Found {
    fn inputs(&mut self, spec: &ConvertSpec, learned: &Learned) -> Result<(), ConvertError> {
        // Thousands of partitions share one descriptor, or have the same but for the location.
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut last: Option<(&Arc<StorageDescriptor>, usize)> = None;
        for (group_number, group) in spec.groups.iter().enumerate() {
            let shape = match last {
                Some((storage, shape)) if Arc::ptr_eq(storage, &group.storage) => shape,
                _ => {
                    let columns = if group.storage.columns.is_empty() { &spec.source.columns } else { &group.storage.columns };
                    let serde = (&group.storage.serde_info, &group.storage.input_format);
                    let header = group.storage.parameters.get("skip.header.line.count");
                    let look = format!("{serde:?}|{header:?}|{columns:?}");
                    match known.get(&look) {
                        Some(&shape) => shape,
                        None => {
                            self.shapes.push(found_shape(spec, group, columns, learned)?);
                            known.insert(look, self.shapes.len() - 1);
                            self.shapes.len() - 1
                        }
                    }
                }
            };
            self.inputs.extend(group.files.iter().map(|file| Input { file: file.clone(), group: group_number, shape }));
            last = Some((&group.storage, shape));
        }
        Ok(())
    }

    fn unreadable(&self) -> Vec<(usize, String)> {
        let reason = |input: &Input| self.shapes[input.shape].unreadable.clone();
        self.inputs.iter().enumerate().filter_map(|(i, input)| Some((i, reason(input)?))).collect()
    }
}

fn found_shape(spec: &ConvertSpec, group: &FileGroup, columns: &[Column], learned: &Learned) -> Result<FoundShape, ConvertError> {
    let (format, unreadable) = match Format::of(&group.storage, &spec.source.parameters) {
        // Rows that an expression does not match could not be told from rows of nothing.
        Ok(Format::Lines(_)) => (
            Format::Parquet,
            Some("its serde cuts lines by an expression or a long delimiter: query the table instead".to_owned()),
        ),
        Ok(format) => (format, None),
        Err(error) => (Format::Parquet, Some(error.to_string())),
    };
    let mut columns = typed(columns, "the source")?;
    for (name, t) in &learned.columns {
        if !columns.iter().any(|c| c.0 == *name) {
            columns.push((name.clone(), t.clone()));
        }
    }
    for (name, t) in &mut columns {
        if let Some(grown) = learned.grown.get(name) {
            *t = merge(t, grown);
        }
    }
    Ok(FoundShape { format, columns, unreadable })
}

fn transformed(transform: &dyn super::Transform, source: &[Typed]) -> Result<Vec<Typed>, ConvertError> {
    let schema = transform.output(&schema_of(source)).map_err(ConvertError::Input)?;
    let mut produced: Vec<Typed> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let name = clean(field.name());
        if name.is_empty() {
            return Err(ConvertError::Input("the SQL gives a column without a name: add 'as name'".into()));
        }
        if produced.iter().any(|c| c.0 == name) {
            return Err(ConvertError::Input(format!("the SQL gives two columns named '{name}': rename one with 'as'")));
        }
        produced.push((name, HiveType::from_arrow(field.data_type())));
    }
    Ok(produced)
}

/// The target's columns and then its keys, and where the keys are.
fn target(spec: &ConvertSpec, produced: &[Typed]) -> Result<(Vec<Typed>, Vec<usize>), ConvertError> {
    let by: Vec<String> = spec.partition_by.iter().map(|k| k.to_lowercase()).collect();
    let (have, have_keys) = match &spec.target {
        None => (Vec::new(), Vec::new()),
        Some(target) => {
            let keys = typed(&target.partition_keys, "the target's partition keys")?;
            if keys.iter().map(|k| &k.0).ne(by.iter()) {
                let is: Vec<&str> = keys.iter().map(|k| k.0.as_str()).collect();
                return Err(ConvertError::Input(format!(
                    "the target is partitioned by ({}), the job by ({}): make them the same, or write to a new table",
                    is.join(", "),
                    by.join(", ")
                )));
            }
            (typed(&target.columns, "the target")?, keys)
        }
    };
    let mut columns = have;
    for (name, t) in produced.iter().filter(|c| !by.contains(&c.0)) {
        match columns.iter_mut().find(|(column, _)| column == name) {
            Some((_, column)) => *column = widen(column, t),
            None => columns.push((name.clone(), t.clone())),
        }
    }
    let first_key = columns.len();
    for key in &by {
        let Some((_, t)) = produced.iter().find(|c| c.0 == *key) else {
            let names: Vec<&str> = produced.iter().map(|c| c.0.as_str()).take(50).collect();
            return Err(ConvertError::Input(format!(
                "there is no column '{key}' to partition by; there are: {}",
                names.join(", ")
            )));
        };
        let t = have_keys.iter().find(|k| k.0 == *key).map_or(t, |k| &k.1);
        columns.push((key.clone(), t.clone()));
    }
    let keys = (first_key..columns.len()).collect();
    Ok((columns, keys))
}

fn shape(spec: &ConvertSpec, format: Format, columns: &[Typed], keys: &[Typed], input: &[Typed]) -> Shape {
    let names: Vec<String> = columns.iter().map(|c| c.0.clone()).collect();
    let (mut wanted, mut parsed, mut origins) = (Vec::new(), Vec::new(), Vec::with_capacity(input.len()));
    for (name, t) in input {
        let origin = if name == INGESTION_TIMESTAMP && spec.options.ingestion_timestamp_ms.is_some() {
            Origin::Ingestion
        } else if name == SOURCE_FILE && spec.options.source_file {
            Origin::SourceFile
        } else if spec.options.order.as_ref() == Some(name) && spec.transform.is_none() {
            Origin::Order
        } else if let Some(key) = keys.iter().position(|k| k.0 == *name) {
            Origin::Key(key)
        } else if let Some(column) = names.iter().position(|n| n == name) {
            wanted.push(column);
            parsed.push((name.clone(), t.clone()));
            Origin::File(parsed.len() - 1)
        } else {
            Origin::Absent
        };
        origins.push(origin);
    }
    let types = columns.iter().map(|c| c.1.clone()).collect();
    Shape { format, names, types, wanted, parsed, origins }
}
