//! How often HTTP endpoints are tried, how fast, and what they are told: delivery policies, of topics and of subscriptions.
//!
//! Shapes, defaults and limits are those of "Creating an HTTP/S delivery policy" (AWS's developer guide, "Amazon SNS message delivery retries").
//! A policy has four phases: at once, at the least delay, with a backoff from the least to the greatest, at the greatest.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// All retries of one message may take so long, in seconds.
const TOTAL_SECONDS_MAX: u64 = 3600;

const RETRIES_MAX: u32 = 100;

const CONTENT_TYPE: &str = "text/plain; charset=UTF-8";

/// Types that a raw message may be sent as; those in the first line, any message.
const CONTENT_TYPES: &[&str] = &[
    "text/plain",
    "application/json",
    "text/css",
    "text/csv",
    "text/html",
    "text/xml",
    "application/atom+xml",
    "application/octet-stream",
    "application/soap+xml",
    "application/x-www-form-urlencoded",
    "application/xhtml+xml",
    "application/xml",
]; // the order is that of the page

const CONTENT_TYPES_OF_ENVELOPES: usize = 2;

/// How the delays of the third phase grow. AWS shows a picture and no formula; all begin after the least delay and end at the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Backoff {
    /// By equal steps.
    #[default]
    Linear,
    /// By steps that grow equally.
    Arithmetic,
    /// By equal factors.
    Geometric,
    /// By doubling steps.
    Exponential,
}

/// What is tried after a failure. Delays in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Retries {
    pub(super) min_delay_target: u32,
    pub(super) max_delay_target: u32,
    pub(super) num_retries: u32,
    pub(super) num_max_delay_retries: u32,
    pub(super) num_no_delay_retries: u32,
    pub(super) num_min_delay_retries: u32,
    pub(super) backoff_function: Backoff,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            min_delay_target: 20,
            max_delay_target: 20,
            num_retries: 3,
            num_max_delay_retries: 0,
            num_no_delay_retries: 0,
            num_min_delay_retries: 0,
            backoff_function: Backoff::Linear,
        }
    }
}

impl Retries {
    /// What comes after `failures` failures (at least 1): a delay in milliseconds, or nothing more.
    pub(super) fn delay_ms(&self, failures: u32) -> Option<i64> {
        if failures == 0 || failures > self.num_retries {
            return None;
        }
        let (min, max) = (f64::from(self.min_delay_target), f64::from(self.max_delay_target));
        let begin = self.num_no_delay_retries + self.num_min_delay_retries;
        let steps = self.num_retries.saturating_sub(begin + self.num_max_delay_retries);
        let seconds = if failures <= self.num_no_delay_retries {
            0.0
        } else if failures <= begin {
            min
        } else if failures <= begin + steps {
            let (step, steps) = (f64::from(failures - begin), f64::from(steps));
            match self.backoff_function {
                Backoff::Linear => min + (max - min) * step / steps,
                Backoff::Arithmetic => min + (max - min) * (step * (step + 1.0)) / (steps * (steps + 1.0)),
                Backoff::Geometric => min * (max / min).powf(step / steps),
                Backoff::Exponential => min + (max - min) * (step.exp2() - 1.0) / (steps.exp2() - 1.0),
            }
        } else {
            max
        };
        Some((seconds * 1000.0) as i64)
    }

    fn check(&self) -> Result<(), String> {
        let Self { min_delay_target: min, max_delay_target: max, num_retries, .. } = *self;
        if min < 1 {
            return Err("minDelayTarget must be at least 1".into());
        }
        if max < min {
            return Err("maxDelayTarget must be greater than or equal to minDelayTarget".into());
        }
        if u64::from(max) > TOTAL_SECONDS_MAX {
            return Err(format!("maxDelayTarget must be less than or equal to {TOTAL_SECONDS_MAX}"));
        }
        if num_retries > RETRIES_MAX {
            return Err(format!("numRetries must be less than or equal to {RETRIES_MAX}"));
        }
        let phases = [self.num_no_delay_retries, self.num_min_delay_retries, self.num_max_delay_retries];
        if phases.iter().map(|phase| u64::from(*phase)).sum::<u64>() > u64::from(num_retries) {
            let what = "numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries";
            return Err(format!("numRetries must be greater than or equal to the sum of {what}"));
        }
        let total: i64 = (1..=num_retries).filter_map(|failures| self.delay_ms(failures)).sum();
        if total > TOTAL_SECONDS_MAX as i64 * 1000 {
            return Err(format!("the total of all delays is {} s, and may be {TOTAL_SECONDS_MAX} s at the most", total / 1000));
        }
        Ok(())
    }
}

