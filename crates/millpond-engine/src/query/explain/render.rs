//! Trees of operators as text, JSON and a graph.

use super::{Fragment, Node, Stats, Times};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The tree, a line an operator and its details below it. `total` is what all operators took, where they ran.
pub(super) fn tree(root: &Node, total: Option<Duration>) -> String {
    let mut out = String::new();
    write(root, total, "", "", &mut out);
    out.truncate(out.trim_end_matches('\n').len());
    out
}

fn write(node: &Node, total: Option<Duration>, head: &str, indent: &str, out: &mut String) {
    out.push_str(&format!("{head}{}{}\n", node.name, identifier(node)));
    let detail = format!("{indent}{}", if node.children.is_empty() { "    " } else { "│   " });
    let outputs: Vec<String> = node.outputs.iter().map(|(name, data_type)| format!("{name}:{data_type}")).collect();
    out.push_str(&format!("{detail}Layout: [{}]\n", outputs.join(", ")));
    match (total, node.stats) {
        (Some(total), Some(stats)) => {
            let share = if total.is_zero() { 0.0 } else { 100.0 * stats.cpu.as_secs_f64() / total.as_secs_f64() };
            out.push_str(&format!("{detail}CPU: {} ({share:.2}%), Output: {}\n", duration(stats.cpu), rows(stats)));
        }
        (Some(_), None) => {}
        (None, _) => out.push_str(&format!("{detail}Estimates: {{rows: ? (?), cpu: ?, memory: ?, network: ?}}\n")),
    }
    for line in node.details.iter().flat_map(|text| text.lines()) {
        out.push_str(&format!("{detail}{line}\n"));
    }
    for (index, child) in node.children.iter().enumerate() {
        let last = index + 1 == node.children.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        write(child, total, &format!("{indent}{branch}"), &format!("{indent}{below}"), out);
    }
}

/// `[table = awsdatacatalog:db:t]`
fn identifier(node: &Node) -> String {
    let pairs: Vec<String> = node.descriptor.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("[{}]", pairs.join(", "))
}

/// `10 rows (1.48kB)`
fn rows(stats: Stats) -> String {
    format!("{} {} ({})", stats.rows, if stats.rows == 1 { "row" } else { "rows" }, size(stats.bytes))
}

/// The time in the largest unit that leaves a whole number before the point.
pub(super) fn duration(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let units = [(86_400e9, "d"), (3_600e9, "h"), (60e9, "m"), (1e9, "s"), (1e6, "ms"), (1e3, "us")];
    match units.iter().find(|(unit, _)| nanos >= *unit) {
        Some((unit, name)) => format!("{:.2}{name}", nanos / unit),
        None => format!("{nanos:.2}ns"),
    }
}

fn size(bytes: u64) -> String {
    let units = [("PB", 1_u64 << 50), ("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.2}{name}", bytes as f64 / *unit as f64),
        None => format!("{bytes}B"),
    }
}

fn total(fragments: &[Fragment]) -> Duration {
    fragments.iter().map(|fragment| spent(&fragment.root)).sum()
}

fn spent(root: &Node) -> Duration {
    let mut sum = Duration::ZERO;
    root.walk(&mut |node| sum += node.stats.map_or(Duration::ZERO, |stats| stats.cpu));
    sum
}

/// What comes into a fragment: out of the tables it scans, or the fragments it reads.
fn input(root: &Node) -> Stats {
    let mut sum = Stats::default();
    root.walk(&mut |node| {
        if let (true, Some(stats)) = (node.children.is_empty(), node.stats) {
            sum.rows += stats.rows;
            sum.bytes += stats.bytes;
        }
    });
    sum
}

/// All fragments, with an empty line behind each.
pub(super) fn fragments(fragments: &[Fragment], times: Option<Times>) -> String {
    let all = times.map(|_| total(fragments));
    let mut out = String::new();
    if let Some(times) = times {
        let (planning, execution) = (duration(times.planning), duration(times.execution));
        out.push_str(&format!("Queued: 0.00ns, Planning: {planning}, Execution: {execution}\n"));
    }
    for (number, fragment) in fragments.iter().enumerate() {
        out.push_str(&format!("Fragment {number} [{}]\n", fragment.kind));
        if times.is_some() {
            let (cpu, incoming) = (duration(spent(&fragment.root)), rows(input(&fragment.root)));
            let outgoing = rows(fragment.root.stats.unwrap_or_default());
            out.push_str(&format!("    CPU: {cpu}, Input: {incoming}, Output: {outgoing}\n"));
        }
        let layout: Vec<&str> = fragment.root.outputs.iter().map(|(name, _)| name.as_str()).collect();
        out.push_str(&format!("    Output layout: [{}]\n", layout.join(", ")));
        out.push_str(&format!("    Output partitioning: {}\n", fragment.partitioning));
        for line in tree(&fragment.root, all).lines() {
            out.push_str(&format!("    {line}\n"));
        }
        out.push('\n');
    }
    out
}

