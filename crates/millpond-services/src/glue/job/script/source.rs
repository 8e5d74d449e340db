//! What a source of a script reads: the objects below paths or of a catalog table, less those that the bookmark of its transformation context is past.
//!
//! One look at the lake answers the files and how far it looked; both are remembered for the run, and become the bookmark and the ledger's entries in
//! the transaction of its end. What the run itself has written and nobody else sees yet is read too, and is no concern of a bookmark.

use super::arguments::BookmarkOption;
use super::roots::{Root, common_prefix, path_root_plain, path_roots};
use super::rows::{self, ReadSource, ScriptRun};
use crate::glue::GlueError;
use crate::glue::crawler::spec::Exclusions;
use crate::glue::job::rows as jobs;
use crate::lake::catalog::{self, FileRules, PartitionQuery};
use crate::lake::ledger::{self, Entry};
use crate::lake::objects::{self, Bucket, ListSpec, Object};
use crate::lake::staging::{self, View};
use millpond_core::catalog::{Column, Parameters, Table};
use millpond_core::partition_expr::{BoundExpr, PartitionExpr};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Files of one source at the most.
const FILES_MAX: usize = 1_000_000;

/// Objects that one look visits at the most: roots that overlap make it see objects more than once.
const VISITED_MAX: usize = 1_000_000;

/// Objects that one look takes from an index.
const PAGE: usize = 4_096;

/// What a script wants to read: `Source` of the run API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SourceRequest {
    /// Names the source to the bookmark; empty: no bookmark.
    pub transformation_context: String,
    /// `s3://bucket/prefix`, with `*`, `?`, `[a]` and `{a,b}` where wanted.
    pub paths: Vec<String>,
    /// Whether folders below the paths are read. Absent: yes.
    pub recurse: Option<bool>,
    /// Globs of what is left out: of whole URIs, or of what follows the path.
    pub exclusions: Vec<String>,
    /// Of a catalog table.
    pub database: Option<String>,
    /// A catalog table.
    pub table: Option<String>,
    /// A filter over partition keys.
    pub push_down_predicate: Option<String>,
    /// Another; both must hold.
    pub catalog_partition_predicate: Option<String>,
    /// Files of one run at the most (Glue's `boundedFiles`); needs a bookmark to be of use.
    pub bounded_files: Option<u64>,
    /// Their bytes at the most (Glue's `boundedSize`).
    pub bounded_size: Option<u64>,
}

/// A file of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SourceFile {
    /// `s3://bucket/key`
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    #[serde(rename = "ETag")]
    pub etag: String,
    /// The values of the partition that it lies in, in the order of the keys; absent where the table has none.
    pub partition: Option<Vec<String>>,
}

/// A column of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NamedType {
    /// Lower case.
    pub name: String,
    /// Hive's.
    pub r#type: String,
}

impl From<&Column> for NamedType {
    fn from(column: &Column) -> Self {
        Self { name: column.name.clone(), r#type: column.data_type.clone() }
    }
}

/// What a source reads.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Source {
    /// By bucket and key.
    pub files: Vec<SourceFile>,
    /// Of a table.
    pub partition_keys: Vec<NamedType>,
    /// Of a table.
    pub columns: Vec<NamedType>,
    /// The table's `classification`.
    pub format: Option<String>,
    /// The table's.
    pub parameters: Parameters,
    /// The table's.
    pub serde_parameters: Parameters,
    /// The table's `SerializationLibrary`.
    pub serde_library: Option<String>,
    /// The table's.
    pub location: Option<String>,
    /// Versions that were looked at and are not new to the bookmark.
    pub bookmark_filtered: u64,
}

/// What is remembered of a source.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) read: ReadSource,
    pub(super) entries: Vec<Entry>,
}

/// From where to where in the order of changes a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    after: i64,
    until: i64,
    generation: Option<i64>,
}

