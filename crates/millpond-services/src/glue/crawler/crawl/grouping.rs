//! From the paths and schemas of objects to tables and partitions, as Glue's crawler groups them. Pure.
//!
//! Definitions: a *unit* is a file or a folder that is one table by itself; a *profile* is what units are compared by (format and column names); a
//! *cluster* is a set of units with similar profiles.
//!
//! The rules are those of the developer guide ("How does a crawler determine when to create partitions?", "Creating a single schema for each Amazon
//! S3 include path", "Specifying the table location and partitioning level") and of AWS's support pages on crawlers that make many tables: the folders
//! below a folder are partitions of one table where at least 70 % of them have similar schemas and there are no more than five kinds; else each is a
//! table of its own. Files of one folder with different schemas are a table each. Two points are decided differently, for people's sake:
//! one odd file among many (less than 30 %) does not break its folder into a table per file; and a lone folder in a bucket that is crawled whole
//! is a table with the folder's name, not a partition of a table with the bucket's name.

use std::collections::HashSet;
use std::sync::Arc;

/// The share of units that must be similar: Glue's partition threshold.
const SIMILAR_SHARE: f64 = 0.7;

/// More kinds of schemas than this below one folder are never one table.
const CLUSTERS_MAX: usize = 5;

/// What units are compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `csv`, `json`, …
    pub classification: String,
    /// Lower-case column names. Where a file names none (`col0`, `col1`, …) their number counts alone.
    pub names: HashSet<String>,
}

impl Profile {
    fn is_nameless(&self) -> bool {
        !self.names.is_empty() && (0..self.names.len()).all(|at| self.names.contains(&format!("col{at}")))
    }

    /// Whether both may be one table: the same format, and at least 70 % of the names in common, or one has all names of the other and at most
    /// twice as many.
    pub fn is_similar(&self, other: &Self) -> bool {
        if self.classification != other.classification {
            return false;
        }
        if self.is_nameless() || other.is_nameless() {
            return self.names == other.names;
        }
        let (small, large) = if self.names.len() <= other.names.len() { (self, other) } else { (other, self) };
        let common = small.names.iter().filter(|name| large.names.contains(*name)).count() as f64;
        let share = common / (large.names.len().max(1)) as f64;
        share >= SIMILAR_SHARE || (common as usize == small.names.len() && share >= 0.5)
    }
}

/// A classified object.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The key after the include path.
    pub path: String,
    /// Its profile, shared by all files with the same one.
    pub profile: Arc<Profile>,
}

/// How to group.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// `CombineCompatibleSchemas`.
    pub combine: bool,
    /// Folders between the include path and the tables (`TableLevelConfiguration` less the include path's own level).
    pub depth: Option<usize>,
    /// The include path is a whole bucket.
    pub whole_bucket: bool,
    /// Roots of existing tables below the include path: no folder above one becomes a table.
    pub taken: Vec<String>,
}

/// A table that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// After the include path: a folder that ends with a slash, empty for the include path itself, or a file.
    pub root: String,
    /// Indices of its files.
    pub files: Vec<usize>,
}

/// What came of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouping {
    /// By root.
    pub groups: Vec<Group>,
    /// Files that lie above the configured table level.
    pub above: Vec<usize>,
}

/// Groups files into tables.
pub fn group(files: &[Seen], rules: &Rules) -> Grouping {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by(|a, b| files[*a].path.cmp(&files[*b].path));
    if order.is_empty() {
        return Grouping::default();
    }
    if let Some(depth) = rules.depth.filter(|depth| *depth > 0) {
        return by_level(files, &order, depth);
    }
    let first = &files[order[0]].profile.classification;
    let one_format = files.iter().all(|file| file.profile.classification == *first);
    let finder = Finder { files, blocked: blocked(&rules.taken) };
    if (rules.combine && one_format || rules.depth.is_some()) && !finder.blocked.contains("") {
        return Grouping { groups: vec![Group { root: String::new(), files: order }], above: Vec::new() };
    }
    let mut groups = match finder.resolve("", &order) {
        Found::One(_) => vec![Group { root: String::new(), files: order }],
        Found::Many(groups) => groups,
    };
    if let [only] = &mut groups[..]
        && only.root.is_empty()
        && rules.whole_bucket
    {
        only.root = lone_folder(files, &only.files).unwrap_or_default();
    }
    groups.sort_by(|a, b| a.root.cmp(&b.root));
    Grouping { groups, above: Vec::new() }
}

