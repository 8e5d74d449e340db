//! Loads of many items.

use super::model::{check, key_attributes, model_key, random_item, spec};
use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

fn load(items: &Items, memory_bytes: usize, rows: &[(u64, Item)]) -> LoadCounts {
    let loader = items.loader(TABLE, LoadOptions { memory_bytes, writers: 2 }).unwrap();
    let halves = rows.split_at(rows.len() / 2);
    std::thread::scope(|scope| {
        for half in [halves.0, halves.1] {
            let mut writer = loader.writer();
            scope.spawn(move || {
                for (order, item) in half {
                    writer.put(*order, item).unwrap();
                }
                writer.finish().unwrap();
            });
        }
    });
    loader.finish(|_, _| true).unwrap()
}

#[test]
fn loads_and_changes_give_what_a_map_gives() {
    for seed in 0..3 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut fixture = Fixture::new(&[spec()]);
        let mut model = BTreeMap::new();
        for round in 0..6 {
            let mut rows: Vec<(u64, Item)> =
                (0..random.random_range(0..120)).map(|_| (random.random(), random_item(&mut random))).collect();
            let mut counts = LoadCounts::default();
            let mut last: BTreeMap<String, (u64, Item)> = BTreeMap::new();
            for (order, item) in &rows {
                let entry = last.entry(model_key(item)).or_insert_with(|| (*order, item.clone()));
                if *order >= entry.0 {
                    *entry = (*order, item.clone());
                }
            }
            counts.rows = last.len() as u64;
            counts.duplicates = (rows.len() - last.len()) as u64;
            for (name, (_, item)) in last {
                match model.insert(name, item) {
                    Some(_) => counts.replaced += 1,
                    None => counts.created += 1,
                }
            }
            rows.reverse();
            assert_eq!(load(&fixture.items, 1 << 20, &rows), counts);
            check(&fixture.items, &model, &mut random);
            for _ in 0..20 {
                super::model::random_change(&fixture.items, &mut model, &mut random);
            }
            if round % 2 == 1 {
                fixture = fixture.reopen(&[spec()]);
            }
            check(&fixture.items, &model, &mut random);
        }
    }
}

#[test]
fn load_that_does_not_fit_into_memory_is_sorted_in_files() {
    let fixture = Fixture::new(&[table(1, None)]);
    let row = |n: u64, text: &str| item([("id", format!("id{}", n % 20_000).as_str().into()), ("t", text.into())]);
    let rows: Vec<(u64, Item)> = (0..30_000).map(|n| (n, row(n, "first"))).collect();
    let counts = load(&fixture.items, 128 << 10, &rows);
    assert_eq!(counts, LoadCounts { rows: 20_000, created: 20_000, replaced: 0, duplicates: 10_000 });
    // Few beside many: each is looked up. Many: the table is read beside them.
    let few: Vec<(u64, Item)> = (19_900..20_050).map(|n| (n, row(n, "second"))).collect();
    let counts = load(&fixture.items, 128 << 10, &few);
    assert_eq!(counts, LoadCounts { rows: 150, created: 0, replaced: 150, duplicates: 0 });
    let many: Vec<(u64, Item)> = (10_000..20_000).map(|n| (n, row(n, "third"))).collect();
    assert_eq!(load(&fixture.items, 128 << 10, &many).replaced, 10_000);
    let fixture = fixture.reopen(&[table(1, None)]);
    let found = all(&fixture.items, TABLE, None);
    let texts = |text: &str| found.iter().filter(|item| item["t"].as_str() == Some(text)).count();
    assert_eq!((found.len(), texts("first"), texts("second"), texts("third")), (20_000, 9_950, 50, 10_000));
    assert_eq!(fixture.items.counts(TABLE).unwrap().items, 20_000);
}

#[test]
fn bad_rows_are_refused_one_by_one() {
    let fixture = Fixture::new(&[spec()]);
    let loader = fixture.items.loader(TABLE, LoadOptions::default()).unwrap();
    let mut writer = loader.writer();
    let missing = writer.put(1, &key("a")).unwrap_err();
    assert!(matches!(missing, LoadError::Item(ItemError::Missing { .. })));
    let owner = item([("id", "a".into()), ("n", Value::from(1)), ("owner", Value::from(1))]);
    assert!(matches!(writer.put(1, &owner).unwrap_err(), LoadError::Item(ItemError::Type { index: Some(_), .. })));
    assert!(matches!(writer.put_encoded(1, b"rubbish").unwrap_err(), LoadError::Store(StoreError::Damaged { .. })));
    writer.put(1, &item([("id", "a".into()), ("n", Value::from(1))])).unwrap();
    writer.finish().unwrap();
    assert_eq!(loader.finish(|_, _| true).unwrap().created, 1);
}

