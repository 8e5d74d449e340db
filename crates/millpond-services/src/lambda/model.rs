//! What a function is configured with, and which configurations can be.

use super::LambdaError;
use millpond_core::arn::{Arn, Place};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Variables of a function's environment: insertion order is of no account.
pub type Variables = BTreeMap<String, String>;

/// Tags, by key.
pub type Tags = BTreeMap<String, String>;

/// All variables together, as JSON, in bytes: "Lambda quotas".
const ENVIRONMENT_MAX: usize = 4096;

/// Layers of a function.
const LAYERS_MAX: usize = 5;

/// Tags of a resource.
const TAGS_MAX: usize = 50;

/// Variables that Lambda sets itself: "Defined runtime environment variables".
const RESERVED: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// The configuration of one version of a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// For example `python3.12`.
    pub runtime: String,
    /// For example `app.handler`.
    pub handler: String,
    /// The role's ARN.
    pub role: String,
    /// For people.
    pub description: String,
    /// 1 to 900.
    pub timeout_s: u32,
    /// 128 to 10,240.
    pub memory_mb: u32,
    /// Absent where none was ever given.
    pub environment: Option<Variables>,
    /// In the order in which they are laid over each other.
    pub layers: Vec<Layer>,
    /// The queue or topic that gets events that failed.
    pub dead_letter: Option<String>,
    /// Of `/tmp`, 512 to 10,240.
    pub ephemeral_mb: u32,
    /// `x86_64` or `arm64`: kept, and told; what runs is what the machine can run.
    pub architecture: String,
    /// `PassThrough` or `Active`: kept, and told.
    pub tracing: String,
    /// Kept, and told: functions use the machine's network.
    pub vpc: Option<Vpc>,
    /// `None` or `PublishedVersions`: kept, and told.
    pub snap_start: String,
    /// Where and how it logs.
    pub logging: Logging,
}

/// A layer version that a function uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Of the layer version.
    pub arn: String,
    /// The package, in hexadecimal.
    pub code: String,
    /// Of the package, in bytes.
    pub size: u64,
}

/// Subnets and security groups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Vpc {
    /// Their ids.
    pub subnets: Vec<String>,
    /// Their ids.
    pub security_groups: Vec<String>,
    /// Whether IPv6 goes out.
    pub ipv6: bool,
}

/// `LoggingConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `Text` or `JSON`.
    pub format: String,
    /// Of the function's own lines; only with `JSON`.
    pub application_level: Option<String>,
    /// Of the platform's lines; only with `JSON`.
    pub system_level: Option<String>,
    /// The log group.
    pub group: String,
}

/// A change of [`Logging`]: what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct LoggingChange {
    /// `Text` or `JSON`.
    pub format: Option<String>,
    /// Of the function's own lines.
    pub application_level: Option<String>,
    /// Of the platform's lines.
    pub system_level: Option<String>,
    /// The log group.
    pub group: Option<String>,
}

/// A change of a configuration: what is absent stays. Also what a new function is made with.
#[derive(Debug, Clone, Default)]
pub struct ConfigChange {
    /// For example `python3.12`.
    pub runtime: Option<String>,
    /// For example `app.handler`.
    pub handler: Option<String>,
    /// The role's ARN.
    pub role: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// 1 to 900.
    pub timeout_s: Option<u32>,
    /// 128 to 10,240.
    pub memory_mb: Option<u32>,
    /// All variables.
    pub environment: Option<Variables>,
    /// ARNs of layer versions.
    pub layers: Option<Vec<String>>,
    /// ARN of a queue or topic; empty: none any more.
    pub dead_letter: Option<String>,
    /// 512 to 10,240.
    pub ephemeral_mb: Option<u32>,
    /// `x86_64` or `arm64`.
    pub architecture: Option<String>,
    /// `PassThrough` or `Active`.
    pub tracing: Option<String>,
    /// Subnets and security groups.
    pub vpc: Option<Vpc>,
    /// `None` or `PublishedVersions`.
    pub snap_start: Option<String>,
    /// Where and how it logs.
    pub logging: Option<LoggingChange>,
}

