//! Flows: a shorthand for what a user of AWS creates by hand.
//!
//! A flow is set up through the same operations that its owner could call: buckets, databases, a crawler, a job, rules, a topic with its
//! subscriptions. It can be seen and changed through them too. Setting a flow up again is harmless: what is there is brought to what the flow
//! says. Order matters: the rules that start something come after what they start, and are the first to go.

mod parts;
pub mod sql;

pub use sql::{COMPONENT, Origin, Stored};

use crate::config::{Flow, Zone};
use async_trait::async_trait;
use http::StatusCode;
use millpond_api::admin::{FlowError, Flows};
use millpond_api::caller::Caller;
use millpond_api::router::{Context, Router};
use millpond_core::error::ErrorKind;
use millpond_services::glue::job::spec::ItemsTarget;
use millpond_services::lake::Lake;
use millpond_services::s3::{self, S3, S3Error};
use millpond_services::sns::Sns;
use millpond_store::StoreError;
use millpond_wire::{Operation, WireError, client as wire, dynamodb, events, glue, sns};
use parts::Parts;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Sets flows up, and keeps their definitions. Clones share them.
#[derive(Clone)]
pub struct FlowManager {
    lake: Lake,
    router: Router,
    s3: S3,
    sns: Sns,
    zones: Arc<Vec<Zone>>,
    /// One change at a time: two of one flow would meet in the middle.
    changing: Arc<Mutex<()>>,
}

impl std::fmt::Debug for FlowManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowManager").field("zones", &self.zones).finish_non_exhaustive()
    }
}

fn failed(kind: ErrorKind, message: impl Into<String>) -> FlowError {
    FlowError { message: message.into(), kind }
}

fn of_store(error: StoreError) -> FlowError {
    failed(error.kind(), error.to_string())
}

fn of_s3(error: S3Error) -> FlowError {
    failed(error.kind(), error.to_string())
}

/// The error of an operation, with what was being done.
fn of_wire(what: &str, error: &WireError) -> FlowError {
    let kind = if error.status == StatusCode::INTERNAL_SERVER_ERROR { ErrorKind::Bug } else { ErrorKind::Input };
    failed(kind, format!("{what}: {}", error.message))
}

impl FlowManager {
    /// Over a lake's services. `router` has the operations of Glue, EventBridge and SNS.
    pub fn new(lake: Lake, router: Router, s3: S3, sns: Sns, zones: Vec<Zone>) -> Self {
        Self { lake, router, s3, sns, zones: Arc::new(zones), changing: Arc::default() }
    }

    /// Brings the lake to what its configuration declares: makes the zones, sets up the flows, and removes those that the file had before.
    ///
    /// # Errors
    /// The first thing that could not be made.
    pub async fn apply(&self, flows: &[Flow], has_file: bool) -> Result<(), FlowError> {
        for zone in self.zones.iter() {
            self.bucket(&zone.bucket).await?;
            let input = glue::DatabaseInput {
                name: zone.name.clone(),
                location_uri: Some(format!("s3://{}/", zone.bucket)),
                ..Default::default()
            };
            self.database(input).await?;
        }
        for flow in flows {
            self.set_up(flow, Origin::File)
                .await
                .map_err(|error| FlowError { message: format!("flow '{}': {}", flow.name, error.message), ..error })?;
        }
        if !has_file {
            return Ok(());
        }
        let declared: BTreeSet<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
        for stored in self.all().await? {
            if stored.origin == Origin::File && !declared.contains(stored.flow.name.as_str()) {
                tracing::info!(
                    flow = stored.flow.name,
                    "the configuration has this flow no more: its parts are removed, its tables stay"
                );
                self.take_down(&stored.flow).await?;
            }
        }
        Ok(())
    }