struct Found {
    root: usize,
    object: Object,
    staged: bool,
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

/// Looks; answers what is read, and what is to be remembered of it where a bookmark is to be saved.
pub(super) fn look(
    connection: &Connection,
    script: &ScriptRun,
    arguments: &BTreeMap<String, String>,
    request: &SourceRequest,
) -> Result<(Source, Option<Remembered>), GlueError> {
    let mut source = Source::default();
    let (roots, rules) = match &request.table {
        Some(table) => {
            let table = table_of(connection, request.database.as_deref().unwrap_or("default"), table)?;
            describe(&mut source, &table);
            (table_roots(connection, &table, request)?, FileRules::of(&table))
        }
        None => (path_roots(request)?, FileRules::default()),
    };
    let exclusions = Exclusions::new(&request.exclusions).map_err(invalid)?;
    let context = request.transformation_context.trim();
    let option = if context.is_empty() { BookmarkOption::Disable } else { option_of(script) };
    let span = span(connection, script, arguments, context, option)?;
    let wants = |root: &Root, object: &Object| is_wanted(root, object, &rules, &exclusions, request);
    let found = gather(connection, script, &roots, &span, &wants)?;
    let mut kept = Vec::new();
    for one in found {
        if !one.staged && is_known(connection, script, &roots[one.root], &one.object, &span)? {
            source.bookmark_filtered += 1;
            continue;
        }
        kept.push(one);
    }
    let until = bound(&mut kept, request, span.until);
    let entries = kept.iter().filter(|one| !one.staged).map(|one| Entry {
        bucket: roots[one.root].bucket.clone(),
        key: one.object.key.clone(),
        etag: one.object.etag.clone(),
        size: one.object.size,
        ..Entry::default()
    });
    let read =
        ReadSource { context: context.to_owned(), generation: span.generation, found: span.after, until, committed: false };
    let remembered = (option == BookmarkOption::Enable).then(|| Remembered { read, entries: entries.collect() });
    kept.sort_by(|a, b| (&roots[a.root].bucket, &a.object.key).cmp(&(&roots[b.root].bucket, &b.object.key)));
    source.files = kept.into_iter().map(|one| file(&roots[one.root], one.object)).collect();
    Ok((source, remembered))
}

fn file(root: &Root, object: Object) -> SourceFile {
    SourceFile {
        path: format!("s3://{}/{}", root.bucket, object.key),
        size: object.size,
        etag: object.etag,
        partition: root.values.clone(),
    }
}

fn option_of(script: &ScriptRun) -> BookmarkOption {
    match script.bookmark.as_str() {
        "job-bookmark-enable" => BookmarkOption::Enable,
        "job-bookmark-pause" => BookmarkOption::Pause,
        _ => BookmarkOption::Disable,
    }
}

/// Where a source begins and ends. Of one that was read before in this run the end stays: what came between belongs to the next run.
fn span(
    connection: &Connection,
    script: &ScriptRun,
    arguments: &BTreeMap<String, String>,
    context: &str,
    option: BookmarkOption,
) -> Result<Span, GlueError> {
    let committed = millpond_store::committed_seq(connection)?;
    if option == BookmarkOption::Disable {
        return Ok(Span { after: 0, until: committed, generation: None });
    }
    let bookmark = jobs::bookmark(connection, &script.job, context)?;
    let generation = bookmark.as_ref().map(|bookmark| bookmark.generation);
    let after = bookmark.map_or(0, |bookmark| bookmark.seq);
    if option == BookmarkOption::Enable {
        let before = rows::source(connection, &script.run, context)?;
        return Ok(match before {
            Some(before) => Span { after: before.found, until: before.until, generation: before.generation },
            None => Span { after, until: committed, generation },
        });
    }
    let state = |argument: &str| match arguments.get(argument).map(|run| run.trim()).filter(|run| !run.is_empty()) {
        None => Ok(None),
        Some(run) => {
            let run = jobs::run(connection, run)?.filter(|run| run.job == script.job);
            let run = run.ok_or_else(|| invalid(format!("{argument} must name a run of the job {}.", script.job)))?;
            let states = rows::states_after(connection, &script.job, run.seq)?;
            Ok::<_, GlueError>(Some(states.into_iter().find(|state| state.source == context).map_or(0, |state| state.seq)))
        }
    };
    let (from, to) = (state("--job-bookmark-from")?, state("--job-bookmark-to")?);
    let generation = generation.filter(|_| from.is_none() && to.is_none());
    Ok(Span { after: from.unwrap_or(after), until: to.unwrap_or(committed), generation })
}

/// Whether the bookmark is past this version: it came before, or the same bytes were read under the same name.
fn is_known(connection: &Connection, script: &ScriptRun, root: &Root, object: &Object, span: &Span) -> Result<bool, GlueError> {
    if object.seq <= span.after || object.seq > span.until {
        return Ok(true);
    }
    let Some(generation) = span.generation else { return Ok(false) };
    Ok(ledger::contributed(connection, &script.job, generation, &root.bucket, &object.key, &object.etag)?)
}

fn is_wanted(root: &Root, object: &Object, rules: &FileRules, exclusions: &Exclusions, request: &SourceRequest) -> bool {
    let is_own = root.key.as_ref() == Some(&object.key);
    let base = if is_own { object.key.rfind('/').map_or(0, |at| at + 1) } else { root.prefix.len() };
    let relative = object.key.get(base..).unwrap_or_default();
    let in_depth =
        is_own || request.table.is_some() || root.like.is_some() || request.recurse.unwrap_or(true) || !relative.contains('/');
    in_depth
        && rules.is_data(&root.bucket, &object.key, base, object.size)
        && root.like.as_ref().is_none_or(|like| like.is_match(&object.key))
        && !exclusions.matches(relative)
        && !exclusions.matches(&format!("s3://{}/{}", root.bucket, object.key))
}

/// Leaves as much as one run is to take, the oldest first; answers up to which change that is.
fn bound(found: &mut Vec<Found>, request: &SourceRequest, until: i64) -> i64 {
    if request.bounded_files.is_none() && request.bounded_size.is_none() {
        return until;
    }
    found.sort_by_key(|one| if one.staged { i64::MAX } else { one.object.seq });
    let (mut files, mut bytes) = (0u64, 0u64);
    let fits = |one: &Found| {
        files += 1;
        bytes = bytes.saturating_add(one.object.size);
        // One file is always taken, or there would be no progress.
        files == 1 || (files <= request.bounded_files.unwrap_or(u64::MAX) && bytes <= request.bounded_size.unwrap_or(u64::MAX))
    };
    let count = found.iter().position({
        let mut fits = fits;
        move |one| !fits(one)
    });
    let Some(count) = count else { return until };
    found.truncate(count);
    found.iter().rfind(|one| !one.staged).map_or(until, |one| one.object.seq)
}

fn visit(visited: &mut usize, more: usize) -> Result<(), GlueError> {
    *visited += more;
    match *visited > VISITED_MAX {
        true => Err(GlueError::ResourceNumberLimitExceeded(format!(
            "The source has more than {VISITED_MAX} objects below its paths, counted once for each path or partition that they lie below: read \
             fewer paths or partitions, and none below another."
        ))),
        false => Ok(()),
    }
}

/// Takes an object for a root; answers whether the root wants it.
type Add<'a> = dyn FnMut(usize, Object) -> Result<bool, GlueError> + 'a;

/// The objects that the roots want and that came in the span; those that the run has put itself, too. One that several roots want is of the deepest.
fn gather(
    connection: &Connection,
    script: &ScriptRun,
    roots: &[Root],
    span: &Span,
    wants: &dyn Fn(&Root, &Object) -> bool,
) -> Result<Vec<Found>, GlueError> {
    let view = View::of(connection, Some(&script.run))?;
    let open = staging::is_open(connection, &script.run)?;
    let mut found = Vec::new();
    let mut visited = 0;
    let mut taken: HashSet<(String, String)> = HashSet::new();
    let mut buckets: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, root) in roots.iter().enumerate() {
        buckets.entry(&root.bucket).or_default().push(at);
    }
    for (name, mut places) in buckets {
        // The own key of a root lies in no folder that is deeper than the root's.
        places.sort_by_key(|at| Reverse(roots[*at].prefix.len()));
        let Some(bucket) = objects::bucket(connection, name)? else {
            return Err(GlueError::EntityNotFound(format!("The bucket '{name}' that is to be read does not exist.")));
        };
        let mut staged: HashSet<String> = HashSet::new();
        if open {
            for at in &places {
                let own = staging::files(connection, &script.run, name, roots[*at].key.as_ref().unwrap_or(&roots[*at].prefix))?;
                visit(&mut visited, own.len())?;
                staged.extend(own.into_iter().map(|object| object.key));
            }
        }
        let mut add = |root: usize, object: Object| {
            visit(&mut visited, 1)?;
            if !wants(&roots[root], &object) {
                return Ok(false);
            }
            if taken.insert((name.to_owned(), object.key.clone())) {
                let staged = staged.contains(&object.key);
                found.push(Found { root, object, staged });
            }
            match found.len() > FILES_MAX {
                true => Err(GlueError::ResourceNumberLimitExceeded(format!(
                    "The source has more than {FILES_MAX} files: read fewer partitions, or set boundedFiles and a bookmark."
                ))),
                false => Ok(true),
            }
        };
        match span.after > 0 {
            true => since(connection, &view, &bucket, roots, &places, span, &staged, &mut add)?,
            false => listed(connection, &view, &bucket, roots, &places, &mut add)?,
        }
    }
    Ok(found)
}

