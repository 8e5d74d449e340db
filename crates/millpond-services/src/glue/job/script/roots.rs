//! The places that a source's paths name.

use super::source::SourceRequest;
use crate::glue::GlueError;
use crate::lake::objects::split_uri;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::{HashMap, HashSet};

/// Different paths of one request at the most: each is listed.
const PATHS_MAX: usize = 10_000;

/// A place that files are read from.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) bucket: String,
    /// Ends with a slash, or is empty.
    pub(super) prefix: String,
    /// An object of this key is read as well.
    pub(super) key: Option<String>,
    /// What keys must be like.
    pub(super) like: Option<GlobSet>,
    pub(super) values: Option<Vec<String>>,
}

fn invalid(message: impl Into<String>) -> GlueError {
    GlueError::InvalidInput(message.into())
}

/// What all texts begin with.
pub(super) fn common_prefix<'a>(mut texts: impl Iterator<Item = &'a str>) -> String {
    let Some(first) = texts.next() else { return String::new() };
    texts.fold(first.to_owned(), |common, text| {
        common.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// The places of a request's paths, each once.
pub(super) fn path_roots(request: &SourceRequest) -> Result<Vec<Root>, GlueError> {
    if request.paths.is_empty() {
        return Err(invalid("A source needs Paths, or a Database and a Table."));
    }
    let mut seen = HashSet::new();
    let paths: Vec<&String> = request.paths.iter().filter(|path| seen.insert(path.as_str())).collect();
    if paths.len() > PATHS_MAX {
        return Err(invalid(format!(
            "A source may have {PATHS_MAX} different paths, and has {}: name the folders that they lie in.",
            paths.len()
        )));
    }
    let roots = paths.into_iter().map(|path| path_root(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(without_nested(roots, request))
}

/// Leaves out the roots below others that read the same.
fn without_nested(roots: Vec<Root>, request: &SourceRequest) -> Vec<Root> {
    let mut kept: Vec<Root> = Vec::new();
    let mut folders: HashMap<(String, String), usize> = HashMap::new();
    for root in roots {
        if root.like.is_some() {
            kept.push(root);
            continue;
        }
        // `s3://bucket/folder` and `s3://bucket/folder/` are the same folder.
        let folder = (root.bucket.clone(), root.prefix.clone());
        match folders.get(&folder).map(|at| &mut kept[*at]) {
            Some(same) if same.key.is_none() || root.key.is_none() || same.key == root.key => {
                same.key = same.key.take().or(root.key)
            }
            Some(_) => kept.push(root),
            None => {
                folders.insert(folder, kept.len());
                kept.push(root);
            }
        }
    }
    // What an exclusion leaves out depends on the path that it is looked at from.
    if !request.recurse.unwrap_or(true) || !request.exclusions.is_empty() {
        return kept;
    }
    let is_nested = |root: &Root| {
        let plain =
            root.like.is_none() && root.key.as_ref().is_none_or(|key| root.prefix.strip_suffix('/') == Some(key.as_str()));
        let starts = root.prefix.match_indices('/').map(|(at, _)| at + 1).filter(|at| *at < root.prefix.len());
        let mut outer = std::iter::once(0).chain(starts).filter(|at| *at < root.prefix.len());
        plain
            && outer.any(|at| {
                let (above, below) = root.prefix.split_at(at);
                // Hidden folders are read only where they are named.
                folders.contains_key(&(root.bucket.clone(), above.to_owned()))
                    && !below.split('/').any(|part| part.starts_with(['_', '.']))
            })
    };
    let nested: Vec<bool> = kept.iter().map(is_nested).collect();
    let mut nested = nested.into_iter();
    kept.retain(|_| !nested.next().unwrap_or(false));
    kept
}

fn path_root(path: &str) -> Result<Root, GlueError> {
    let (bucket, key) =
        split_uri(path).ok_or_else(|| invalid(format!("The path '{path}' cannot be read: it must be s3://bucket/prefix.")))?;
    let bucket = bucket.to_owned();
    let trimmed = key.trim_matches('/');
    if let Some(at) = key.find(['*', '?', '[', '{']) {
        let prefix = key[..at].rfind('/').map_or("", |slash| &key[..=slash]).to_owned();
        let wrong = |error: globset::Error| invalid(format!("The path '{path}' is no pattern: {}", error.kind()));
        let mut set = GlobSetBuilder::new();
        for pattern in [trimmed.to_owned(), format!("{trimmed}/**")] {
            set.add(GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build().map_err(wrong)?);
        }
        return Ok(Root { bucket, prefix, key: None, like: Some(set.build().map_err(wrong)?), values: None });
    }
    let prefix = if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") };
    let own = (!key.is_empty() && !key.ends_with('/')).then(|| key.to_owned());
    Ok(Root { bucket, prefix, key: own, like: None, values: None })
}

/// A location, in which nothing is a pattern.
pub(super) fn path_root_plain(location: &str) -> Option<Root> {
    let (bucket, key) = split_uri(location)?;
    let trimmed = key.trim_matches('/');
    let prefix = if trimmed.is_empty() { String::new() } else { format!("{trimmed}/") };
    let own = (!key.is_empty() && !key.ends_with('/')).then(|| key.to_owned());
    Some(Root { bucket: bucket.to_owned(), prefix, key: own, like: None, values: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(paths: &[&str]) -> SourceRequest {
        SourceRequest { paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..SourceRequest::default() }
    }

    fn read(request: &SourceRequest) -> Vec<String> {
        let show = |root: &Root| format!("{}/{}{}", root.bucket, root.prefix, root.key.as_ref().map_or("", |_| "+"));
        path_roots(request).unwrap().iter().map(show).collect()
    }

    #[test]
    fn paths_that_say_the_same_are_one_and_those_below_others_are_left_out() {
        let same = vec!["s3://b/a"; 10_000];
        assert_eq!(read(&request(&same)), ["b/a/+"]);
        assert_eq!(read(&request(&["s3://b/a/", "s3://b/a", "s3://c/a/"])), ["b/a/+", "c/a/"]);
        let nested = ["s3://b/x/y/z.csv", "s3://b/x/", "s3://b/xy/", "s3://b/x/_hidden/", "s3://b/x/y", "s3://b/x/*.csv"];
        assert_eq!(read(&request(&nested)), ["b/x/", "b/xy/", "b/x/_hidden/", "b/x/"]);
        assert_eq!(read(&request(&["s3://b/x/", "s3://b", "s3://b/.y/"])), ["b/", "b/.y/"]);
        let flat = SourceRequest { recurse: Some(false), ..request(&["s3://b/x/", "s3://b/x/y/"]) };
        assert_eq!(read(&flat).len(), 2, "the folder below is read only where it is named");
        let excluding = SourceRequest { exclusions: vec!["y/**".into()], ..request(&["s3://b/x/", "s3://b/x/y/"]) };
        assert_eq!(read(&excluding).len(), 2);
    }

    #[test]
    fn too_many_different_paths_are_refused_with_the_limit() {
        let paths: Vec<String> = (0..=PATHS_MAX).map(|at| format!("s3://b/{at}/")).collect();
        let many = SourceRequest { paths, ..SourceRequest::default() };
        let error = path_roots(&many).unwrap_err();
        assert!(matches!(&error, GlueError::InvalidInput(text) if text.contains("10000 different paths")), "{error}");
    }
}
