use serde_json::json;

use super::*;
use crate::Operation;
use crate::{athena, dynamodb, events, glue, sns};

fn mismatch<O: Operation>(value: Value) -> String {
    conform(value, O::INPUT).unwrap_err().text()
}

fn broken<O: Operation>(value: Value) -> String {
    violations(&conform(value, O::INPUT).unwrap(), O::INPUT).unwrap_or_default()
}

#[test]
fn values_of_a_wrong_type_get_the_text_that_aws_has_for_the_pair() {
    for (value, expected) in [
        (json!({"MaxResults": "1"}), "STRING_VALUE can not be converted to an Integer (at 'maxResults')"),
        (json!({"MaxResults": true}), "TRUE_VALUE can not be converted to an Integer (at 'maxResults')"),
        (json!({"MaxResults": false}), "FALSE_VALUE can not be converted to an Integer (at 'maxResults')"),
        (json!({"MaxResults": [1]}), "Start of list found where not expected (at 'maxResults')"),
        (json!({"MaxResults": {"a": 1}}), "Start of structure or map found where not expected (at 'maxResults')"),
        (json!({"NextToken": 1}), "NUMBER_VALUE can not be converted to a String (at 'nextToken')"),
        (json!({"NextToken": 1.5}), "NUMBER_VALUE can not be converted to a String (at 'nextToken')"),
        (json!([]), "Start of list found where not expected"),
        (json!("x"), "Expected null"),
    ] {
        assert_eq!(mismatch::<athena::ListWorkGroups>(value), expected);
    }
    for (value, expected) in [
        (json!({"ExecutionParameters": "x"}), "Expected list or null (at 'executionParameters')"),
        (json!({"ExecutionParameters": {}}), "Start of structure or map found where not expected (at 'executionParameters')"),
        (
            json!({"ExecutionParameters": ["a", 1]}),
            "NUMBER_VALUE can not be converted to a String (at 'executionParameters.2.member')",
        ),
        (json!({"ResultConfiguration": "x"}), "Expected null (at 'resultConfiguration')"),
        (
            json!({"ResultConfiguration": {"OutputLocation": 1}}),
            "NUMBER_VALUE can not be converted to a String (at 'resultConfiguration.outputLocation')",
        ),
    ] {
        assert_eq!(mismatch::<athena::StartQueryExecution>(value), expected);
    }
    assert_eq!(
        mismatch::<glue::CreateTable>(json!({"TableInput": {"Parameters": {"k": 1}}})),
        "NUMBER_VALUE can not be converted to a String (at 'tableInput.parameters.k')"
    );
    assert_eq!(
        mismatch::<events::PutEvents>(json!({"Entries": [{"Time": "soon"}]})),
        "STRING_VALUE can not be converted to a Timestamp (at 'entries.1.member.time')"
    );
}

#[test]
fn what_aws_takes_although_it_is_not_quite_right_is_taken() {
    let value = json!({"MaxResults": 1.9, "NextToken": null, "Unknown": {"a": [1]}});
    assert_eq!(conform(value, athena::ListWorkGroups::INPUT).unwrap(), json!({"MaxResults": 1}));
    let value = json!({"QueryString": "SELECT", "ExecutionParameters": [null, "a"]});
    let expected = json!({"QueryString": "SELECT", "ExecutionParameters": ["a"]});
    assert_eq!(conform(value, athena::StartQueryExecution::INPUT).unwrap(), expected);
    let value = json!({"Name": "c", "TablePrefix": null, "Targets": {"S3Targets": [{"Path": "p", "SampleSize": 1}]}});
    assert!(conform(value, glue::CreateCrawler::INPUT).is_ok());
    let value = json!({"DatabaseInput": {"Name": "d", "Parameters": {"a": null, "b": "1"}}});
    assert_eq!(
        conform(value, glue::CreateDatabase::INPUT).unwrap(),
        json!({"DatabaseInput": {"Name": "d", "Parameters": {"b": "1"}}})
    );
    // A structure among others cannot be dropped: DynamoDB refuses the one that is empty, and it would be another item without.
    let value = json!({"TableName": "t", "Item": {"id": {"S": "a"}, "x": null, "y": {"L": [{"S": "b"}, null]}}});
    let expected = json!({"TableName": "t", "Item": {"id": {"S": "a"}, "x": {}, "y": {"L": [{"S": "b"}, {}]}}});
    assert_eq!(conform(value, dynamodb::PutItem::INPUT).unwrap(), expected);
    assert_eq!(conform(json!({"Name": "r", "Overwrite": "TRUE"}), &OVERWRITE).unwrap(), json!({"Overwrite": true}));
}

static FLAG: Schema = Schema::boolean("Flag");
static OVERWRITE: Schema = Schema::structure("In", &[crate::schema::Member::required("Overwrite", &FLAG)]);

#[test]
fn numbers_beyond_their_bits_break_their_range_or_their_type() {
    for number in [json!(99_999_999_999_i64), json!(u64::MAX), json!(1e300)] {
        assert_eq!(
            broken::<athena::ListWorkGroups>(json!({"MaxResults": number})),
            format!(
                "1 validation error detected: Value '{}' at 'maxResults' failed to satisfy constraint: \
                 Member must have value less than or equal to 50",
                if number == json!(99_999_999_999_i64) { 99_999_999_999_i64 } else { i64::MAX }
            )
        );
    }
    let value = json!({"TableInput": {"StorageDescriptor": {"NumberOfBuckets": 3_000_000_000_i64}}});
    assert_eq!(
        mismatch::<glue::CreateTable>(value),
        "NUMBER_VALUE can not be converted to an Integer (at 'tableInput.storageDescriptor.numberOfBuckets')"
    );
}

