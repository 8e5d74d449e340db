//! Tests over every operation with types: the generated types, their tables and the protocols agree.
//!
//! From each table a value is made that has every member, and sent through all that a request or
//! response goes through. A member that the type lacks, calls otherwise or has in another type does
//! not come back.

mod requests;

use serde_json::{Map, Value};

use crate::schema::{Kind, Member, Schema};
use crate::shapes::Side;
use crate::{Operation, athena, dynamodb, events, glue, iam, lambda, logs, query, sns, sqs, sts, validate, xml};

pub(crate) fn sides() -> Vec<Side> {
    let json = [glue::SIDES, athena::SIDES, dynamodb::SIDES, events::SIDES, logs::SIDES, sqs::SIDES];
    [json.concat(), [sns::SIDES, sts::SIDES, iam::SIDES].concat(), lambda::SIDES.to_vec()].concat()
}

/// The tables of inputs, by service and operation.
fn inputs() -> Vec<((&'static str, &'static str), &'static Schema)> {
    [
        glue::INPUTS,
        athena::INPUTS,
        dynamodb::INPUTS,
        events::INPUTS,
        logs::INPUTS,
        sqs::INPUTS,
        sns::INPUTS,
        sts::INPUTS,
        iam::INPUTS,
        lambda::INPUTS,
    ]
    .concat()
}

/// Deeper, only required members are filled in; Glue's `Table` holds itself.
const DEPTH_MAX: usize = 9;

/// A value with every member of the schema, a different one for each `seed`.
fn sample(schema: &Schema, depth: usize, seed: &mut i64) -> Value {
    *seed += 1;
    match schema.kind {
        Kind::Structure(members) => Value::Object(
            members
                .iter()
                .filter(|member| member.required || depth < DEPTH_MAX)
                .map(|member| (member.name.to_owned(), sample(member.schema, depth + 1, seed)))
                .collect(),
        ),
        Kind::List { member, .. } if depth < DEPTH_MAX => (0..2).map(|_| sample(member, depth + 1, seed)).collect(),
        Kind::List { .. } => Value::Array(Vec::new()),
        Kind::Map { key, value, .. } if depth < DEPTH_MAX => {
            let mut object = Map::new();
            for _ in 0..2 {
                if let Value::String(name) = sample(key, depth + 1, seed) {
                    object.insert(name, sample(value, depth + 1, seed));
                }
            }
            Value::Object(object)
        }
        Kind::Map { .. } => Value::Object(Map::new()),
        Kind::String { allowed: [] } => Value::from(format!("text {seed} <&\"é")),
        Kind::String { allowed } => {
            let i = usize::try_from(*seed).unwrap() % allowed.len();
            Value::from(allowed[i])
        }
        Kind::Blob => Value::from("AAEC/w=="),
        Kind::Boolean => Value::Bool(*seed % 2 == 0),
        Kind::Integer => Value::from(*seed),
        Kind::Long => Value::from(*seed + (1 << 40)),
        Kind::Double => Value::from(*seed as f64 + 0.5),
        Kind::Timestamp => Value::from(1_714_557_600.0 + *seed as f64 / 1000.0),
        Kind::Document => serde_json::json!({"any": [1, "thing", null]}),
    }
}

