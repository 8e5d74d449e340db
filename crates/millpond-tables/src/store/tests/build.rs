//! Tables and indexes that come and go.

use super::*;

fn row(n: i64) -> Item {
    let mut row = item([("id", format!("id{n}").as_str().into()), ("owner", format!("o{}", n % 7).as_str().into())]);
    if n % 10 == 0 {
        // Does not fit the index that is added later: it is left out.
        row.insert("owner".into(), Value::from(n));
    }
    row
}

fn by_owner() -> IndexSpec {
    index("by-owner", "owner", None, Projection::All)
}

fn active(items: &Items) -> bool {
    items.index_state(TABLE, "by-owner").unwrap() == IndexState::Active
}

#[test]
fn index_takes_in_what_is_there_while_changes_go_on() {
    let fixture = Fixture::new(&[table(1, None)]);
    let items = &fixture.items;
    for chunk in 0..4 {
        items.change::<()>((0..500).map(|n| Op::put(TABLE, row(chunk * 500 + n))).collect()).unwrap();
    }
    items.add_index(TABLE, by_owner()).unwrap();
    let scan = Scan { table: TABLE, index: Some("by-owner"), segment: (0, 1), after: None, limits: Limits::NONE };
    if !active(items) {
        let result = items.scan(&scan, |_| Ok(ControlFlow::Continue(())));
        assert!(matches!(result, Err(StoreError::IndexBuilding(..)) | Ok(_)));
    }
    // Meanwhile every kind of change, on both sides of the cursor.
    for n in 0..200 {
        let moved = item([("id", format!("id{}", n * 9 + 1).as_str().into()), ("owner", "moved".into())]);
        let new = item([("id", format!("new{n}").as_str().into()), ("owner", "new".into())]);
        let gone = key(&format!("id{}", n * 9 + 2));
        items.change::<()>(vec![Op::put(TABLE, moved), Op::put(TABLE, new), Op::delete(TABLE, gone)]).unwrap();
    }
    until("the index is built", || active(items));
    let fits = |item: &Item| matches!(item["owner"], Value::String(_));
    let expected: Vec<Item> = all(items, TABLE, None).into_iter().filter(fits).collect();
    let mut found = all(items, TABLE, Some("by-owner"));
    let id = |item: &Item| item["id"].as_str().unwrap().to_owned();
    found.sort_by_key(id);
    let mut sorted = expected;
    sorted.sort_by_key(id);
    assert!(sorted.len() > 1500);
    assert_eq!(found, sorted);
    assert_eq!(items.index_counts(TABLE, "by-owner").unwrap().items, found.len() as u64);
}

#[test]
fn building_goes_on_after_a_restart() {
    let mut fixture = Fixture::new(&[table(1, None)]);
    fixture.items.change::<()>((0..3000).map(|n| Op::put(TABLE, row(n))).collect()).unwrap();
    fixture.items.add_index(TABLE, by_owner()).unwrap();
    let spec = TableSpec { indexes: vec![by_owner()], ..table(1, None) };
    for _ in 0..3 {
        fixture = fixture.reopen(std::slice::from_ref(&spec));
    }
    until("the index is built", || active(&fixture.items));
    assert_eq!(all(&fixture.items, TABLE, Some("by-owner")).len(), 2700);
    assert_eq!(fixture.items.index_counts(TABLE, "by-owner").unwrap().items, 2700);
}

#[test]
fn index_of_the_service_that_the_store_lacks_is_built_at_the_start() {
    let fixture = Fixture::new(&[table(1, None)]);
    fixture.items.change::<()>((0..300).map(|n| Op::put(TABLE, row(n))).collect()).unwrap();
    let spec = TableSpec { indexes: vec![by_owner()], expiry: Some("ttl".into()), ..table(1, None) };
    let fixture = fixture.reopen(&[spec]);
    until("the index is built", || active(&fixture.items));
    assert_eq!(all(&fixture.items, TABLE, Some("by-owner")).len(), 270);
    // And the other way round.
    let fixture = fixture.reopen(&[table(1, None)]);
    assert!(matches!(fixture.items.index_state(TABLE, "by-owner"), Err(StoreError::NoIndex(..))));
}