#[test]
fn changes_of_the_table_wait_for_the_load_and_then_see_it() {
    let fixture = Fixture::new(&[table(1, None), table(2, None)]);
    let items = &fixture.items;
    let loader = items.loader(TABLE, LoadOptions::default()).unwrap();
    let mut writer = loader.writer();
    for n in 0..20_000 {
        writer.put(n, &key(&format!("id{n}"))).unwrap();
    }
    writer.finish().unwrap();
    let (answer, answered) = std::sync::mpsc::channel();
    let mut answer = Some(answer);
    let counts = loader.finish(|done, total| {
        assert!(done <= total && total == 20_000);
        if let Some(answer) = answer.take() {
            let op = Op::<bool>::new(TABLE, key("id7"), |old| if old.is_some() { Ok(Change::Delete) } else { Err(false) });
            items.submit(vec![op], move |result| answer.send(result).unwrap());
            items.change::<()>(vec![Op::put(TableId(2), key("other"))]).unwrap();
            assert_eq!(items.get(TABLE, &key("id7")).unwrap(), None, "readers see the table as it was");
            assert!(answered.try_recv().is_err());
        }
        true
    });
    assert_eq!(counts.unwrap().created, 20_000);
    assert!(answered.recv().unwrap().is_ok(), "the item was there when the change was decided");
    assert_eq!(items.counts(TABLE).unwrap().items, 19_999);
}

#[test]
fn changes_that_wait_for_a_load_are_bounded_and_those_given_up_are_not_done() {
    let fixture = Fixture::new(&[table(1, None), table(2, None)]);
    let items = &fixture.items;
    let loader = items.loader(TABLE, LoadOptions::default()).unwrap();
    let mut writer = loader.writer();
    writer.put(0, &key("loaded")).unwrap();
    writer.finish().unwrap();
    let (answer, answers) = std::sync::mpsc::channel();
    let mut once = Some(());
    let counts = loader.finish(|_, _| {
        if once.take().is_none() {
            return true;
        }
        let submit = |id: &str, bytes: usize| {
            let (answer, name) = (answer.clone(), id.to_owned());
            let op = Op::<()>::put(TABLE, key(id)).holding(bytes);
            items.submit(vec![op], move |result| answer.send((name, result)).unwrap());
        };
        submit("one that is larger than all that may wait", 100 << 20);
        submit("too much", 1);
        let (name, result) = answers.recv().unwrap();
        assert_eq!(name, "too much");
        assert!(matches!(result, Err(ChangeError::Store(StoreError::Busy))));
        assert!(matches!(items.change::<()>(vec![Op::put(TableId(2), key("other"))]), Err(ChangeError::Store(StoreError::Busy))));
        true
    });
    assert_eq!(counts.unwrap().created, 1);
    assert!(answers.recv().unwrap().1.is_ok());
    // Given up while the table is held.
    let loader = items.loader(TABLE, LoadOptions::default()).unwrap();
    let mut writer = loader.writer();
    writer.put(0, &key("loaded")).unwrap();
    writer.finish().unwrap();
    let mut wanted = Some(Arc::new(()));
    let counts = loader.finish(|_, _| {
        if let Some(wanted) = wanted.take() {
            let still = Arc::downgrade(&wanted);
            let op = Op::<()>::put(TABLE, key("given up")).holding(40 << 20);
            let terms = Terms::default().while_wanted(move || still.strong_count() > 0);
            items.submit_on(terms, vec![op], |_| panic!("nobody waits"));
            drop(wanted);
        }
        true
    });
    assert_eq!(counts.unwrap().replaced, 1);
    put(items, key("after"));
    items.change::<()>(vec![Op::put(TABLE, key("again")).holding(60 << 20)]).unwrap();
    assert_eq!(items.get(TABLE, &key("given up")).unwrap(), None);
    assert_eq!(items.counts(TABLE).unwrap().items, 4);
}

#[test]
fn load_that_is_stopped_or_given_up_leaves_a_sound_table() {
    let fixture = Fixture::new(&[spec()]);
    let items = &fixture.items;
    let start = || {
        let loader = items.loader(TABLE, LoadOptions::default()).unwrap();
        let mut writer = loader.writer();
        for n in 0..30_000i64 {
            writer.put(0, &item([("id", "a".into()), ("n", Value::from(n)), ("owner", "o".into())])).unwrap();
        }
        writer.finish().unwrap();
        loader
    };
    drop(start());
    assert_eq!(items.counts(TABLE).unwrap(), Counts::default());
    assert!(matches!(start().finish(|done, _| done < 10_000), Err(LoadError::Stopped)));
    let found = all(items, TABLE, None);
    assert!(found.len() < 30_000);
    assert_eq!(items.counts(TABLE).unwrap().items, found.len() as u64);
    assert_eq!(all(items, TABLE, Some("by-owner")).len(), 0, "they have no rank");
    assert_eq!(all(items, TABLE, Some("keys")).len(), found.len());
    let counts = start().finish(|_, _| true).unwrap();
    assert_eq!((counts.created + counts.replaced, counts.replaced), (30_000, found.len() as u64));
    assert_eq!(key_attributes(&found[0]).len(), 2);
    items.drop_table(TABLE).unwrap();
    assert_eq!(std::fs::read_dir(fixture.folder.path().join("items/load")).unwrap().count(), 0);
}
