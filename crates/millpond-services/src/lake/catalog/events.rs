//! The catalog's events (Glue user guide, "Automating AWS Glue with EventBridge").

use crate::lake::{NewEvent, emit};
use millpond_core::arn::Place;
use millpond_store::{StoreError, Tx};
use serde_json::json;

/// Names of tables or partitions in one event at the most, as AWS's page says.
const NAMES_MAX: usize = 100;

/// Bytes of names in one event at about the most: an event must stay under EventBridge's 256 KiB.
const BYTES_MAX: usize = 100_000;

/// Says that a database, or tables of it, were created or deleted. `change` is the operation's name.
pub(super) fn database_changed(
    tx: &Tx<'_>,
    place: &Place,
    change: &str,
    database: &str,
    tables: &[String],
) -> Result<(), StoreError> {
    if tables.is_empty() {
        return send_database(tx, place, change, database, &[]);
    }
    chunks(tables).try_for_each(|tables| send_database(tx, place, change, database, tables))
}

fn send_database(tx: &Tx<'_>, place: &Place, change: &str, database: &str, tables: &[String]) -> Result<(), StoreError> {
    let resources = match tables {
        [] => vec![place.arn("glue", format_args!("database/{database}")).to_string()],
        tables => tables.iter().map(|table| place.arn("glue", format_args!("table/{database}/{table}")).to_string()).collect(),
    };
    let detail = json!({ "databaseName": database, "typeOfChange": change, "changedTables": tables });
    emit(tx, place, NewEvent { source: "aws.glue", detail_type: "Glue Data Catalog Database State Change", resources, detail })
}

/// Says that a table or partitions of it changed. `change` is the operation's name.
pub(super) fn table_changed(
    tx: &Tx<'_>,
    place: &Place,
    change: &str,
    (database, table): (&str, &str),
    partitions: &[&[String]],
) -> Result<(), StoreError> {
    // AWS writes a partition's values as Java prints a list.
    let names: Vec<String> = partitions.iter().map(|values| format!("[{}]", values.join(", "))).collect();
    let send = |names: &[String]| {
        let resources = vec![place.arn("glue", format_args!("table/{database}/{table}")).to_string()];
        let detail = json!({ "databaseName": database, "typeOfChange": change, "tableName": table, "changedPartitions": names });
        emit(tx, place, NewEvent { source: "aws.glue", detail_type: "Glue Data Catalog Table State Change", resources, detail })
    };
    if names.is_empty() { send(&[]) } else { chunks(&names).try_for_each(send) }
}

/// Pieces that fit into one event each.
fn chunks(names: &[String]) -> impl Iterator<Item = &[String]> {
    let mut rest = names;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(NAMES_MAX).take_while(|name| {
            bytes += name.len();
            bytes <= BYTES_MAX
        });
        let count = fits.count().max(usize::from(!rest.is_empty()));
        let (piece, after) = rest.split_at(count);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_into_pieces_that_together_are_all() {
        for (count, length, pieces) in [(0, 1, 0), (1, 1, 1), (100, 1, 1), (101, 1, 2), (250, 5_000, 13), (2, 200_000, 2)] {
            let names = vec!["x".repeat(length); count];
            let cut: Vec<_> = chunks(&names).collect();
            assert_eq!(cut.iter().map(|piece| piece.len()).sum::<usize>(), count);
            assert_eq!(cut.len(), pieces, "{count} of {length}");
        }
    }
}