/// What is set for a function and not for one of its versions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Tags.
    pub tags: Tags,
    /// `Allow` or `Terminate`; absent: the latter.
    pub recursion: Option<String>,
    /// `UpdateRuntimeOn` and `RuntimeVersionArn` by qualifier.
    pub runtime_management: BTreeMap<String, (String, Option<String>)>,
}

impl Config {
    /// What a new function named `name` begins with.
    pub(super) fn new(name: &str) -> Self {
        Self {
            runtime: String::new(),
            handler: String::new(),
            role: String::new(),
            description: String::new(),
            timeout_s: 3,
            memory_mb: 128,
            environment: None,
            layers: Vec::new(),
            dead_letter: None,
            ephemeral_mb: 512,
            architecture: "x86_64".into(),
            tracing: "PassThrough".into(),
            vpc: None,
            snap_start: "None".into(),
            logging: Logging {
                format: "Text".into(),
                application_level: None,
                system_level: None,
                group: format!("/aws/lambda/{name}"),
            },
        }
    }

    /// Applies all but the layers, which need a look into the store.
    pub(super) fn apply(&mut self, change: ConfigChange) {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(from) = from {
                *to = from;
            }
        }
        set(&mut self.runtime, change.runtime);
        set(&mut self.handler, change.handler);
        set(&mut self.role, change.role);
        set(&mut self.description, change.description);
        set(&mut self.timeout_s, change.timeout_s);
        set(&mut self.memory_mb, change.memory_mb);
        set(&mut self.ephemeral_mb, change.ephemeral_mb);
        set(&mut self.architecture, change.architecture);
        set(&mut self.tracing, change.tracing);
        set(&mut self.snap_start, change.snap_start);
        set(&mut self.environment, change.environment.map(Some));
        set(&mut self.vpc, change.vpc.map(Some));
        set(&mut self.dead_letter, change.dead_letter.map(|arn| Some(arn).filter(|arn| !arn.is_empty())));
        if let Some(change) = change.logging {
            self.logging.apply(change);
        }
    }
}

impl Logging {
    fn apply(&mut self, change: LoggingChange) {
        if let Some(group) = change.group {
            self.group = group;
        }
        if let Some(format) = change.format {
            self.format = format;
        }
        if self.format == "JSON" {
            let level = |new: Option<String>, old: Option<String>| new.or(old).or_else(|| Some("INFO".to_owned()));
            self.application_level = level(change.application_level, self.application_level.take());
            self.system_level = level(change.system_level, self.system_level.take());
        } else {
            (self.application_level, self.system_level) = (None, None);
        }
    }
}

impl ConfigChange {
    /// What can be said of it without a look at anything else.
    pub(super) fn check(&self, place: &Place) -> Result<(), LambdaError> {
        within(self.timeout_s, "timeout", 1, 900)?;
        within(self.memory_mb, "memorySize", 128, 10_240)?;
        within(self.ephemeral_mb, "ephemeralStorage.size", 512, 10_240)?;
        if let Some(variables) = &self.environment {
            check_environment(variables)?;
        }
        if let Some(layers) = &self.layers {
            check_layers(place, layers)?;
        }
        if let Some(target) = self.dead_letter.as_deref().filter(|target| !target.is_empty()) {
            check_dead_letter(target)?;
        }
        let logging = self.logging.as_ref().filter(|logging| logging.format.as_deref() == Some("Text"));
        if logging.is_some_and(|logging| logging.application_level.is_some() || logging.system_level.is_some()) {
            let message = "To use ApplicationLogLevel or SystemLogLevel, you must set LogFormat to JSON.";
            return Err(LambdaError::invalid(message));
        }
        Ok(())
    }
}

fn within(value: Option<u32>, member: &str, least: u32, most: u32) -> Result<(), LambdaError> {
    match value {
        Some(value) if value < least => {
            Err(LambdaError::constraint(value, member, format!("Member must have value greater than or equal to {least}")))
        }
        Some(value) if value > most => {
            Err(LambdaError::constraint(value, member, format!("Member must have value less than or equal to {most}")))
        }
        _ => Ok(()),
    }
}