#[test]
fn dropped_index_can_be_made_anew_otherwise() {
    let fixture = Fixture::new(&[TableSpec { indexes: vec![by_owner()], ..table(1, None) }]);
    let items = &fixture.items;
    items.change::<()>((1..900).filter(|n| n % 10 != 0).map(|n| Op::put(TABLE, row(n))).collect()).unwrap();
    let same = items.add_index(TABLE, by_owner());
    assert!(same.is_ok());
    let other = index("by-owner", "id", None, Projection::KeysOnly);
    assert!(matches!(items.add_index(TABLE, other.clone()), Err(StoreError::Exists(_))));
    items.drop_index(TABLE, "by-owner").unwrap();
    assert!(matches!(items.index_counts(TABLE, "by-owner"), Err(StoreError::NoIndex(..))));
    items.add_index(TABLE, other).unwrap();
    until("the index is built", || active(items));
    assert_eq!(all(items, TABLE, Some("by-owner")).len(), 810);
    let entries = |items: &Items| {
        let table = items.table(TABLE).unwrap();
        (table.keyspace.range(vec![keys::ENTRIES]..vec![keys::ENTRIES + 1]).count(), table.definition().dropped)
    };
    until("the old entries are gone", || entries(items) == (810, vec![]));
}

#[test]
fn idle_store_has_no_files_and_no_threads() {
    let fixture = Fixture::new(&[]);
    assert!(!fixture.folder.path().join("items").exists());
    assert!(matches!(fixture.items.counts(TABLE), Err(StoreError::NoTable(TABLE))));
    assert!(matches!(fixture.items.get(TABLE, &key("a")), Err(StoreError::NoTable(TABLE))));
    assert!(matches!(
        fixture.items.change::<()>(vec![Op::put(TABLE, key("a"))]),
        Err(ChangeError::Store(StoreError::NoTable(TABLE)))
    ));
    fixture.items.drop_table(TABLE).unwrap();
    fixture.items.create_table(&table(1, None)).unwrap();
    put(&fixture.items, key("a"));
    // Forgotten by the service: everything goes.
    let fixture = fixture.reopen(&[]);
    assert!(!fixture.folder.path().join("items").exists());
}

#[test]
fn table_is_made_once_and_dropped_at_once() {
    let fixture = Fixture::new(&[table(1, None), table(2, None)]);
    let items = &fixture.items;
    for n in 0..50 {
        items.change::<()>(vec![Op::put(TABLE, row(n)), Op::put(TableId(2), row(n))]).unwrap();
    }
    items.create_table(&table(1, None)).unwrap();
    assert!(matches!(items.create_table(&table(1, Some("n"))), Err(StoreError::Exists(_))));
    let before = items.snapshot().unwrap();
    items.drop_table(TABLE).unwrap();
    items.drop_table(TABLE).unwrap();
    assert!(matches!(before.get(TABLE, &key("id1")), Err(StoreError::NoTable(TABLE))));
    drop(before);
    let both = vec![Op::<()>::put(TableId(2), key("x")), Op::put(TABLE, key("x"))];
    assert!(matches!(items.change(both), Err(ChangeError::Store(StoreError::NoTable(TABLE)))));
    assert_eq!(items.get(TableId(2), &key("x")).unwrap(), None);
    // What the service knows is made if a crash came between; what it does not know goes.
    let fixture = fixture.reopen(&[table(2, None), table(3, None)]);
    assert_eq!(fixture.items.counts(TableId(2)).unwrap().items, 50);
    assert_eq!(fixture.items.counts(TableId(3)).unwrap().items, 0);
    let fixture = fixture.reopen(&[table(1, None), table(2, None)]);
    assert_eq!(all(&fixture.items, TABLE, None), Vec::<Item>::new());
    assert_eq!(all(&fixture.items, TableId(2), None).len(), 50);
}

#[test]
fn later_format_is_refused_and_left_alone() {
    let fixture = Fixture::new(&[table(1, None)]);
    put(&fixture.items, key("a"));
    let Fixture { folder, clock, items } = fixture;
    let path = folder.path().join("items");
    let again = |tables: &[TableSpec]| Items::open(&path, Options::default(), Arc::clone(&clock) as SharedEnv, tables);
    assert!(matches!(again(&[table(1, None)]), Err(StoreError::Locked(_))));
    drop(items);
    std::fs::write(path.join("format"), "2\n").unwrap();
    for tables in [vec![], vec![table(1, None)]] {
        assert!(matches!(again(&tables), Err(StoreError::Version { version: 2, .. })));
    }
    std::fs::remove_file(path.join("format")).unwrap();
    assert!(matches!(again(&[table(1, None)]), Err(StoreError::Damaged { .. })));
    std::fs::write(path.join("format"), "1\n").unwrap();
    assert_eq!(again(&[table(1, None)]).unwrap().get(TABLE, &key("a")).unwrap(), Some(key("a")));
}
