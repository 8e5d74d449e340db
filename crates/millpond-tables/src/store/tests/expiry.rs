//! Items that expire.

use super::*;

const NOW: i64 = 1_800_000_000;

fn until_left(items: &Items, expected: &[&str]) {
    let left = || {
        let mut left: Vec<String> = all(items, TABLE, None).iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        left.sort();
        left
    };
    until(&format!("{expected:?} are left, not {:?}", left()), || left() == expected);
}

fn expiring(id: &str, second: i64) -> Item {
    item([("id", id.into()), ("ttl", Value::from(second)), ("owner", "o".into())])
}

#[test]
fn expired_items_go_with_their_entries() {
    let by_owner = index("i", "owner", None, Projection::All);
    let spec = TableSpec { expiry: Some("ttl".into()), indexes: vec![by_owner], ..table(1, None) };
    let fixture = Fixture::new(&[spec]);
    let items = &fixture.items;
    fixture.clock.set(NOW);
    put(items, expiring("now", NOW));
    put(items, expiring("past", NOW - 1));
    put(items, expiring("future", NOW + 100));
    put(items, expiring("ancient", NOW - 6 * 365 * 86_400));
    put(items, item([("id", "text".into()), ("ttl", (NOW - 1).to_string().as_str().into())]));
    put(items, key("none"));
    put(items, expiring("prolonged", NOW - 1));
    put(items, expiring("prolonged", NOW + 1000));
    let ring = || items.opened().unwrap().bell.ring();
    ring();
    until_left(items, &["ancient", "future", "none", "now", "prolonged", "text"]);
    fixture.clock.set(NOW + 500);
    ring();
    until_left(items, &["ancient", "none", "prolonged", "text"]);
    assert_eq!(items.counts(TABLE).unwrap().items, 4);
    assert_eq!(items.index_counts(TABLE, "i").unwrap().items, 2);
    assert_eq!(all(items, TABLE, Some("i")).len(), 2);
}

#[test]
fn expiry_that_is_switched_on_later_takes_in_what_is_there() {
    let fixture = Fixture::new(&[table(1, None)]);
    let items = &fixture.items;
    fixture.clock.set(NOW);
    let old = (0..1000).map(|n| Op::<()>::put(TABLE, expiring(&format!("old{n}"), NOW - 1 - n)));
    items.change(old.chain([Op::put(TABLE, expiring("new", NOW + 5))]).collect()).unwrap();
    items.set_expiry(TABLE, Some("other")).unwrap();
    items.set_expiry(TABLE, Some("ttl")).unwrap();
    until_left(items, &["new"]);
    items.set_expiry(TABLE, None).unwrap();
    fixture.clock.set(NOW + 500);
    items.opened().unwrap().bell.ring();
    until("the entries are gone", || items.table(TABLE).unwrap().definition().dropped.is_empty());
    until_left(items, &["new"]);
}
