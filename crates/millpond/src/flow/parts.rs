//! What a flow consists of, as the requests that a user of AWS would send to create it by hand.

use crate::config::{Flow, Zone, table_name};
use millpond_core::arn::Place;
use millpond_services::glue::job::quarantine_bucket;
use millpond_wire::{dynamodb, events, glue};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A rule with its one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Which events.
    pub pattern: Value,
    /// Whom they go to.
    pub target: events::Target,
}

/// The names and requests of one flow.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// For ARNs.
    pub place: &'a Place,
    /// For the target's location.
    pub zones: &'a [Zone],
}

impl Parts<'_> {
    /// The name of crawler, job and topic, and the beginning of the rules' names.
    pub fn name(&self) -> String {
        format!("millpond-flow-{}", self.flow.name)
    }

    /// `s3://bucket/folder/` that the target's files go below.
    pub fn location(&self) -> String {
        let Flow { location, database, table, items, .. } = self.flow;
        let bucket = || match items {
            // Not where files come in: a crawler may look there.
            Some(_) => quarantine_bucket(self.place),
            None => self.bucket_of(database),
        };
        location.clone().unwrap_or_else(|| format!("s3://{}/{table}/", bucket()))
    }

    /// The bucket of a database: that of the zone with its name, else one named like it.
    fn bucket_of(&self, database: &str) -> String {
        let zone = self.zones.iter().find(|zone| zone.name == database);
        zone.map_or_else(|| database.replace('_', "-"), |zone| zone.bucket.clone())
    }

    /// The bucket that the target's files lie in.
    pub fn target_bucket(&self) -> String {
        let location = self.location();
        let rest = location.strip_prefix("s3://").unwrap_or(&location);
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// The table that the crawler describes the incoming files in. It has the folder's whole path in its name, so that folders of one name
    /// in different places do not meet.
    pub fn source_table(&self) -> String {
        match self.flow.prefix.trim_end_matches('/') {
            "" => table_name(&self.flow.bucket),
            folder => table_name(folder),
        }
    }

    /// What stands in that name before the last folder.
    fn table_prefix(&self) -> Option<String> {
        let folder = self.flow.prefix.trim_end_matches('/');
        folder.rfind('/').map(|at| table_name(&folder[..=at]))
    }

    fn role(&self) -> String {
        format!("arn:aws:iam::{}:role/millpond-flow", self.place.account)
    }

    fn description(&self) -> String {
        format!("Of the flow '{}': {} -> {}", self.flow.name, self.flow.source(), self.flow.target())
    }

    /// The databases that it needs, with their locations.
    pub fn databases(&self) -> Vec<glue::DatabaseInput> {
        let database = |name: String, bucket: &str| glue::DatabaseInput {
            location_uri: Some(format!("s3://{bucket}/")),
            name,
            ..Default::default()
        };
        let source = database(self.flow.source_database(), &self.flow.bucket);
        match self.flow.items {
            Some(_) => vec![source],
            None => vec![source, database(self.flow.database.clone(), &self.bucket_of(&self.flow.database))],
        }
    }

    /// The table of items that it ends in, where it does.
    pub fn items_table(&self) -> Option<dynamodb::CreateTableInput> {
        let items = self.flow.items.as_ref()?;
        let definition = |name: &String| dynamodb::AttributeDefinition {
            attribute_name: name.clone(),
            attribute_type: dynamodb::ScalarAttributeType::S,
        };
        let kinds = [dynamodb::KeyType::Hash, dynamodb::KeyType::Range];
        let element = |(name, key_type): (&String, dynamodb::KeyType)| dynamodb::KeySchemaElement {
            attribute_name: name.clone(),
            key_type,
        };
        Some(dynamodb::CreateTableInput {
            table_name: items.table.clone(),
            attribute_definitions: Some(items.key.iter().map(definition).collect()),
            key_schema: Some(items.key.iter().zip(kinds).map(element).collect()),
            billing_mode: Some(dynamodb::BillingMode::PayPerRequest),
            ..Default::default()
        })
    }

    /// The crawler that types what comes in.
    pub fn crawler(&self) -> glue::CreateCrawlerInput {
        let exclusions = (!self.flow.exclude.is_empty()).then(|| self.flow.exclude.clone());
        let target = glue::S3Target { path: Some(self.flow.source()), exclusions, ..Default::default() };
        // The bucket is level 1: the folder itself is the table, whatever folders are below.
        let level = 1 + self.flow.prefix.matches('/').count();
        glue::CreateCrawlerInput {
            name: self.name(),
            role: self.role(),
            description: Some(self.description()),
            database_name: Some(self.flow.source_database()),
            table_prefix: self.table_prefix(),
            targets: glue::CrawlerTargets { s3_targets: Some(vec![target]), ..Default::default() },
            recrawl_policy: Some(glue::RecrawlPolicy { recrawl_behavior: Some(glue::RecrawlBehavior::CrawlEventMode) }),
            schema_change_policy: Some(glue::SchemaChangePolicy {
                update_behavior: Some(glue::UpdateBehavior::UpdateInDatabase),
                delete_behavior: Some(glue::DeleteBehavior::Log),
            }),
            configuration: Some(json!({ "Version": 1.0, "Grouping": { "TableLevelConfiguration": level } }).to_string()),
            ..Default::default()
        }
    }

    /// The same for a crawler that is there already.
    pub fn crawler_update(&self) -> glue::UpdateCrawlerInput {
        let new = self.crawler();
        glue::UpdateCrawlerInput {
            name: new.name,
            role: Some(new.role),
            description: new.description,
            database_name: new.database_name,
            // Absent means unchanged; a flow that moved to a folder without parents has no prefix any more.
            table_prefix: Some(new.table_prefix.unwrap_or_default()),
            targets: Some(new.targets),
            recrawl_policy: new.recrawl_policy,
            schema_change_policy: new.schema_change_policy,
            configuration: new.configuration,
            ..Default::default()
        }
    }

    /// The job that converts it.
    pub fn job(&self) -> glue::CreateJobInput {
        let flow = self.flow;
        let mut arguments = BTreeMap::from([
            ("--flow", flow.name.clone()),
            ("--source-database", flow.source_database()),
            ("--source-table", self.source_table()),
            ("--source-path", flow.source()),
            ("--target-database", flow.database.clone()),
            ("--target-table", if flow.items.is_some() { flow.target() } else { flow.table.clone() }),
            ("--target-location", self.location()),
            ("--job-bookmark-option", "job-bookmark-enable".to_owned()),
            ("--ingestion-timestamp", flow.ingestion_timestamp.to_string()),
            ("--source-file", flow.source_file.to_string()),
        ]);
        if let Some(items) = &flow.items {
            arguments.insert("--key", items.key.join(","));
            arguments.insert("--types", items.types.word().to_owned());
        }
        if !flow.partition_by.is_empty() {
            arguments.insert("--partition-by", flow.partition_by.join(","));
        }
        if let Some(sql) = &flow.sql {
            arguments.insert("--sql", sql.clone());
        }
        if let Some(suffix) = &flow.suffix {
            arguments.insert("--source-suffix", suffix.clone());
        }
        glue::CreateJobInput {
            name: self.name(),
            role: self.role(),
            description: Some(self.description()),
            command: glue::JobCommand { name: Some("millpond".into()), ..Default::default() },
            default_arguments: Some(arguments.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            execution_property: Some(glue::ExecutionProperty { max_concurrent_runs: Some(1) }),
            ..Default::default()
        }
    }

    /// The same for a job that is there already.
    pub fn job_update(&self) -> glue::UpdateJobInput {
        let new = self.job();
        let job_update = glue::JobUpdate {
            role: Some(new.role),
            description: new.description,
            command: Some(new.command),
            default_arguments: new.default_arguments,
            execution_property: new.execution_property,
            ..Default::default()
        };
        glue::UpdateJobInput { job_name: new.name, job_update }
    }

    /// The rules that connect them; those about mail only where somebody is told.
    pub fn rules(&self) -> Vec<Rule> {
        let name = self.name();
        let crawler = self.place.arn("glue", format!("crawler/{name}")).to_string();
        let job = self.place.arn("glue", format!("job/{name}")).to_string();
        let mut rules = vec![
            self.rule("arrived", "An object arrived: crawl", self.arrival(), crawler, None),
            self.rule("crawled", "The crawl succeeded: convert", self.crawl_state("Succeeded"), job, None),
        ];
        if !self.flow.notify.is_empty() {
            let topic = || self.place.arn("sns", &name).to_string();
            rules.push(self.rule("converted", "Rows were added: tell", self.conversion(), topic(), Some(self.told_of_success())));
            rules.push(self.rule("failed", "The conversion failed: tell", self.failure(), topic(), Some(self.told_of_failure())));
            let crawl_failed = self.crawl_state("Failed");
            rules.push(self.rule("crawl-failed", "The crawl failed: tell", crawl_failed, topic(), Some(self.told_of_crawl())));
        }
        rules
    }

    fn rule(&self, what: &str, does: &str, pattern: Value, arn: String, input: Option<events::InputTransformer>) -> Rule {
        let target = events::Target { id: "flow".into(), arn, input_transformer: input, ..Default::default() };
        let description = format!("{does}. {}", self.description());
        Rule { name: format!("{}-{what}", self.name()), description: shortened(description), pattern, target }
    }

    /// Prefix and suffix must both hold, and a list of patterns would mean either: a wildcard says both.
    fn arrival(&self) -> Value {
        let prefix = &self.flow.prefix;
        let key = match (&self.flow.suffix, prefix.is_empty()) {
            (Some(suffix), true) => Some(json!({ "suffix": suffix })),
            (Some(suffix), false) => Some(json!({ "wildcard": format!("{}*{}", escaped(prefix), escaped(suffix)) })),
            (None, false) => Some(json!({ "prefix": prefix })),
            (None, true) => None,
        };
        let mut detail = json!({ "bucket": { "name": [self.flow.bucket] } });
        if let Some(key) = key {
            detail["object"] = json!({ "key": [key] });
        }
        json!({ "source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail })
    }

    fn crawl_state(&self, state: &str) -> Value {
        json!({
            "source": ["aws.glue"],
            "detail-type": ["Glue Crawler State Change"],
            "detail": { "crawlerName": [self.name()], "state": [state] },
        })
    }

    fn conversion(&self) -> Value {
        json!({
            "source": ["aws.glue"],
            "detail-type": ["Glue Job State Change"],
            // A run that found nothing new is no news.
            "detail": { "jobName": [self.name()], "state": ["SUCCEEDED"], "millpond": { "files": [{ "numeric": [">", 0] }] } },
        })
    }

    fn failure(&self) -> Value {
        json!({
            "source": ["aws.glue"],
            "detail-type": ["Glue Job State Change"],
            "detail": { "jobName": [self.name()], "state": ["FAILED", "TIMEOUT"] },
        })
    }

    fn told_of_success(&self) -> events::InputTransformer {
        let paths = [
            ("rows", "$.detail.millpond.rowsOut"),
            ("files", "$.detail.millpond.files"),
            ("quarantined", "$.detail.millpond.rowsQuarantined"),
            ("in", "$.detail.millpond.bytesIn"),
            ("out", "$.detail.millpond.bytesOut"),
            ("seconds", "$.detail.millpond.elapsedSeconds"),
            ("run", "$.detail.jobRunId"),
            ("time", "$.time"),
        ];
        let Flow { name, items, .. } = self.flow;
        let (target, quarantine) = (self.flow.target(), self.flow.quarantine());
        let quarantined = format!("Rows that did not fit and are in {quarantine}: <quarantined>.");
        let ran = "Job run <run>, <time>.".to_owned();
        if let Some(items) = items {
            let more = [("replaced", "$.detail.millpond.itemsReplaced"), ("duplicates", "$.detail.millpond.duplicates")];
            let paths: Vec<_> = paths.into_iter().filter(|(path, _)| *path != "out").chain(more).collect();
            let lines = [
                format!(
                    "The flow '{name}' put <rows> items into the table {}, <replaced> of them in the place of others.",
                    items.table
                ),
                "Source files: <files> (<in> bytes), in <seconds> s. Rows that were duplicates: <duplicates>.".to_owned(),
                quarantined,
                ran,
            ];
            return transformer(&paths, &lines);
        }
        let lines = [
            format!("The flow '{name}' added <rows> rows to {target}."),
            "Source files: <files> (<in> bytes). Written: <out> bytes of Parquet, in <seconds> s.".to_owned(),
            quarantined,
            ran,
        ];
        transformer(&paths, &lines)
    }

    fn told_of_failure(&self) -> events::InputTransformer {
        let paths =
            [("message", "$.detail.message"), ("state", "$.detail.state"), ("run", "$.detail.jobRunId"), ("time", "$.time")];
        let Flow { name, .. } = self.flow;
        let target = self.flow.target();
        let lines = [
            format!("The flow '{name}' could not convert what arrived: <state>."),
            "<message>".to_owned(),
            match &self.flow.items {
                None => {
                    format!("Nothing was added to {target}; the files are still there, and the next run takes them up again.")
                }
                Some(items) => format!(
                    "The files are still there; the next run takes them up again, and puts their rows into the table {} once.",
                    items.table
                ),
            },
            format!("Job run <run>, <time>. Start it again with: millpond flow run {name}"),
        ];
        transformer(&paths, &lines)
    }

    fn told_of_crawl(&self) -> events::InputTransformer {
        let paths = [("message", "$.detail.errorMessage"), ("time", "$.time")];
        let Flow { name, .. } = self.flow;
        let lines = [
            format!("The flow '{name}' could not crawl {}.", self.flow.source()),
            "<message>".to_owned(),
            format!("At <time>. Start it again with: millpond flow run {name}"),
        ];
        transformer(&paths, &lines)
    }

    /// What it consists of, a line each.
    pub fn summary(&self) -> Vec<String> {
        let name = self.name();
        let mut lines = vec![
            format!("s3://{} with events to EventBridge", self.flow.bucket),
            format!("crawler {name} -> table {}.{}", self.flow.source_database(), self.source_table()),
            match &self.flow.items {
                None => format!("job {name} -> table {} in {}", self.flow.target(), self.location()),
                Some(items) => format!(
                    "job {name} -> items of table {}, with the key {} ({} attributes); rows that do not fit: {}",
                    items.table,
                    items.key.join(", "),
                    items.types.word(),
                    self.flow.quarantine()
                ),
            },
        ];
        lines.extend(self.rules().into_iter().map(|rule| format!("rule {} -> {}", rule.name, rule.target.arn)));
        if !self.flow.notify.is_empty() {
            lines.push(format!("topic {name} -> {}", self.flow.notify.join(", ")));
        }
        lines
    }
}

/// A template of plain lines: what it is filled with stands in the mail as it is.
fn transformer(paths: &[(&str, &str)], lines: &[String]) -> events::InputTransformer {
    events::InputTransformer {
        input_paths_map: Some(paths.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect()),
        input_template: lines.join("\n"),
    }
}

/// A text in a wildcard pattern, where it means itself.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('*', "\\*")
}

/// EventBridge's descriptions have 512 characters at the most.
fn shortened(text: String) -> String {
    if text.chars().count() <= 512 { text } else { text.chars().take(511).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn flow(lines: &str) -> Flow {
        let text = format!("[[flow]]\nname = \"f\"\nto = \"processed.flights\"\n{lines}");
        Config::parse(Path::new("millpond.toml"), &text, |_| None).unwrap().flows.remove(0)
    }

    fn check(lines: &str, see: impl Fn(&Parts<'_>)) {
        let (flow, place) = (flow(lines), Place::default());
        let zones = [Zone { name: "processed".into(), bucket: "acme-processed".into() }];
        see(&Parts { flow: &flow, place: &place, zones: &zones });
    }

    #[test]
    fn the_source_table_is_what_the_crawler_will_call_it() {
        check("from = \"s3://raw/flights/\"", |parts| {
            assert_eq!((parts.source_table(), parts.table_prefix()), ("flights".into(), None));
            assert!(parts.crawler().configuration.unwrap().contains("\"TableLevelConfiguration\":2"));
        });
        check("from = \"s3://raw/In Box/a-b/\"", |parts| {
            assert_eq!((parts.source_table(), parts.table_prefix()), ("in_box_a_b".into(), Some("in_box_".into())));
        });
        check("from = \"s3://my-raw\"", |parts| {
            assert_eq!((parts.source_table(), parts.table_prefix()), ("my_raw".into(), None));
            assert!(parts.crawler().configuration.unwrap().contains("\"TableLevelConfiguration\":1"));
        });
    }

    #[test]
    fn the_target_lies_in_the_bucket_of_its_zone_unless_told_otherwise() {
        check("from = \"s3://raw/flights/\"", |parts| assert_eq!(parts.location(), "s3://acme-processed/flights/"));
        check("from = \"s3://raw/flights/\"\nlocation = \"s3://x-y/z\"", |parts| {
            assert_eq!((parts.location(), parts.target_bucket()), ("s3://x-y/z/".into(), "x-y".into()));
        });
    }

    #[test]
    fn a_table_of_items_has_its_quarantine_where_no_crawler_looks() {
        let text = "[[flow]]\nname = \"f\"\nfrom = \"s3://raw/a/\"\nto = \"dynamodb:Company\"\nnotify = [\"mailto:a@b.c\"]";
        let flow = Config::parse(Path::new("millpond.toml"), text, |_| None).unwrap().flows.remove(0);
        let place = Place::default();
        let parts = Parts { flow: &flow, place: &place, zones: &[] };
        assert_eq!(parts.location(), "s3://millpond-quarantine-000000000000-us-east-1/company/");
        assert_eq!(parts.databases().len(), 1);
        let arguments = parts.job().default_arguments.unwrap();
        let argument = |key: &str| arguments[key].as_str();
        assert_eq!((argument("--target-table"), argument("--key"), argument("--types")), ("dynamodb:Company", "id", "string"));
        assert_eq!((argument("--ingestion-timestamp"), argument("--source-file")), ("true", "true"));
        let table = parts.items_table().unwrap();
        assert_eq!((table.table_name.as_str(), table.key_schema.unwrap().len()), ("Company", 1));
        let told = parts.told_of_success();
        assert!(
            told.input_template.contains("<duplicates>") && !told.input_template.contains("<out>"),
            "{}",
            told.input_template
        );
        assert!(told.input_template.contains("raw.company_quarantine"));
    }

    #[test]
    fn arrivals_are_those_with_prefix_and_suffix() {
        for (lines, key) in [
            ("from = \"s3://raw\"", Value::Null),
            ("from = \"s3://raw/a/\"", json!([{ "prefix": "a/" }])),
            ("from = \"s3://raw\"\nsuffix = \".csv\"", json!([{ "suffix": ".csv" }])),
            ("from = \"s3://raw/a*/\"\nsuffix = \".csv\"", json!([{ "wildcard": "a\\*/*.csv" }])),
        ] {
            check(lines, |parts| assert_eq!(parts.arrival()["detail"]["object"]["key"], key, "{lines}"));
        }
    }

    #[test]
    fn nobody_is_told_where_nobody_is_named() {
        check("from = \"s3://raw/a/\"", |parts| assert_eq!(parts.rules().len(), 2));
        check("from = \"s3://raw/a/\"\nnotify = [\"mailto:a@b.c\"]", |parts| {
            assert_eq!(parts.rules().len(), 5);
            assert!(parts.rules().iter().all(|rule| rule.name.len() <= 64));
        });
    }
}
