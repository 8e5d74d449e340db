//! What a crawl has found out, before any of it is in the catalog: which objects are which table, and what those look like together.

use super::gather::Target;
use super::grouping::{self, Rules, Seen};
use super::inspect::Looked;
use super::naming;
use super::schema::{Columns, Shape};
use crate::glue::crawler::spec::Configuration;
use millpond_core::catalog::Table;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Lines about single objects that a crawl's log keeps of each sort.
const NOTED_MAX: usize = 50;

/// A table that exists, as a crawl sees it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// `s3://bucket/prefix/`, or an object.
    pub location: String,
    /// How many partition keys it has.
    pub keys: usize,
    /// `classification`.
    pub classification: String,
    /// Whether its files have a header line; `None` where they are not CSV.
    pub header: Option<bool>,
}

impl Known {
    /// What a crawl needs of a table; `None` where it has no location.
    pub fn of(table: &Table) -> Option<Self> {
        let location = table.storage.location.clone().filter(|location| !location.is_empty())?;
        let parameter = |name: &str| table.parameters.get(name).or_else(|| table.storage.parameters.get(name)).cloned();
        let classification = parameter("classification").unwrap_or_default();
        let header = (classification == "csv").then(|| parameter("skip.header.line.count").is_some_and(|count| count != "0"));
        Some(Self { name: table.name.clone(), location, keys: table.partition_keys.len(), classification, header })
    }
}

/// Objects that share partition values, or the whole of a table.
#[derive(Debug, Default, Clone)]
pub struct Part {
    /// Their columns together.
    pub columns: Columns,
    /// The shapes, with the number of objects of each.
    pub shapes: Vec<(Arc<Shape>, u64)>,
    /// Objects.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
    /// Records, about.
    pub records: u64,
}

/// Whether a shape's CSV has a header; `None` for other formats.
fn header(shape: &Shape) -> Option<bool> {
    (shape.classification == "csv").then(|| shape.parameters.contains_key("skip.header.line.count"))
}

impl Part {
    fn count(&mut self, looked: &Looked) {
        self.objects += 1;
        self.bytes += looked.size;
        self.records += looked.records;
    }

    fn add(&mut self, shape: &Arc<Shape>) {
        match self.shapes.iter_mut().find(|(known, _)| Arc::ptr_eq(known, shape)) {
            Some((_, count)) => *count += 1,
            None => self.shapes.push((shape.clone(), 1)),
        }
        self.columns.add(shape);
    }

    /// The shape that most objects have; of equals the first.
    pub fn main(&self) -> Option<&Arc<Shape>> {
        let most = self.shapes.iter().map(|(_, count)| *count).max()?;
        self.shapes.iter().find(|(_, count)| *count == most).map(|(shape, _)| shape)
    }
}

/// A table that a crawl makes or changes.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Where it lies.
    pub location: String,
    /// The name of the table that exists there.
    pub known: Option<String>,
    /// The name that it gets where it does not exist, unless that is taken.
    pub name: String,
    /// Names of the partition keys (of a new table).
    pub keys: Vec<String>,
    /// All its objects together.
    pub whole: Part,
    /// By values: the partition's location, and its objects.
    pub parts: BTreeMap<Vec<String>, (String, Part)>,
    /// Which target it belongs to.
    pub target: usize,
}

/// Things to tell people, the first of each sort.
#[derive(Debug, Default)]
pub struct Notes {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Notes {
    /// Notes something about an object.
    pub fn add(&mut self, sort: &'static str, line: impl FnOnce() -> String) {
        let count = self.counts.entry(sort).or_default();
        *count += 1;
        if *count <= NOTED_MAX {
            self.lines.push(line());
        }
    }

    /// How many of a sort there are.
    pub fn count(&self, sort: &str) -> usize {
        self.counts.get(sort).copied().unwrap_or(0)
    }

    /// The lines, and how many were left out.
    pub fn lines(&self) -> Vec<String> {
        let left_out: usize = self.counts.values().map(|count| count.saturating_sub(NOTED_MAX)).sum();
        let mut lines = self.lines.clone();
        if left_out > 0 {
            lines.push(format!("… and {left_out} more of these"));
        }
        lines
    }