/// How many messages an endpoint gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Throttle {
    #[serde(default)]
    pub(super) max_receives_per_second: Option<u32>,
}

impl Throttle {
    fn check(self) -> Result<(), String> {
        match self.max_receives_per_second {
            Some(0) => Err("maxReceivesPerSecond must be at least 1".into()),
            _ => Ok(()),
        }
    }
}

/// What requests say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) header_content_type: Option<String>,
}

impl Request {
    fn check(&self) -> Result<(), String> {
        let Some(given) = &self.header_content_type else { return Ok(()) };
        let (kind, parameter) = given.split_once(';').unwrap_or((given, "charset=UTF-8"));
        let known = CONTENT_TYPES.contains(&kind.trim()) && parameter.trim().eq_ignore_ascii_case("charset=utf-8");
        match known {
            true => Ok(()),
            false => Err(format!("headerContentType '{given}' is not one of {}", CONTENT_TYPES.join(", "))),
        }
    }
}

/// A topic's policy: its member `http`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct OfTopic {
    #[serde(skip_serializing_if = "Option::is_none")]
    default_healthy_retry_policy: Option<Value>,
    #[serde(skip_serializing)]
    default_sickly_retry_policy: Option<Value>,
    disable_subscription_overrides: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_throttle_policy: Option<Throttle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_request_policy: Option<Request>,
}

/// A subscription's policy, with the members that AWS shows even where they say nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct OfSubscription {
    healthy_retry_policy: Option<Value>,
    sickly_retry_policy: Option<Value>,
    throttle_policy: Option<Throttle>,
    request_policy: Option<Request>,
    guaranteed: bool,
}

fn retries(value: Option<&Value>) -> Result<Retries, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Retries::default()) };
    let retries: Retries = serde_json::from_value(value.clone()).map_err(|error| format!("healthyRetryPolicy: {error}"))?;
    retries.check()?;
    Ok(retries)
}

/// Serde would take a list for a struct.
fn object<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("DeliveryPolicy: failed to parse JSON. {error}"))?;
    if !value.is_object() {
        return Err("DeliveryPolicy: it must be a JSON object".into());
    }
    serde_json::from_value(value).map_err(|error| format!("DeliveryPolicy: failed to parse JSON. {error}"))
}

fn of_topic(text: &str) -> Result<OfTopic, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        #[serde(default)]
        http: Option<OfTopic>,
    }
    let whole: Whole = object(text)?;
    let policy = whole.http.unwrap_or_default();
    let wrong = |reason| format!("DeliveryPolicy: http.{reason}");
    retries(policy.default_healthy_retry_policy.as_ref()).map_err(wrong)?;
    policy.default_throttle_policy.map_or(Ok(()), Throttle::check).map_err(wrong)?;
    policy.default_request_policy.as_ref().map_or(Ok(()), Request::check).map_err(wrong)?;
    Ok(policy)
}

fn of_subscription(text: &str) -> Result<OfSubscription, String> {
    let policy: OfSubscription = object(text)?;
    let wrong = |reason| format!("DeliveryPolicy: {reason}");
    retries(policy.healthy_retry_policy.as_ref()).map_err(wrong)?;
    policy.throttle_policy.map_or(Ok(()), Throttle::check).map_err(wrong)?;
    policy.request_policy.as_ref().map_or(Ok(()), Request::check).map_err(wrong)?;
    Ok(policy)
}

/// A topic's policy as SNS shows it.
pub(super) fn check_topic(text: &str) -> Result<String, String> {
    Ok(json!({ "http": of_topic(text)? }).to_string())
}

