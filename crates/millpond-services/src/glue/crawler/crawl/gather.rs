//! Which objects a crawl looks at.

use crate::glue::crawler::spec::{CrawlerSpec, Exclusions, RecrawlBehavior};
use crate::lake::objects::{self, ListSpec, Object};
use millpond_engine::table::DataFile;
use millpond_store::{Store, StoreError};
use std::collections::HashMap;

/// Objects that one read takes.
const PAGE: usize = 4_096;

/// Objects that one crawl of what is new takes; what is more is left to the next, which follows at once.
pub const NEW_OBJECTS_MAX: usize = 50_000;

/// A target, resolved.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its bucket's name.
    pub bucket: String,
    bucket_id: i64,
    /// The folder, ends with a slash or is empty; or the key of the one object.
    pub prefix: String,
    /// The target is one object.
    pub single: bool,
    exclusions: Exclusions,
    sample_size: Option<u32>,
}

impl Target {
    /// `s3://bucket/` and what follows the prefix.
    pub fn uri(&self, path: &str) -> String {
        format!("s3://{}/{}{path}", self.bucket, self.prefix)
    }
}

/// An object to look at.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which target.
    pub target: usize,
    /// The key after the target's prefix; of a target that is one object: the name of that.
    pub path: String,
    /// Its bytes.
    pub file: DataFile,
    /// Only its place counts: others of its folder are looked into.
    pub unsampled: bool,
}

/// Finds the objects, page by page. Nothing that came after [`Gather::until`] is seen, so that all pages are of one state of the lake.
#[derive(Debug)]
pub struct Gather {
    /// The targets, resolved.
    pub targets: Vec<Target>,
    /// The lake's seq up to which the crawl sees.
    pub until: i64,
    /// Only what came after this seq.
    since: Option<i64>,
    /// Objects left out by an exclude pattern.
    pub excluded: u64,
    /// Whether more has come than one crawl takes.
    pub more: bool,
    at: usize,
    after_key: String,
    after_seq: i64,
    taken: usize,
    sampled: HashMap<(usize, String), u32>,
}

/// Why it cannot be crawled.
#[derive(Debug)]
pub enum GatherError {
    /// The definition does not fit the lake; for people.
    Wrong(String),
    /// Ours.
    Store(StoreError),
}

impl From<StoreError> for GatherError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Gather {
    /// Resolves the targets in the state that the lake has now.
    pub async fn start(store: &Store, spec: &CrawlerSpec, bookmark: i64) -> Result<Self, GatherError> {
        let targets = spec.targets.s3.clone();
        let resolved = store.read(move |connection| {
            let until = millpond_store::committed_seq(connection)?;
            let mut resolved = Vec::with_capacity(targets.len());
            for target in &targets {
                let place = target.place();
                let (name, key) = place.ok_or_else(|| GatherError::Wrong(format!("'{}' is not an S3 path", target.path)))?;
                let bucket = objects::bucket(connection, name)?;
                let missing = || {
                    format!(
                        "The bucket '{name}' of the target '{}' does not exist. Create it, or change the target.",
                        target.path
                    )
                };
                let bucket = bucket.ok_or_else(|| GatherError::Wrong(missing()))?;
                let exclusions = Exclusions::new(&target.exclusions).map_err(GatherError::Wrong)?;
                let single = !key.is_empty() && !key.ends_with('/') && objects::get(connection, bucket.id, &key)?.is_some();
                let prefix = if single || key.is_empty() || key.ends_with('/') { key } else { format!("{key}/") };
                let sample_size = target.sample_size;
                resolved.push(Target { bucket: bucket.name, bucket_id: bucket.id, prefix, single, exclusions, sample_size });
            }
            Ok::<_, GatherError>((until, resolved))
        });
        let (until, targets) = resolved.await?;
        let since =
            (spec.recrawl_policy.recrawl_behavior != RecrawlBehavior::CrawlEverything && bookmark > 0).then_some(bookmark);
        Ok(Self {
            targets,
            until,
            since,
            excluded: 0,
            more: false,
            at: 0,
            after_key: String::new(),
            after_seq: since.unwrap_or(0),
            taken: 0,
            sampled: HashMap::new(),
        })
    }

    /// The next page; `None` at the end.
    pub async fn next(&mut self, store: &Store) -> Result<Option<Vec<Found>>, GatherError> {
        while self.at < self.targets.len() {
            let objects = self.page(store).await?;
            let target = self.at;
            if objects.is_empty() {
                self.at += 1;
                self.after_key.clear();
                self.after_seq = self.since.unwrap_or(0);
                continue;
            }
            let found: Vec<Found> = objects.into_iter().filter_map(|object| self.look(target, object)).collect();
            self.taken += found.len();
            // With several targets there is no one seq up to which a part of them would have been seen.
            if self.since.is_some() && self.targets.len() == 1 && self.taken >= NEW_OBJECTS_MAX {
                self.stop_here();
            }
            if !found.is_empty() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Ends a crawl of what is new before its end: it saw up to the last object taken.
    fn stop_here(&mut self) {
        self.until = self.after_seq;
        self.more = true;
        self.at = self.targets.len();
    }

    async fn page(&mut self, store: &Store) -> Result<Vec<Object>, StoreError> {
        let (bucket, prefix, until) = (self.targets[self.at].bucket_id, self.targets[self.at].prefix.clone(), self.until);
        let single = self.targets[self.at].single;
        let (after_key, after_seq) = (self.after_key.clone(), self.after_seq);
        let since = self.since;
        let page = store.read(move |connection| {
            if single {
                let object =
                    objects::get(connection, bucket, &prefix)?.filter(|object| object.seq <= until && object.seq > after_seq);
                return Ok(object.filter(|_| after_key.is_empty()).into_iter().collect());
            }
            if since.is_some() {
                return objects::since(connection, bucket, &prefix, after_seq, until, PAGE);
            }
            let spec = ListSpec { prefix, delimiter: String::new(), after: after_key, limit: PAGE };
            Ok(objects::list(connection, bucket, &spec)?.objects)
        });
        let page: Vec<Object> = page.await?;
        if let Some(last) = page.last() {
            self.after_key.clone_from(&last.key);
            self.after_seq = if since.is_some() { last.seq } else { self.after_seq };
        }
        Ok(page)
    }

    fn look(&mut self, at: usize, object: Object) -> Option<Found> {
        let target = &self.targets[at];
        let path = match target.single {
            true => object.key.rsplit('/').next().unwrap_or_default(),
            false => &object.key[target.prefix.len()..],
        };
        let hidden = path.split('/').any(|part| part.starts_with(['_', '.']));
        // What consoles and sync tools put in place of folders.
        let folder = path.is_empty() || path.ends_with('/') || path.ends_with("_$folder$");
        if object.seq > self.until || hidden || folder {
            return None;
        }
        if target.exclusions.matches(path) {
            self.excluded += 1;
            return None;
        }
        let path = path.to_owned();
        let unsampled = target.sample_size.is_some_and(|size| {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            let count = self.sampled.entry((at, folder)).or_default();
            *count += 1;
            *count > size
        });
        Some(Found { target: at, path, file: object.data_file(&self.targets[at].bucket), unsampled })
    }
}