    /// The first lines, for a message.
    pub fn first(&self, count: usize) -> &[String] {
        &self.lines[..self.lines.len().min(count)]
    }
}

/// Sorts of notes.
pub const UNCLASSIFIED: &str = "unclassified";
/// Objects that are in no partition.
pub const OUTSIDE: &str = "outside";
/// Objects unlike their table.
pub const UNLIKE: &str = "unlike";
/// Objects with single faults.
pub const FAULTY: &str = "faulty";

/// Takes in what was looked at, page by page.
#[derive(Debug)]
pub struct Planner {
    targets: Vec<Target>,
    /// For each target: roots of existing tables after the target's prefix.
    roots: Vec<HashMap<String, usize>>,
    known: Vec<Known>,
    found: Vec<Option<TablePlan>>,
    fresh: Vec<Looked>,
    /// What people should know.
    pub notes: Notes,
    /// Objects seen.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Planner {
    /// A plan that begins with the tables that exist.
    pub fn new(targets: Vec<Target>, known: Vec<Known>) -> Self {
        let root = |target: &Target, known: &Known| {
            if target.single {
                return (known.location == target.uri(""))
                    .then(|| target.prefix.rsplit('/').next().unwrap_or_default().to_owned());
            }
            known.location.strip_prefix(&target.uri("")).map(str::to_owned)
        };
        let roots = targets.iter().map(|target| {
            known.iter().enumerate().filter_map(|(at, known)| Some((root(target, known)?, at))).collect::<HashMap<_, _>>()
        });
        Self {
            roots: roots.collect(),
            targets,
            found: vec![None; known.len()],
            known,
            fresh: Vec::new(),
            notes: Notes::default(),
            objects: 0,
            bytes: 0,
        }
    }

    /// Takes in a page.
    pub fn add(&mut self, page: Vec<Looked>) {
        for looked in page {
            self.objects += 1;
            self.bytes += looked.size;
            let uri = || self.targets[looked.target].uri(if self.targets[looked.target].single { "" } else { &looked.path });
            if let Some(reason) = &looked.reason {
                self.notes.add(UNCLASSIFIED, || format!("{} is in no table: it {reason}", uri()));
                continue;
            }
            if !looked.warnings.is_empty() {
                let text = looked.warnings.join("; ");
                self.notes.add(FAULTY, || format!("{}: {text}", uri()));
            }
            match self.table_of(&looked) {
                Some((at, root)) => self.add_to_known(at, root, &looked),
                None => self.fresh.push(looked),
            }
        }
    }

    /// The existing table that an object belongs to, and the length of its root: the one that lies closest above it.
    fn table_of(&self, looked: &Looked) -> Option<(usize, usize)> {
        let roots = &self.roots[looked.target];
        if roots.is_empty() {
            return None;
        }
        if let Some(at) = roots.get(&looked.path) {
            return Some((*at, looked.path.len()));
        }
        let folders = looked.path.rmatch_indices('/').map(|(at, _)| at + 1).chain([0]);
        folders.map(|end| (roots.get(&looked.path[..end]), end)).find_map(|(at, end)| Some((*at?, end)))
    }

    fn add_to_known(&mut self, at: usize, root: usize, looked: &Looked) {
        let target = &self.targets[looked.target];
        let uri = target.uri(if target.single { "" } else { &looked.path });
        let known = &self.known[at];
        let rest = &looked.path[root..];
        let Some((values, end)) = grouping::values(rest, known.keys) else {
            self.notes.add(OUTSIDE, || format!("{uri} lies in no partition of table '{}', and is not part of it", known.name));
            return;
        };
        let plan = self.found[at].get_or_insert_with(|| TablePlan {
            location: known.location.clone(),
            known: Some(known.name.clone()),
            name: known.name.clone(),
            keys: Vec::new(),
            whole: Part::default(),
            parts: BTreeMap::new(),
            target: looked.target,
        });
        let location = format!("{}{}", known.location, &rest[..end]);
        let part = (known.keys > 0).then(|| &mut plan.parts.entry(values).or_insert_with(|| (location, Part::default())).1);
        plan.whole.count(looked);
        let alike = |shape: &Shape| {
            let same_format = known.classification.is_empty() || shape.classification == known.classification;
            let same_header = known.header.is_none() || header(shape).is_none() || header(shape) == known.header;
            known.keys > 0 || same_format && same_header
        };
        let shape = looked.shape.as_ref().filter(|shape| alike(shape));
        if let (None, Some(shape)) = (shape, &looked.shape) {
            let (name, is) = (&known.name, describe(shape));
            self.notes
                .add(UNLIKE, || format!("{uri} is {is}, unlike its table '{name}': rows that do not fit go to the quarantine"));
        }
        if let Some(part) = part {
            part.count(looked);
            shape.iter().for_each(|shape| part.add(shape));
        }
        shape.iter().for_each(|shape| plan.whole.add(shape));
    }

    /// The tables: those that exist and got objects, and new ones for the rest.
    pub fn finish(mut self, prefix: &str, options: &Configuration) -> (Vec<TablePlan>, Notes) {
        let mut plans: Vec<TablePlan> = std::mem::take(&mut self.found).into_iter().flatten().collect();
        let fresh = std::mem::take(&mut self.fresh);
        let mut by_target: Vec<Vec<Looked>> = self.targets.iter().map(|_| Vec::new()).collect();
        fresh.into_iter().for_each(|looked| by_target[looked.target].push(looked));
        for (at, files) in by_target.into_iter().enumerate() {
            plans.extend(self.group(at, files, prefix, options));
        }
        (plans, self.notes)
    }

