//! A workflow as a graph: its triggers, and the jobs and crawlers that they wait for and start.

use crate::glue::crawler::{self, Crawl};
use crate::glue::job::{self, JobRun};
use crate::glue::trigger::rows::Started;
use crate::glue::trigger::{self, Trigger};
use millpond_store::StoreError;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Nodes and edges.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// Each once.
    pub nodes: Vec<Node>,
    /// From what comes before to what comes after.
    pub edges: Vec<Edge>,
}

/// A trigger, a job or a crawler.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The same for as long as the workflow has it.
    pub id: String,
    /// Of the trigger, job or crawler.
    pub name: String,
    /// What it is, and did.
    pub details: NodeDetails,
}

/// What a node is, and what it did in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeDetails {
    /// With its definition.
    Trigger(Box<Trigger>),
    /// With its runs.
    Job(Vec<JobRun>),
    /// With its crawls.
    Crawler(Vec<Crawl>),
}

/// From the node of one id to that of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The node before.
    pub source: String,
    /// The node after.
    pub destination: String,
}

fn node_id(workflow: &str, node: &str) -> String {
    format!("wnode_{}", hex::encode(Sha256::digest(format!("{workflow}\n{node}").as_bytes())))
}

/// The graph of a workflow as it is defined.
pub fn of_workflow(connection: &Connection, workflow: &str) -> Result<Graph, StoreError> {
    of_run(connection, workflow, &[])
}

/// The graph of a workflow with what a run of it started.
pub fn of_run(connection: &Connection, workflow: &str, started: &[Started]) -> Result<Graph, StoreError> {
    let mut graph = Graph::default();
    let mut others: BTreeMap<String, NodeDetails> = BTreeMap::new();
    for trigger in trigger::rows::of_workflow(connection, workflow)? {
        let own = node_id(workflow, &format!("trigger/{}", trigger.name));
        let before = trigger.spec.conditions().iter().filter_map(|condition| condition.node().ok());
        let after = trigger.spec.actions.iter().filter_map(|action| action.node().ok());
        for (node, comes_after) in before.map(|node| (node, false)).chain(after.map(|node| (node, true))) {
            let other = node_id(workflow, &node);
            let (source, destination) = if comes_after { (own.clone(), other) } else { (other, own.clone()) };
            let edge = Edge { source, destination };
            if !graph.edges.contains(&edge) {
                graph.edges.push(edge);
            }
            let empty = if node.starts_with("job/") { NodeDetails::Job(Vec::new()) } else { NodeDetails::Crawler(Vec::new()) };
            others.entry(node).or_insert(empty);
        }
        graph.nodes.push(Node { id: own, name: trigger.name.clone(), details: NodeDetails::Trigger(Box::new(trigger)) });
    }
    for one in started {
        match others.get_mut(&one.node) {
            Some(NodeDetails::Job(runs)) => runs.extend(job::rows::attempts(connection, &one.id)?),
            Some(NodeDetails::Crawler(crawls)) => crawls.extend(crawler::rows::crawl(connection, &one.id)?),
            _ => {}
        }
    }
    graph.nodes.extend(others.into_iter().map(|(node, details)| {
        let name = node.split_once('/').map_or(node.as_str(), |(_, name)| name).to_owned();
        Node { id: node_id(workflow, &node), name, details }
    }));
    Ok(graph)
}