fn by_level(files: &[Seen], order: &[usize], depth: usize) -> Grouping {
    let mut grouping = Grouping::default();
    for &at in order {
        let path = &files[at].path;
        let Some((end, _)) = path.match_indices('/').nth(depth - 1) else {
            grouping.above.push(at);
            continue;
        };
        match grouping.groups.last_mut().filter(|group| group.root == path[..=end]) {
            Some(group) => group.files.push(at),
            None => grouping.groups.push(Group { root: path[..=end].to_owned(), files: vec![at] }),
        }
    }
    grouping
}

/// The folders that are above a table that exists, or are one.
fn blocked(taken: &[String]) -> HashSet<String> {
    let mut blocked = HashSet::new();
    for root in taken {
        blocked.insert(String::new());
        blocked.extend(root.match_indices('/').map(|(at, _)| root[..=at].to_owned()));
    }
    blocked
}

/// The one folder that all files lie below, where its name is none of a partition.
fn lone_folder(files: &[Seen], members: &[usize]) -> Option<String> {
    let (folder, _) = files[*members.first()?].path.split_once('/')?;
    let below = |at: &usize| files[*at].path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let is_value =
        folder.contains('=') || folder.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':'));
    (!is_value && members.iter().all(below)).then(|| format!("{folder}/"))
}

enum Found {
    /// The folder is one table.
    One(Arc<Profile>),
    /// It holds several.
    Many(Vec<Group>),
}

struct Finder<'a> {
    files: &'a [Seen],
    blocked: HashSet<String>,
}

/// Clusters of similar units, largest count first known only after all were added.
#[derive(Default)]
struct Clusters {
    kinds: Vec<(Arc<Profile>, usize)>,
    total: usize,
}

impl Clusters {
    fn add(&mut self, profile: &Arc<Profile>) {
        self.total += 1;
        // Beyond this many kinds the folder is not one table, whatever follows.
        let full = self.kinds.len() > 4 * CLUSTERS_MAX;
        let known = self.kinds.iter_mut().find(|(kind, _)| Arc::ptr_eq(kind, profile) || kind.is_similar(profile));
        match known {
            Some((kind, count)) => {
                *count += 1;
                // What a cluster is compared by grows with it, so that a slow drift of columns stays one table.
                if !Arc::ptr_eq(kind, profile) && !profile.names.is_subset(&kind.names) {
                    let mut grown = Profile::clone(kind);
                    grown.names.extend(profile.names.iter().cloned());
                    *kind = Arc::new(grown);
                }
            }
            None if full => {}
            None => self.kinds.push((profile.clone(), 1)),
        }
    }

    /// The profile of the largest cluster, where the units are one table.
    fn one(&self) -> Option<Arc<Profile>> {
        let (profile, count) = self.kinds.iter().max_by_key(|(_, count)| *count)?;
        let enough = *count as f64 >= SIMILAR_SHARE * self.total as f64;
        (enough && self.kinds.len() <= CLUSTERS_MAX).then(|| profile.clone())
    }
}

impl Finder<'_> {
    /// Looks at the files below `folder`, which are sorted.
    fn resolve(&self, folder: &str, members: &[usize]) -> Found {
        let (mut direct, mut children) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < members.len() {
            let rest = &self.files[members[at]].path[folder.len()..];
            let Some(end) = rest.find('/') else {
                direct.push(members[at]);
                at += 1;
                continue;
            };
            let child = &self.files[members[at]].path[..folder.len() + end + 1];
            let count = members[at..].partition_point(|member| self.files[*member].path.starts_with(child));
            children.push((child, &members[at..at + count]));
            at += count;
        }
        let found: Vec<Found> = children.iter().map(|(child, inside)| self.resolve(child, inside)).collect();
        let mut clusters = Clusters::default();
        direct.iter().for_each(|member| clusters.add(&self.files[*member].profile));
        let mut whole = !self.blocked.contains(folder);
        for one in &found {
            match one {
                Found::One(profile) => clusters.add(profile),
                Found::Many(_) => whole = false,
            }
        }
        if let Some(profile) = clusters.one().filter(|_| whole) {
            return Found::One(profile);
        }
        let mut groups: Vec<Group> =
            direct.iter().map(|at| Group { root: self.files[*at].path.clone(), files: vec![*at] }).collect();
        for ((child, inside), found) in children.into_iter().zip(found) {
            match found {
                Found::One(_) => groups.push(Group { root: child.to_owned(), files: inside.to_vec() }),
                Found::Many(inner) => groups.extend(inner),
            }
        }
        Found::Many(groups)
    }
}

