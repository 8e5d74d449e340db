//! The end of a crawl that worked: one transaction.

use super::CrawlError;
use super::gone;
use super::plan::{Notes, TablePlan, UNCLASSIFIED, UNLIKE};
use super::tables;
use crate::glue::crawler::rows::{self, Crawl, CrawlState, CrawlSummary, Crawler, CrawlerState};
use crate::glue::crawler::spec::{Configuration, RecrawlBehavior, UpdateBehavior};
use crate::glue::crawler::{crawl_task, events, logging};
use crate::lake::catalog::{self, Archive};
use millpond_core::arn::Place;
use millpond_core::catalog::{Partition, Table};
use millpond_store::Tx;
use millpond_store::task::Task;
use std::sync::Arc;

/// What is committed.
pub(super) struct Work {
    pub place: Arc<Place>,
    pub task: Task,
    pub crawler: Crawler,
    pub crawl: Crawl,
    pub options: Configuration,
    pub tables: Vec<TablePlan>,
    pub gone: gone::Gone,
    pub notes: Notes,
    pub objects: u64,
    pub bytes: u64,
    pub excluded: u64,
    pub until: i64,
    pub more: bool,
}

/// Commits.
///
/// # Errors
/// [`CrawlError::Transient`] where something that the crawl was based on has changed since; nothing of it remains then.
pub(super) fn commit(tx: &Tx<'_>, mut work: Work) -> Result<(), CrawlError> {
    tx.finish_task(&work.task)?;
    let Some(crawler) = rows::crawler(tx, &work.crawler.name)? else { return Ok(()) };
    if crawler.state == CrawlerState::Stopping {
        return Err(CrawlError::Stopped);
    }
    let database = work.crawler.spec.database_name.clone().unwrap_or_default();
    if catalog::database(tx, &database)?.is_none() {
        return Err(CrawlError::Wrong(format!(
            "Database {database} not found. Create it (glue create-database), and start the crawler again."
        )));
    }
    let plans = std::mem::take(&mut work.tables);
    let new = plans.iter().filter(|plan| plan.known.is_none()).count();
    if let Some(most) = work.options.table_threshold.filter(|most| new > *most) {
        let text = format!(
            "The crawl found {new} new tables, and the configuration allows {most} (TableThreshold): nothing was changed."
        );
        return Err(CrawlError::Wrong(text));
    }
    let mut summary = CrawlSummary {
        objects: work.objects,
        bytes: work.bytes,
        unclassified: work.notes.count(UNCLASSIFIED) as u64,
        ..CrawlSummary::default()
    };
    let mut writer = Writer { tx, database: &database, summary: &mut summary, work: &mut work };
    for plan in plans {
        writer.apply(plan)?;
    }
    let policy = work.crawler.spec.schema_change_policy.delete_behavior;
    gone::remove(tx, &work.place, &database, &work.gone, policy, &mut summary)?;
    finish(tx, work, &summary)
}

fn finish(tx: &Tx<'_>, work: Work, summary: &CrawlSummary) -> Result<(), CrawlError> {
    let name = &work.crawler.name;
    let warning = warning(&work.notes, summary);
    let log = log(&work, summary);
    let crawl = work.crawl.clone();
    rows::end_crawl(tx, crawl.seq, CrawlState::Completed, summary, warning.as_deref(), &log)?;
    rows::set_state(tx, name, CrawlerState::Ready)?;
    rows::set_bookmark(tx, name, work.until)?;
    logging::succeeded(tx, &work.crawler, &crawl, summary, &log)?;
    events::succeeded(tx, &work.place, &crawl, summary, warning.as_deref())?;
    if work.more {
        tx.enqueue(&crawl_task(name))?;
    }
    Ok(())
}

/// What could not be taken in, in one line.
fn warning(notes: &Notes, summary: &CrawlSummary) -> Option<String> {
    let sorts = [UNCLASSIFIED, super::plan::OUTSIDE, UNLIKE];
    let count: usize = sorts.iter().map(|sort| notes.count(sort)).sum();
    let first = notes.first(3).join("; ");
    (count > 0)
        .then(|| format!("{count} of {} objects need a look: {first}{}", summary.objects, if count > 3 { "; …" } else { "" }))
}

fn log(work: &Work, summary: &CrawlSummary) -> String {
    let mut lines = vec![format!(
        "{} objects, {} bytes; {} could not be classified, {} were excluded.",
        summary.objects, summary.bytes, summary.unclassified, work.excluded
    )];
    for (what, names) in
        [("Created", &summary.tables_created), ("Updated", &summary.tables_updated), ("Deleted", &summary.tables_deleted)]
    {
        lines.extend((!names.is_empty()).then(|| format!("{what} tables: {}.", names.join(", "))));
    }
    let CrawlSummary { partitions_created: created, partitions_updated: updated, partitions_deleted: deleted, .. } = summary;
    lines.extend(
        (created + updated + deleted > 0)
            .then(|| format!("Partitions: {created} created, {updated} updated, {deleted} deleted.")),
    );
    lines.extend(work.more.then(|| "More objects wait; another crawl follows.".to_owned()));
    lines.extend(work.notes.lines());
    lines.join("\n")
}

/// Brings tables and partitions up to date.
struct Writer<'a, 'tx> {
    tx: &'a Tx<'tx>,
    database: &'a str,
    summary: &'a mut CrawlSummary,
    work: &'a mut Work,
}

impl Writer<'_, '_> {
    /// Whether existing tables may change.
    fn updates(&self) -> bool {
        let spec = &self.work.crawler.spec;
        spec.schema_change_policy.update_behavior == UpdateBehavior::UpdateInDatabase
            && spec.recrawl_policy.recrawl_behavior != RecrawlBehavior::CrawlNewFoldersOnly
    }

