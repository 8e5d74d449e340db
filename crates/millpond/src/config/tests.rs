use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("lake/millpond.toml"), text, |_| None).map_err(|error| error.to_string())
}

#[test]
fn a_declared_lake_is_understood() {
    let config = parse(
        r#"
[server]
data = "data"
[limits]
memory = "1GiB"
[zones]
raw = "acme-raw"
processed = "acme-processed"
[[flow]]
name         = "flights"
from         = "s3://acme-raw/flights/"
to           = "processed.flights"
partition_by = ["year", "month"]
sql          = "select *, distance / air_time * 60 as mph from input;"
notify       = ["mailto:ops@example.com"]
[smtp]
host = "127.0.0.1"
port = 1025
from = "lake@example.com"
"#,
    )
    .unwrap();
    assert_eq!(config.server.data, Some("lake/data".into()));
    assert_eq!(config.limits.memory_bytes, Some(1 << 30));
    assert_eq!(config.zones[0], Zone { name: "raw".into(), bucket: "acme-raw".into() });
    let flow = &config.flows[0];
    assert_eq!((&*flow.bucket, &*flow.prefix), ("acme-raw", "flights/"));
    assert_eq!((&*flow.database, &*flow.table), ("processed", "flights"));
    assert_eq!(flow.sql.as_deref(), Some("select *, distance / air_time * 60 as mph from input"));
    assert_eq!(flow.notify, ["ops@example.com"]);
    assert_eq!(flow.source_database(), "acme_raw");
    assert_eq!(config.smtp.unwrap().tls, Tls::None);
}

#[test]
fn a_flow_can_end_in_a_table_of_items() {
    let flow = |lines: &str| {
        let text = format!("[[flow]]\nname = \"f\"\nfrom = \"s3://My-raw/f/\"\nto = \"dynamodb:My-Company\"\n{lines}");
        parse(&text.replace("My-raw", "my-raw")).unwrap().flows.remove(0)
    };
    let plain = flow("");
    let items = plain.items.clone().unwrap();
    assert_eq!((items.table.as_str(), items.key, items.types), ("My-Company", vec!["id".to_owned()], AttributeTypes::String));
    assert_eq!((plain.target(), plain.quarantine()), ("dynamodb:My-Company".into(), "my_raw.my_company_quarantine".into()));
    assert!(plain.ingestion_timestamp && plain.source_file);
    let more = flow("key = [\"pk\", \"sk\"]\ntypes = \"typed\"\nsource_file = false");
    let items = more.items.unwrap();
    assert_eq!((items.key, items.types), (vec!["pk".to_owned(), "sk".to_owned()], AttributeTypes::Typed));
    assert!(more.ingestion_timestamp && !more.source_file);
}

#[test]
fn the_reference_in_the_readme_is_true() {
    let readme = include_str!("../../../../README.md");
    let block = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let environment = |name: &str| (name == SMTP_PASSWORD).then(|| "secret".to_owned());
    let config = Config::parse(Path::new("millpond.toml"), block, environment).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.flows[0].source_file && config.flows[0].suffix.is_some() && config.smtp.is_some());
    assert_eq!((config.zones.len(), config.limits.threads), (2, Some(4)));
}

#[test]
fn a_fault_is_told_with_its_place_and_what_to_do() {
    let flow = |line: &str| format!("[[flow]]\nname = \"f\"\nfrom = \"s3://raw/f/\"\nto = \"a.b\"\n{line}\n");
    let items = |line: &str| format!("[[flow]]\nname = \"f\"\nfrom = \"s3://raw/f/\"\nto = \"dynamodb:company\"\n{line}\n");
    let cases: &[(&str, &[&str])] = &[
        ("[server]\nlisen = \"x\"", &["millpond.toml:2:1:", "unknown field `lisen`", "listen", "^^^^^"]),
        ("[server]\nlisten = \"4566\"", &["2:10: server.listen:", "the port is missing", "127.0.0.1:4566"]),
        ("[server]\naccount = \"12\"", &["server.account", "twelve digits"]),
        ("[server]\nregion = \"US East\"", &["server.region", "us-east-1"]),
        ("[limits]\nmemory = \"1 parsec\"", &["2:10: limits.memory", "512MiB"]),
        ("[limits]\nmemory = \"1MiB\"", &["limits.memory", "64MiB"]),
        ("[limits]\nthreads = 0", &["limits.threads", "1 to 1024"]),
        ("[zones]\nraw = \"Raw\"", &["2:7: zones.raw", "lower-case"]),
        ("[[flow]]\nname = \"f\"\nfrom = \"s3://raw/\"", &["missing field `to`"]),
        (
            "[[flow]]\nname = \"F F\"\nfrom = \"raw\"\nto = \"b\"",
            &["2:8: flow.name", "3:8: flow.from", "s3://bucket/folder/", "4:6: flow.to", "database.table"],
        ),
        (&flow("notify = [\"ops\"]"), &["5:11: flow.notify", "mailto:ops@example.com"]),
        (&flow("notify = [\"mailto:a@b\\r\\nBcc: x@y\"]"), &["flow.notify", "not an address"]),
        (&flow("sql = \" \""), &["flow.sql", "is empty"]),
        (&flow("partition_by = [\"a\", \"A\"]"), &["flow.partition_by", "'a' twice"]),
        (&flow("key = \"id\""), &["5:7: flow.key", "tables of items"]),
        (&flow("types = \"typed\""), &["flow.types", "tables of items"]),
        (&items("key = []"), &["5:7: flow.key", "one or two different attributes"]),
        (&items("key = [\"a\", \"a\"]"), &["flow.key", "different"]),
        (&items("types = \"json\""), &["flow.types", "'json' is unknown"]),
        (&items("partition_by = [\"a\"]"), &["flow.partition_by", "has a `key`"]),
        (
            "[[flow]]\nname = \"f\"\nfrom = \"s3://raw/f/\"\nto = \"dynamodb:a b\"",
            &["4:6: flow.to", "cannot name a table of items"],
        ),
        (&flow("location = \"s3://raw/f/out/\""), &["flow.location", "its own output"]),
        (&(flow("") + &flow("")), &["two flows named 'f'", "cannot share a table"]),
        ("[smtp]\nhost = \"mail\"\nfrom = \"a@b.c\"\ntls = \"yes\"", &["4:7: smtp.tls", "starttls"]),
        ("[smtp]\nhost = \"mail\"\nfrom = \"a@b.c\"\nusername = \"u\"", &["smtp.username", SMTP_PASSWORD]),
        ("[smtp]\nhost = \"m\"\nfrom = \"a@b.c\"\nusername = \"u\"\npassword = \"p\"\ntls = \"none\"", &["plain text"]),
        ("[smtp]\nhost = \"m\"\nport = 70000\nfrom = \"a@b.c\"", &["3:8", "70000"]),
        ("[flow", &["millpond.toml:1:"]),
    ];
    for (text, parts) in cases {
        let shown = parse(text).expect_err(text);
        for part in *parts {
            assert!(shown.contains(part), "{text}\n---\n{shown}\n--- lacks {part}");
        }
    }
}

