//! Python functions: what a handler sees and how its failures are told.
#![allow(clippy::unwrap_used)]

mod common;
use common::Lab;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_gets_event_and_context_and_its_answer_comes_back() {
    let lab = Lab::new();
    let mut spec = lab.python(
        r#"
import os, sys
def handler(event, context):
    print("hello", event["n"])
    return {"n": event["n"] + 1, "name": context.function_name, "version": context.function_version, "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb, "id": context.aws_request_id, "group": context.log_group_name, "stream": context.log_stream_name,
        "left": 0 < context.get_remaining_time_in_millis() <= 10000, "client": context.client_context.custom["a"], "identity": context.identity.cognito_identity_id,
        "text": "\u00e9\U0001f600", "env": dict(os.environ), "cwd": os.getcwd(), "path": sys.path[0], "argv": len(sys.argv)}
"#,
    );
    spec.environment.insert("MINE".into(), "yes".into());
    let mut invocation = lab.invocation(r#"{"n": 1}"#);
    invocation.client_context = Some(r#"{"custom": {"a": "ü"}}"#.into());
    let outcome = lab.host.invoke(spec.into(), invocation).await.unwrap();
    assert_eq!(outcome.function_error, None, "{}", lab.logs.text());
    let answer: serde_json::Value = serde_json::from_slice(&outcome.payload).unwrap();
    let id = answer["id"].as_str().unwrap().to_owned();
    assert_eq!(answer["n"], 2);
    assert_eq!((&answer["name"], &answer["version"], &answer["memory"]), (&json!("lab"), &json!("$LATEST"), &json!("128")));
    assert_eq!(answer["arn"], "arn:aws:lambda:us-east-1:000000000000:function:lab:live");
    assert_eq!(
        (&answer["left"], &answer["client"], &answer["identity"], &answer["text"]),
        (&json!(true), &json!("ü"), &json!(null), &json!("é😀"))
    );
    let env = &answer["env"];
    assert_eq!(
        (&env["MINE"], &env["AWS_ENDPOINT_URL"], &env["_HANDLER"]),
        (&json!("yes"), &json!("http://127.0.0.1:4566"), &json!("app.handler"))
    );
    assert_eq!(
        (&env["AWS_ACCESS_KEY_ID"], &env["AWS_SESSION_TOKEN"], &env["TZ"]),
        (&json!("ASIALAB"), &json!("token"), &json!(":UTC"))
    );
    assert_eq!(
        (&env["HOME"], &env["CARGO_MANIFEST_DIR"]),
        (&json!(null), &json!(null)),
        "nothing of the server's environment is seen"
    );
    assert!(env["_X_AMZN_TRACE_ID"].as_str().unwrap().starts_with("Root=1-"));
    assert_eq!((&env["LAMBDA_TASK_ROOT"], &answer["cwd"]), (&answer["path"], &answer["path"]));
    assert_eq!(answer["stream"], lab.logs.streams()[0]);
    assert_eq!(answer["argv"], 1);
    let log = lab.logs.text();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("INIT_START Runtime Version: python:3."), "{log}");
    assert!(
        log.contains(&format!(
            "START RequestId: {id} Version: $LATEST\nhello 1\nEND RequestId: {id}\nREPORT RequestId: {id}\tDuration: "
        )),
        "{log}"
    );
    let tail = String::from_utf8(outcome.log_tail).unwrap();
    assert!(
        tail.starts_with("START RequestId")
            && tail.contains("hello 1\n")
            && tail.contains("\tMemory Size: 128 MB\tMax Memory Used: "),
        "{tail}"
    );
    assert!(tail.contains("Init Duration: ") && outcome.report.init_ms.is_some());
    assert!(outcome.report.max_memory_mb > 3, "{:?}", outcome.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_used_again_and_keeps_its_state() {
    let lab = Lab::new();
    let spec = lab.python("n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n\n");
    for expected in 1..=20 {
        assert_eq!(lab.answer(&spec, "null").await, expected);
    }
    assert_eq!(lab.logs.streams().len(), 1);
    assert_eq!(lab.logs.text().matches("Init Duration").count(), 1, "the start is reported once");
    assert_eq!(lab.host.usage().processes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_as_aws_tells_them() {
    let lab = Lab::new();
    let spec = lab.python(
        "import sys, os, datetime\nclass Mine(Exception): pass\ndef handler(event, context):\n    return {'raise': lambda: boom(), 'marshal': \
         datetime.datetime.now}[event]()\ndef boom():\n    raise Mine('no\\nway')\n",
    );
    let error = lab.failure(&spec, "\"raise\"").await;
    assert_eq!((&error["errorType"], &error["errorMessage"]), (&json!("Mine"), &json!("no\nway")));
    assert!(error["requestId"].as_str().unwrap().starts_with("00000000-"));
    let trace: Vec<&str> = error["stackTrace"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(trace[0].contains("app.py\", line 4, in handler") && trace.last().unwrap().contains("raise Mine"), "{trace:?}");
    assert!(
        lab.logs.text().contains("[ERROR] Mine: no\nway\nTraceback (most recent call last):\n\u{a0}\u{a0}File \""),
        "{}",
        lab.logs.text()
    );
    let error = lab.failure(&spec, "\"marshal\"").await;
    assert_eq!(error["errorType"], "Runtime.MarshalError");
    assert_eq!(error["errorMessage"], "Unable to marshal response: Object of type datetime is not JSON serializable");
    assert_eq!(lab.logs.streams().len(), 1, "a function that failed is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_cannot_be_found_says_why() {
    let lab = Lab::new();
    let cases = [
        (
            "app.handler",
            "import nothing_like_this\n",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nothing_like_this'",
        ),
        ("gone.handler", "", "Runtime.ImportModuleError", "Unable to import module 'gone': No module named 'gone'"),
        ("app.other", "def handler(e, c): pass\n", "Runtime.HandlerNotFound", "Handler 'other' missing on module 'app'"),
        (
            "app.handler",
            "def handler(:\n",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'app': invalid syntax (app.py, line 1)",
        ),
        ("app", "", "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack (expected 2, got 1)"),
        ("sys.exit", "", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
        ("app.handler", "raise KeyError('k')\n", "KeyError", "'k'"),
    ];
    for (handler, text, kind, message) in cases {
        let spec = lab.function("python3.11", handler, &[("app.py", text)]);
        let error = lab.failure(&spec, "null").await;
        assert_eq!((error["errorType"].as_str().unwrap(), error["errorMessage"].as_str().unwrap()), (kind, message));
        assert!(error["requestId"].as_str().unwrap().starts_with("00000000-"), "{error}");
        let log = lab.logs.text();
        assert!(log.contains(&format!("[ERROR] {kind}: {message}")), "{log}");
        assert!(log.contains(&format!("Phase: init\tStatus: error\tError Type: {kind}")), "{log}");
        assert!(
            log.contains(&format!("Phase: invoke\tStatus: error\tError Type: {kind}")),
            "it is tried once more in the invocation: {log}"
        );
    }
    assert_eq!(lab.host.usage().idle, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_nested_modules_and_layers_are_found_in_the_order_of_aws() {
    let lab = Lab::new();
    let files = [
        ("src/pkg/__init__.py", ""),
        ("src/pkg/mod.py", "import lib, shared, deep\ndef run(e, c): return [lib.A, shared.A, deep.A]\n"),
        ("shared.py", "A = 'task'\n"),
    ];
    let layer = |name: &str, files: &[(&str, &str)]| {
        let path = lab.directory.path().join(name);
        common::write_files(&path, files);
        path
    };
    let one = layer("one", &[("python/lib.py", "A = 'one'\n"), ("python/shared.py", "A = 'layer'\n")]);
    let two = layer("two", &[("python/lib.py", "A = 'two'\n"), ("python/lib/python3.11/site-packages/deep.py", "A = 'deep'\n")]);
    for handler in ["src/pkg/mod.run", "src.pkg.mod.run"] {
        let mut spec = lab.function("python3.11", handler, &files);
        spec.layer_dirs = vec![one.clone(), two.clone()];
        assert_eq!(lab.answer(&spec, "null").await, json!(["two", "task", "deep"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_is_set_up_as_on_aws() {
    let lab = Lab::new();
    let spec = lab.python(
        "import logging\nlog = logging.getLogger()\nlog.setLevel(logging.INFO)\ndef handler(e, c):\n    log.info('two\\nlines %s', 1)\n    \
         log.debug('not this')\n    logging.getLogger('x').warning('w')\n    c.log('plain')\n    print('a', end='')\n",
    );
    lab.answer(&spec, "null").await;
    let log = lab.logs.text();
    assert!(
        log.lines().any(|line| line.starts_with("[INFO]\t20") && line.ends_with("Z\t00000000-0000-4000-8000-000000000000\ttwo")),
        "{log}"
    );
    assert!(
        log.contains("\ttwo\nlines 1\n") && log.contains("[WARNING]\t") && log.contains("\nplain\n") && !log.contains("not this"),
        "{log}"
    );
    assert!(log.contains("\na\nEND"), "what has no end of line is logged before the end: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_written_as_aws_writes_them() {
    let lab = Lab::new();
    let spec = lab.python(
        "import decimal\nvalues = {'decimal': {'a': decimal.Decimal('1.10'), 'b': [decimal.Decimal('1E+3')]}, 'bytes': b'\\x00raw', 'nan': float('nan'), \
         'none': None, 'text': '\\u00e9'}\ndef handler(e, c): return values[e]\n",
    );
    for (event, expected) in [
        ("decimal", &br#"{"a": 1.10, "b": [1E+3]}"#[..]),
        ("bytes", b"\x00raw"),
        ("nan", b"NaN"),
        ("none", b"null"),
        ("text", br#""\u00e9""#),
    ] {
        let outcome = lab.call(&spec, &format!("\"{event}\"")).await;
        assert_eq!(&outcome.payload[..], expected, "{}", String::from_utf8_lossy(&outcome.payload));
    }
    let mut newer = lab.function("python3.12", "app.handler", &[("app.py", "def handler(e, c): return '\\u00e9'\n")]);
    newer.key.push_str("newer");
    assert_eq!(lab.answer(&newer, "null").await, "é");
}
