//! Partitions.

use super::crawler::page::Page;
use super::tables::PAGE_BYTES;
use super::{Glue, GlueError};
use crate::lake::catalog::{self, PartitionQuery};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millpond_core::catalog::Partition;
use millpond_core::partition_expr::{BoundExpr, PartitionExpr};
use rusqlite::Connection;

/// Items that failed, by their place in the request.
pub type Failed = Vec<(usize, GlueError)>;

/// What `GetPartitions` is asked.
#[derive(Debug, Clone, Default)]
pub struct GetPartitions {
    /// In the filter language ([`millpond_core::partition_expr`]).
    pub expression: Option<String>,
    /// Of the page before.
    pub token: Option<String>,
    /// Segment `.0` (from 0) of `.1`.
    pub segment: Option<(i32, i32)>,
    /// Partitions at the most.
    pub limit: usize,
    /// Answer them without columns.
    pub without_columns: bool,
}

/// About the bytes that a partition takes in an answer.
fn weight(partition: &Partition) -> usize {
    512 + partition.storage.columns.len() * 64
}

fn failed(errors: Vec<(usize, catalog::CatalogError)>) -> Failed {
    errors.into_iter().map(|(at, error)| (at, error.into())).collect()
}

fn no_table(connection: &Connection, database: &str, table: &str) -> GlueError {
    match catalog::database(connection, database) {
        Ok(None) => GlueError::EntityNotFound(format!("Database {database} not found.")),
        Ok(Some(_)) => GlueError::EntityNotFound(format!("Table {table} not found.")),
        Err(error) => error.into(),
    }
}

impl Glue {
    /// `CreatePartition`.
    pub async fn create_partition(&self, database: String, table: String, new: Partition) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        Ok(self.lake.store.write(move |tx| catalog::create_partition(tx, &place, &database, &table, &new)).await?)
    }

    /// `BatchCreatePartition`.
    pub async fn create_partitions(&self, database: String, table: String, new: Vec<Partition>) -> Result<Failed, GlueError> {
        let place = self.lake.place.clone();
        let errors = self.lake.store.write(move |tx| catalog::create_partitions(tx, &place, &database, &table, &new)).await?;
        Ok(failed(errors))
    }

    /// `GetPartition`.
    pub async fn partition(&self, database: String, table: String, values: Vec<String>) -> Result<Partition, GlueError> {
        let found = self.lake.store.read(move |connection| catalog::partition(connection, &database, &table, &values)).await?;
        found.ok_or_else(|| GlueError::EntityNotFound("Cannot find partition.".into()))
    }

    /// `GetPartitions`.
    pub async fn partitions(&self, database: String, table: String, asked: GetPartitions) -> Result<Page<Partition>, GlueError> {
        let wrong_token =
            |_| GlueError::InvalidInput("NextToken is not valid: take it from the answer before, or leave it out.".into());
        let token = asked.token.as_deref().filter(|token| !token.is_empty());
        let after = token.map(|token| URL_SAFE_NO_PAD.decode(token)).transpose().map_err(wrong_token)?;
        let segment = asked.segment.map(check_segment).transpose()?;
        let page = move |connection: &Connection| {
            let filter = bound(connection, &database, &table, asked.expression.as_deref())?;
            let query = PartitionQuery { filter, after, segment };
            let (mut items, mut bytes, mut last, mut more) = (Vec::new(), 0, Vec::new(), false);
            catalog::visit_partitions(connection, &database, &table, &query, |sort, mut partition: Partition| {
                more = items.len() >= asked.limit || bytes > PAGE_BYTES;
                if more {
                    return Ok(false);
                }
                if asked.without_columns {
                    partition.storage.columns.clear();
                }
                bytes += weight(&partition);
                sort.clone_into(&mut last);
                items.push(partition);
                Ok(true)
            })?;
            Ok::<_, GlueError>(Page { items, next: more.then(|| URL_SAFE_NO_PAD.encode(&last)) })
        };
        self.lake.store.read(page).await
    }

    /// `BatchGetPartition`: those that exist, in the order asked (AWS, too, says nothing of the others), and the values that were not looked up
    /// since the answer would get too large.
    pub async fn partitions_by_values(
        &self,
        database: String,
        table: String,
        mut wanted: Vec<Vec<String>>,
    ) -> Result<(Vec<Partition>, Vec<Vec<String>>), GlueError> {
        let found = move |connection: &Connection| {
            let (mut partitions, mut bytes, mut looked) = (Vec::new(), 0, 0);
            for values in &wanted {
                if bytes > PAGE_BYTES {
                    break;
                }
                looked += 1;
                let found = catalog::partition(connection, &database, &table, values)?;
                bytes += found.as_ref().map_or(0, weight);
                partitions.extend(found);
            }
            Ok((partitions, wanted.split_off(looked)))
        };
        self.lake.store.read(found).await
    }

    /// `UpdatePartition`.
    pub async fn update_partition(
        &self,
        database: String,
        table: String,
        old: Vec<String>,
        new: Partition,
    ) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        Ok(self.lake.store.write(move |tx| catalog::update_partition(tx, &place, &database, &table, &old, &new)).await?)
    }

    /// `BatchUpdatePartition`.
    pub async fn update_partitions(
        &self,
        database: String,
        table: String,
        changes: Vec<(Vec<String>, Partition)>,
    ) -> Result<Failed, GlueError> {
        let place = self.lake.place.clone();
        let errors = self.lake.store.write(move |tx| catalog::update_partitions(tx, &place, &database, &table, &changes)).await?;
        Ok(failed(errors))
    }

    /// `DeletePartition`.
    pub async fn delete_partition(&self, database: String, table: String, values: Vec<String>) -> Result<(), GlueError> {
        let place = self.lake.place.clone();
        let delete = move |tx: &millpond_store::Tx<'_>| {
            catalog::delete_partitions(tx, &place, "DeletePartition", &database, &table, &[values])
        };
        match self.lake.store.write(delete).await?.pop() {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// `BatchDeletePartition`.
    pub async fn delete_partitions(
        &self,
        database: String,
        table: String,
        values: Vec<Vec<String>>,
    ) -> Result<Failed, GlueError> {
        let place = self.lake.place.clone();
        let delete = move |tx: &millpond_store::Tx<'_>| {
            catalog::delete_partitions(tx, &place, "BatchDeletePartition", &database, &table, &values)
        };
        Ok(failed(self.lake.store.write(delete).await?))
    }
}