    fn apply(&mut self, mut plan: TablePlan) -> Result<(), CrawlError> {
        if plan.whole.objects == 0 {
            return Ok(());
        }
        let existing = match &plan.known {
            Some(name) => {
                let dropped = || CrawlError::Transient(format!("table {name} was dropped while the crawl was under way"));
                Some(catalog::table(self.tx, self.database, name)?.ok_or_else(dropped)?)
            }
            None => self.name(&mut plan)?,
        };
        let table = match existing {
            Some(table) => self.update(table, &plan)?,
            None if plan.whole.columns.is_empty() => return Ok(()),
            None => self.create(&plan)?,
        };
        self.partitions(&table, plan)
    }

    /// Settles the name of a new table; answers the table where one lies at the same place under that name.
    fn name(&self, plan: &mut TablePlan) -> Result<Option<Table>, CrawlError> {
        let hashed = super::naming::table_with_hash(&plan.name, &plan.location);
        for name in [plan.name.clone(), hashed] {
            let existing = catalog::table(self.tx, self.database, &name)?;
            let elsewhere = existing.as_ref().is_some_and(|table| !tables::lies_at(table, &plan.location));
            if !elsewhere {
                plan.name = name;
                return Ok(existing);
            }
        }
        Err(CrawlError::Wrong(format!("Both names for the table at {} are taken by tables at other places.", plan.location)))
    }

    fn create(&mut self, plan: &TablePlan) -> Result<Table, CrawlError> {
        let Some(table) = tables::new_table(&self.work.crawler, &self.work.crawl.id, self.database, plan) else {
            return Err(CrawlError::Wrong(format!("The table at {} has no format.", plan.location)));
        };
        catalog::put_table(self.tx, &self.work.place, table.clone(), Archive::Keep)?;
        self.summary.tables_created.push(table.name.clone());
        Ok(table)
    }

    fn update(&mut self, mut table: Table, plan: &TablePlan) -> Result<Table, CrawlError> {
        let before = table.storage.columns.clone();
        if self.updates() {
            let mut columns = plan.whole.columns.clone();
            table.partition_keys.iter().for_each(|key| columns.remove(&key.name));
            columns.grow(&mut table.storage.columns, !self.work.options.merge_new_columns);
        }
        let quoted = self.updates() && tables::quote(&mut table.parameters, &plan.whole);
        let quoted = self.updates() && tables::quote(&mut table.storage.parameters, &plan.whole) || quoted;
        let changed = table.storage.columns != before || quoted;
        let everything = self.work.crawler.spec.recrawl_policy.recrawl_behavior == RecrawlBehavior::CrawlEverything;
        tables::count(&mut table.parameters, &plan.whole, !everything);
        table.parameters.insert("UPDATED_BY_CRAWLER".into(), self.work.crawler.name.clone());
        table.parameters.remove(gone::DEPRECATED);
        if changed {
            tables::describe_paths(&mut table.storage);
            table.parameters.insert("CRAWL_RUN_ID".into(), self.work.crawl.id.clone());
            self.summary.tables_updated.push(table.name.clone());
        }
        // Counts change with every crawl: they are no version of the table worth keeping.
        let archive = if changed { Archive::Keep } else { Archive::Skip };
        Ok(catalog::put_table(self.tx, &self.work.place, table, archive)?.0)
    }

    fn partitions(&mut self, table: &Table, plan: TablePlan) -> Result<(), CrawlError> {
        let mut put = Vec::new();
        for (values, (location, part)) in plan.parts {
            match catalog::partition(self.tx, self.database, &table.name, &values)? {
                None => {
                    let inherit = self.work.options.partitions_inherit;
                    put.push(tables::new_partition(table, values, location, &part, inherit, self.tx.now_ms()));
                    self.summary.partitions_created += 1;
                }
                Some(partition) => put.extend(self.update_partition(table, partition, &part)),
            }
        }
        if !put.is_empty() {
            catalog::put_partitions(self.tx, &self.work.place, &table.database, &table.name, &put)?;
        }
        Ok(())
    }

    fn update_partition(&mut self, table: &Table, mut partition: Partition, part: &super::plan::Part) -> Option<Partition> {
        if !self.updates() {
            return None;
        }
        if let Some(other) = part.main().filter(|shape| !tables::is_alike(&partition.storage, shape)) {
            let place = partition.storage.location.clone().unwrap_or_default();
            let format = &other.classification;
            self.work.notes.add(UNLIKE, || {
                format!("{place} has objects of {format}, unlike the partition: rows that do not fit go to the quarantine")
            });
            return None;
        }
        let before = partition.storage.columns.clone();
        if self.work.options.partitions_inherit {
            partition.storage.columns.clone_from(&table.storage.columns);
        } else {
            part.columns.grow(&mut partition.storage.columns, true);
            tables::types_of(&mut partition.storage.columns, &table.storage.columns);
        }
        let quoted = tables::quote(&mut partition.storage.parameters, part);
        let changed = partition.storage.columns != before || quoted;
        if changed {
            tables::describe_paths(&mut partition.storage);
            self.summary.partitions_updated += 1;
        }
        let everything = self.work.crawler.spec.recrawl_policy.recrawl_behavior == RecrawlBehavior::CrawlEverything;
        let counts = partition.parameters.clone();
        tables::count(&mut partition.parameters, part, !everything);
        partition.parameters.remove(gone::DEPRECATED);
        (changed || counts != partition.parameters).then_some(partition)
    }
}
