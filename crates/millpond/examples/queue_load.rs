//! Loads a queue service by its JSON protocol, as fast as it answers, and says how fast that was: any endpoint that speaks SQS will do.
//!
//!     queue_load --endpoint http://127.0.0.1:4566 --queue load --messages 100000 --connections 16 --batch 1
//!
//! First all messages are sent, then all are received and deleted; or with `--together` both at the same time. Each connection asks, waits for
//! the answer, and asks again. One line of JSON for each phase. Ends with an error where a message is lost, and counts
//! those that come `twice`.
#![allow(clippy::print_stdout)]

mod load;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use load::{Caller, Endpoint, Phase};
use millpond_core::env::{Env, SystemEnv};
use millpond_wire::Operation;
use millpond_wire::sqs::*;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Parser)]
struct Arguments {
    #[command(flatten)]
    service: Endpoint,
    /// The queue's name; it is created where it is missing, and should be empty.
    #[arg(long, default_value = "load")]
    queue: String,
    /// How many.
    #[arg(long, default_value_t = 50_000)]
    messages: usize,
    /// How many ask at the same time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Messages of one request, from 1 to 10: with 1 the requests are `SendMessage` and `DeleteMessage`, else their batches.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Of a message's text.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Send, and receive and delete, at the same time.
    #[arg(long)]
    together: bool,
    /// Send, and leave the messages where they are.
    #[arg(long)]
    send_only: bool,
    /// The queue holds other messages too: so many of any are received.
    #[arg(long)]
    any: bool,
    /// Groups of a FIFO queue (its name ends with `.fifo`).
    #[arg(long, default_value_t = 100)]
    groups: usize,
}

#[derive(Clone)]
struct Client {
    caller: Caller,
    arguments: Arc<Arguments>,
    url: String,
    run: i64,
}

impl Client {
    /// Of a batch: only that no entry failed. Not all peers write what the model says must be there.
    async fn batch<O: Operation>(&self, operation: O, input: &O::Input) -> Result<()> {
        let (status, body) = self.caller.exchange(operation, input).await?;
        ensure!(status.is_success(), "{} failed: {}", O::NAME, String::from_utf8_lossy(&body));
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        ensure!(answer["Failed"].as_array().is_none_or(Vec::is_empty), "entries failed: {}", answer["Failed"]);
        Ok(())
    }

    /// Sends messages, and says how long each request took.
    async fn send(&self, next: &AtomicUsize, times: &mut Vec<Duration>) -> Result<()> {
        let Arguments { messages, batch, .. } = *self.arguments;
        loop {
            let first = next.fetch_add(batch, Ordering::Relaxed);
            if first >= messages {
                return Ok(());
            }
            let numbers = first..(first + batch).min(messages);
            let began = Instant::now();
            match batch {
                1 => drop(self.caller.call(SendMessage, &self.message(first)).await?),
                _ => {
                    let entries = numbers.map(|number| self.entry(number)).collect();
                    self.batch(SendMessageBatch, &SendMessageBatchInput { queue_url: self.url.clone(), entries }).await?;
                }
            }
            times.push(began.elapsed());
        }
    }

    fn body(&self, number: usize) -> String {
        format!("{number:010} {}", "x".repeat(self.arguments.bytes.saturating_sub(11)))
    }

    fn group(&self, number: usize) -> (Option<String>, Option<String>) {
        match self.arguments.queue.ends_with(".fifo") {
            // Another run within five minutes sends no duplicates.
            true => (Some(format!("g{}", number % self.arguments.groups)), Some(format!("{}-{number}", self.run))),
            false => (None, None),
        }
    }

    fn message(&self, number: usize) -> SendMessageInput {
        let (message_group_id, message_deduplication_id) = self.group(number);
        let queue_url = self.url.clone();
        SendMessageInput {
            queue_url,
            message_body: self.body(number),
            message_group_id,
            message_deduplication_id,
            ..Default::default()
        }
    }

    fn entry(&self, number: usize) -> SendMessageBatchRequestEntry {
        let (message_group_id, message_deduplication_id) = self.group(number);
        SendMessageBatchRequestEntry {
            id: number.to_string(),
            message_body: self.body(number),
            message_group_id,
            message_deduplication_id,
            ..Default::default()
        }
    }