/// Root after root, by key.
fn listed(
    connection: &Connection,
    view: &View<'_>,
    bucket: &Bucket,
    roots: &[Root],
    places: &[usize],
    add: &mut Add<'_>,
) -> Result<(), GlueError> {
    for at in places {
        let root = &roots[*at];
        if let Some(key) = &root.key
            && let Some(object) = view.get(connection, bucket.id, key)?
        {
            add(*at, object)?;
        }
        let mut spec = ListSpec { prefix: root.prefix.clone(), limit: PAGE, ..ListSpec::default() };
        loop {
            let page = view.list(connection, bucket.id, &spec)?;
            for object in page.objects {
                add(*at, object)?;
            }
            match page.next {
                Some(next) => spec.after = next,
                None => break,
            }
        }
    }
    Ok(())
}

/// All that came since, in the order of changes, each sorted into its root.
#[allow(clippy::too_many_arguments)]
fn since(
    connection: &Connection,
    view: &View<'_>,
    bucket: &Bucket,
    roots: &[Root],
    places: &[usize],
    span: &Span,
    staged: &HashSet<String>,
    add: &mut Add<'_>,
) -> Result<(), GlueError> {
    let mut folders: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut keys: HashMap<&str, Vec<usize>> = HashMap::new();
    for at in places {
        folders.entry(&roots[*at].prefix).or_default().push(*at);
        if let Some(key) = &roots[*at].key {
            keys.entry(key).or_default().push(*at);
        }
    }
    let mut sort = |object: Object| -> Result<(), GlueError> {
        let key = object.key.clone();
        let depths = key.char_indices().rev().filter(|(_, c)| *c == '/').map(|(at, _)| &key[..=at]).chain([""]);
        for at in keys.get(key.as_str()).into_iter().chain(depths.filter_map(|folder| folders.get(folder))).flatten() {
            if add(*at, object.clone())? {
                break;
            }
        }
        Ok(())
    };
    let common = common_prefix(places.iter().map(|at| roots[*at].key.as_deref().unwrap_or(&roots[*at].prefix)));
    let mut after = span.after;
    loop {
        let page = objects::since(connection, bucket.id, &common, after, span.until, PAGE)?;
        let full = page.len() == PAGE;
        for object in page {
            after = object.seq;
            if staged.contains(&object.key) {
                continue;
            }
            // The run may have deleted it.
            if view.get(connection, bucket.id, &object.key)?.is_some() {
                sort(object)?;
            }
        }
        if !full {
            break;
        }
    }
    for key in staged {
        if let Some(object) = view.get(connection, bucket.id, key)? {
            sort(object)?;
        }
    }
    Ok(())
}