/// A subscription's policy as SNS shows it.
pub(super) fn check_subscription(text: &str) -> Result<String, String> {
    Ok(serde_json::to_string(&of_subscription(text)?).expect("plain data"))
}

/// What counts for an endpoint: its subscription's policy where the topic's lets it, the topic's, and AWS's defaults.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effective {
    pub(super) retries: Retries,
    pub(super) throttle: Option<Throttle>,
    content_type: Option<String>,
}

impl Effective {
    /// From the attributes as they are stored: they were checked when they were set, and what is not valid counts as absent.
    pub(super) fn new(topic: Option<&String>, subscription: Option<&String>) -> Self {
        let topic = topic.and_then(|text| of_topic(text).ok()).unwrap_or_default();
        let own = subscription.filter(|_| !topic.disable_subscription_overrides);
        let own = own.and_then(|text| of_subscription(text).ok()).unwrap_or_default();
        let chosen = own.healthy_retry_policy.filter(|value| !value.is_null()).or(topic.default_healthy_retry_policy);
        let request = own.request_policy.or(topic.default_request_policy);
        Self {
            retries: retries(chosen.as_ref()).unwrap_or_default(),
            throttle: own.throttle_policy.or(topic.default_throttle_policy),
            content_type: request.and_then(|request| request.header_content_type),
        }
    }

    /// What a message is sent as. An envelope is sent as text or as JSON, whatever else is said.
    pub(super) fn content_type(&self, raw: bool) -> &str {
        let Some(given) = &self.content_type else { return CONTENT_TYPE };
        let kind = given.split(';').next().unwrap_or_default().trim();
        match raw || CONTENT_TYPES[..CONTENT_TYPES_OF_ENVELOPES].contains(&kind) {
            true => given,
            false => CONTENT_TYPE,
        }
    }

    /// The attribute `EffectiveDeliveryPolicy` of a topic.
    pub(super) fn shown_of_topic(topic: Option<&String>) -> String {
        let policy = topic.and_then(|text| of_topic(text).ok()).unwrap_or_default();
        let this = Self::new(topic, None);
        let mut http = json!({
            "defaultHealthyRetryPolicy": this.retries,
            "disableSubscriptionOverrides": policy.disable_subscription_overrides,
        });
        if let Some(throttle) = this.throttle {
            http["defaultThrottlePolicy"] = json!(throttle);
        }
        http["defaultRequestPolicy"] = json!({ "headerContentType": this.content_type(true) });
        json!({ "http": http }).to_string()
    }

