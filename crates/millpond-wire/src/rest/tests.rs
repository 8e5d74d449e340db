use std::collections::BTreeMap;

use super::*;
use crate::{Blob, WireError, client, lambda, read, write};

fn found(method: &str, uri: &str) -> Option<&'static str> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    route(&lambda::SERVICE, &Method::from_bytes(method.as_bytes()).unwrap(), path, query).map(|route| route.operation)
}

#[test]
fn method_and_path_name_the_operation() {
    for (method, uri, operation) in [
        ("POST", "/2015-03-31/functions", Some("CreateFunction")),
        ("POST", "/2015-03-31/functions/", Some("CreateFunction")),
        ("GET", "/2015-03-31/functions/?MaxItems=5", Some("ListFunctions")),
        ("GET", "/2015-03-31/functions/f", Some("GetFunction")),
        ("GET", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af", Some("GetFunction")),
        (
            "GET",
            "/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f/configuration",
            Some("GetFunctionConfiguration"),
        ),
        ("POST", "/2015-03-31/functions/f/invocations?Qualifier=v1", Some("Invoke")),
        ("POST", "/2014-11-13/functions/f/invoke-async/", Some("InvokeAsync")),
        ("GET", "/2018-10-31/layers", Some("ListLayers")),
        ("GET", "/2018-10-31/layers?find=LayerVersion&Arn=a", Some("GetLayerVersionByArn")),
        ("GET", "/2019-09-25/functions/f/event-invoke-config/list", Some("ListFunctionEventInvokeConfigs")),
        ("GET", "/2019-09-25/functions/f/event-invoke-config", Some("GetFunctionEventInvokeConfig")),
        ("GET", "/2019-09-30/functions/f/provisioned-concurrency?List=ALL", Some("ListProvisionedConcurrencyConfigs")),
        ("GET", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1", Some("GetProvisionedConcurrencyConfig")),
        ("DELETE", "/2017-03-31/tags/arn%3Aaws%3Alambda%2Ff?tagKeys=a", Some("UntagResource")),
        ("PUT", "/2015-03-31/functions/f", None),
        ("GET", "/2015-03-31/functions//f", None),
        ("GET", "/2015-03-31/functions/f/../g", None),
        ("DELETE", "/2015-03-31/functions/f/aliases/..", None),
        ("DELETE", "/2015-03-31/functions/.", None),
        ("GET", "/2015-03-31", None),
        ("GET", "/", None),
        ("GET", "", None),
        ("GET", "/bucket/2015-03-31/functions/f", None),
    ] {
        assert_eq!(found(method, uri), operation, "{method} {uri}");
    }
}

fn incoming<'a>(path: &'a str, query: &'a str, headers: &'a HeaderMap, body: &'a [u8]) -> crate::Request<'a> {
    crate::Request { protocol: lambda::SERVICE.protocol, path, query, headers: Some(headers), body }
}

fn decoded<O: crate::Operation>(request: &crate::Request<'_>) -> Result<O::Input, WireError> {
    read::<O>(request)?.into_input::<O>(request.protocol)
}

#[test]
fn an_invocation_has_its_parts_in_path_query_headers_and_body() {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-invocation-type", HeaderValue::from_static("Event"));
    headers.insert("x-amz-log-type", HeaderValue::from_static("Tail"));
    let body = b"{\"FunctionName\": \"other\", \xff}";
    let request = incoming("/2015-03-31/functions/my%2Dfunction/invocations", "Qualifier=%24LATEST", &headers, body);
    let input = decoded::<lambda::Invoke>(&request).unwrap();
    assert_eq!(input.function_name, "my-function");
    assert_eq!(input.qualifier.as_deref(), Some("$LATEST"));
    assert_eq!(input.invocation_type, Some(lambda::InvocationType::Event));
    assert_eq!(input.log_type, Some(lambda::LogType::Tail));
    assert_eq!(input.payload, Some(Blob(body.to_vec())));

    let empty = HeaderMap::new();
    let input = decoded::<lambda::Invoke>(&incoming("/2015-03-31/functions/f/invocations", "", &empty, b"")).unwrap();
    assert_eq!((input.payload, input.invocation_type, input.qualifier), (None, None, None));
}

#[test]
fn a_member_counts_only_in_its_place() {
    let headers = HeaderMap::new();
    let body = br#"{"FunctionName":"other","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com","StatementId":"s","Qualifier":"1"}"#;
    let input = decoded::<lambda::AddPermission>(&incoming("/2015-03-31/functions/f/policy", "", &headers, body)).unwrap();
    assert_eq!((&*input.function_name, input.qualifier), ("f", None));
    let query = "tagKeys=a&tagKeys=b%3Dc&TagKeys=no&tagKeys=d+e";
    let request = incoming("/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af", query, &headers, b"");
    let input = decoded::<lambda::UntagResource>(&request).unwrap();
    assert_eq!(input.resource, "arn:aws:lambda:us-east-1:000000000000:function:f");
    assert_eq!(input.tag_keys, ["a", "b=c", "d e"]);
    let input = decoded::<lambda::ListFunctions>(&incoming("/2015-03-31/functions", "MaxItems=7", &headers, b"")).unwrap();
    assert_eq!(input.max_items, Some(7));
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-invocation-type", HeaderValue::from_static("Sometimes"));
    let invoke = "/2015-03-31/functions/f/invocations";
    let error = decoded::<lambda::Invoke>(&incoming(invoke, "", &headers, b"")).unwrap_err();
    assert_eq!(error.code, "ValidationException");
    assert!(error.message.contains("'invocationType'") && error.message.contains("RequestResponse"), "{error}");
    let headers = HeaderMap::new();
    for (path, query, body, code, expected) in [
        ("/2015-03-31/functions", "MaxItems=many", &b""[..], "SerializationException", "\"many\""),
        ("/2015-03-31/functions", "MaxItems=0", b"", "ValidationException", "'maxItems'"),
        ("/2015-03-31/functions", "Marker=%FF", b"", "SerializationException", "UTF-8"),
    ] {
        let error = decoded::<lambda::ListFunctions>(&incoming(path, query, &headers, body)).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(expected), "{error}");
    }
    for (body, code, expected) in [
        (&b"{"[..], "SerializationException", "json"),
        (b"[]", "SerializationException", "not a JSON object"),
        (b"", "ValidationException", "'role'"),
        (
            br#"{"FunctionName":"f","Role":"arn:aws:iam::000000000000:role/r","Code":{"ZipFile":"!"}}"#,
            "SerializationException",
            "Blob",
        ),
        (br#"{"FunctionName":"f f","Role":"r","Code":{}}"#, "ValidationException", "'functionName'"),
    ] {
        let error = decoded::<lambda::CreateFunction>(&incoming("/2015-03-31/functions", "", &headers, body)).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(expected), "{error}");
    }
}

#[test]
fn an_answer_has_its_status_headers_and_raw_body() {
    let output = lambda::InvokeOutput {
        status_code: Some(202),
        function_error: Some("Unhandled".to_owned()),
        executed_version: Some("$LATEST".to_owned()),
        payload: Some(Blob(b"not json \xff".to_vec())),
        ..Default::default()
    };
    let response = write::<lambda::Invoke>(&output, lambda::SERVICE.protocol, "r-1");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.headers()["x-amz-function-error"], "Unhandled");
    assert_eq!(response.headers()["x-amz-executed-version"], "$LATEST");
    assert_eq!(response.headers()["x-amzn-requestid"], "r-1");
    assert_eq!(&response.body()[..], b"not json \xff");

    let deleted = write::<lambda::DeleteAlias>(&lambda::DeleteAliasOutput {}, lambda::SERVICE.protocol, "r");
    assert_eq!((deleted.status(), deleted.body().len()), (StatusCode::NO_CONTENT, 0));
    assert!(!deleted.headers().contains_key("content-type"));
    let created = write::<lambda::CreateFunction>(&Default::default(), lambda::SERVICE.protocol, "r");
    assert_eq!((created.status(), &created.body()[..]), (StatusCode::CREATED, &b"{}"[..]));
}

