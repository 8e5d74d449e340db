//! What queries cost at AWS's price, and what they were spared, in words.

use super::out;
use crate::client::Client;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Of each of these executions, where the lake tells: `$0.0001 at AWS, spared $0.0013 (283.1 MB)`.
pub async fn of(client: &Client, ids: &[String]) -> HashMap<String, String> {
    // What only adds to an answer must not spoil it.
    let Ok(told) = client.own("queries/costs", &json!({ "ids": ids })).await else { return HashMap::new() };
    let costs = told["costs"].as_object().into_iter().flatten();
    costs.filter_map(|(id, cost)| Some((id.clone(), words(cost)?))).collect()
}

fn words(cost: &Value) -> Option<String> {
    let (usd, spared_usd) = (cost["usd"].as_f64()?, cost["spared_usd"].as_f64()?);
    let spared = cost["spared_bytes"].as_u64()?;
    if usd == 0.0 && spared == 0 {
        return None;
    }
    let again = if cost["reused"].as_bool() == Some(true) { ", an earlier result" } else { "" };
    let spared = match spared {
        0 => String::new(),
        bytes => format!(", spared {} ({}{again})", dollars(spared_usd), out::bytes(bytes)),
    };
    Some(format!("{} at AWS{spared}", dollars(usd)))
}

/// With as many digits as it takes to see something.
fn dollars(usd: f64) -> String {
    match usd {
        0.0 => "$0".to_owned(),
        usd if usd < 0.01 => format!("${usd:.5}"),
        usd => format!("${usd:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_told_where_there_are_any() {
        let cost = |usd: f64, spared_usd: f64, spared_bytes: u64, reused: bool| {
            words(&json!({ "usd": usd, "spared_usd": spared_usd, "spared_bytes": spared_bytes, "reused": reused }))
        };
        assert_eq!(cost(0.0, 0.0, 0, false), None);
        assert_eq!(cost(0.000_047_68, 0.0, 0, false).as_deref(), Some("$0.00005 at AWS"));
        let expected = "$0.00005 at AWS, spared $1.25 (250.0 GB)";
        assert_eq!(cost(0.000_047_68, 1.25, 250_000_000_000, false).as_deref(), Some(expected));
        assert_eq!(cost(0.0, 0.5, 1000, true).as_deref(), Some("$0 at AWS, spared $0.50 (1.0 kB, an earlier result)"));
    }
}