/// The tree as Trino's JSON: numbers from the root, in text.
pub(super) fn json_tree(root: &Node) -> String {
    let mut next = 0;
    pretty(&object(root, &mut next))
}

/// One tree a fragment, by its number.
pub(super) fn json_fragments(fragments: &[Fragment]) -> String {
    let mut next = 0;
    let all: Map<String, Value> =
        fragments.iter().enumerate().map(|(number, fragment)| (number.to_string(), object(&fragment.root, &mut next))).collect();
    pretty(&Value::Object(all))
}

fn object(node: &Node, next: &mut usize) -> Value {
    let id = next.to_string();
    *next += 1;
    let descriptor: Map<String, Value> =
        node.descriptor.iter().map(|(key, value)| ((*key).to_owned(), Value::String(value.clone()))).collect();
    let outputs: Vec<Value> = node.outputs.iter().map(|(name, data_type)| json!({"symbol": name, "type": data_type})).collect();
    let children: Vec<Value> = node.children.iter().map(|child| object(child, next)).collect();
    let mut object = json!({
        "id": id,
        "name": node.name,
        "descriptor": descriptor,
        "outputs": outputs,
        "details": node.details,
        "estimates": [],
        "children": children,
    });
    if let Some(stats) = node.stats.filter(|stats| stats.rows > 0 || !stats.cpu.is_zero()) {
        object["distributedNodeStats"] = json!({
            "nodeCpuTime": duration(stats.cpu),
            "nodeOutputRows": stats.rows,
            "nodeOutputDataSize": format!("{}B", stats.bytes),
        });
    }
    object
}

pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A graph for `dot`, a cluster a fragment.
pub(super) fn graphviz(roots: &[(usize, &Node)], name: &str) -> String {
    let mut out = format!("digraph {name} {{\n");
    let mut edges = String::new();
    let mut next = 0;
    for (number, root) in roots {
        out.push_str(&format!("subgraph cluster_{number} {{\nlabel = \"fragment {number}\"\n"));
        vertex(root, &mut next, &mut out, &mut edges);
        out.push_str("}\n");
    }
    out.push_str(&edges);
    out.push_str("}\n");
    out
}

fn vertex(node: &Node, next: &mut usize, out: &mut String, edges: &mut String) -> usize {
    *next += 1;
    let number = *next;
    let label = format!("{{{}{}}}", node.name, identifier(node));
    let mut text = String::new();
    for character in label.chars() {
        match character {
            '"' | '\\' | '|' | '<' | '>' => text.extend(['\\', character]),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    let shape = "style=\"rounded, filled\", shape=record, fillcolor=white";
    out.push_str(&format!("plannode_{number}[label=\"{text}\", {shape}];\n"));
    for child in &node.children {
        let below = vertex(child, next, out, edges);
        edges.push_str(&format!("plannode_{number} -> plannode_{below};\n"));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_drawn_as_trino_does() {
        let scan = Node { outputs: vec![("a".into(), "bigint".into())], ..Node::new("TableScan") }.with("table", "c:d:t");
        let join = Node { children: vec![scan.clone(), scan], ..Node::new("CrossJoin") };
        let expected = "CrossJoin[]\n│   Layout: []\n│   Estimates: {rows: ? (?), cpu: ?, memory: ?, network: ?}\n\
                        ├─ TableScan[table = c:d:t]\n│      Layout: [a:bigint]\n│      Estimates: {rows: ? (?), cpu: ?, memory: ?, network: ?}\n\
                        └─ TableScan[table = c:d:t]\n       Layout: [a:bigint]\n       Estimates: {rows: ? (?), cpu: ?, memory: ?, network: ?}";
        assert_eq!(tree(&join, None), expected);
        assert!(graphviz(&[(0, &join)], "logical_plan").contains("plannode_1 -> plannode_3;"));
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration(Duration::from_micros(1500)), "1.50ms");
        assert_eq!(duration(Duration::from_nanos(7)), "7.00ns");
        assert_eq!((size(1514), size(900)), ("1.48kB".to_owned(), "900B".to_owned()));
    }
}