fn table_of(connection: &Connection, database: &str, name: &str) -> Result<Table, GlueError> {
    let (database, name) = (database.to_lowercase(), name.to_lowercase());
    catalog::table(connection, &database, &name)?
        .ok_or_else(|| GlueError::EntityNotFound(format!("Entity Not Found: the table {database}.{name} does not exist")))
}

fn describe(source: &mut Source, table: &Table) {
    source.partition_keys = table.partition_keys.iter().map(NamedType::from).collect();
    source.columns = table.storage.columns.iter().map(NamedType::from).collect();
    source.format = table.parameters.get("classification").cloned();
    source.parameters = table.parameters.clone();
    source.serde_parameters = table.storage.serde_info.parameters.clone();
    source.serde_library = table.storage.serde_info.serialization_library.clone();
    source.location = table.storage.location.clone();
}

fn table_roots(connection: &Connection, table: &Table, request: &SourceRequest) -> Result<Vec<Root>, GlueError> {
    let whole = |location: Option<&str>, values: Option<Vec<String>>| {
        let location = location.unwrap_or_default();
        let root = path_root_plain(location);
        root.map(|root| Root { values, ..root }).ok_or_else(|| {
            invalid(format!("The table {}.{} has the location '{location}', which is not in S3.", table.database, table.name))
        })
    };
    if table.partition_keys.is_empty() {
        return Ok(vec![whole(table.storage.location.as_deref(), None)?]);
    }
    let filter = filter(table, request)?;
    let query = PartitionQuery { filter, ..PartitionQuery::default() };
    let mut roots = Vec::new();
    let mut wrong = None;
    catalog::visit_partitions(connection, &table.database, &table.name, &query, |_, partition| {
        let hive = || {
            let base = table.storage.location.as_deref().unwrap_or_default().trim_end_matches('/');
            let pairs = table.partition_keys.iter().zip(&partition.values).map(|(key, value)| format!("{}={value}", key.name));
            format!("{base}/{}/", pairs.collect::<Vec<_>>().join("/"))
        };
        let location = partition.storage.location.clone().unwrap_or_else(hive);
        match whole(Some(&location), Some(partition.values)) {
            Ok(root) => roots.push(root),
            Err(error) => wrong = Some(error),
        }
        Ok(wrong.is_none())
    })?;
    match wrong {
        Some(error) => Err(error),
        None => Ok(roots),
    }
}

fn filter(table: &Table, request: &SourceRequest) -> Result<Option<BoundExpr>, GlueError> {
    let mut all = Vec::new();
    for text in [&request.push_down_predicate, &request.catalog_partition_predicate].into_iter().flatten() {
        if text.trim().is_empty() {
            continue;
        }
        let parsed: PartitionExpr = text.parse().map_err(|error| {
            invalid(format!("The predicate '{text}' on the table {}.{}: {error}", table.database, table.name))
        })?;
        all.push(parsed);
    }
    if all.is_empty() {
        return Ok(None);
    }
    let bound = PartitionExpr::And(all).bind(&table.partition_keys);
    bound.map(Some).map_err(|error| invalid(format!("The predicate on the table {}.{}: {error}", table.database, table.name)))
}