#[test]
fn broken_constraints_are_counted_and_named_with_value_and_place() {
    for (found, expected) in [
        (
            broken::<athena::GetQueryExecution>(json!({})),
            "1 validation error detected: Value null at 'queryExecutionId' failed to satisfy constraint: Member must not be null",
        ),
        (
            broken::<glue::CreateDatabase>(json!({"DatabaseInput": {"Name": ""}})),
            "1 validation error detected: Value '' at 'databaseInput.name' failed to satisfy constraint: \
             Member must have length greater than or equal to 1",
        ),
        (
            broken::<events::PutRule>(json!({"Name": "a b", "State": "ON"})),
            "2 validation errors detected: Value 'a b' at 'name' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+; \
             Value 'ON' at 'state' failed to satisfy constraint: Member must satisfy enum value set: \
             [ENABLED, DISABLED, ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS]",
        ),
        (
            broken::<events::PutTargets>(json!({"Rule": "r", "Targets": [{"Id": "1", "Arn": "a"}, {"Arn": "a"}]})),
            "1 validation error detected: Value null at 'targets.2.member.id' failed to satisfy constraint: Member must not be null",
        ),
        (
            broken::<events::PutTargets>(json!({"Rule": "r", "Targets": []})),
            "1 validation error detected: Value '[]' at 'targets' failed to satisfy constraint: \
             Member must have length greater than or equal to 1",
        ),
        (
            broken::<events::RemoveTargets>(json!({"Rule": "r", "Ids": ["ok", "not ok"]})),
            "1 validation error detected: Value '[ok, not ok]' at 'ids' failed to satisfy constraint: \
             Member must satisfy constraint: [Member must have length less than or equal to 64, \
             Member must have length greater than or equal to 1, \
             Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+]",
        ),
        (
            broken::<glue::TagResource>(json!({"ResourceArn": "arn:aws:glue:us-east-1:0:x", "TagsToAdd": {"": "v"}})),
            "1 validation error detected: Value '{=v}' at 'tagsToAdd' failed to satisfy constraint: \
             Map keys must satisfy constraint: [Member must have length less than or equal to 128, \
             Member must have length greater than or equal to 1]",
        ),
        (
            broken::<sns::PublishBatch>(json!({"TopicArn": "t", "PublishBatchRequestEntries": [{}]})),
            "2 validation errors detected: Value null at 'publishBatchRequestEntries.1.member.id' failed to satisfy \
             constraint: Member must not be null; Value null at 'publishBatchRequestEntries.1.member.message' failed \
             to satisfy constraint: Member must not be null",
        ),
        (broken::<glue::GetTable>(json!({"DatabaseName": "d", "Name": "flüge 2024"})), ""),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn lengths_count_characters_and_long_values_are_not_repeated() {
    let name = "ü".repeat(255);
    assert_eq!(broken::<glue::GetDatabase>(json!({"Name": name})), "");
    let found = broken::<glue::GetDatabase>(json!({"Name": "ü".repeat(256)}));
    assert!(
        found.ends_with("Value at 'name' failed to satisfy constraint: Member must have length less than or equal to 255"),
        "{found}"
    );
    let found = broken::<glue::GetDatabase>(json!({"Name": "x".repeat(10 << 20)}));
    assert!(found.len() < 500, "{} bytes", found.len());
    let found = broken::<sns::Subscribe>(json!({"TopicArn": "t", "Protocol": "sms"}));
    assert_eq!(found, "");
}

#[test]
fn an_answer_lists_ten_violations_at_most() {
    let targets: Vec<Value> = (0..50).map(|_| json!({})).collect();
    let found = broken::<events::PutTargets>(json!({"Rule": "r", "Targets": targets}));
    assert!(found.starts_with("10 validation errors detected"), "{found}");
    assert_eq!(found.matches("Member must not be null").count(), 10);
}

#[test]
fn a_million_bad_entries_give_one_short_answer() {
    let ids: Vec<String> = (0..100_000).map(|i| format!("{i} {i}")).collect();
    let found = broken::<events::RemoveTargets>(json!({"Rule": "r", "Ids": ids}));
    assert!(found.len() < 4096, "{} bytes", found.len());
    assert!(found.contains("Value at 'ids'"), "{found}");
}

#[test]
fn sensitive_values_stay_out_of_messages() {
    let sql = "select 1\u{0}".repeat(20_000);
    let value =
        json!({"Rule": "r", "Targets": [{"Id": "1", "Arn": "a", "RedshiftDataParameters": {"Database": "d", "Sql": ""}}]});
    let found = broken::<events::PutTargets>(value);
    assert!(found.contains("Value at 'targets.1.member.redshiftDataParameters.sql'"), "{found}");
    let value =
        json!({"Rule": "r", "Targets": [{"Id": "1", "Arn": "a", "RedshiftDataParameters": {"Database": "d", "Sql": sql}}]});
    assert!(!broken::<events::PutTargets>(value).contains("select"));
}
