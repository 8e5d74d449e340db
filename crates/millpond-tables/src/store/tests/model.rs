//! Random changes against a map.

use super::*;
use crate::value::item_size;
use crate::value::key::{KeyRange, SortRange};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// Items by their keys, as texts.
type Model = BTreeMap<String, Item>;

pub(super) fn spec() -> TableSpec {
    let include = Projection::Include(["note".to_owned()].into());
    TableSpec {
        indexes: vec![
            index("by-owner", "owner", Some("rank"), Projection::All),
            index("keys", "owner", None, Projection::KeysOnly),
            index("some", "owner", Some("n"), include),
        ],
        ..table(1, Some("n"))
    }
}

pub(super) fn model_key(item: &Item) -> String {
    format!("{:?}/{:?}", item["id"], item["n"])
}

pub(super) fn key_attributes(item: &Item) -> Item {
    item.iter().filter(|(name, _)| *name == "id" || *name == "n").map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn random_item(random: &mut StdRng) -> Item {
    let mut item = item([
        ("id", format!("id{}", random.random_range(0..12)).as_str().into()),
        ("n", Value::from(random.random_range(-4..4i64))),
        ("note", "x".repeat(random.random_range(0..60)).as_str().into()),
    ]);
    if random.random_bool(0.7) {
        item.insert("owner".into(), format!("owner{}", random.random_range(0..4)).as_str().into());
    }
    if random.random_bool(0.7) {
        item.insert("rank".into(), Value::from(random.random_range(-300..300i64)));
    }
    item
}

/// What an index should have of an item.
fn entry(index: &IndexSpec, item: &Item) -> Option<Item> {
    index.key.key_of(item)?;
    let table = spec().key;
    let has = |name: &str| match &index.projection {
        Projection::All => true,
        Projection::KeysOnly => index.key.has(name) || table.has(name),
        Projection::Include(names) => index.key.has(name) || table.has(name) || names.contains(name),
    };
    Some(item.iter().filter(|(name, _)| has(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn sum<'a>(items: impl IntoIterator<Item = &'a Item>) -> Counts {
    let mut counts = Counts::default();
    for item in items {
        counts.items += 1;
        counts.bytes += item_size(item) as u64;
    }
    counts
}

fn by_key(items: impl IntoIterator<Item = Item>) -> Model {
    items.into_iter().map(|item| (model_key(&item), item)).collect()
}

/// All there is, in pages and segments of random size.
fn scanned(items: &Items, index: Option<&str>, random: &mut StdRng) -> Vec<Item> {
    let (mut found, of) = (Vec::new(), random.random_range(1..9));
    for segment in 0..of {
        let mut after: Option<Item> = None;
        loop {
            let limits = Limits { items: random.random_range(1..9), bytes: random.random_range(1..900) };
            let scan = Scan { table: TABLE, index, segment: (segment, of), after: after.as_ref(), limits };
            let page = items
                .scan(&scan, |record| {
                    found.push(record.item()?);
                    assert_eq!(record.size_bytes(), item_size(found.last().unwrap()));
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
            after = page.last_key;
            if after.is_none() {
                break;
            }
        }
    }
    found
}

pub(super) fn check(items: &Items, model: &Model, random: &mut StdRng) {
    let found = scanned(items, None, random);
    assert_eq!(items.counts(TABLE).unwrap(), sum(&found));
    let count = found.len();
    assert_eq!(by_key(found), *model);
    assert_eq!(count, model.len(), "nothing twice");
    for index in spec().indexes {
        let expected: Model = by_key(model.values().filter_map(|item| entry(&index, item)));
        let found = scanned(items, Some(&index.name), random);
        assert_eq!(items.index_counts(TABLE, &index.name).unwrap(), sum(&found), "{}", index.name);
        assert_eq!(found.len(), expected.len());
        assert_eq!(by_key(found), expected, "{}", index.name);
        for _ in 0..3 {
            check_query(items, Some(&index), &expected, random);
        }
    }
    for _ in 0..5 {
        check_query(items, None, model, random);
        let item = random_item(random);
        assert_eq!(items.get(TABLE, &key_attributes(&item)).unwrap().as_ref(), model.get(&model_key(&item)));
    }
}

fn check_query(items: &Items, index: Option<&IndexSpec>, expected: &Model, random: &mut StdRng) {
    let schema = index.map_or(spec().key, |index| index.key.clone());
    let hash = if schema.hash.name == "id" {
        format!("id{}", random.random_range(0..12))
    } else {
        format!("owner{}", random.random_range(0..4))
    };
    let hash = Value::from(hash.as_str());
    let (low, high) = (Value::from(random.random_range(-5..1i64)), Value::from(random.random_range(1..5i64)));
    let sort = match random.random_range(0..7) {
        _ if schema.range.is_none() => SortRange::All,
        0 => SortRange::All,
        1 => SortRange::Equal(low),
        2 => SortRange::Less(high),
        3 => SortRange::LessOrEqual(high),
        4 => SortRange::Greater(low),
        5 => SortRange::GreaterOrEqual(low),
        _ => SortRange::Between(low, high),
    };
    let range = KeyRange { hash, sort };
    let forward = random.random_bool(0.5);
    let mut found = Vec::new();
    let mut after: Option<Item> = None;
    loop {
        let limits = Limits { items: random.random_range(1..5), bytes: usize::MAX };
        let index = index.map(|index| index.name.as_str());
        let query = Query { table: TABLE, index, range: &range, forward, after: after.as_ref(), limits };
        let page = items
            .query(&query, |record| {
                found.push(record.item()?);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        after = page.last_key;
        if after.is_none() {
            break;
        }
    }
    if let Some(sort) = &schema.range {
        let keys: Vec<i64> = found.iter().map(|item| item[&sort.name].as_number().unwrap().to_i64().unwrap()).collect();
        assert!(if forward { keys.is_sorted() } else { keys.iter().rev().is_sorted() }, "{keys:?}");
    }
    let fits = |item: &&Item| {
        item[&schema.hash.name] == range.hash
            && schema
                .range
                .as_ref()
                .is_none_or(|attribute| range.sort == SortRange::All || range.sort.contains(&item[&attribute.name]))
    };
    let count = found.len();
    let found = by_key(found);
    assert_eq!(found.len(), count, "nothing twice");
    assert_eq!(found, by_key(expected.values().filter(fits).cloned()), "{range:?}");
}

/// A random change on both; sometimes one that is refused.
pub(super) fn random_change(items: &Items, model: &mut Model, random: &mut StdRng) {
    let mut ops: Vec<Op<&str>> = Vec::new();
    let mut after = model.clone();
    let mut refused = false;
    for _ in 0..random.random_range(1..5) {
        let item = random_item(random);
        let (key, name) = (key_attributes(&item), model_key(&item));
        match random.random_range(0..6) {
            0 => {
                after.remove(&name);
                ops.push(Op::delete(TABLE, key));
            }
            1 => {
                let expected = after.get(&name).cloned();
                after.insert(name, item.clone());
                ops.push(Op::new(TABLE, key, move |old| {
                    assert_eq!(old, expected.as_ref());
                    Ok(Change::Put(item))
                }));
            }
            2 => {
                let here = after.contains_key(&name);
                refused |= here;
                if !here {
                    after.insert(name, item.clone());
                }
                ops.push(Op::put_if(TABLE, item, move |old| if old.is_some() { Err("it is there") } else { Ok(()) }));
            }
            3 if random.random_bool(0.1) => {
                refused = true;
                let mut item = item;
                item.insert("owner".into(), Value::from(1));
                ops.push(Op::put(TABLE, item));
            }
            _ => {
                after.insert(name, item.clone());
                ops.push(Op::put(TABLE, item));
            }
        }
    }
    let count = ops.len();
    match items.change(ops) {
        Ok(changed) => {
            assert_eq!(changed.len(), count);
            assert!(!refused);
            *model = after;
        }
        Err(ChangeError::Refused(refusals)) => {
            assert!(refused);
            assert_eq!(refusals.len(), count);
        }
        Err(error @ (ChangeError::Unaccepted(_) | ChangeError::Store(_))) => panic!("{error:?}"),
    }
}

#[test]
fn random_changes_give_what_a_map_gives() {
    for seed in 0..3 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut fixture = Fixture::new(&[spec()]);
        let mut model = Model::new();
        for step in 1..=400 {
            random_change(&fixture.items, &mut model, &mut random);
            if step % 50 == 0 {
                check(&fixture.items, &model, &mut random);
            }
            if step % 130 == 0 {
                fixture = fixture.reopen(&[spec()]);
                check(&fixture.items, &model, &mut random);
            }
        }
    }
}
