//! Puts and gets single items of a table over HTTP, as fast as the service answers, and says how fast that was: any endpoint that speaks DynamoDB will do.
//!
//!     items_load --endpoint http://127.0.0.1:4566 --table load --items 100000 --connections 64
//!
//! First all items are put, one a request (with `--batch`, up to 25); then all are got, in another order, and looked at. Each connection asks, waits for the answer, and asks again. One
//! line of JSON for each phase. Ends with an error where an item is lost or is another than was put.
#![allow(clippy::print_stdout)]

mod load;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use load::{Caller, Endpoint, Phase};
use millpond_wire::dynamodb::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

#[derive(Debug, Clone, Parser)]
struct Arguments {
    #[command(flatten)]
    service: Endpoint,
    /// The table's name; it is created where it is missing, with the key `id` (S).
    #[arg(long, default_value = "load")]
    table: String,
    /// How many.
    #[arg(long, default_value_t = 50_000)]
    items: usize,
    /// How many ask at the same time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Items of one request, from 1 to 25: with 1 it is `PutItem`, else `BatchWriteItem`.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Put items, and get none.
    #[arg(long)]
    put_only: bool,
    /// Of an item's text, besides its key and a few numbers.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
}

#[derive(Clone)]
struct Client {
    caller: Caller,
    arguments: Arc<Arguments>,
}

impl Client {
    async fn table(&self) -> Result<()> {
        let table_name = self.arguments.table.clone();
        if self.caller.call(DescribeTable, &DescribeTableInput { table_name: table_name.clone() }).await.is_ok() {
            return Ok(());
        }
        let id = || "id".to_owned();
        let new = CreateTableInput {
            table_name,
            attribute_definitions: Some(vec![AttributeDefinition {
                attribute_name: id(),
                attribute_type: ScalarAttributeType::S,
            }]),
            key_schema: Some(vec![KeySchemaElement { attribute_name: id(), key_type: KeyType::Hash }]),
            billing_mode: Some(BillingMode::PayPerRequest),
            ..Default::default()
        };
        self.caller.call(CreateTable, &new).await.map(drop)
    }

    fn item(&self, number: usize) -> BTreeMap<String, serde_json::Value> {
        let text = "x".repeat(self.arguments.bytes);
        let item = [
            ("id", json!({ "S": id(number) })),
            ("number", json!({ "N": number.to_string() })),
            ("price", json!({ "N": format!("{}.{:02}", number % 1000, number % 100) })),
            ("text", json!({ "S": text })),
        ];
        item.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    async fn put(&self, number: usize) -> Result<()> {
        let table_name = self.arguments.table.clone();
        self.caller.call(PutItem, &PutItemInput { table_name, item: self.item(number), ..Default::default() }).await.map(drop)
    }

    async fn put_batch(&self, number: usize) -> Result<()> {
        let Arguments { batch, items, .. } = *self.arguments;
        let request = |number| WriteRequest { put_request: Some(PutRequest { item: self.item(number) }), ..Default::default() };
        let mut requests: Vec<WriteRequest> = (number * batch..((number + 1) * batch).min(items)).map(request).collect();
        while !requests.is_empty() {
            let request_items = [(self.arguments.table.clone(), requests)].into_iter().collect();
            let answer = self.caller.call(BatchWriteItem, &BatchWriteItemInput { request_items, ..Default::default() }).await?;
            requests = answer.unprocessed_items.unwrap_or_default().remove(&self.arguments.table).unwrap_or_default();
        }
        Ok(())
    }

    async fn get(&self, number: usize) -> Result<()> {
        // All of them, each once, in an order that has nothing to do with that of the puts.
        let number = (number * 7_919) % self.arguments.items;
        let key = [("id".to_owned(), json!({ "S": id(number) }))].into_iter().collect();
        let input =
            GetItemInput { table_name: self.arguments.table.clone(), key, consistent_read: Some(true), ..Default::default() };
        let item = self.caller.call(GetItem, &input).await?.item.with_context(|| format!("item {number} is lost"))?;
        let found = item.get("number").map(|value| value["N"].clone());
        ensure!(found == Some(json!(number.to_string())), "item {number} is another: {item:?}");
        Ok(())
    }
}

fn id(number: usize) -> String {
    // Spread, as ids are: neighbours in time are none in the table.
    format!("{:016x}-{number}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Does `one` for each number, on so many connections; answers the line of JSON.
async fn phase<F, R>(client: &Client, name: &str, batch: usize, one: F) -> Result<String>
where
    F: Fn(Client, usize) -> R + Clone + Send + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    let Arguments { items, connections, .. } = *client.arguments;
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (client, next, one) = (client.clone(), next.clone(), one.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= items.div_ceil(batch) {
                        return anyhow::Ok(times);
                    }
                    let began = Instant::now();
                    one(client.clone(), number).await?;
                    times.push(began.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::with_capacity(items);
    for task in tasks {
        times.extend(task.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let phase = Phase { name, unit: "items", count: items, batch, connections };
    Ok(phase.told(seconds, times).to_string())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!((1..=25).contains(&arguments.batch), "--batch is from 1 to 25");
    ensure!(arguments.items % 7_919 != 0, "--items must be no multiple of 7919, by which they are got in another order");
    let caller = Caller::new(arguments.service.clone(), "dynamodb")?;
    let client = Client { caller, arguments: Arc::new(arguments) };
    client.table().await?;
    let line = match client.arguments.batch {
        1 => phase(&client, "PutItem", 1, |client, number| async move { client.put(number).await }).await?,
        batch => phase(&client, "BatchWriteItem", batch, |client, number| async move { client.put_batch(number).await }).await?,
    };
    println!("{line}");
    if !client.arguments.put_only {
        println!("{}", phase(&client, "GetItem", 1, |client, number| async move { client.get(number).await }).await?);
    }
    Ok(())
}
