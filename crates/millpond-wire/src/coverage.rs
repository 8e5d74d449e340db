//! Which of AWS's operations this server implements, as a table that is committed and never shrinks.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::service::Service;

/// How much of one service is implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The service.
    pub service: &'static Service,
    /// Operations implemented.
    pub implemented: usize,
    /// Operations in AWS's model.
    pub total: usize,
}

/// Counts the implemented operations of every service.
///
/// # Errors
/// Names pairs of service and operation that are in no model.
pub fn counts(implemented: &BTreeSet<(&str, &str)>) -> Result<Vec<Count>, String> {
    let unknown: Vec<String> = implemented
        .iter()
        .filter(|(service, operation)| Service::named(service).is_none_or(|service| service.operation(operation).is_none()))
        .map(|(service, operation)| format!("{service}:{operation}"))
        .collect();
    if !unknown.is_empty() {
        return Err(format!("not in the models of AWS: {}", unknown.join(", ")));
    }
    Ok(crate::SERVICES
        .iter()
        .map(|service| Count {
            service,
            implemented: implemented.iter().filter(|(name, _)| *name == service.name).count(),
            total: service.operations.len(),
        })
        .collect())
}

/// The page `docs/coverage.md`: a table of counts, then each service's operations, implemented ones
/// ticked.
///
/// # Errors
/// As [`counts`].
pub fn markdown(implemented: &BTreeSet<(&str, &str)>) -> Result<String, String> {
    let counts = counts(implemented)?;
    let mut out = String::from(
        "# Operations\n\n\
         Computed from the router's registrations and AWS's service models; a test keeps this page\n\
         true and fails if an operation is lost. An operation without a tick answers with an error that names it.\n\n\
         | service | implemented | of |\n|---|---:|---:|\n",
    );
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("writing to a string");
    for count in &counts {
        line(format_args!("| {} | {} | {} |", count.service.name, count.implemented, count.total));
    }
    let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
    line(format_args!("| **all** | **{}** | **{}** |", sum(|count| count.implemented), sum(|count| count.total)));
    for count in &counts {
        line(format_args!("\n## {}\n", count.service.name));
        for operation in count.service.operations {
            let tick = if implemented.contains(&(count.service.name, *operation)) { "x" } else { " " };
            line(format_args!("- [{tick}] {operation}"));
        }
    }
    Ok(out)
}

/// The operations that a committed page has and `implemented` lacks, as `service:operation`.
#[must_use]
pub fn lost(page: &str, implemented: &BTreeSet<(&str, &str)>) -> Vec<String> {
    let mut service = "";
    let mut lost = Vec::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            service = name.trim();
        } else if let Some(operation) = line.strip_prefix("- [x] ")
            && !implemented.contains(&(service, operation.trim()))
        {
            lost.push(format!("{service}:{}", operation.trim()));
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_counts_and_ticks_what_is_implemented() {
        let implemented = BTreeSet::from([("glue", "CreateTable"), ("s3", "PutObject"), ("sts", "GetCallerIdentity")]);
        let page = markdown(&implemented).unwrap();
        assert!(page.contains("| sts | 1 | 11 |"), "{page}");
        assert!(page.contains("- [x] CreateTable\n"), "{page}");
        assert!(page.contains("- [ ] CreateWorkflow\n"), "{page}");
        assert!(page.contains("| **all** | **3** |"), "{page}");
        assert!(lost(&page, &implemented).is_empty());
    }

    #[test]
    fn a_lost_operation_and_an_invented_one_are_named() {
        let before = BTreeSet::from([("glue", "CreateTable"), ("sts", "GetCallerIdentity")]);
        let now = BTreeSet::from([("glue", "CreateTable")]);
        assert_eq!(lost(&markdown(&before).unwrap(), &now), ["sts:GetCallerIdentity"]);
        assert!(markdown(&BTreeSet::from([("glue", "MakeTea")])).unwrap_err().contains("glue:MakeTea"));
    }
}