    /// Receives and deletes messages until all are done; says how long each pair of requests took, and answers the messages' numbers.
    async fn consume(&self, done: &AtomicUsize, end: &OnceLock<Instant>, times: &mut Vec<Duration>) -> Result<Vec<usize>> {
        let Arguments { messages, batch, .. } = *self.arguments;
        let ask = ReceiveMessageInput {
            queue_url: self.url.clone(),
            max_number_of_messages: Some(i32::try_from(batch)?),
            wait_time_seconds: Some(1),
            ..Default::default()
        };
        let (mut numbers, mut empty) = (Vec::new(), 0);
        while done.load(Ordering::Relaxed) < messages {
            let began = Instant::now();
            let received = self.caller.call(ReceiveMessage, &ask).await?.messages.unwrap_or_default();
            if received.is_empty() {
                empty += 1;
                ensure!(empty < 90, "{} of {messages} messages came", done.load(Ordering::Relaxed));
                continue;
            }
            let count = received.len();
            let mut entries = Vec::new();
            for message in received {
                let body = message.body.unwrap_or_default();
                numbers.push(body.split(' ').next().unwrap_or_default().parse().context("a message that was not sent here")?);
                entries.push(DeleteMessageBatchRequestEntry {
                    id: entries.len().to_string(),
                    receipt_handle: message.receipt_handle.unwrap_or_default(),
                });
            }
            match (batch, entries.pop()) {
                (1, Some(entry)) => {
                    let queue_url = self.url.clone();
                    self.caller
                        .call(DeleteMessage, &DeleteMessageInput { queue_url, receipt_handle: entry.receipt_handle })
                        .await?;
                }
                (_, last) => {
                    entries.extend(last);
                    self.batch(DeleteMessageBatch, &DeleteMessageBatchInput { queue_url: self.url.clone(), entries }).await?;
                }
            }
            times.push(began.elapsed());
            if done.fetch_add(count, Ordering::Relaxed) + count >= messages {
                // The others may still wait for a message.
                let _ = end.set(Instant::now());
            }
        }
        Ok(numbers)
    }
}

/// Starts one task for each connection; answers what they answered, and how fast that was.
async fn phase<T, F, R>(name: &str, arguments: &Arguments, end: &OnceLock<Instant>, one: F) -> Result<(Vec<T>, serde_json::Value)>
where
    T: Send + 'static,
    F: Fn() -> R,
    R: Future<Output = Result<(T, Vec<Duration>)>> + Send + 'static,
{
    let began = Instant::now();
    let tasks: Vec<_> = (0..arguments.connections).map(|_| tokio::spawn(one())).collect();
    let (mut answers, mut times) = (Vec::new(), Vec::new());
    for task in tasks {
        let (answer, took) = task.await??;
        answers.push(answer);
        times.extend(took);
    }
    let seconds = (*end.get_or_init(Instant::now) - began).as_secs_f64();
    let Arguments { messages, batch, connections, .. } = *arguments;
    let phase = Phase { name, unit: "messages", count: messages, batch, connections };
    Ok((answers, phase.told(seconds, times)))
}

async fn send(client: &Client) -> Result<String> {
    let next = Arc::new(AtomicUsize::new(0));
    let one = || {
        let (client, next) = (client.clone(), next.clone());
        async move {
            let mut times = Vec::new();
            client.send(&next, &mut times).await?;
            Ok(((), times))
        }
    };
    Ok(phase("send", &client.arguments, &OnceLock::new(), one).await?.1.to_string())
}

async fn consume(client: &Client) -> Result<String> {
    let (done, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
    let one = || {
        let (client, done, end) = (client.clone(), done.clone(), end.clone());
        async move {
            let mut times = Vec::new();
            let numbers = client.consume(&done, &end, &mut times).await?;
            Ok((numbers, times))
        }
    };
    let (numbers, mut line) = phase("receive and delete", &client.arguments, &end, one).await?;
    let numbers: Vec<usize> = numbers.into_iter().flatten().collect();
    if client.arguments.any {
        return Ok(line.to_string());
    }
    let distinct: HashSet<_> = numbers.iter().collect();
    ensure!(distinct.len() == client.arguments.messages, "{} of {} messages came", distinct.len(), client.arguments.messages);
    line["twice"] = (numbers.len() - distinct.len()).into();
    Ok(line.to_string())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!((1..=10).contains(&arguments.batch), "--batch is from 1 to 10");
    let caller = Caller::new(arguments.service.clone(), "sqs")?;
    let mut client = Client { caller, arguments: Arc::new(arguments), url: String::new(), run: SystemEnv.now_ms() };
    let fifo = client.arguments.queue.ends_with(".fifo").then(|| [("FifoQueue".to_owned(), "true".to_owned())].into());
    let new = CreateQueueInput { queue_name: client.arguments.queue.clone(), attributes: fifo, ..Default::default() };
    match client.caller.call(CreateQueue, &new).await?.queue_url {
        Some(url) => client.url = url,
        None => bail!("CreateQueue answered no URL"),
    }
    if client.arguments.send_only {
        println!("{}", send(&client).await?);
    } else if client.arguments.together {
        let (sent, consumed) = tokio::try_join!(send(&client), consume(&client))?;
        println!("{sent}\n{consumed}");
    } else {
        println!("{}", send(&client).await?);
        println!("{}", consume(&client).await?);
    }
    Ok(())
}