    /// The attribute `EffectiveDeliveryPolicy` of a subscription.
    pub(super) fn shown_of_subscription(&self) -> String {
        json!({
            "healthyRetryPolicy": self.retries,
            "sicklyRetryPolicy": null,
            "throttlePolicy": self.throttle,
            "requestPolicy": { "headerContentType": self.content_type(true) },
            "guaranteed": false,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(policy: Value) -> Vec<i64> {
        let policy = retries(Some(&policy)).unwrap();
        (1..=policy.num_retries + 1).map_while(|failures| policy.delay_ms(failures)).map(|ms| ms / 1000).collect()
    }

    #[test]
    fn the_phases_follow_each_other() {
        assert_eq!(delays(json!({})), [20, 20, 20]);
        let four = json!({ "numRetries": 8, "numNoDelayRetries": 2, "numMinDelayRetries": 1, "numMaxDelayRetries": 2,
                           "minDelayTarget": 1, "maxDelayTarget": 10 });
        assert_eq!(delays(four), [0, 0, 1, 4, 7, 10, 10, 10]);
        for (function, expected) in [
            ("linear", [11, 21, 30, 40]),
            ("arithmetic", [5, 13, 24, 40]),
            ("geometric", [4, 8, 18, 40]),
            ("exponential", [4, 9, 19, 40]),
        ] {
            let policy = json!({ "numRetries": 4, "minDelayTarget": 2, "maxDelayTarget": 40, "backoffFunction": function });
            assert_eq!(delays(policy), expected, "{function}");
        }
    }

    #[test]
    fn wrong_policies_are_refused_with_the_member() {
        for (policy, expected) in [
            (json!({ "healthyRetryPolicy": { "minDelayTarget": 0 } }), "minDelayTarget"),
            (json!({ "healthyRetryPolicy": { "minDelayTarget": 9, "maxDelayTarget": 8 } }), "maxDelayTarget"),
            (json!({ "healthyRetryPolicy": { "maxDelayTarget": 3601 } }), "maxDelayTarget"),
            (json!({ "healthyRetryPolicy": { "numRetries": 101 } }), "numRetries"),
            (json!({ "healthyRetryPolicy": { "numRetries": 1, "numNoDelayRetries": 2 } }), "numNoDelayRetries"),
            (json!({ "healthyRetryPolicy": { "numRetries": 100, "minDelayTarget": 60, "maxDelayTarget": 60 } }), "total"),
            (json!({ "healthyRetryPolicy": { "backoffFunction": "cubic" } }), "cubic"),
            (json!({ "healthyRetryPolicy": { "retries": 1 } }), "retries"),
            (json!({ "throttlePolicy": { "maxReceivesPerSecond": 0 } }), "maxReceivesPerSecond"),
            (json!({ "requestPolicy": { "headerContentType": "text/plain\r\nX: y" } }), "headerContentType"),
            (json!({ "other": 1 }), "other"),
            (json!([]), "DeliveryPolicy"),
        ] {
            let reason = check_subscription(&policy.to_string()).unwrap_err();
            assert!(reason.contains(expected), "{policy}: {reason}");
        }
        assert!(check_topic(r#"{"https": {}}"#).is_err());
    }

    #[test]
    fn a_subscription_overrides_its_topic_where_that_lets_it() {
        let topic = json!({ "http": { "defaultHealthyRetryPolicy": { "numRetries": 5 },
                                      "defaultRequestPolicy": { "headerContentType": "application/json" } } })
        .to_string();
        let own =
            json!({ "healthyRetryPolicy": { "numRetries": 7 }, "throttlePolicy": { "maxReceivesPerSecond": 2 } }).to_string();
        let effective = Effective::new(Some(&topic), Some(&own));
        assert_eq!((effective.retries.num_retries, effective.content_type(false)), (7, "application/json"));
        assert_eq!(effective.throttle.unwrap().max_receives_per_second, Some(2));
        let strict = topic.replace("\"defaultHealthy", "\"disableSubscriptionOverrides\": true, \"defaultHealthy");
        assert_eq!(Effective::new(Some(&strict), Some(&own)).retries.num_retries, 5);
        let csv = json!({ "requestPolicy": { "headerContentType": "text/csv" } }).to_string();
        let effective = Effective::new(None, Some(&csv));
        assert_eq!((effective.content_type(true), effective.content_type(false)), ("text/csv", CONTENT_TYPE));
    }

    #[test]
    fn policies_are_shown_as_sns_does() {
        let shown = check_topic(
            r#"{"http": {"defaultHealthyRetryPolicy": {"minDelayTarget": 5, "maxDelayTarget": 6, "numRetries": 1}}}"#,
        );
        let expected = json!({ "http": { "defaultHealthyRetryPolicy": { "minDelayTarget": 5, "maxDelayTarget": 6, "numRetries": 1 },
                                         "disableSubscriptionOverrides": false } });
        assert_eq!(shown.unwrap(), expected.to_string());
        assert_eq!(
            check_topic(r#"{"http": {"defaultHealthyRetryPolicy": null}}"#).unwrap(),
            json!({ "http": { "disableSubscriptionOverrides": false } }).to_string()
        );
        let effective: Value = serde_json::from_str(&Effective::shown_of_topic(None)).unwrap();
        assert_eq!(effective["http"]["defaultRequestPolicy"]["headerContentType"], CONTENT_TYPE);
        let own: Value =
            serde_json::from_str(&check_subscription(r#"{"requestPolicy": {"headerContentType": "text/csv"}}"#).unwrap())
                .unwrap();
        assert_eq!(
            own,
            json!({ "healthyRetryPolicy": null, "sicklyRetryPolicy": null, "throttlePolicy": null,
                                "requestPolicy": { "headerContentType": "text/csv" }, "guaranteed": false })
        );
    }
}
