//! CreateTable: what a table may be. Texts are those of AWS's answers.

use super::DynamoError;
use super::billing;
use super::model::{Definition, Index, KeyPart, NewIndex, NewTable, Projected, Settings};
use std::collections::HashSet;

/// Local secondary indexes of a table at the most. Developer guide, "Service, account, and table quotas".
const LOCAL_MAX: usize = 5;

/// Global secondary indexes of a table at the most, by the same page.
pub(super) const GLOBAL_MAX: usize = 20;

/// Attributes that all indexes of a table together may name in `NonKeyAttributes`, by the same page.
const PROJECTED_MAX: usize = 100;

/// Whether it can be the name of a table or an index.
pub(super) fn is_name(name: &str) -> bool {
    (3..=255).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Refuses what cannot be the name of a table or an index.
pub(super) fn check_name(name: &str) -> Result<(), DynamoError> {
    let text = "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'";
    if is_name(name) { Ok(()) } else { Err(DynamoError::invalid(text)) }
}

/// What is to be kept of a table that is asked for.
pub(super) fn settings(new: &NewTable, now_ms: i64) -> Result<Settings, DynamoError> {
    if let Some(parameter) = new.unsupported {
        return Err(DynamoError::parameter(format!("Millpond does not support {parameter}: leave it out")));
    }
    check_no_stream(new.stream)?;
    billing::check(new.pay_per_request, new.throughput)?;
    billing::check_on_demand(new.pay_per_request, new.on_demand, "table")?;
    check_definitions(&new.definitions)?;
    check_key(&new.key, &new.definitions, true)?;
    let mut settings = Settings {
        definitions: new.definitions.clone(),
        key: new.key.clone(),
        local: Vec::new(),
        global: Vec::new(),
        throughput: new.throughput,
        on_demand_since_ms: new.pay_per_request.then_some(now_ms),
        on_demand: new.on_demand,
        warmed: billing::warmed(new.warm, new.throughput, "table")?,
        encryption: new.encryption.clone(),
        class: new.class.clone().filter(|class| class != "STANDARD"),
        protected: new.protected,
        expires: None,
        recoverable_since_ms: None,
        recoverable_days: None,
    };
    for index in indexes(new.local.as_deref(), "LocalSecondaryIndexes")? {
        add_local(&mut settings, index)?;
    }
    if settings.local.len() > LOCAL_MAX {
        return Err(DynamoError::parameter("Number of LocalSecondaryIndexes exceeds per-table limit of 5"));
    }
    for index in indexes(new.global.as_deref(), "GlobalSecondaryIndexes")? {
        add_global(&mut settings, index)?;
    }
    check_used(&settings)?;
    check_projected(&settings)?;
    Ok(settings)
}

pub(super) fn check_no_stream(enabled: bool) -> Result<(), DynamoError> {
    match enabled {
        false => Ok(()),
        true => Err(DynamoError::parameter(
            "Millpond has no DynamoDB Streams yet: leave StreamSpecification out, or set StreamEnabled to false",
        )),
    }
}

fn indexes<'a>(given: Option<&'a [NewIndex]>, what: &str) -> Result<&'a [NewIndex], DynamoError> {
    match given {
        Some([]) => Err(DynamoError::parameter(format!("List of {what} is empty"))),
        given => Ok(given.unwrap_or_default()),
    }
}

