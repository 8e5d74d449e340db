//! All SQL of EventBridge.

use super::buses::Bus;
use super::heard::Route;
use super::model::{NewRule, Target};
use millpond_core::event::Event;
use millpond_store::{StoreError, Tx, outbox};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Puts an event on a bus.
pub(super) fn emit(tx: &Tx<'_>, event: &Event, route: &Route) -> Result<(), StoreError> {
    tx.post(outbox::EVENTS, route.note().as_deref(), &serde_json::to_string(event)?)
}

const BUS: &str = "name, created_ms, modified_ms, description, settings, policy";

/// A bus without its ARN.
fn bus_row(row: &Row<'_>) -> rusqlite::Result<(Bus, String)> {
    let bus = Bus {
        name: row.get(0)?,
        created_ms: row.get(1)?,
        modified_ms: row.get(2)?,
        description: row.get(3)?,
        policy: row.get(5)?,
        ..Bus::default()
    };
    Ok((bus, row.get(4)?))
}

fn with_settings((bus, settings): (Bus, String)) -> Result<Bus, StoreError> {
    Ok(Bus { settings: serde_json::from_str(&settings)?, ..bus })
}

/// The bus of this name, without its ARN.
pub(super) fn bus(connection: &Connection, name: &str) -> Result<Option<Bus>, StoreError> {
    let select = format!("SELECT {BUS} FROM events_bus WHERE name = ?");
    connection.prepare_cached(&select)?.query_row([name], bus_row).optional()?.map(with_settings).transpose()
}

/// Buses whose names begin with `prefix`, after the name `after`, without their ARNs.
pub(super) fn buses(connection: &Connection, prefix: &str, after: &str, limit: usize) -> Result<Vec<Bus>, StoreError> {
    let select =
        format!("SELECT {BUS} FROM events_bus WHERE name > ?2 AND substr(name, 1, length(?1)) = ?1 ORDER BY name LIMIT ?3");
    let mut statement = connection.prepare_cached(&select)?;
    let rows = statement.query_map(params![prefix, after, limit as i64], bus_row)?;
    rows.map(|row| with_settings(row?)).collect()
}

pub(super) fn count_buses(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT count(*) FROM events_bus")?.query_row([], |row| row.get(0))?)
}

pub(super) fn put_bus(tx: &Tx<'_>, bus: &Bus) -> Result<(), StoreError> {
    let put = "INSERT OR REPLACE INTO events_bus (name, created_ms, modified_ms, description, settings, policy)
               VALUES (?, ?, ?, ?, ?, ?)";
    let (created_ms, modified_ms) = (bus.created_ms.unwrap_or(tx.now_ms()), bus.modified_ms.unwrap_or(tx.now_ms()));
    let settings = serde_json::to_string(&bus.settings)?;
    tx.prepare_cached(put)?.execute(params![bus.name, created_ms, modified_ms, bus.description, settings, bus.policy])?;
    Ok(())
}

pub(super) fn delete_bus(tx: &Tx<'_>, name: &str) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM events_bus WHERE name = ?")?.execute([name])?;
    Ok(())
}

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

pub(super) fn rule(connection: &Connection, bus: &str, name: &str) -> Result<Option<(i64, NewRule)>, StoreError> {
    let select = "SELECT id, rule FROM events_rule WHERE bus = ? AND name = ?";
    connection.prepare_cached(select)?.query_row([bus, name], rule_row).optional()?.map(read).transpose()
}

/// Rules of a bus whose names begin with `prefix`, after the name `after`.
pub(super) fn rules(
    connection: &Connection,
    bus: &str,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<(i64, NewRule)>, StoreError> {
    let select = "SELECT id, rule FROM events_rule
                  WHERE bus = ?1 AND name > ?3 AND substr(name, 1, length(?2)) = ?2 ORDER BY name LIMIT ?4";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![bus, prefix, after, limit as i64], rule_row)?;
    rows.map(|row| read(row?)).collect()
}

/// All rules with their buses and ids, by bus and name.
pub(super) fn all_rules(connection: &Connection) -> Result<Vec<(String, i64, NewRule)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT bus, id, rule FROM events_rule ORDER BY bus, name")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?))))?;
    let rule = |row: rusqlite::Result<(String, (i64, String))>| {
        let (bus, rest) = row?;
        let (id, rule) = read(rest)?;
        Ok((bus, id, rule))
    };
    rows.map(rule).collect()
}

pub(super) fn count_rules(connection: &Connection, bus: &str) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT count(*) FROM events_rule WHERE bus = ?")?.query_row([bus], |row| row.get(0))?)
}

pub(super) fn put_rule(tx: &Tx<'_>, bus: &str, rule: &NewRule) -> Result<(), StoreError> {
    let put = "INSERT INTO events_rule (bus, name, rule) VALUES (?1, ?2, ?3) ON CONFLICT (bus, name) DO UPDATE SET rule = ?3";
    tx.prepare_cached(put)?.execute(params![bus, rule.name, serde_json::to_string(rule)?])?;
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

/// The names of the rules of a bus that have a target of this ARN, after the name `after`.
pub(super) fn rules_of_target(
    connection: &Connection,
    bus: &str,
    arn: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let select = "SELECT DISTINCT name FROM events_rule JOIN events_target ON events_target.rule = id
                  WHERE arn = ?1 AND bus = ?2 AND name > ?3 ORDER BY name LIMIT ?4";
    let mut statement = connection.prepare_cached(select)?;
    let rows = statement.query_map(params![arn, bus, after, limit as i64], |row| row.get(0))?;
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