/// The same value with its objects' members sorted, since types keep their own order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            Value::Object(members.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_type_carries_every_member_of_its_table() {
    let mut checked = 0;
    for (name, schema, there_and_back) in sides() {
        let value = sample(schema, 0, &mut 0);
        let back = there_and_back(value.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(sorted(&back.unwrap()), sorted(&value), "{name}");
        checked += 1;
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn every_type_can_do_without_its_optional_members() {
    for (name, schema, there_and_back) in sides() {
        let value = sample(schema, DEPTH_MAX, &mut 0);
        let back = there_and_back(value.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(sorted(&back.unwrap()), sorted(&value), "{name}");
    }
}

#[test]
fn every_sample_conforms_to_its_own_table() {
    for (name, schema, _) in sides() {
        let value = sample(schema, 0, &mut 0);
        let conformed = validate::conform(value.clone(), schema).unwrap_or_else(|mismatch| panic!("{name}: {}", mismatch.text()));
        // Opaque shapes lose nothing on their way either.
        assert_eq!(sorted(&conformed), sorted(&value), "{name}");
        let _ = validate::violations(&conformed, schema);
    }
}

#[test]
fn every_query_input_is_read_as_it_was_written_and_every_output_too() {
    for (name, schema, there_and_back) in [sns::SIDES, sts::SIDES, iam::SIDES, sqs::SIDES].concat() {
        let value = sample(schema, 0, &mut 0);
        let fields = query::write(&value, schema);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let read = query::parse(body.as_bytes(), schema).unwrap();
        assert_eq!(sorted(&there_and_back(read).unwrap().unwrap()), sorted(&value), "{name}");

        let mut writer = xml::Writer::new();
        writer.open("Result", None);
        xml::write_members(&mut writer, &value, schema);
        writer.close("Result");
        let read = xml::Element::parse(&writer.finish()).unwrap().value(schema);
        assert_eq!(sorted(&there_and_back(read).unwrap().unwrap()), sorted(&value), "{name}");
    }
}

static TEXT: Schema = Schema::string("Text");
static NUMBER: Schema = Schema::long("Number");
static NAMED_LIST: Schema = Schema::list("NamedList", &TEXT).member_name("Item");
static FLAT_LIST: Schema = Schema::list("FlatList", &NUMBER).flattened();
static FLAT_MAP: Schema = Schema::map("FlatMap", &TEXT, &NUMBER).entry_names("Name", "Value").flattened();
static TIME: Schema = Schema::timestamp("Time");
static FORMS: Schema = Schema::structure(
    "Forms",
    &[
        Member::required("Named", &NAMED_LIST),
        Member::required("Flat", &FLAT_LIST),
        Member::required("FlatMap", &FLAT_MAP),
        Member::required("Time", &TIME),
    ],
);

#[test]
fn flattened_and_renamed_forms_of_awsquery_are_written_as_its_specification_says() {
    let value = serde_json::json!({"Named": ["a"], "Flat": [1, 2], "FlatMap": {"k": 3}, "Time": 1.5});
    let fields: Vec<String> = query::write(&value, &FORMS).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        fields,
        ["Named.Item.1=a", "Flat.1=1", "Flat.2=2", "FlatMap.1.Name=k", "FlatMap.1.Value=3", "Time=1970-01-01T00:00:01.500Z"]
    );
    let body = fields.join("&");
    let read = query::parse(body.as_bytes(), &FORMS).unwrap();
    assert_eq!(read["Flat"], value["Flat"]);
    assert_eq!(read["FlatMap"], value["FlatMap"]);
    assert_eq!(validate::conform(read, &FORMS).unwrap()["Time"], "1970-01-01T00:00:01.500Z");

    let mut writer = xml::Writer::new();
    writer.open("R", None);
    xml::write_members(&mut writer, &value, &FORMS);
    writer.close("R");
    let text = writer.finish();
    assert!(text.contains("<Named><Item>a</Item></Named><Flat>1</Flat><Flat>2</Flat>"), "{text}");
    assert!(text.contains("<FlatMap><Name>k</Name><Value>3</Value></FlatMap>"), "{text}");
    let read = xml::Element::parse(&text).unwrap().value(&FORMS);
    assert_eq!(read["Flat"], value["Flat"]);
    assert_eq!(read["FlatMap"], value["FlatMap"]);
}

/// A generator of pseudo-random numbers (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Puts something else in the place of some values.
fn spoil(value: &mut Value, random: &mut Random) {
    if random.below(12) == 0 {
        let others = [
            Value::Null,
            Value::Bool(true),
            Value::from(-1),
            Value::from(u64::MAX),
            Value::from(1e300),
            Value::from(""),
            Value::from("x\u{0}\u{10ffff}".repeat(200)),
            Value::Array(vec![Value::Null, Value::from(1)]),
            serde_json::json!({"": {"a": []}}),
        ];
        *value = others[random.below(others.len())].clone();
        return;
    }
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, random)),
        Value::Object(object) => object.values_mut().for_each(|value| spoil(value, random)),
        _ => {}
    }
}

#[test]
fn whatever_passes_the_checks_can_be_read_as_its_type() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut passed, mut refused) = (0, 0);
    for (name, schema, there_and_back) in sides() {
        for _ in 0..20 {
            let mut value = sample(schema, 3, &mut 0);
            spoil(&mut value, &mut random);
            let Ok(conformed) = validate::conform(value, schema) else {
                refused += 1;
                continue;
            };
            match validate::violations(&conformed, schema) {
                Some(message) => {
                    refused += 1;
                    assert!(message.len() < 16_384, "{} bytes for {name}", message.len());
                }
                None => {
                    passed += 1;
                    there_and_back(conformed).unwrap_or_else(|error| panic!("{name}: {error}"));
                }
            }
        }
    }
    assert!(passed > 300 && refused > 300, "{passed} passed, {refused} refused");
}

#[test]
fn spoiled_bytes_never_panic() {
    let body = sample(glue::CreateTable::INPUT, 0, &mut 0).to_string().into_bytes();
    let form = b"TopicArn=a&PublishBatchRequestEntries.member.1.Id=1&PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Name=n";
    let mut random = Random(42);
    for _ in 0..2000 {
        let mut json = body.clone();
        let mut query = form.to_vec();
        for _ in 0..=random.below(4) {
            let (i, j) = (random.below(json.len()), random.below(query.len()));
            json[i] = b"{}[]\",:\\\x00\xff0"[random.below(11)];
            query[j] = b".&=%+\x00\xff1"[random.below(8)];
        }
        let _ = crate::decode::<glue::CreateTable>(&json);
        let _ = crate::decode::<sns::PublishBatch>(&query);
    }
}