    /// All flows by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn all(&self) -> Result<Vec<Stored>, FlowError> {
        self.lake.store.read(sql::all).await.map_err(of_store)
    }

    async fn get(&self, name: &str) -> Result<Stored, FlowError> {
        let wanted = name.to_owned();
        let found = self.lake.store.read(move |connection| sql::get(connection, &wanted)).await.map_err(of_store)?;
        found.ok_or_else(|| {
            failed(ErrorKind::Missing, format!("there is no flow '{name}'; `millpond flow list` shows what there is"))
        })
    }

    fn parts<'a>(&'a self, flow: &'a Flow) -> Parts<'a> {
        Parts { flow, place: &self.lake.place, zones: &self.zones }
    }

    async fn set_up(&self, flow: &Flow, origin: Origin) -> Result<Vec<String>, FlowError> {
        let _changing = self.changing.lock().await;
        let parts = self.parts(flow);
        let name = flow.name.clone();
        let before = self.lake.store.read(move |connection| sql::get(connection, &name)).await.map_err(of_store)?;
        self.bucket(&flow.bucket).await?;
        self.bucket(&parts.target_bucket()).await?;
        self.items_table(&parts).await?;
        self.notify_event_bridge(&flow.bucket).await?;
        for database in parts.databases() {
            self.database(database).await?;
        }
        self.crawler(&parts).await?;
        self.job(&parts).await?;
        self.topic(&parts, before.as_ref().map(|stored| &stored.flow)).await?;
        self.rules(&parts).await?;
        let stored = Stored { flow: flow.clone(), origin };
        self.lake.store.write(move |tx| sql::put(tx, &stored)).await.map_err(of_store)?;
        Ok(parts.summary())
    }

    async fn take_down(&self, flow: &Flow) -> Result<(), FlowError> {
        let _changing = self.changing.lock().await;
        let parts = self.parts(flow);
        let name = parts.name();
        for rule in self.rules_of(&parts).await? {
            self.remove_rule(&rule).await?;
        }
        let topic_arn = self.lake.place.arn("sns", &name).to_string();
        self.ask(sns::DeleteTopic, &sns::DeleteTopicInput { topic_arn }, &["NotFound"]).await?;
        self.ask(glue::DeleteCrawler, &glue::DeleteCrawlerInput { name: name.clone() }, &["EntityNotFoundException"]).await?;
        self.ask(glue::DeleteJob, &glue::DeleteJobInput { job_name: name }, &["EntityNotFoundException"]).await?;
        let name = flow.name.clone();
        self.lake.store.write(move |tx| sql::remove(tx, &name)).await.map_err(of_store)
    }

    async fn bucket(&self, name: &str) -> Result<(), FlowError> {
        let region = &self.lake.place.region;
        let constraint = (region != "us-east-1").then_some(region.as_str());
        match self.s3.create_bucket(name, constraint, Vec::new()).await {
            Ok(_) | Err(S3Error::BucketAlreadyOwnedByYou(_)) => Ok(()),
            Err(error) => Err(of_s3(error)),
        }
    }

    /// The table of items that the flow ends in: made when missing; one that is there must have the flow's key.
    async fn items_table(&self, parts: &Parts<'_>) -> Result<(), FlowError> {
        let (Some(new), Some(items)) = (parts.items_table(), &parts.flow.items) else { return Ok(()) };
        if self.ask(dynamodb::CreateTable, &new, &["ResourceInUseException"]).await?.is_some() {
            return Ok(());
        }
        let input = dynamodb::DescribeTableInput { table_name: new.table_name };
        let table = self.ask(dynamodb::DescribeTable, &input, &[]).await?.and_then(|found| found.table).unwrap_or_default();
        let definitions = table.attribute_definitions.unwrap_or_default();
        let mut elements = table.key_schema.unwrap_or_default();
        elements.sort_by_key(|element| element.key_type != dynamodb::KeyType::Hash);
        let kind = |name: &str| {
            let definition = definitions.iter().find(|definition| definition.attribute_name == name);
            definition.map_or("?", |definition| match definition.attribute_type {
                dynamodb::ScalarAttributeType::S => "S",
                dynamodb::ScalarAttributeType::N => "N",
                _ => "B",
            })
        };
        let key: Vec<(String, &str)> =
            elements.iter().map(|one| (one.attribute_name.clone(), kind(&one.attribute_name))).collect();
        let target = ItemsTarget { table: items.table.clone(), key: items.key.clone(), types: items.types };
        target.suits(&key).map_err(|message| failed(ErrorKind::Conflict, message))
    }

    async fn notify_event_bridge(&self, bucket: &str) -> Result<(), FlowError> {
        let mut told = self.s3.notifications(bucket).await.map_err(of_s3)?;
        if told.event_bridge {
            return Ok(());
        }
        told.event_bridge = true;
        // What was set already was tried then.
        self.s3.set_notifications(&s3::Caller::default(), bucket, told, true).await.map_err(of_s3)
    }

    async fn database(&self, database_input: glue::DatabaseInput) -> Result<(), FlowError> {
        let input = glue::CreateDatabaseInput { database_input, ..Default::default() };
        self.ask(glue::CreateDatabase, &input, &["AlreadyExistsException"]).await.map(drop)
    }

    async fn crawler(&self, parts: &Parts<'_>) -> Result<(), FlowError> {
        let created = self.ask(glue::CreateCrawler, &parts.crawler(), &["AlreadyExistsException"]).await?;
        if created.is_some() {
            return Ok(());
        }
        let found = self.ask(glue::GetCrawler, &glue::GetCrawlerInput { name: parts.name() }, &[]).await?;
        let (new, now) = (parts.crawler_update(), found.and_then(|found| found.crawler).unwrap_or_default());
        let same = now.targets == new.targets
            && now.database_name == new.database_name
            && now.table_prefix.unwrap_or_default() == new.table_prefix.clone().unwrap_or_default()
            && now.configuration == new.configuration
            && now.recrawl_policy == new.recrawl_policy;
        if same {
            return Ok(());
        }
        self.ask(glue::UpdateCrawler, &new, &[]).await.map(drop)
    }

    async fn job(&self, parts: &Parts<'_>) -> Result<(), FlowError> {
        let created =
            self.ask(glue::CreateJob, &parts.job(), &["AlreadyExistsException", "IdempotentParameterMismatchException"]).await?;
        if created.is_some() {
            return Ok(());
        }
        let found = self.ask(glue::GetJob, &glue::GetJobInput { job_name: parts.name() }, &[]).await?;
        let (new, now) = (parts.job_update(), found.and_then(|found| found.job).unwrap_or_default());
        if now.default_arguments == new.job_update.default_arguments {
            return Ok(());
        }
        self.ask(glue::UpdateJob, &new, &[]).await.map(drop)
    }

    /// The topic, with a subscription for each address. Addresses of the flow's owner need no confirmation. Those that the flow had before and
    /// has no more are unsubscribed; those that others subscribed stay.
    async fn topic(&self, parts: &Parts<'_>, before: Option<&Flow>) -> Result<(), FlowError> {
        let wanted: BTreeSet<&str> = parts.flow.notify.iter().map(String::as_str).collect();
        let gone: BTreeSet<&str> = before
            .into_iter()
            .flat_map(|flow| &flow.notify)
            .map(String::as_str)
            .filter(|address| !wanted.contains(address))
            .collect();
        if wanted.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let input = sns::CreateTopicInput { name: parts.name(), ..Default::default() };
        let topic_arn = self.ask(sns::CreateTopic, &input, &[]).await?.and_then(|made| made.topic_arn).unwrap_or_default();
        let rules = self.lake.place.arn("events", format!("rule/{}-*", parts.name())).to_string();
        let allowed = self.sns.allow(&topic_arn, "millpond-flow", "events.amazonaws.com", &rules).await;
        allowed.map_err(|error| failed(error.kind(), format!("letting the flow's rules publish to {topic_arn}: {error}")))?;
        for address in wanted {
            let subscribed = self.sns.subscribe_confirmed(&topic_arn, "email", address).await;
            subscribed.map_err(|error| failed(error.kind(), format!("subscribing {address}: {error}")))?;
        }
        let mut token = None;
        loop {
            let input = sns::ListSubscriptionsByTopicInput { topic_arn: topic_arn.clone(), next_token: token };
            let page = self.ask(sns::ListSubscriptionsByTopic, &input, &[]).await?.unwrap_or_default();
            for subscription in page.subscriptions.unwrap_or_default() {
                if !gone.contains(subscription.endpoint.as_deref().unwrap_or_default()) {
                    continue;
                }
                let subscription_arn = subscription.subscription_arn.unwrap_or_default();
                self.ask(sns::Unsubscribe, &sns::UnsubscribeInput { subscription_arn }, &["NotFound", "InvalidParameter"])
                    .await?;
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    async fn rules(&self, parts: &Parts<'_>) -> Result<(), FlowError> {
        let rules = parts.rules();
        for rule in &rules {
            let input = events::PutRuleInput {
                name: rule.name.clone(),
                description: Some(rule.description.clone()),
                event_pattern: Some(rule.pattern.to_string()),
                ..Default::default()
            };
            self.ask(events::PutRule, &input, &[]).await?;
            let targets = vec![rule.target.clone()];
            let input = events::PutTargetsInput { rule: rule.name.clone(), targets, ..Default::default() };
            let put = self.ask(events::PutTargets, &input, &[]).await?.unwrap_or_default();
            if let Some(entry) = put.failed_entries.unwrap_or_default().into_iter().next() {
                let message = entry.error_message.unwrap_or_default();
                return Err(failed(ErrorKind::Bug, format!("rule {}: {message}", rule.name)));
            }
        }
        // Rules about mail that nobody gets any more.
        let wanted: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        for rule in self.rules_of(parts).await? {
            if !wanted.contains(rule.as_str()) {
                self.remove_rule(&rule).await?;
            }
        }
        Ok(())
    }

    /// The names of the rules that are there, of those that a flow can have.
    async fn rules_of(&self, parts: &Parts<'_>) -> Result<Vec<String>, FlowError> {
        let mut found = Vec::new();
        for what in ["arrived", "crawled", "converted", "failed", "crawl-failed"] {
            let name = format!("{}-{what}", parts.name());
            let input = events::DescribeRuleInput { name: name.clone(), ..Default::default() };
            if self.ask(events::DescribeRule, &input, &["ResourceNotFoundException"]).await?.is_some() {
                found.push(name);
            }
        }
        Ok(found)
    }

    async fn remove_rule(&self, name: &str) -> Result<(), FlowError> {
        let input = events::ListTargetsByRuleInput { rule: name.to_owned(), ..Default::default() };
        let listed = self.ask(events::ListTargetsByRule, &input, &["ResourceNotFoundException"]).await?;
        let ids: Vec<String> =
            listed.and_then(|listed| listed.targets).unwrap_or_default().into_iter().map(|target| target.id).collect();
        if !ids.is_empty() {
            let input = events::RemoveTargetsInput { rule: name.to_owned(), ids, ..Default::default() };
            self.ask(events::RemoveTargets, &input, &["ResourceNotFoundException"]).await?;
        }
        let input = events::DeleteRuleInput { name: name.to_owned(), ..Default::default() };
        self.ask(events::DeleteRule, &input, &["ResourceNotFoundException"]).await.map(drop)
    }

    /// Calls an operation as a client would, without the network. `None`: it failed with one of the `harmless` codes.
    async fn ask<O: Operation>(
        &self,
        _operation: O,
        input: &O::Input,
        harmless: &[&str],
    ) -> Result<Option<O::Output>, FlowError> {
        let body = wire::request::<O>(input).into_body();
        let answered = match self.router.call(O::SERVICE, O::NAME, self.context(), body).await {
            Ok(response) => wire::response::<O>(response.status(), response.body()),
            Err(error) => Err(error),
        };
        match answered {
            Ok(output) => Ok(Some(output)),
            Err(error) if harmless.contains(&&*error.code) => Ok(None),
            Err(error) => Err(of_wire(O::NAME, &error)),
        }
    }

    fn context(&self) -> Context {
        let account = self.lake.place.account.clone();
        Context {
            principal: Caller::root(&account, ""),
            account,
            region: self.lake.place.region.clone(),
            source_ip: String::new(),
            request_id: millpond_core::env::EnvExt::uuid(self.lake.store.env().as_ref()),
            now_ms: self.lake.store.env().now_ms(),
            endpoint: String::new(),
            host: None,
        }
    }

    fn shown(&self, stored: &Stored) -> Value {
        let Stored { flow, origin } = stored;
        json!({
            "name": flow.name,
            "source": flow.source(),
            "target": flow.target(),
            "origin": match origin { Origin::File => "millpond.toml", Origin::Api => "flow add" },
            "flow": flow,
            "parts": self.parts(flow).summary(),
        })
    }
}

#[async_trait]
impl Flows for FlowManager {
    async fn list(&self) -> Result<Value, FlowError> {
        let flows = self.all().await?;
        Ok(json!({ "flows": flows.iter().map(|stored| self.shown(stored)).collect::<Vec<_>>() }))
    }

    async fn put(&self, flow: Value) -> Result<Value, FlowError> {
        let flow: Flow =
            serde_json::from_value(flow).map_err(|error| failed(ErrorKind::Input, format!("this is no flow: {error}")))?;
        for stored in self.all().await? {
            if stored.flow.name == flow.name && stored.origin == Origin::File {
                let message =
                    format!("the flow '{}' is declared in millpond.toml; change it there, and start the lake again", flow.name);
                return Err(failed(ErrorKind::Conflict, message));
            }
            if stored.flow.name != flow.name && stored.flow.target() == flow.target() {
                let message =
                    format!("the flow '{}' writes to {} already; choose another table", stored.flow.name, flow.target());
                return Err(failed(ErrorKind::Conflict, message));
            }
        }
        let parts = self.set_up(&flow, Origin::Api).await?;
        Ok(json!({ "parts": parts }))
    }

    async fn remove(&self, name: &str) -> Result<(), FlowError> {
        let stored = self.get(name).await?;
        if stored.origin == Origin::File {
            let message = format!("the flow '{name}' is declared in millpond.toml; remove it there, and start the lake again");
            return Err(failed(ErrorKind::Conflict, message));
        }
        self.take_down(&stored.flow).await
    }

    async fn run(&self, name: &str) -> Result<(), FlowError> {
        let stored = self.get(name).await?;
        let input = glue::StartCrawlerInput { name: self.parts(&stored.flow).name() };
        // One that runs already takes what is there.
        self.ask(glue::StartCrawler, &input, &["CrawlerRunningException"]).await.map(drop)
    }
}