/// The partition keys of a table, and each file's values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partitioning {
    /// Key names, in order; empty: not partitioned.
    pub keys: Vec<String>,
    /// Positions (in the list given) of files that lie outside every partition.
    pub outside: Vec<usize>,
}

/// Finds the partition keys of a table from the paths of its files after the table's root.
///
/// A level of folders is a key where every file lies below one of them: named as its folders say (`year=2024`), or `partition_0`, `partition_1`, …
/// by its place. Files directly in a folder of `key=value` folders are outside; beside plain folders they make the table unpartitioned.
pub fn partitioning(paths: &[&str]) -> Partitioning {
    let hive = |path: &str| path.split_once('/').is_some_and(|(folder, _)| hive_key(folder).is_some());
    let outside: Vec<usize> = match paths.iter().any(|path| hive(path)) {
        true => (0..paths.len()).filter(|at| !paths[*at].contains('/')).collect(),
        false => Vec::new(),
    };
    let inside: Vec<&str> = paths.iter().copied().filter(|path| outside.is_empty() || path.contains('/')).collect();
    let depth = inside.iter().map(|path| path.matches('/').count()).min().unwrap_or(0);
    let mut keys: Vec<String> = Vec::new();
    for level in 0..depth {
        let mut folders = inside.iter().map(|path| path.split('/').nth(level).unwrap_or_default());
        let first = folders.next().and_then(hive_key).map(|(key, _)| key);
        let same = first.filter(|key| folders.all(|folder| hive_key(folder).is_some_and(|(other, _)| other == *key)));
        let name = same.map(super::naming::identifier).filter(|name| !keys.contains(name));
        keys.push(name.unwrap_or_else(|| format!("partition_{level}")));
    }
    Partitioning { keys, outside }
}

/// Key and value of a folder called `key=value`.
pub fn hive_key(folder: &str) -> Option<(&str, &str)> {
    folder.split_once('=').filter(|(key, _)| !key.is_empty())
}