#[test]
fn the_mark_stands_below_the_value_in_any_script() {
    let shown = parse("[server]\n\tregion = \"Zürich\"").unwrap_err();
    assert_eq!(shown.lines().skip(1).collect::<Vec<_>>(), ["   |", " 2 | \tregion = \"Zürich\"", "   | \t         ^^^^^^^^"]);
}

#[test]
fn passwords_come_from_the_environment_and_are_not_shown() {
    let text = "[smtp]\nhost = \"mail.example.com\"\nfrom = \"a@b.c\"\nusername = \"u\"\n";
    let environment = |name: &str| (name == SMTP_PASSWORD).then(|| "hunter2".to_owned());
    let smtp = Config::parse(Path::new("m.toml"), text, environment).unwrap().smtp.unwrap();
    assert_eq!((smtp.port, smtp.tls, smtp.password.as_deref()), (587, Tls::StartTls, Some("hunter2")));
    assert!(!format!("{smtp:?}").contains("hunter2"));
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [("1024", 1024), ("1KiB", 1024), ("2 GB", 2_000_000_000), ("3g", 3 << 30)] {
        assert_eq!(check::parse_size(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "-1", "1.5GiB", "99999999999TiB", "1XB"] {
        assert!(check::parse_size(text).is_err(), "{text}");
    }
}

#[test]
fn functions_are_configured_within_bounds() {
    let config = parse(
        r#"
[functions]
python = "/usr/bin/python3"
packages = ["boto3", "requests"]
retry_delays_s = [0.5, 2]
idle_s = 60
concurrency = 20
memory = "2GiB"
isolation = "require"
"#,
    );
    let functions = config.unwrap().functions;
    assert_eq!(functions.retry_delays_ms, Some([500, 2000]));
    assert_eq!((functions.idle_ms, functions.concurrency), (Some(60_000), Some(20)));
    assert_eq!((functions.memory_bytes, functions.require_isolation), (Some(2 << 30), true));
    assert_eq!(functions.packages.unwrap(), ["boto3", "requests"]);
    assert_eq!(parse("").unwrap().functions, Functions::default());
    for (text, words) in [
        ("retry_delays_s = [1]", "must be two numbers of seconds"),
        ("retry_delays_s = [-1, 2]", "must be two numbers of seconds"),
        ("concurrency = 0", "must be from 1 to 10000"),
        ("memory = \"1MiB\"", "is less than 128MiB"),
        ("isolation = \"some\"", "write \"best-effort\" or \"require\""),
        ("python = \"\"", "name an interpreter"),
    ] {
        let refused = parse(&format!("[functions]\n{text}\n")).unwrap_err();
        assert!(refused.contains(words) && refused.contains("functions."), "{text}: {refused}");
    }
}

#[test]
fn scripts_are_configured_within_bounds() {
    let text = r#"
[jobs]
environments = "/var/cache/millpond"
engine = "sc://cluster:15002"
concurrency = 4
memory = "8GiB"
disk = "20GiB"
network = "shared"
"#;
    let jobs = parse(text).unwrap().jobs;
    assert_eq!(jobs.engine.unwrap().as_str(), "sc://cluster:15002");
    assert_eq!((jobs.concurrency, jobs.memory_bytes, jobs.disk_bytes), (Some(4), Some(8 << 30), Some(20 << 30)));
    assert_eq!(jobs.network, Some(Network::Shared));
    assert_eq!(parse("").unwrap().jobs, Jobs::default());
    for (text, words) in [
        ("engine = \"spark\"", "is no engine"),
        ("concurrency = 0", "from 1 to 1000"),
        ("memory = \"1MiB\"", "512MiB"),
        ("environments = \"\"", "is empty"),
        ("network = \"bridge\"", "neither \"own\" nor \"shared\""),
    ] {
        let refused = parse(&format!("[jobs]\n{text}\n")).unwrap_err();
        assert!(refused.contains(words) && refused.contains("jobs."), "{text}: {refused}");
    }
}