fn check_segment((number, count): (i32, i32)) -> Result<(u32, u32), GlueError> {
    match (u32::try_from(number), u32::try_from(count)) {
        (Ok(number), Ok(count)) if (1..=10).contains(&count) && number < count => Ok((number, count)),
        _ => Err(GlueError::InvalidInput(format!(
            "Segment: SegmentNumber {number} of TotalSegments {count}: there can be 1 to 10 segments, counted from 0."
        ))),
    }
}

/// The filter over the keys of the table.
fn bound(connection: &Connection, database: &str, table: &str, expression: Option<&str>) -> Result<Option<BoundExpr>, GlueError> {
    let Some(expression) = expression.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let Some(table_row) = catalog::table(connection, database, table)? else { return Err(no_table(connection, database, table)) };
    let bound = expression.parse::<PartitionExpr>().and_then(|expr| expr.bind(&table_row.partition_keys));
    bound.map(Some).map_err(|error| GlueError::InvalidInput(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::{Lake, objects};
    use millpond_core::arn::Place;
    use millpond_core::catalog::{Column, Database, StorageDescriptor, Table};
    use millpond_core::env::SystemEnv;
    use millpond_store::Store;
    use std::sync::Arc;

    #[tokio::test]
    async fn an_answer_stays_small_however_wide_the_partitions_are() {
        let directory = tempfile::tempdir().unwrap();
        let components = [objects::COMPONENT, catalog::COMPONENT, super::super::COMPONENT];
        let store = Store::open(directory.path(), &components, Arc::new(SystemEnv)).unwrap();
        let glue = Glue::new(Lake { store, place: Arc::new(Place::default()) });
        glue.create_database(Database { name: "d".into(), ..Database::default() }, Default::default()).await.unwrap();
        let columns = (0..4_000).map(|i| Column::new(format!("c{i}"), "string")).collect();
        let storage = StorageDescriptor { columns, location: Some("s3://b/t/".into()), ..StorageDescriptor::default() };
        let partition_keys = vec![Column::new("k", "int")];
        let table =
            Table { database: "d".into(), name: "t".into(), storage: storage.clone(), partition_keys, ..Table::default() };
        glue.create_table(table).await.unwrap();
        let all: Vec<Partition> = (0..100)
            .map(|i| Partition { values: vec![i.to_string()], storage: storage.clone(), ..Partition::default() })
            .collect();
        let values: Vec<Vec<String>> = all.iter().map(|partition| partition.values.clone()).collect();
        assert!(glue.create_partitions("d".into(), "t".into(), all).await.unwrap().is_empty());
        let (found, rest) = glue.partitions_by_values("d".into(), "t".into(), values.clone()).await.unwrap();
        assert!(found.len() < 40 && found.len() + rest.len() == 100, "{} {}", found.len(), rest.len());
        assert_eq!(rest, values[found.len()..]);
        let (mut seen, mut token, mut pages) = (0, None, 0);
        loop {
            let asked = GetPartitions { token, limit: 1_000, ..GetPartitions::default() };
            let page = glue.partitions("d".into(), "t".into(), asked).await.unwrap();
            seen += page.items.len();
            pages += 1;
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        assert!(seen == 100 && pages >= 3, "{seen} in {pages}");
    }
}