fn check_environment(variables: &Variables) -> Result<(), LambdaError> {
    let reserved: Vec<&str> = variables.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
    let unable = "Lambda was unable to configure your environment variables because the environment variables you have provided";
    if !reserved.is_empty() {
        return Err(LambdaError::invalid(format!(
            "{unable} contains reserved keys that are currently not supported for modification. Reserved keys used in this \
             request: {}",
            reserved.join(", ")
        )));
    }
    let measured = serde_json::to_string(variables)?;
    if measured.len() > ENVIRONMENT_MAX {
        return Err(LambdaError::invalid(format!("{unable} exceeded the 4KB limit. String measured: {measured}")));
    }
    if let Some(name) = variables.iter().find(|(_, value)| value.contains('\0')).map(|(name, _)| name) {
        return Err(LambdaError::invalid(format!("{unable} contain a NUL character, in the value of {name}.")));
    }
    Ok(())
}

fn check_layers(place: &Place, layers: &[String]) -> Result<(), LambdaError> {
    if layers.len() > LAYERS_MAX {
        return Err(LambdaError::invalid(format!("Cannot reference more than {LAYERS_MAX} layers.")));
    }
    for (index, arn) in layers.iter().enumerate() {
        let (region, name, _) = layer_version(arn)?;
        if region != place.region {
            return Err(LambdaError::invalid(format!(
                "Layers are not in the same region as the function. Layers are expected to be in region {}.",
                place.region
            )));
        }
        for before in &layers[..index] {
            if layer_version(before)?.1 == name {
                return Err(LambdaError::invalid(format!(
                    "Two different versions of the same layer are not allowed to be referenced in the same function. {before} and \
                     {arn} are versions of the same layer."
                )));
            }
        }
    }
    Ok(())
}

/// Region, name and version of a layer version's ARN.
pub(super) fn layer_version(text: &str) -> Result<(String, String, i64), LambdaError> {
    let not_one = || {
        LambdaError::constraint(
            text,
            "arn",
            "Member must satisfy regular expression pattern: \
             (arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)\
             |(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)",
        )
    };
    let arn: Arn = text.parse().map_err(|_| not_one())?;
    let mut parts = arn.resource.split(':');
    let (Some("layer"), Some(name), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(not_one());
    };
    let version: i64 = version.parse().map_err(|_| not_one())?;
    if arn.service != "lambda" || name.is_empty() {
        return Err(not_one());
    }
    Ok((arn.region, name.to_owned(), version))
}

fn check_dead_letter(target: &str) -> Result<(), LambdaError> {
    match target.parse::<Arn>() {
        Ok(arn) if matches!(arn.service.as_str(), "sqs" | "sns") && !arn.resource.ends_with(".fifo") => Ok(()),
        Ok(arn) if arn.resource.ends_with(".fifo") => Err(LambdaError::invalid(format!(
            "The provided dead letter target {target} is a FIFO resource; a dead letter target is a standard queue or topic."
        ))),
        _ => Err(LambdaError::invalid(format!("The provided resource arn {target} is invalid."))),
    }
}

/// Whether a resource can have these tags.
pub(super) fn check_tags(tags: &Tags) -> Result<(), LambdaError> {
    if tags.len() > TAGS_MAX {
        return Err(LambdaError::invalid("Number of tags exceeds resource tag limit."));
    }
    match tags.keys().find(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        Some(key) => Err(LambdaError::invalid(format!("Tag keys starting with 'aws:' are reserved for system use: {key}"))),
        None => Ok(()),
    }
}

