use super::*;
use rand::Rng;

fn random_key(rng: &mut impl Rng, key_type: KeyType) -> Value {
    // Few different bytes, zeros and 0xFF among them, so that prefixes and neighbours are frequent.
    let length = rng.random_range(0..5);
    match key_type {
        KeyType::String => Value::String(
            (0..length).map(|_| ['\0', '\u{1}', 'a', '\u{7f}', 'é', '\u{ff}', '😀'][rng.random_range(0..7)]).collect(),
        ),
        KeyType::Binary => Value::Binary((0..length).map(|_| [0, 1, 0x7f, 0x80, 0xfe, 0xff][rng.random_range(0..6)]).collect()),
        KeyType::Number if rng.random_bool(0.5) => Value::from(rng.random_range(-1100..1100i64)),
        KeyType::Number => Value::Number(crate::number::tests::random(rng)),
    }
}

const TYPES: [KeyType; 3] = [KeyType::String, KeyType::Number, KeyType::Binary];

#[test]
fn bytes_have_the_order_of_the_values_also_behind_each_other_and_come_back() {
    let mut rng = rand::rng();
    for round in 0..30_000 {
        let (first, second) = (TYPES[round % 3], TYPES[round / 3 % 3]);
        let mut key = || (random_key(&mut rng, first), random_key(&mut rng, second));
        let (a, b) = (key(), key());
        let bytes = |(hash, range): &(Value, Value)| [encoded(hash), encoded(range)].concat();
        let order = compare(&a.0, &b.0).unwrap().then(compare(&a.1, &b.1).unwrap());
        assert_eq!(bytes(&a).cmp(&bytes(&b)), order, "{a:?} {b:?}");
        let written = bytes(&a);
        let (hash, length) = decode_key_part(first, &written).unwrap();
        let (range, rest) = decode_key_part(second, &written[length..]).unwrap();
        assert_eq!((hash, range), a);
        assert_eq!(length + rest, written.len());
    }
}

#[test]
fn the_least_and_the_greatest_numbers_keep_their_place() {
    let texts = [
        "-9.9e125",
        "-1e125",
        "-10",
        "-9.5",
        "-9",
        "-1",
        "-0.9",
        "-1.1e-130",
        "-1e-130",
        "0",
        "1e-130",
        "0.9",
        "1",
        "1.01",
        "9",
        "10",
        "1e125",
        "9.9e125",
    ];
    let keys: Vec<_> = texts.iter().map(|text| encoded(&Value::Number(text.parse().unwrap()))).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn ranges_of_bytes_hold_what_the_ranges_of_values_hold() {
    let mut rng = rand::rng();
    for round in 0..40_000 {
        let key_type = TYPES[round % 3];
        let (a, b, value) = (random_key(&mut rng, key_type), random_key(&mut rng, key_type), random_key(&mut rng, key_type));
        let (low, high) = if compare(&a, &b).unwrap().is_le() { (a, b) } else { (b, a) };
        let range = match rng.random_range(0..8) {
            0 => SortRange::All,
            1 => SortRange::Equal(low),
            2 => SortRange::Less(low),
            3 => SortRange::LessOrEqual(low),
            4 => SortRange::Greater(low),
            5 => SortRange::GreaterOrEqual(low),
            6 if key_type != KeyType::Number => SortRange::BeginsWith(low),
            _ => SortRange::Between(low, high),
        };
        // Something follows in a longer key.
        let mut bytes = encoded(&value);
        bytes.extend((0..rng.random_range(0..3)).map(|_| rng.random::<u8>()));
        let (from, to) = range.bounds();
        let within = from.is_none_or(|from| bytes >= from) && to.is_none_or(|to| bytes < to);
        assert_eq!(within, range.contains(&value), "{range:?} {value:?}");
    }
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    let mut rng = rand::rng();
    for round in 0..30_000 {
        let bytes: Vec<u8> =
            (0..rng.random_range(0..30)).map(|_| [0, 1, 0x40, 0x80, 0xc0, 0xff, rng.random()][rng.random_range(0..7)]).collect();
        if let Some((value, length)) = decode_key_part(TYPES[round % 3], &bytes) {
            assert_eq!(encoded(&value), bytes[..length]);
        }
    }
    let mut out = Vec::new();
    assert!(!encode_key_part(&Value::Null, &mut out));
    assert!(out.is_empty());
}

#[test]
fn a_key_is_taken_from_an_item_only_if_it_is_whole() {
    let attribute = |name: &str, key_type| KeyAttribute { name: name.into(), key_type };
    let schema = KeySchema { hash: attribute("id", KeyType::String), range: Some(attribute("at", KeyType::Number)) };
    let item = Item::from([("id".into(), Value::from("a")), ("at".into(), Value::from(1)), ("x".into(), Value::Null)]);
    assert_eq!(schema.key_of(&item).unwrap().len(), 2);
    assert!(schema.has("at") && !schema.has("x"));
    assert_eq!(schema.key_of(&Item::from([("id".into(), Value::from("a"))])), None);
    assert_eq!(schema.key_of(&Item::from([("id".into(), Value::from("a")), ("at".into(), Value::from("1"))])), None);
}