fn check_definitions(definitions: &[Definition]) -> Result<(), DynamoError> {
    let mut seen = HashSet::new();
    for definition in definitions {
        if !seen.insert(&definition.name) {
            return Err(DynamoError::invalid(format!("Attribute Name is duplicated: {}", definition.name)));
        }
        if definition.name.is_empty() || definition.name.len() > 255 {
            return Err(DynamoError::parameter("The name of a key attribute must be from 1 to 255 bytes long"));
        }
    }
    Ok(())
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Checks a key; its attributes must be defined.
fn check_key(key: &[KeyPart], definitions: &[Definition], of_table: bool) -> Result<(), DynamoError> {
    let defined = |part: &KeyPart| definitions.iter().any(|definition| definition.name == part.name);
    if of_table && definitions.len() < key.len() {
        return Err(DynamoError::invalid("Invalid KeySchema: Some index key attribute have no definition"));
    }
    if !key.iter().all(defined) {
        return Err(DynamoError::parameter(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
            names(key.iter().map(|part| part.name.as_str())),
            names(definitions.iter().map(|definition| definition.name.as_str()))
        )));
    }
    match key {
        [] | [_, _, _, ..] => Err(DynamoError::invalid("Invalid KeySchema: A key has one or two elements")),
        [first, second] if first.name == second.name => {
            Err(DynamoError::invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name"))
        }
        [first, ..] if !first.hash => {
            Err(DynamoError::invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"))
        }
        [_, second] if second.hash => {
            Err(DynamoError::invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"))
        }
        _ => Ok(()),
    }
}

fn add_local(settings: &mut Settings, new: &NewIndex) -> Result<(), DynamoError> {
    check_name(&new.name)?;
    let [hash, _] = settings.key.as_slice() else {
        return Err(DynamoError::parameter(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ));
    };
    check_key(&new.key, &settings.definitions, false)?;
    if new.key.len() != 2 {
        return Err(DynamoError::parameter(format!("Index KeySchema does not have a range key for index: {}", new.name)));
    }
    if new.key[0].name != hash.name {
        return Err(DynamoError::parameter(format!(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: {}. index hash key: {}, table hash key: {}",
            new.name, new.key[0].name, hash.name
        )));
    }
    let index = index(settings, new)?;
    settings.local.push(index);
    Ok(())
}

/// Adds a global index.
pub(super) fn add_global(settings: &mut Settings, new: &NewIndex) -> Result<(), DynamoError> {
    check_name(&new.name)?;
    check_key(&new.key, &settings.definitions, false)?;
    match (settings.throughput, new.throughput) {
        (Some(_), None) => {
            return Err(DynamoError::parameter(format!("ProvisionedThroughput is not specified for index: {}", new.name)));
        }
        (None, Some(_)) => {
            let text = "ProvisionedThroughput should not be specified for index";
            return Err(DynamoError::parameter(format!("{text}: {} when BillingMode is PAY_PER_REQUEST", new.name)));
        }
        (Some(_), Some(throughput)) => billing::check_units(throughput)?,
        (None, None) => {}
    }
    billing::check_on_demand(settings.throughput.is_none(), new.on_demand, &format!("index : {}", new.name))?;
    let index = index(settings, new)?;
    settings.global.push(index);
    match settings.global.len() {
        0..=GLOBAL_MAX => Ok(()),
        _ => Err(DynamoError::parameter("GlobalSecondaryIndex count exceeds the per-table limit of 20")),
    }
}

fn index(settings: &Settings, new: &NewIndex) -> Result<Index, DynamoError> {
    if settings.indexes().any(|index| index.name == new.name) {
        return Err(DynamoError::parameter(format!("Duplicate index name: {}", new.name)));
    }
    let projected = match (new.projection.as_deref(), &new.attributes) {
        (Some("ALL"), None) => Projected::All,
        (Some("KEYS_ONLY"), None) => Projected::KeysOnly,
        (Some("INCLUDE"), Some(attributes)) if !attributes.is_empty() => Projected::Include(attributes.clone()),
        (Some("INCLUDE"), _) => {
            return Err(DynamoError::parameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified"));
        }
        (Some(kind @ ("ALL" | "KEYS_ONLY")), Some(_)) => {
            return Err(DynamoError::parameter(format!("ProjectionType is {kind}, but NonKeyAttributes is specified")));
        }
        (kind, _) => return Err(DynamoError::parameter(format!("Unknown ProjectionType: {}", kind.unwrap_or("null")))),
    };
    if let Projected::Include(attributes) = &projected {
        let mut seen = HashSet::new();
        if let Some(twice) = attributes.iter().find(|name| !seen.insert(*name)) {
            return Err(DynamoError::parameter(format!("Duplicate element in NonKeyAttributes: {twice}")));
        }
    }
    let NewIndex { name, key, throughput, on_demand, warm, .. } = new.clone();
    let warmed = billing::warmed(warm, throughput, &format!("index {name}"))?;
    Ok(Index { name, key, projected, throughput, on_demand, warmed })
}

/// Refuses definitions that no key uses.
pub(super) fn check_used(settings: &Settings) -> Result<(), DynamoError> {
    let mut used: Vec<&str> = Vec::new();
    for part in settings.key.iter().chain(settings.indexes().flat_map(|index| &index.key)) {
        if !used.contains(&part.name.as_str()) {
            used.push(&part.name);
        }
    }
    if settings.definitions.len() == used.len() {
        return Ok(());
    }
    if settings.indexes().next().is_none() {
        return Err(DynamoError::parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ));
    }
    Err(DynamoError::parameter(format!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: [{}], keys used: [{}]",
        names(settings.definitions.iter().map(|definition| definition.name.as_str())),
        names(used.into_iter())
    )))
}

/// Refuses more projected attributes than a table may have.
pub(super) fn check_projected(settings: &Settings) -> Result<(), DynamoError> {
    let count = |index: &Index| match &index.projected {
        Projected::Include(attributes) => attributes.len(),
        Projected::All | Projected::KeysOnly => 0,
    };
    let all: usize = settings.indexes().map(count).sum();
    match all {
        0..=PROJECTED_MAX => Ok(()),
        _ => Err(DynamoError::parameter(format!(
            "The total number of NonKeyAttributes of all indexes exceeds the per-table limit of {PROJECTED_MAX}: {all}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{KeyKind, Throughput};
    use super::*;

    fn part(name: &str, hash: bool) -> KeyPart {
        KeyPart { name: name.into(), hash }
    }

    fn table() -> NewTable {
        let defined = |name: &str| Definition { name: name.into(), kind: KeyKind::S };
        NewTable {
            name: "orders".into(),
            definitions: vec![defined("id"), defined("at")],
            key: vec![part("id", true), part("at", false)],
            pay_per_request: true,
            ..NewTable::default()
        }
    }

    fn index(name: &str, hash: &str) -> NewIndex {
        NewIndex { name: name.into(), key: vec![part(hash, true)], projection: Some("ALL".into()), ..NewIndex::default() }
    }

    fn refused(change: impl FnOnce(&mut NewTable)) -> String {
        let mut new = table();
        change(&mut new);
        settings(&new, 0).unwrap_err().to_string()
    }

    #[test]
    fn a_table_that_is_in_order_is_kept() {
        let kept = settings(&table(), 7).unwrap();
        assert_eq!((kept.on_demand_since_ms, kept.kind_of("at")), (Some(7), Some(KeyKind::S)));
    }

    #[test]
    fn what_a_table_cannot_be_is_refused_in_the_words_of_aws() {
        let text = refused(|new| new.key.swap(0, 1));
        assert_eq!(text, "Invalid KeySchema: The first KeySchemaElement is not a HASH key type");
        let text = refused(|new| new.key.truncate(1));
        assert!(text.contains("Number of attributes in KeySchema does not exactly match"), "{text}");
        let text = refused(|new| new.definitions.truncate(1));
        assert_eq!(text, "Invalid KeySchema: Some index key attribute have no definition");
        let text = refused(|new| new.definitions.clear());
        assert_eq!(text, "Invalid KeySchema: Some index key attribute have no definition");
        let text = refused(|new| new.definitions[1].name = "id".into());
        assert_eq!(text, "Attribute Name is duplicated: id");
        let text = refused(|new| new.throughput = Some(Throughput { read: 1, write: 1 }));
        assert!(text.contains("Neither ReadCapacityUnits nor WriteCapacityUnits"), "{text}");
        let text = refused(|new| new.pay_per_request = false);
        assert!(text.contains("must both be specified"), "{text}");
        let text = refused(|new| new.stream = true);
        assert!(text.contains("Streams"), "{text}");
        let text = refused(|new| new.global = Some(Vec::new()));
        assert!(text.ends_with("List of GlobalSecondaryIndexes is empty"), "{text}");
        let text = refused(|new| new.global = Some(vec![index("by-at", "at"), index("by-at", "id")]));
        assert!(text.ends_with("Duplicate index name: by-at"), "{text}");
        let text = refused(|new| new.global = Some((0..21).map(|i| index(&format!("by-{i}"), "at")).collect()));
        assert!(text.ends_with("exceeds the per-table limit of 20"), "{text}");
        let text = refused(|new| new.global = Some(vec![index("by-x", "x")]));
        assert!(text.ends_with("Keys: [x], AttributeDefinitions: [id, at]"), "{text}");
        let text = refused(|new| new.local = Some(vec![index("by-at", "id")]));
        assert!(text.ends_with("Index KeySchema does not have a range key for index: by-at"), "{text}");
    }
}