/// Seconds and fraction as Lambda writes times: `2024-05-01T12:00:00.123+0000`.
pub(super) fn time_text(epoch_ms: i64) -> String {
    millpond_core::env::iso8601(epoch_ms, true).replace('Z', "+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: ConfigChange) -> String {
        change.check(&Place::default()).unwrap_err().to_string()
    }

    fn layers(arns: &[&str]) -> ConfigChange {
        ConfigChange { layers: Some(arns.iter().map(|arn| arn.to_string()).collect()), ..Default::default() }
    }

    fn variables(pairs: &[(&str, &str)]) -> ConfigChange {
        let environment = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        ConfigChange { environment: Some(environment), ..Default::default() }
    }

    #[test]
    fn what_cannot_be_configured_is_refused_in_the_words_of_aws() {
        let refused = refusal(ConfigChange { timeout_s: Some(901), ..Default::default() });
        assert!(refused.contains("Value '901' at 'timeout'") && refused.contains("less than or equal to 900"), "{refused}");
        let refused = refusal(ConfigChange { memory_mb: Some(64), ..Default::default() });
        assert!(refused.contains("greater than or equal to 128"), "{refused}");
        let refused = refusal(variables(&[("AWS_REGION", "x"), ("FINE", "y")]));
        assert!(refused.ends_with("Reserved keys used in this request: AWS_REGION"), "{refused}");
        let refused = refusal(variables(&[("AWS_LAMBDA_FUNCTION_NAME", "x"), ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/w")]));
        assert!(refused.ends_with("Reserved keys used in this request: AWS_LAMBDA_FUNCTION_NAME"), "{refused}");
        assert!(variables(&[("AWS_LAMBDA_EXEC_WRAPPER", "/opt/w")]).check(&Place::default()).is_ok());
        let refused = refusal(variables(&[("LARGE", &"x".repeat(4096))]));
        assert!(refused.contains("exceeded the 4KB limit. String measured: {\"LARGE\":\"xxx"), "{refused}");
        let refused = refusal(ConfigChange { dead_letter: Some("arn:aws:s3:::b".into()), ..Default::default() });
        assert!(refused.contains("is invalid"), "{refused}");
    }

    #[test]
    fn the_environment_may_be_as_large_as_on_aws() {
        // {"A1":"…"} is nine characters and the value.
        let value = "x".repeat(ENVIRONMENT_MAX - 9);
        assert!(variables(&[("A1", &value)]).check(&Place::default()).is_ok());
        assert!(variables(&[("A1", &format!("{value}x"))]).check(&Place::default()).is_err());
    }

    #[test]
    fn layers_are_of_this_region_and_each_there_once() {
        let layer = |name: &str, version: u32| format!("arn:aws:lambda:us-east-1:000000000000:layer:{name}:{version}");
        assert!(layers(&[&layer("a", 1), &layer("b", 1)]).check(&Place::default()).is_ok());
        let refused = refusal(layers(&[&layer("a", 1), &layer("a", 2)]));
        assert!(refused.contains("versions of the same layer"), "{refused}");
        let refused = refusal(layers(&["arn:aws:lambda:eu-west-1:000000000000:layer:a:1"]));
        assert!(refused.contains("expected to be in region us-east-1"), "{refused}");
        let many: Vec<String> = (0..6).map(|number| layer(&format!("l{number}"), 1)).collect();
        let refused = refusal(layers(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(refused, "Cannot reference more than 5 layers.");
        assert!(refusal(layers(&["arn:aws:lambda:us-east-1:000000000000:layer:a"])).contains("regular expression pattern"));
    }

    #[test]
    fn log_levels_come_with_json_and_go_with_text() {
        let mut config = Config::new("f");
        let json = LoggingChange { format: Some("JSON".into()), ..Default::default() };
        config.apply(ConfigChange { logging: Some(json), ..Default::default() });
        assert_eq!(config.logging.application_level.as_deref(), Some("INFO"));
        let debug = LoggingChange { system_level: Some("DEBUG".into()), ..Default::default() };
        config.apply(ConfigChange { logging: Some(debug), ..Default::default() });
        assert_eq!(config.logging.system_level.as_deref(), Some("DEBUG"));
        let text = LoggingChange { format: Some("Text".into()), ..Default::default() };
        config.apply(ConfigChange { logging: Some(text), ..Default::default() });
        assert_eq!((config.logging.system_level, config.logging.group.as_str()), (None, "/aws/lambda/f"));
    }

    #[test]
    fn times_have_milliseconds_and_an_offset() {
        assert_eq!(time_text(1_714_564_800_123), "2024-05-01T12:00:00.123+0000");
    }
}
