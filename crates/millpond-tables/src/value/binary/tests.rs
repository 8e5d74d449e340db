use super::*;
use crate::value::item_size;
use rand::Rng;
use std::collections::BTreeSet;

fn text(rng: &mut impl Rng) -> String {
    (0..rng.random_range(0..12)).map(|_| rng.random_range('\0'..'\u{300}')).collect()
}

fn bytes(rng: &mut impl Rng) -> Vec<u8> {
    (0..rng.random_range(0..12)).map(|_| rng.random()).collect()
}

/// Any value of at most that many levels.
pub(crate) fn random_value(rng: &mut impl Rng, levels: usize) -> Value {
    let number = crate::number::tests::random;
    let set_size = rng.random_range(1..5);
    match rng.random_range(0..if levels == 0 { 8 } else { 10 }) {
        0 => Value::String(text(rng)),
        1 => Value::Number(number(rng)),
        2 => Value::Binary(bytes(rng)),
        3 => Value::Bool(rng.random()),
        4 => Value::Null,
        5 => Value::StringSet((0..set_size).map(|_| text(rng)).collect::<BTreeSet<_>>().into_iter().collect()),
        6 => Value::NumberSet((0..set_size).map(|_| number(rng)).collect::<BTreeSet<_>>().into_iter().collect()),
        7 => Value::BinarySet((0..set_size).map(|_| bytes(rng)).collect::<BTreeSet<_>>().into_iter().collect()),
        8 => Value::List((0..rng.random_range(0..4)).map(|_| random_value(rng, levels - 1)).collect()),
        _ => Value::Map((0..rng.random_range(0..4)).map(|_| (text(rng), random_value(rng, levels - 1))).collect()),
    }
}

fn random_item(rng: &mut impl Rng) -> Item {
    (0..rng.random_range(0..6)).map(|_| (text(rng), random_value(rng, 4))).collect()
}

fn encoded(item: &Item) -> Vec<u8> {
    let mut out = Vec::new();
    encode(item, &mut out);
    out
}

#[test]
fn items_go_through_bytes_unchanged_and_each_attribute_is_found() {
    let mut rng = rand::rng();
    for _ in 0..3_000 {
        let item = random_item(&mut rng);
        let bytes = encoded(&item);
        assert_eq!(decode(&bytes).unwrap(), item);
        let reader = Reader::new(&bytes).unwrap();
        assert_eq!(reader.size(), item_size(&item));
        for (name, value) in &item {
            assert_eq!(reader.get(name).unwrap().as_ref(), Some(value));
        }
        assert_eq!(reader.get("\u{10ffff}").unwrap(), None);
    }
}

#[test]
fn damaged_bytes_are_an_error_or_the_one_form_of_an_item() {
    let mut rng = rand::rng();
    for _ in 0..3_000 {
        let mut bytes = encoded(&random_item(&mut rng));
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            if rng.random_bool(0.3) {
                bytes.truncate(at.max(1));
            } else {
                bytes[at] = rng.random();
            }
        }
        if let Ok(item) = decode(&bytes) {
            let again = encoded(&item);
            assert_eq!(again[HEADER..], bytes[HEADER..]);
        }
        if let Ok(reader) = Reader::new(&bytes) {
            let _ = reader.get("a");
        }
    }
    assert_eq!(decode(&[]), Err(DecodeError::Damaged(0)));
    assert_eq!(decode(&[9, 0, 0, 0, 0, 0]), Err(DecodeError::Version(9)));
}

#[test]
fn bytes_nested_deeper_than_any_item_are_refused() {
    let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let item = |levels| Item::from([("a".to_owned(), nested(levels))]);
    assert!(decode(&encoded(&item(32))).is_ok());
    assert!(decode(&encoded(&item(33))).is_err());
    assert!(decode(&encoded(&item(2_000))).is_err());
}

#[test]
fn a_writer_gives_the_same_bytes() {
    let mut out = b"before".to_vec();
    let mut writer = Writer::begin(&mut out, 4);
    writer.binary("a", b"xyz");
    writer.boolean("b", true);
    writer.number("c", Number::from(-120i64));
    writer.string("d", "text");
    let size = writer.finish();
    let item = Item::from([
        ("a".to_owned(), Value::Binary(b"xyz".to_vec())),
        ("b".to_owned(), Value::Bool(true)),
        ("c".to_owned(), Value::from(-120)),
        ("d".to_owned(), Value::from("text")),
    ]);
    assert_eq!(size, item_size(&item));
    assert_eq!(out[6..], encoded(&item));
}

#[test]
fn the_form_of_the_first_version_stays_readable() {
    let bytes = [1, 9, 0, 0, 0, 2, 2, b'i', b'd', 1, 3, b'a', b'b', b'c', 1, b'n', 2, 0x81, 1, 0, 12];
    let item = Item::from([("id".to_owned(), Value::from("abc")), ("n".to_owned(), Value::from(-120))]);
    assert_eq!(decode(&bytes).unwrap(), item);
    assert_eq!(encoded(&item), bytes);
}
