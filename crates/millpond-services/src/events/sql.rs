//! All SQL of EventBridge.

use super::model::{NewRule, Target};
use millpond_store::{StoreError, Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// There is one so far; the column leaves room for others.
const BUS: &str = super::buses::DEFAULT_BUS;

pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT version FROM events_version")?.query_row([], |row| row.get(0))?)
}

fn changed(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE events_version SET version = version + 1")?.execute([])?;
    Ok(())
}

fn rule_row(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn read<T: serde::de::DeserializeOwned>((id, text): (i64, String)) -> Result<(i64, T), StoreError> {
    Ok((id, serde_json::from_str(&text)?))
}

pub(super) fn rule(connection: &Connection, name: &str) -> Result<Option<(i64, NewRule)>, StoreError> {
    let select = "SELECT id, rule FROM events_rule WHERE bus = ? AND name = ?";
    connection.prepare_cached(select)?.query_row([BUS, name], rule_row).optional()?.map(read).transpose()
}

/// Rules whose names begin with `prefix`, after the name `after`.
pub(super) fn rules(connection: &Connection, prefix: &str, after: &str, limit: usize) -> Result<Vec<(i64, NewRule)>, StoreError> {
    let select = "SELECT id, rule FROM events_rule
                  WHERE bus = ?1 AND name > ?3 AND substr(name, 1, length(?2)) = ?2 ORDER BY name LIMIT ?4";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![BUS, prefix, after, limit as i64], rule_row)?;
    rows.map(|row| read(row?)).collect()
}

pub(super) fn count_rules(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT count(*) FROM events_rule WHERE bus = ?")?.query_row([BUS], |row| row.get(0))?)
}

pub(super) fn put_rule(tx: &Tx<'_>, rule: &NewRule) -> Result<(), StoreError> {
    let put = "INSERT INTO events_rule (bus, name, rule) VALUES (?1, ?2, ?3) ON CONFLICT (bus, name) DO UPDATE SET rule = ?3";
    tx.prepare_cached(put)?.execute(params![BUS, rule.name, serde_json::to_string(rule)?])?;
    changed(tx)
}

pub(super) fn delete_rule(tx: &Tx<'_>, id: i64) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM events_rule WHERE id = ?")?.execute([id])?;
    changed(tx)
}

fn target_row(row: &Row<'_>) -> Result<Target, StoreError> {
    Ok(serde_json::from_str(&row.get::<_, String>(0)?)?)
}

/// The targets of a rule by their ids, after the id `after`.
pub(super) fn targets(connection: &Connection, rule: i64, after: &str, limit: usize) -> Result<Vec<Target>, StoreError> {
    let select = "SELECT target FROM events_target WHERE rule = ? AND target_id > ? ORDER BY target_id LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![rule, after, limit as i64])?;
    let mut targets = Vec::new();
    while let Some(row) = rows.next()? {
        targets.push(target_row(row)?);
    }
    Ok(targets)
}

pub(super) fn count_targets(connection: &Connection, rule: i64) -> Result<usize, StoreError> {
    let count = "SELECT count(*) FROM events_target WHERE rule = ?";
    let count: i64 = connection.prepare_cached(count)?.query_row([rule], |row| row.get(0))?;
    Ok(count as usize)
}

pub(super) fn put_target(tx: &Tx<'_>, rule: i64, target: &Target) -> Result<(), StoreError> {
    let put = "INSERT INTO events_target (rule, target_id, arn, target) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (rule, target_id) DO UPDATE SET arn = ?3, target = ?4";
    tx.prepare_cached(put)?.execute(params![rule, target.id, target.arn, serde_json::to_string(target)?])?;
    changed(tx)
}

/// Whether there was one.
pub(super) fn remove_target(tx: &Tx<'_>, rule: i64, id: &str) -> Result<bool, StoreError> {
    let removed = tx.prepare_cached("DELETE FROM events_target WHERE rule = ? AND target_id = ?")?.execute(params![rule, id])?;
    changed(tx)?;
    Ok(removed > 0)
}

/// The names of the rules that have a target of this ARN, after the name `after`.
pub(super) fn rules_of_target(connection: &Connection, arn: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
    let select = "SELECT DISTINCT name FROM events_rule JOIN events_target ON events_target.rule = id
                  WHERE arn = ?1 AND bus = ?2 AND name > ?3 ORDER BY name LIMIT ?4";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![arn, BUS, after, limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn tags(connection: &Connection, arn: &str) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM events_tag WHERE arn = ? ORDER BY key")?;
    let rows = statement.query_map([arn], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn put_tag(tx: &Tx<'_>, arn: &str, key: &str, value: &str) -> Result<(), StoreError> {
    let put = "INSERT INTO events_tag VALUES (?1, ?2, ?3) ON CONFLICT (arn, key) DO UPDATE SET value = ?3";
    tx.prepare_cached(put)?.execute([arn, key, value])?;
    Ok(())
}

pub(super) fn remove_tag(tx: &Tx<'_>, arn: &str, key: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM events_tag WHERE arn = ? AND key = ?")?.execute([arn, key])?;
    Ok(())
}

pub(super) fn remove_tags(tx: &Tx<'_>, arn: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM events_tag WHERE arn = ?")?.execute([arn])?;
    Ok(())
}
