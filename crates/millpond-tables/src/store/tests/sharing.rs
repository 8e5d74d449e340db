//! Many threads at once.

use super::*;

#[test]
fn counters_lose_no_step_and_pairs_stay_equal() {
    let fixture = Fixture::new(&[table(1, None), table(2, None)]);
    let items = &fixture.items;
    let count = |item: Option<&Item>| item.and_then(|item| item["n"].as_number()).and_then(|n| n.to_i64()).unwrap_or(0);
    let step = move |table: TableId, id: String| {
        let name = id.clone();
        Op::<()>::new(table, key(&id), move |old| {
            Ok(Change::Put(item([("id", name.as_str().into()), ("n", Value::from(count(old) + 1))])))
        })
    };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..100 {
                    let id = format!("c{}", (thread + round) % 3);
                    items.change(vec![step(TABLE, id.clone()), step(TableId(2), id)]).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..300 {
                let snapshot = items.snapshot().unwrap();
                for id in ["c0", "c1", "c2"] {
                    let value = |table| count(snapshot.get(table, &key(id)).unwrap().as_ref());
                    assert_eq!(value(TABLE), value(TableId(2)), "both or none are seen");
                }
            }
        });
    });
    let total: i64 = all(items, TABLE, None).iter().map(|item| count(Some(item))).sum();
    assert_eq!(total, 800);
    assert_eq!(items.counts(TABLE).unwrap().items, 3);
}

#[test]
fn panic_in_a_callers_function_harms_nobody_else() {
    let fixture = Fixture::new(&[table(1, None)]);
    let result =
        fixture.items.change::<()>(vec![Op::put(TABLE, key("a")), Op::new(TABLE, key("b"), |_| panic!("as the test wants"))]);
    assert!(matches!(result, Err(ChangeError::Store(StoreError::Internal(_)))));
    fixture.items.submit::<()>(vec![Op::put(TABLE, key("c"))], |_| panic!("as the test wants"));
    put(&fixture.items, key("d"));
    assert_eq!(fixture.items.get(TABLE, &key("a")).unwrap(), None);
    assert_eq!(fixture.items.counts(TABLE).unwrap().items, 2);
}

#[test]
fn tables_share_the_memory_for_writes() {
    let tables: Vec<TableSpec> = (1..=20).map(|id| table(id, None)).collect();
    let fixture = Fixture::new(&tables);
    let text = "x".repeat(10_000);
    for n in 0..60 {
        let ops = tables
            .iter()
            .map(|table| Op::<()>::put(table.id, item([("id", format!("{n}").as_str().into()), ("t", text.as_str().into())])));
        fixture.items.change(ops.collect()).unwrap();
    }
    // 12 MB were written; the fixture's limit is 4 MB.
    let core = &fixture.items.opened().unwrap().core;
    let in_memory = || -> u64 {
        core.all_tables().iter().map(|table| fjall::AbstractTree::active_memtable(&table.keyspace.tree).size()).sum()
    };
    assert!(in_memory() < 6 << 20, "{}", in_memory());
    for table in &tables {
        assert_eq!(all(&fixture.items, table.id, None).len(), 60);
    }
}

#[test]
fn what_operations_do_together_can_be_refused() {
    let fixture = Fixture::new(&[table(1, None)]);
    let items = &fixture.items;
    put(items, item([("id", "a".into()), ("t", "text".into())]));
    let sizes = |max: usize| {
        let (answer, answered) = std::sync::mpsc::channel();
        let terms = Terms::default().if_accepted(move |changed| {
            let sum: usize = changed.iter().map(|one| one.new_size_bytes.max(one.old_size_bytes)).sum();
            if sum > max { Err(sum) } else { Ok(()) }
        });
        let ops = vec![
            Op::delete(TABLE, key("a")),
            Op::put(TABLE, item([("id", "b".into()), ("t", "longer".into())])),
            Op::new(TABLE, key("c"), |_| Ok(Change::Keep)),
        ];
        items.submit_on(terms, ops, move |result| answer.send(result).unwrap());
        answered.recv().unwrap()
    };
    // id + a, t + text; id + b, t + longer.
    assert!(matches!(sizes(17), Err(ChangeError::Unaccepted(18))));
    assert_eq!(all(items, TABLE, None).len(), 1);
    assert!(items.get(TABLE, &key("a")).unwrap().is_some());
    assert_eq!(sizes(18).unwrap().len(), 3);
    assert_eq!(items.get(TABLE, &key("a")).unwrap(), None);
}