    fn group(&mut self, at: usize, files: Vec<Looked>, prefix: &str, options: &Configuration) -> Vec<TablePlan> {
        let target = self.targets[at].clone();
        let files = with_shapes(files);
        let levels = 1 + target.prefix.matches('/').count();
        let rules = Rules {
            combine: options.combine_compatible,
            depth: options.table_level.map(|level| level.saturating_sub(levels)),
            whole_bucket: target.prefix.is_empty(),
            taken: self.roots[at].keys().cloned().collect(),
        };
        let seen = files.iter().map(|(looked, shape)| Seen { path: looked.path.clone(), profile: shape.profile.clone() });
        let grouping = grouping::group(&seen.collect::<Vec<_>>(), &rules);
        for above in grouping.above {
            let uri = target.uri(&files[above].0.path);
            self.notes.add(OUTSIDE, || format!("{uri} lies above the table level of the configuration, and is in no table"));
        }
        grouping.groups.into_iter().map(|group| self.table(at, &target, &files, &group, prefix)).collect()
    }

    fn table(
        &mut self,
        at: usize,
        target: &Target,
        files: &[(Looked, Arc<Shape>)],
        group: &grouping::Group,
        prefix: &str,
    ) -> TablePlan {
        let location = target.uri(if target.single { "" } else { &group.root });
        let is_file = target.single || (!group.root.is_empty() && !group.root.ends_with('/'));
        let rest = |member: usize| if is_file { "" } else { &files[member].0.path[group.root.len()..] };
        let paths: Vec<&str> = group.files.iter().map(|member| rest(*member)).collect();
        let partitioning = if is_file { grouping::Partitioning::default() } else { grouping::partitioning(&paths) };
        let mut plan = TablePlan {
            name: naming::table(prefix, &location),
            location,
            known: None,
            keys: partitioning.keys,
            whole: Part::default(),
            parts: BTreeMap::new(),
            target: at,
        };
        let mut outside = vec![false; paths.len()];
        partitioning.outside.iter().for_each(|position| outside[*position] = true);
        let main = main_kind(group.files.iter().map(|member| &files[*member].1));
        for (position, member) in group.files.iter().enumerate() {
            let (looked, shape) = &files[*member];
            let uri = || target.uri(if target.single { "" } else { &looked.path });
            if outside[position] {
                self.notes
                    .add(OUTSIDE, || format!("{} lies in no partition of table '{}', and is not part of it", uri(), plan.name));
                continue;
            }
            plan.whole.count(looked);
            let alike = (shape.classification.as_str(), header(shape)) == main;
            if !alike && plan.keys.is_empty() {
                let is = describe(shape);
                self.notes.add(UNLIKE, || {
                    format!(
                        "{} is {is}, unlike the rest of table '{}': rows that do not fit go to the quarantine",
                        uri(),
                        plan.name
                    )
                });
                continue;
            }
            if let Some((values, end)) = grouping::values(paths[position], plan.keys.len()).filter(|_| !plan.keys.is_empty()) {
                let location = format!("{}{}", plan.location, &paths[position][..end]);
                let (_, part) = plan.parts.entry(values).or_insert_with(|| (location, Part::default()));
                part.count(looked);
                part.add(shape);
            }
            plan.whole.add(shape);
        }
        plan
    }
}

fn describe(shape: &Shape) -> String {
    match header(shape) {
        Some(true) => "CSV with a header".into(),
        Some(false) => "CSV without a header".into(),
        None => shape.classification.clone(),
    }
}

/// The format (and header) that most objects have.
fn main_kind<'a>(shapes: impl Iterator<Item = &'a Arc<Shape>>) -> (&'a str, Option<bool>) {
    let mut counts: BTreeMap<(&str, Option<bool>), usize> = BTreeMap::new();
    shapes.for_each(|shape| *counts.entry((&shape.classification, header(shape))).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(kind, _)| kind).unwrap_or_default()
}

/// Objects that were not looked into take the shape of the first of their folder; without one they are left out.
fn with_shapes(files: Vec<Looked>) -> Vec<(Looked, Arc<Shape>)> {
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let mut of_folder: HashMap<String, Arc<Shape>> = HashMap::new();
    if files.iter().any(|looked| looked.shape.is_none()) {
        for looked in &files {
            if let Some(shape) = &looked.shape {
                of_folder.entry(folder(&looked.path)).or_insert_with(|| shape.clone());
            }
        }
    }
    let with = |looked: Looked| {
        let shape = looked.shape.clone().or_else(|| of_folder.get(&folder(&looked.path)).cloned())?;
        Some((looked, shape))
    };
    files.into_iter().filter_map(with).collect()
}