#[test]
fn errors_carry_their_code_in_a_header_and_whose_fault_it_is() {
    let error = WireError::of(&lambda::error::RESOURCE_NOT_FOUND_EXCEPTION, "Function not found: f");
    let response = error.into_response(&lambda::SERVICE, "r-1");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["x-amzn-errortype"], "ResourceNotFoundException");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body, serde_json::json!({"Type": "User", "Message": "Function not found: f"}));
    let read = client::response_with::<lambda::GetFunction>(response.status(), response.headers(), response.body()).unwrap_err();
    assert_eq!((&*read.code, &*read.message), ("ResourceNotFoundException", "Function not found: f"));
}

#[test]
fn what_a_client_sends_is_what_a_server_reads() {
    let input = lambda::CreateFunctionInput {
        function_name: "f".to_owned(),
        role: "arn:aws:iam::000000000000:role/r".to_owned(),
        runtime: Some("python3.12".to_owned()),
        code: lambda::FunctionCode { zip_file: Some(Blob(vec![0, 1, 255])), ..Default::default() },
        environment: Some(lambda::Environment { variables: Some(BTreeMap::from([("KEY".to_owned(), "v\u{e9}".to_owned())])) }),
        ..Default::default()
    };
    let request = client::request::<lambda::CreateFunction>(&input);
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/2015-03-31/functions"));
    let incoming = incoming(request.uri().path(), "", request.headers(), request.body());
    assert_eq!(decoded::<lambda::CreateFunction>(&incoming).unwrap(), input);

    let input = lambda::GetFunctionInput { function_name: "a:b/c".to_owned(), qualifier: Some("$LATEST".to_owned()) };
    let request = client::request::<lambda::GetFunction>(&input);
    assert_eq!(request.uri(), "/2015-03-31/functions/a%3Ab%2Fc?Qualifier=%24LATEST");
}
