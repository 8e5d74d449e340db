//! Node.js, own bootstraps and AWS's runtime clients.
#![allow(clippy::unwrap_used)]

mod common;
use common::Lab;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

fn node() -> bool {
    let there = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: there is no node on this machine");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn node_handlers_of_every_kind_run() {
    if !node() {
        return;
    }
    let lab = Lab::new();
    let files: [(&str, &str); 6] = [
        (
            "index.js",
            "exports.handler = async (event, context) => { console.log('hello', { a: 1 }); return { n: event.n + 1, id: context.awsRequestId, left: context.getRemainingTimeInMillis() > 0, region: process.env.AWS_REGION }; };\n\
          exports.callback = (event, context, callback) => { setTimeout(() => callback(null, 'called'), 10); };\nexports.nested = { deep: { handler: () => Promise.resolve('nested') } };\n\
          exports.nothing = () => {};\nexports.early = (event, context, callback) => { context.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1000); callback(null, 'early'); };\n",
        ),
        (
            "module.mjs",
            "import fs from 'fs';\nconst ready = await Promise.resolve('top');\nexport const handler = async () => ready + typeof fs.readFileSync;\n",
        ),
        ("esm/package.json", "{\"type\": \"module\"}"),
        ("esm/app.js", "export const handler = async (event) => [event];\n"),
        ("common.cjs", "module.exports.handler = async () => require('./lib/helper').value;\n"),
        ("lib/helper.js", "exports.value = 'helped';\n"),
    ];
    let cases = [
        ("index.callback", json!("called")),
        ("index.nested.deep.handler", json!("nested")),
        ("index.nothing", json!(null)),
        ("index.early", json!("early")),
        ("module.handler", json!("topfunction")),
        ("esm/app.handler", json!([{ "n": 1 }])),
        ("common.handler", json!("helped")),
    ];
    let spec = lab.function("nodejs20.x", "index.handler", &files);
    let answer = lab.answer(&spec, "{\"n\": 1}").await;
    assert_eq!((&answer["n"], &answer["left"], &answer["region"]), (&json!(2), &json!(true), &json!("us-east-1")));
    let log = lab.logs.text();
    assert!(log.contains(&format!("Z\t{}\tINFO\thello {{ a: 1 }}\n", answer["id"].as_str().unwrap())), "{log}");
    assert_eq!(lab.answer(&spec, "{\"n\": 5}").await["n"], 6);
    assert_eq!(lab.logs.streams().len(), 1);
    for (handler, expected) in cases {
        let spec = lab.function("nodejs20.x", handler, &files);
        for _ in 0..2 {
            assert_eq!(lab.answer(&spec, "{\"n\": 1}").await, expected, "{handler}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_failures_are_told_as_aws_tells_them() {
    if !node() {
        return;
    }
    let lab = Lab::new();
    let text = "class Mine extends Error { constructor(m) { super(m); this.name = 'Mine'; } }\nexports.throws = async () => { throw new Mine('no way'); };\n\
                exports.callback = (e, c, callback) => callback('a text');\nexports.uncaught = () => { setTimeout(() => { throw new Mine('later'); }, 5); };\n\
                exports.rejected = () => { Promise.reject(new Mine('nobody cares')); setTimeout(() => {}, 1000); };\nexports.big = async () => 1n;\nexports.text = 'not a function';\n";
    let cases = [
        ("index.throws", "Mine", "no way"),
        ("index.callback", "string", "a text"),
        ("index.uncaught", "Mine", "later"),
        ("index.rejected", "Runtime.UnhandledPromiseRejection", "Mine: nobody cares"),
        ("index.big", "Runtime.SerializationError", "Unable to stringify response body: Do not know how to serialize a BigInt"),
        ("index.gone", "Runtime.HandlerNotFound", "index.gone is undefined or not exported"),
        ("index.text", "Runtime.HandlerNotFound", "index.text is not a function"),
        ("gone.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'gone'"),
        ("broken.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token ')'"),
        ("index", "Runtime.MalformedHandlerName", "Bad handler"),
    ];
    for (handler, kind, message) in cases {
        let spec = lab.function("nodejs20.x", handler, &[("index.js", text), ("broken.js", "exports.handler = () => { ) };\n")]);
        let error = lab.failure(&spec, "null").await;
        assert_eq!(error["errorType"], kind, "{handler}: {error}");
        assert!(error["errorMessage"].as_str().unwrap().starts_with(message), "{handler}: {error}");
    }
    assert!(
        lab.logs.text().contains("\tERROR\tInvoke Error \t{\"errorType\":\"Mine\",\"errorMessage\":\"no way\""),
        "{}",
        lab.logs.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_bootstrap_runs_from_the_zip_or_a_layer() {
    let lab = Lab::new();
    let bootstrap = "#!/usr/bin/python3\nimport http.client, os\napi = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\nbase = '/2018-06-01/runtime/invocation/'\n\
        while True:\n    api.request('GET', base + 'next')\n    answer = api.getresponse()\n    body = answer.read()\n    id = answer.headers['Lambda-Runtime-Aws-Request-Id']\n\
        \n    def post(path, body=b'', **headers):\n        api.request('POST', path, body, headers)\n        answer = api.getresponse()\n        return str(answer.status) + answer.read().decode()\n    \
        wrong = [post(base + 'nonsense/response', b'{}'), post('/2018-06-01/runtime/nothing'), os.environ['_HANDLER'], os.environ.get('AWS_EXECUTION_ENV')]\n    \
        import json\n    post(base + id + '/response', iter([json.dumps([wrong, json.loads(body)]).encode()]), **{'Lambda-Runtime-Function-Response-Mode': 'streaming'})\n    \
        print('again', post(base + id + '/response', b'{}'), flush=True)\n";
    let layer = lab.directory.path().join("layer");
    common::write_files(&layer, &[("bootstrap", bootstrap)]);
    let own = lab.function("provided.al2023", "any.thing", &[("bootstrap", bootstrap)]);
    let mut layered = lab.function("provided.al2", "any.thing", &[("data", "")]);
    layered.layer_dirs = vec![layer];
    for spec in [own, layered] {
        let answer = lab.answer(&spec, "{\"a\": 1}").await;
        assert_eq!(answer[1], json!({ "a": 1 }));
        let expected = r#"400{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#;
        assert_eq!(
            answer[0],
            json!([expected, "404{\"errorMessage\":\"no such path\",\"errorType\":\"NotFound\"}", "any.thing", null])
        );
        common::until("the second answer's refusal", || lab.logs.text().contains("again 400{")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_has_answered_and_not_yet_asked_for_more_is_waited_for() {
    let lab = Lab::new();
    let bootstrap = "#!/usr/bin/python3\nimport http.client, os, time\napi = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n\
        base = '/2018-06-01/runtime/invocation/'\nwhile True:\n    api.request('GET', base + 'next')\n    answer = api.getresponse()\n    body = answer.read()\n    \
        api.request('POST', base + answer.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', str(os.getpid()))\n    api.getresponse().read()\n    time.sleep(0.01)\n";
    let spec = lab.function("provided.al2023", "any.thing", &[("bootstrap", bootstrap)]);
    let first = lab.answer(&spec, "1").await;
    for _ in 0..5 {
        assert_eq!(lab.answer(&spec, "1").await, first);
    }
    assert_eq!(lab.logs.streams().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_that_is_not_there_or_cannot_run_says_so() {
    let lab = Lab::new();
    for (files, message) in [
        ([("data", "")], "No such file or directory"),
        ([("bootstrap", "no program")], "Permission denied"),
        ([("bootstrap", "#!/nowhere/sh\n")], "No such file"),
    ] {
        let error = lab.failure(&lab.function("provided.al2023", "x", &files), "null").await;
        assert_eq!(error["errorType"], "Runtime.InvalidEntrypoint", "{error}");
        assert!(error["errorMessage"].as_str().unwrap().contains(message), "{error}");
    }
}

/// AWS's own client for Python, made once in the build directory.
fn awslambdaric() -> Option<PathBuf> {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("awslambdaric");
    if !place.join("awslambdaric").is_dir() {
        let mut pip = Command::new("python3.11");
        let done = pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&place).arg("awslambdaric").output();
        if !done.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: awslambdaric cannot be installed");
            return None;
        }
    }
    Some(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn awss_own_runtime_client_runs_as_a_bootstrap() {
    let Some(place) = awslambdaric() else { return };
    let lab = Lab::with(|settings| settings.packages = vec!["nothing_of_this_kind".into()]);
    let bootstrap = "#!/bin/sh\nexec /usr/bin/python3 -m awslambdaric app.handler\n";
    let app = "import logging\nlogging.getLogger().setLevel('INFO')\ndef handler(event, context):\n    logging.info('seen')\n    if event == 'fail': raise ValueError('v')\n    return [event, context.aws_request_id, context.get_remaining_time_in_millis() > 0]\n";
    let mut spec = lab.function("provided.al2023", "app.handler", &[("bootstrap", bootstrap), ("app.py", app)]);
    let packages = lab.directory.path().join("ric/python");
    std::fs::create_dir_all(packages.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-r").arg(&place).arg(&packages).status().unwrap();
    assert!(copied.success());
    spec.layer_dirs = vec![lab.directory.path().join("ric")];
    spec.environment.insert("PYTHONPATH".into(), "/opt/python".into());
    for n in 0..3 {
        let answer = lab.answer(&spec, &n.to_string()).await;
        assert_eq!((&answer[0], &answer[2]), (&json!(n), &json!(true)));
    }
    let error = lab.failure(&spec, "\"fail\"").await;
    assert_eq!((&error["errorType"], &error["errorMessage"]), (&json!("ValueError"), &json!("v")));
    assert!(lab.logs.text().contains("[INFO]\t"), "{}", lab.logs.text());
    assert_eq!(lab.logs.streams().len(), 1);
}
