//! Pages, positions, snapshots, and what is refused.

use super::*;
use crate::value::key::{KeyRange, SortRange};

fn refusal(result: Result<Vec<Changed>, ChangeError<()>>) -> ItemError {
    match result {
        Err(ChangeError::Refused(mut refusals)) => match refusals.pop().flatten() {
            Some(Refusal::Item(error)) => error,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn page_ends_behind_the_item_that_reaches_the_limit() {
    let fixture = Fixture::new(&[table(1, Some("n"))]);
    for n in 0..10 {
        put(&fixture.items, item([("id", "a".into()), ("n", Value::from(n + 10)), ("text", "x".repeat(95).as_str().into())]));
    }
    let range = KeyRange { hash: "a".into(), sort: SortRange::All };
    let page = |after: Option<&Item>, limits, forward| {
        let query = Query { table: TABLE, index: None, range: &range, forward, after, limits };
        fixture.items.query(&query, |_| Ok(ControlFlow::Continue(()))).unwrap()
    };
    let size = page(None, Limits { items: 1, bytes: usize::MAX }, true).bytes;
    let first = page(None, Limits { items: usize::MAX, bytes: size * 3 - 1 }, true);
    assert_eq!((first.items, first.bytes), (3, size * 3));
    let last = first.last_key.unwrap();
    assert_eq!(last, item([("id", "a".into()), ("n", Value::from(12))]));
    assert_eq!(page(Some(&last), Limits::NONE, true), Page { items: 7, bytes: size * 7, last_key: None });
    assert_eq!(page(Some(&last), Limits::NONE, false).items, 2);
    // The limit may be reached by the last item: that there is no more is found by the next page.
    let whole = page(None, Limits { items: 10, bytes: usize::MAX }, true);
    assert_eq!(page(whole.last_key.as_ref(), Limits::NONE, true), Page::default());
}

#[test]
fn position_of_another_partition_or_segment_is_refused() {
    let fixture = Fixture::new(&[table(1, Some("n"))]);
    let range = KeyRange { hash: "a".into(), sort: SortRange::Less(Value::from(5)) };
    for (id, n) in [("b", 1), ("a", 7)] {
        let after = item([("id", id.into()), ("n", Value::from(n))]);
        let query = Query { table: TABLE, index: None, range: &range, forward: true, after: Some(&after), limits: Limits::NONE };
        let error = fixture.items.query(&query, |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert!(matches!(error, StoreError::Key(ItemError::Position)), "{error}");
    }
    let after = item([("id", "a".into()), ("n", Value::from(1))]);
    let outside = (0..4).filter(|segment| {
        let scan = Scan { table: TABLE, index: None, segment: (*segment, 4), after: Some(&after), limits: Limits::NONE };
        fixture.items.scan(&scan, |_| Ok(ControlFlow::Continue(()))).is_err()
    });
    assert_eq!(outside.count(), 3);
}

#[test]
fn items_spread_over_segments() {
    let fixture = Fixture::new(&[table(1, None)]);
    let ops = (0..4000).map(|n| Op::<()>::put(TABLE, key(&format!("key-{n}")))).collect();
    fixture.items.change(ops).unwrap();
    for segment in 0..8 {
        let scan = Scan { table: TABLE, index: None, segment: (segment, 8), after: None, limits: Limits::NONE };
        let page = fixture.items.scan(&scan, |_| Ok(ControlFlow::Continue(()))).unwrap();
        assert!((400..600).contains(&page.items), "segment {segment} of 8 has {} of 4000 items", page.items);
    }
    let full = (0..1_000_000).rev().step_by(99_999).map(|segment| {
        let scan = Scan { table: TABLE, index: None, segment: (segment, 1_000_000), after: None, limits: Limits::NONE };
        fixture.items.scan(&scan, |_| Ok(ControlFlow::Continue(()))).unwrap().items
    });
    assert!(full.sum::<usize>() < 10);
}

#[test]
fn keys_that_do_not_fit_are_refused_and_nothing_is_changed() {
    let spec = TableSpec { indexes: vec![index("i", "owner", None, Projection::All)], ..table(1, None) };
    let fixture = Fixture::new(&[spec]);
    let change = |ops| refusal(fixture.items.change(ops));
    let good = || Op::put(TABLE, key("good"));
    let put_bad = |attributes: Item| change(vec![good(), Op::put(TABLE, attributes)]);
    assert_eq!(put_bad(item([("x", "y".into())])), ItemError::Missing { attribute: "id".into() });
    assert!(matches!(put_bad(item([("id", Value::from(1))])), ItemError::Type { index: None, .. }));
    assert!(matches!(put_bad(item([("id", "".into())])), ItemError::Empty { index: None, .. }));
    assert!(matches!(put_bad(key(&"x".repeat(2049))), ItemError::Long { bytes_max: 2048, .. }));
    let owner = |value: Value| item([("id", "a".into()), ("owner", value)]);
    assert!(matches!(put_bad(owner(Value::from(1))), ItemError::Type { index: Some(name), .. } if name == "i"));
    assert!(matches!(put_bad(owner("".into())), ItemError::Empty { index: Some(_), .. }));
    let large = item([("id", "a".into()), ("text", "x".repeat(409_600).as_str().into())]);
    assert!(matches!(put_bad(large), ItemError::Size { .. }));
    let other = Op::new(TABLE, key("a"), |_| Ok(Change::Put(key("b"))));
    assert!(matches!(change(vec![other]), ItemError::OtherKey { .. }));
    assert!(matches!(change(vec![Op::delete(TABLE, owner("o".into()))]), ItemError::Extra { .. }));
    assert_eq!(fixture.items.counts(TABLE).unwrap(), Counts::default());
    assert_eq!(all(&fixture.items, TABLE, None), Vec::<Item>::new());
}

#[test]
fn refusals_are_given_for_all_operations() {
    let fixture = Fixture::new(&[table(1, None)]);
    let refuse = |id: &str, why: &'static str| Op::new(TABLE, key(id), move |_| Err(why));
    let ops = vec![
        Op::put(TABLE, key("a")),
        refuse("b", "first"),
        Op::put(TABLE, key("c")),
        refuse("d", "second"),
        Op::put(TABLE, key("e")),
    ];
    let Err(ChangeError::Refused(refusals)) = fixture.items.change(ops) else { panic!() };
    let condition = |why| Some(Refusal::Condition(why));
    assert_eq!(refusals, [None, condition("first"), None, condition("second"), None]);
    assert_eq!(fixture.items.counts(TABLE).unwrap().items, 0);
}

#[test]
fn what_changed_is_told_with_sizes_and_writes_of_indexes() {
    let spec = TableSpec { indexes: vec![index("i", "owner", None, Projection::KeysOnly)], ..table(1, None) };
    let fixture = Fixture::new(&[spec]);
    let version = |owner: &str| item([("id", "a".into()), ("owner", owner.into()), ("text", "0123456789".into())]);
    let change = |op: Op<()>| fixture.items.change(vec![op]).unwrap().remove(0);
    let first = change(Op::put_if(TABLE, version("one"), |_| Ok(())));
    assert_eq!((first.old.clone(), first.old_size_bytes, first.new_size_bytes), (None, 0, 3 + 8 + 14));
    assert_eq!((first.indexes[0].old_size_bytes, first.indexes[0].new_size_bytes), (0, 3 + 8));
    let second = change(Op::put_if(TABLE, version("two"), |_| Ok(())));
    assert_eq!(second.old, Some(version("one")));
    assert!(second.indexes[0].moved);
    let same = change(Op::put(TABLE, version("two")));
    assert_eq!(same.indexes, []);
    let kept = change(Op::new(TABLE, key("a"), |_| Ok(Change::Keep)));
    assert_eq!((kept.old.clone(), kept.new), (Some(version("two")), kept.old));
    let gone = change(Op::new(TABLE, key("a"), |_| Ok(Change::Delete)));
    assert_eq!((gone.old, gone.new, gone.new_size_bytes), (Some(version("two")), None, 0));
    assert_eq!(change(Op::delete(TABLE, key("a"))), Changed::default());
}

#[test]
fn snapshot_stays_as_it_was() {
    let fixture = Fixture::new(&[table(1, None), table(2, None)]);
    put(&fixture.items, key("a"));
    let snapshot = fixture.items.snapshot().unwrap();
    let ops = vec![Op::<()>::delete(TABLE, key("a")), Op::put(TableId(2), key("b"))];
    fixture.items.change(ops).unwrap();
    assert_eq!(snapshot.get(TABLE, &key("a")).unwrap(), Some(key("a")));
    assert_eq!(snapshot.get(TableId(2), &key("b")).unwrap(), None);
    assert_eq!(fixture.items.get(TABLE, &key("a")).unwrap(), None);
    assert_eq!(fixture.items.get(TableId(2), &key("b")).unwrap(), Some(key("b")));
}