/// The partition values that a path after the table's root has for `keys`, and the length of the partition's folder in bytes; `None` where it lies
/// in no partition.
pub fn values(path: &str, keys: usize) -> Option<(Vec<String>, usize)> {
    let mut values = Vec::with_capacity(keys);
    let mut end = 0;
    for _ in 0..keys {
        let (folder, _) = path[end..].split_once('/')?;
        let raw = hive_key(folder).map_or(folder, |(_, value)| value);
        values.push(percent_encoding::percent_decode_str(raw).decode_utf8_lossy().into_owned());
        end += folder.len() + 1;
    }
    Some((values, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(columns: &str) -> Arc<Profile> {
        let (format, columns) = columns.split_once(':').unwrap_or(("csv", columns));
        Arc::new(Profile { classification: format.into(), names: columns.chars().map(|name| name.to_string()).collect() })
    }

    /// `files`: `path columns` each. Answers `root(number of files)` each.
    fn check_with(rules: &Rules, files: &[&str], want: &str) {
        let seen: Vec<Seen> = files
            .iter()
            .map(|file| {
                let (path, columns) = file.split_once(' ').unwrap();
                Seen { path: path.into(), profile: profile(columns) }
            })
            .collect();
        let found = group(&seen, rules);
        let text: Vec<String> = found.groups.iter().map(|group| format!("{}({})", group.root, group.files.len())).collect();
        assert_eq!(text.join(" "), want, "{files:?}");
        let members: usize = found.groups.iter().map(|group| group.files.len()).sum();
        assert_eq!(members + found.above.len(), files.len(), "each file is in one group");
    }

    fn check(files: &[&str], want: &str) {
        check_with(&Rules::default(), files, want);
    }

    #[test]
    fn files_of_one_schema_are_one_table() {
        check(&["a.csv abc", "b.csv abc"], "(2)");
        check(&["year=1/a abc", "year=2/b abcd", "year=3/c abc"], "(3)");
        check(&["x/1/a abc", "x/2/b abc", "y/1/c abc"], "(3)");
    }

    #[test]
    fn folders_of_different_schemas_are_tables_of_their_own() {
        check(&["customers/a abc", "orders/a xyz", "orders/b xyz"], "customers/(1) orders/(2)");
        check(&["customers/y=1/a abc", "customers/y=2/a abc", "orders/a xyz"], "customers/(2) orders/(1)");
        check(&["year=2017/a ab", "year=2018/b cd"], "year=2017/(1) year=2018/(1)");
        check(&["in/customers/a abc", "in/orders/a xyz"], "in/customers/(1) in/orders/(1)");
    }

    #[test]
    fn files_of_different_schemas_in_one_folder_are_a_table_each() {
        check(&["customers.csv abc", "orders.csv xyz"], "customers.csv(1) orders.csv(1)");
        check(&["a.csv abc", "b.json json:abc"], "a.csv(1) b.json(1)");
        check(&["one.csv abc", "sub/a xyz", "sub/b xyz"], "one.csv(1) sub/(2)");
    }

    #[test]
    fn one_odd_file_among_many_does_not_break_the_table() {
        check(&["1 abc", "2 abc", "3 abc", "4 json:z"], "(4)");
        check(&["p/1 abc", "q/1 abc", "r/1 abc", "s/1 xyz"], "(4)");
    }

    #[test]
    fn nameless_columns_are_compared_by_their_number() {
        let names =
            |count: usize| Profile { classification: "csv".into(), names: (0..count).map(|at| format!("col{at}")).collect() };
        assert!(names(4).is_similar(&names(4)));
        assert!(!names(4).is_similar(&names(5)));
    }

    #[test]
    fn rules_of_the_configuration_decide() {
        let combine = Rules { combine: true, ..Rules::default() };
        check_with(&combine, &["year=2017/a ab", "year=2018/b cd"], "(2)");
        check_with(&combine, &["a/a ab", "b/b json:cd"], "a/(1) b/(1)");
        let level = Rules { depth: Some(1), ..Rules::default() };
        check_with(&level, &["a/x/1 ab", "a/y/2 cd", "b/1 ab", "top ab"], "a/(2) b/(1)");
        let whole = Rules { whole_bucket: true, ..Rules::default() };
        check_with(&whole, &["flights/a ab", "flights/b ab"], "flights/(2)");
        check_with(&whole, &["2024/a ab", "2024/b ab"], "(2)");
        check_with(&whole, &["flights/a ab", "other/b ab"], "(2)");
        let taken = Rules { taken: vec!["customers/".into(), "in/orders/".into()], ..Rules::default() };
        check_with(&taken, &["products/a ab", "products/b ab"], "products/(2)");
        check_with(&taken, &["in/items/a ab", "loose.csv ab"], "in/items/(1) loose.csv(1)");
    }

    #[test]
    fn partition_keys_come_from_folders() {
        for (paths, keys, outside) in [
            (&["a.csv", "b.csv"][..], "", 0),
            (&["year=2024/a", "year=2025/b"], "year", 0),
            (&["year=2024/month=1/a", "year=2025/month=2/x/b"], "year month", 0),
            (&["Year=2024/01/a", "Year=2025/02/b"], "year partition_1", 0),
            (&["2024/a", "2025/b"], "partition_0", 0),
            (&["2024/a", "b"], "", 0),
            (&["year=2024/a", "b"], "year", 1),
            (&["year=2024/a", "month=1/b"], "partition_0", 0),
            (&["a=1/a=2/f"], "a partition_1", 0),
        ] {
            let found = partitioning(paths);
            assert_eq!((found.keys.join(" ").as_str(), found.outside.len()), (keys, outside), "{paths:?}");
        }
        assert_eq!(values("year=2024/at=10%3A30/f", 2), Some((vec!["2024".into(), "10:30".into()], 21)));
        assert_eq!(values("f", 1), None);
    }

    #[test]
    fn many_folders_are_grouped_in_linear_time() {
        let shared = profile("abcdef");
        let seen: Vec<Seen> = (0..100_000)
            .map(|at| Seen { path: format!("year={}/day={}/f{at}", at % 100, at % 1000), profile: shared.clone() })
            .collect();
        let found = group(&seen, &Rules::default());
        assert_eq!(found.groups.len(), 1);
    }
}
