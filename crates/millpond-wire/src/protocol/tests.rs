use http::StatusCode;
use serde_json::json;

use super::*;
use crate::{Timestamp, WireError, athena, events, glue, sns, sqs, sts};

fn refused<O: Operation>(body: &[u8]) -> WireError {
    decode::<O>(body).err().expect("the body is wrong")
}

#[test]
fn json_becomes_an_input_with_its_members_in_their_types() {
    let body = json!({
        "DatabaseName": "raw",
        "TableInput": {
            "Name": "flights",
            "Parameters": {"classification": "csv"},
            "PartitionKeys": [{"Name": "year", "Type": "bigint"}],
            "LastAccessTime": 1_714_557_600.123,
            "StorageDescriptor": {"Columns": [], "Compressed": true, "NumberOfBuckets": -1},
        },
    });
    let input = decode::<glue::CreateTable>(body.to_string().as_bytes()).unwrap();
    assert_eq!(input.database_name, "raw");
    let table = input.table_input.unwrap();
    assert_eq!(table.last_access_time, Some(Timestamp(1_714_557_600_123)));
    assert_eq!(table.partition_keys.unwrap()[0].r#type.as_deref(), Some("bigint"));
    let storage = table.storage_descriptor.unwrap();
    assert_eq!((storage.compressed, storage.number_of_buckets), (Some(true), Some(-1)));
}

#[test]
fn enumerations_arrive_as_their_variants() {
    let body = br#"{"Name":"c","Role":"r","Targets":{},"RecrawlPolicy":{"RecrawlBehavior":"CRAWL_EVENT_MODE"}}"#;
    let input = decode::<glue::CreateCrawler>(body).unwrap();
    let behavior = input.recrawl_policy.unwrap().recrawl_behavior;
    assert_eq!(behavior, Some(glue::RecrawlBehavior::CrawlEventMode));
}

#[test]
fn opaque_documents_pass_through_unchanged() {
    let nodes =
        json!({"node-1": {"S3CsvSource": {"Name": "n", "Paths": ["s3://a"], "Separator": "comma", "QuoteChar": "quote"}}});
    let body = json!({"Name": "j", "Role": "r", "Command": {"Name": "millpond"}, "CodeGenConfigurationNodes": nodes});
    let input = decode::<glue::CreateJob>(body.to_string().as_bytes()).unwrap();
    assert_eq!(input.code_gen_configuration_nodes, Some(nodes));
}

#[test]
fn bodies_that_are_no_json_are_serialization_errors() {
    let deep = "[".repeat(100_000);
    let deep_object = format!("{{\"a\":{}", "{\"a\":".repeat(100_000));
    for body in [
        b"".as_slice(),
        b"{",
        b"null",
        b"\"x\"",
        b"1",
        b"{\"Name\":\"x\",}",
        b"{\"Name\":\"x\"} {}",
        b"{\"Name\":\"\xff\"}",
        b"{\"Name\":\"\\ud800\"}",
        b"{\"Name\":1e999}",
        b"\x00",
        b"Name=x",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ] {
        let error = refused::<glue::GetDatabase>(body);
        assert_eq!((&*error.code, error.status), ("SerializationException", StatusCode::BAD_REQUEST));
        assert!(!error.message.is_empty() && error.message.len() < 300, "{error}");
    }
}

#[test]
fn a_syntax_error_says_where() {
    let error = refused::<glue::GetDatabase>(b"{\"Name\":\"x\"\n\"Y\":1}");
    assert!(error.message.contains("line 2 column 1"), "{error}");
}

#[test]
fn of_a_name_that_is_there_twice_the_last_counts() {
    assert_eq!(decode::<glue::GetDatabase>(br#"{"Name":"a","Name":"b"}"#).unwrap().name, "b");
}

#[test]
fn a_long_text_within_its_limit_is_taken_whole() {
    let policy = "x".repeat(10 << 20);
    let error = refused::<athena::StartQueryExecution>(json!({"QueryString": policy}).to_string().as_bytes());
    assert!(error.message.contains("less than or equal to 262144"), "{error}");
    let query = "x".repeat(262_144);
    let input = decode::<athena::StartQueryExecution>(json!({"QueryString": query}).to_string().as_bytes()).unwrap();
    assert_eq!(input.query_string.len(), 262_144);
}

#[test]
fn each_service_has_its_own_code_for_a_broken_constraint() {
    assert_eq!(refused::<glue::GetDatabase>(b"{}").code, "ValidationException");
    assert_eq!(refused::<events::DescribeRule>(b"{}").code, "ValidationException");
    assert_eq!(refused::<sns::DeleteTopic>(b"Action=DeleteTopic").code, "ValidationError");
    let error = refused::<athena::GetQueryExecution>(b"{}");
    assert_eq!(error.code, "InvalidRequestException");
    let body = error.into_response(&athena::SERVICE, "r-1").into_body();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["AthenaErrorCode"], "INVALID_INPUT");
}

#[test]
fn json_outputs_leave_out_what_is_not_there() {
    let output = glue::GetDatabaseOutput {
        database: Some(glue::Database {
            name: "raw".to_owned(),
            create_time: Some(Timestamp(1_714_557_600_123)),
            ..Default::default()
        }),
    };
    let response = encode::<glue::GetDatabase>(&output, "r-1");
    assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
    assert_eq!(response.headers()["x-amzn-requestid"], "r-1");
    assert_eq!(&response.body()[..], br#"{"Database":{"Name":"raw","CreateTime":1714557600.123}}"#);
    let empty = encode::<events::DeleteRule>(&events::DeleteRuleOutput {}, "r-1");
    assert_eq!(&empty.body()[..], b"{}");
}

#[test]
fn query_outputs_are_wrapped_as_aws_wraps_them() {
    let output = sts::GetCallerIdentityOutput {
        account: Some("000000000000".to_owned()),
        arn: Some("arn:aws:iam::000000000000:root".to_owned()),
        user_id: Some("a<b".to_owned()),
    };
    let response = encode::<sts::GetCallerIdentity>(&output, "r-1");
    assert_eq!(response.headers()["content-type"], "text/xml");
    assert_eq!(
        std::str::from_utf8(response.body()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <UserId>a&lt;b</UserId><Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
    let response = encode::<sns::DeleteTopic>(&sns::DeleteTopicOutput {}, "r-2");
    assert_eq!(
        std::str::from_utf8(response.body()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DeleteTopicResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
         <ResponseMetadata><RequestId>r-2</RequestId></ResponseMetadata></DeleteTopicResponse>"
    );
}

#[test]
fn lists_and_maps_of_query_outputs_have_member_and_entry_elements() {
    let output = sns::ListTopicsOutput {
        topics: Some(vec![sns::Topic { topic_arn: Some("a".to_owned()) }, sns::Topic { topic_arn: Some("b".to_owned()) }]),
        next_token: None,
    };
    let body = encode::<sns::ListTopics>(&output, "r").into_body();
    let body = std::str::from_utf8(&body).unwrap();
    assert!(
        body.contains("<Topics><member><TopicArn>a</TopicArn></member><member><TopicArn>b</TopicArn></member></Topics>"),
        "{body}"
    );
    let output = sns::GetTopicAttributesOutput { attributes: Some([("Owner".to_owned(), "0".to_owned())].into()) };
    let body = encode::<sns::GetTopicAttributes>(&output, "r").into_body();
    let body = std::str::from_utf8(&body).unwrap();
    assert!(body.contains("<Attributes><entry><key>Owner</key><value>0</value></entry></Attributes>"), "{body}");
}

#[test]
fn errors_have_the_form_of_their_protocol() {
    let error = WireError::of(&glue::error::ENTITY_NOT_FOUND_EXCEPTION, "Table x not found.");
    let response = error.into_response(&glue::SERVICE, "r-1");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["x-amzn-errortype"], "EntityNotFoundException");
    assert_eq!(&response.body()[..], br#"{"__type":"EntityNotFoundException","Message":"Table x not found."}"#);

    let error = WireError::of(&sns::error::NOT_FOUND_EXCEPTION, "Topic does not exist");
    let response = error.into_response(&sns::SERVICE, "r-1");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        std::str::from_utf8(response.body()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>NotFound</Code>\
         <Message>Topic does not exist</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    );
    let response = WireError::internal("r-9").into_response(&sns::SERVICE, "r-9");
    let body = std::str::from_utf8(response.body()).unwrap();
    assert!(body.contains("<Type>Receiver</Type>") && body.contains("r-9"), "{body}");
}

#[test]
fn an_operation_that_is_not_implemented_is_named() {
    let error = WireError::not_implemented(&glue::SERVICE, "CreateWorkflow");
    assert_eq!((error.status, &*error.code), (StatusCode::NOT_IMPLEMENTED, "NotImplementedException"));
    assert!(error.message.contains("CreateWorkflow of Glue"), "{error}");
    let error = WireError::not_implemented(&sns::SERVICE, "OptInPhoneNumber");
    assert_eq!(error.code, "NotImplemented");
}

fn query_request<'a>(path: &'a str, query: &'a str, body: &'a str) -> Request<'a> {
    let protocol = sqs::SERVICE.query_protocol().unwrap();
    Request { protocol, path, query, headers: None, body: body.as_bytes() }
}

fn read_query<O: Operation>(request: &Request<'_>) -> Result<O::Input, WireError> {
    read::<O>(request)?.into_input::<O>(request.protocol)
}

#[test]
fn sqs_is_read_in_both_its_protocols() {
    let json = json!({
        "QueueUrl": "http://h/000000000000/q",
        "MessageBody": "m",
        "MessageAttributes": {"a": {"DataType": "String", "StringValue": "x"}, "b": {"DataType": "Binary", "BinaryValue": "AAE="}},
    });
    let form = "Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F000000000000%2Fq&MessageBody=m\
                &MessageAttribute.1.Name=a&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=x\
                &MessageAttribute.2.Name=b&MessageAttribute.2.Value.DataType=Binary&MessageAttribute.2.Value.BinaryValue=AAE%3D";
    let from_json = decode::<sqs::SendMessage>(json.to_string().as_bytes()).unwrap();
    let from_form = read_query::<sqs::SendMessage>(&query_request("/", "", form)).unwrap();
    assert_eq!(from_json, from_form);

    let form = "QueueName=q&Attribute.1.Name=VisibilityTimeout&Attribute.1.Value=5&Tag.1.Key=k&Tag.1.Value=v";
    let input = read_query::<sqs::CreateQueue>(&query_request("/", "", form)).unwrap();
    assert_eq!(input.attributes.unwrap()["VisibilityTimeout"], "5");
    assert_eq!(input.tags.unwrap()["k"], "v");

    let form = "AttributeName.1=SentTimestamp&AttributeName.2=All&MessageAttributeName.1=x.*&MaxNumberOfMessages=10";
    let input = read_query::<sqs::ReceiveMessage>(&query_request("/000000000000/q", form, "")).unwrap();
    assert_eq!(input.attribute_names.unwrap(), ["SentTimestamp", "All"]);
    assert_eq!(input.queue_url, "http://localhost/000000000000/q");
}

#[test]
fn a_parameter_that_sqs_misses_is_named() {
    for error in [
        refused::<sqs::SendMessage>(br#"{"QueueUrl":"q"}"#),
        read_query::<sqs::SendMessage>(&query_request("/", "", "QueueUrl=q")).unwrap_err(),
    ] {
        assert_eq!((&*error.code, &*error.message), ("MissingParameter", "The request must contain the parameter MessageBody."));
    }
}

#[test]
fn sqs_answers_in_the_protocol_of_the_request() {
    let output = sqs::ReceiveMessageOutput {
        messages: Some(vec![sqs::Message {
            message_id: Some("id".to_owned()),
            body: Some("<a>".to_owned()),
            attributes: Some([("SentTimestamp".to_owned(), "1".to_owned())].into()),
            ..Default::default()
        }]),
    };
    let answer = encode::<sqs::ReceiveMessage>(&output, "r");
    assert_eq!(answer.headers()["content-type"], "application/x-amz-json-1.0");
    assert_eq!(&answer.body()[..], br#"{"Messages":[{"MessageId":"id","Body":"<a>","Attributes":{"SentTimestamp":"1"}}]}"#);
    let query = sqs::SERVICE.query_protocol().unwrap();
    let answer = write::<sqs::ReceiveMessage>(&output, query, "r");
    assert_eq!(
        std::str::from_utf8(answer.body()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ReceiveMessageResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><ReceiveMessageResult>\
         <Message><MessageId>id</MessageId><Body>&lt;a&gt;</Body>\
         <Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute></Message></ReceiveMessageResult>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></ReceiveMessageResponse>"
    );

    let error = WireError::of(&sqs::error::QUEUE_DOES_NOT_EXIST, "no q");
    let answer = error.clone().into_response(&sqs::SERVICE, "r");
    assert_eq!(answer.headers()["x-amzn-query-error"], "AWS.SimpleQueueService.NonExistentQueue;Sender");
    assert_eq!(&answer.body()[..], br#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no q"}"#);
    let answer = error.respond(Spoken { service: &sqs::SERVICE, protocol: query }, "r");
    let body = std::str::from_utf8(answer.body()).unwrap();
    assert!(body.contains("<Code>AWS.SimpleQueueService.NonExistentQueue</Code>"), "{body}");
    let answer =
        WireError::of(&sqs::error::PURGE_QUEUE_IN_PROGRESS, "m").respond(Spoken { service: &sqs::SERVICE, protocol: query }, "r");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}
