//! Rust names for AWS names.

/// The words of a CamelCase name: `DAGEdges` is `DAG`, `Edges`; `S3Targets` is `S3`, `Targets`;
/// `AWSAccountId` is `AWS`, `Account`, `Id`.
fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (i, &c) in characters.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        let before = i.checked_sub(1).map(|i| characters[i]);
        let after = characters.get(i + 1).copied();
        let starts = c.is_ascii_uppercase()
            && match before {
                Some(before) if before.is_ascii_uppercase() => {
                    // The last capital of a run begins the next word (`AWSAccount`), unless it is
                    // the run's plural (`ARNs`).
                    after.is_some_and(|after| after.is_ascii_lowercase()) && !is_plural_of_run(&characters, i)
                }
                Some(_) => true,
                None => false,
            };
        if starts && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn is_plural_of_run(characters: &[char], i: usize) -> bool {
    characters.get(i + 1) == Some(&'s') && characters.get(i + 2).is_none_or(|c| !c.is_ascii_lowercase())
}

/// `DatabaseName` as `database_name`; keywords as raw identifiers.
pub(super) fn field(name: &str) -> String {
    let name = words(name).join("_").to_ascii_lowercase();
    const KEYWORDS: &[&str] = &[
        "as", "async", "await", "break", "const", "continue", "dyn", "else", "enum", "extern", "false", "fn", "for", "gen", "if",
        "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "static", "struct", "trait", "true",
        "type", "unsafe", "use", "where", "while",
    ];
    if KEYWORDS.contains(&name.as_str()) { format!("r#{name}") } else { name }
}

/// `NameString` as `NAME_STRING`.
pub(super) fn constant(name: &str) -> String {
    words(name).join("_").to_ascii_uppercase()
}

/// A shape's name as a Rust type: CamelCase, kept as AWS writes it.
pub(super) fn type_name(name: &str) -> String {
    let mut characters = name.chars().filter(char::is_ascii_alphanumeric);
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

/// An enumeration's value as a variant: `NOT_STARTED` is `NotStarted`, `G.1X` is `G1X`.
pub(super) fn variant(value: &str) -> String {
    let mut name = String::new();
    for word in words(value) {
        let mut characters = word.chars();
        if let Some(first) = characters.next() {
            name.push(first.to_ascii_uppercase());
            name.extend(characters.map(|c| c.to_ascii_lowercase()));
        }
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() || name == "Self" {
        name.insert(0, 'V');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_where_a_reader_would_split_them() {
        for (aws, rust) in [
            ("DatabaseName", "database_name"),
            ("AWSAccountId", "aws_account_id"),
            ("S3Targets", "s3_targets"),
            ("DynamoDBTargets", "dynamo_db_targets"),
            ("MongoDBTargets", "mongo_db_targets"),
            ("ResourceARN", "resource_arn"),
            ("TagKeysToAdd", "tag_keys_to_add"),
            ("EventBusARNs", "event_bus_arns"),
            ("Type", "r#type"),
            ("arn", "arn"),
            ("GlueVersion", "glue_version"),
            ("nextToken", "next_token"),
        ] {
            assert_eq!(field(aws), rust);
        }
        for (aws, rust) in [
            ("NOT_STARTED", "NotStarted"),
            ("G.1X", "G1X"),
            ("SUCCEEDED", "Succeeded"),
            ("IAM_Role", "IamRole"),
            ("Standard", "Standard"),
            ("2.0", "V20"),
            ("nodejs20.x", "Nodejs20X"),
        ] {
            assert_eq!(variant(aws), rust);
        }
    }
}
