use super::attributes::{self, OF_TOPICS};
use super::sql::{self, Attributes, TopicRow};
use super::{PAGE, Sns, SnsError};
use rusqlite::Connection;
use serde_json::json;

/// AWS's default (100,000) for standard topics.
const TOPICS_MAX: i64 = 100_000;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewTopic {
    /// 1 to 256 characters of `[A-Za-z0-9_-]`.
    pub name: String,
    /// By AWS's names.
    pub attributes: Attributes,
    /// In any order.
    pub tags: Vec<(String, String)>,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the order of the listing.
    pub items: Vec<T>,
    /// Where more follows: the token for the next page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than a page has.
    pub(super) fn cut(mut items: Vec<T>, token: impl Fn(&T) -> String) -> Self {
        let more = items.len() > PAGE;
        items.truncate(PAGE);
        Self { next: more.then(|| items.last().map(token)).flatten(), items }
    }
}

pub(super) fn find(connection: &Connection, name: &str) -> Result<TopicRow, SnsError> {
    sql::topic(connection, name)?.ok_or_else(SnsError::no_topic)
}

impl Sns {
    /// `CreateTopic`. One that is there already is answered as if it were new, where nothing that is given differs. Answers its ARN.
    pub async fn create_topic(&self, new: NewTopic) -> Result<String, SnsError> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if new.name.ends_with(".fifo") || new.attributes.get("FifoTopic").is_some_and(|value| value == "true") {
            return Err(SnsError::invalid("Topic Name Reason: FIFO topics are not there yet; create a standard topic"));
        }
        if new.name.is_empty() || new.name.len() > 256 || !new.name.chars().all(valid) {
            return Err(SnsError::invalid("Topic Name"));
        }
        for (name, value) in &new.attributes {
            attributes::check_topic(name, value).map_err(|reason| SnsError::invalid(format!("Attributes Reason: {reason}")))?;
        }
        super::tags::check(&new.tags)?;
        let arn = self.topic_arn(&new.name);
        let answer = arn.clone();
        self.lake
            .store
            .write(move |tx| {
                let Some(there) = sql::topic(tx, &new.name)? else {
                    if sql::count_topics(tx)? >= TOPICS_MAX {
                        return Err(SnsError::TopicLimit(format!("A lake has up to {TOPICS_MAX} topics")));
                    }
                    sql::put_topic(tx, &new.name, &new.attributes)?;
                    new.tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, &arn, key, value))?;
                    return Ok(());
                };
                if new.attributes.iter().any(|(name, value)| there.attributes.get(name) != Some(value)) {
                    return Err(SnsError::invalid("Attributes Reason: Topic already exists with different attributes"));
                }
                let tags = sql::tags(tx, &arn)?;
                if new.tags.iter().any(|tag| !tags.contains(tag)) {
                    return Err(SnsError::invalid("Tags Reason: Topic already exists with different tags"));
                }
                Ok(())
            })
            .await?;
        Ok(answer)
    }

    /// `DeleteTopic`, with its subscriptions. One that is not there is deleted already.
    pub async fn delete_topic(&self, arn: &str) -> Result<(), SnsError> {
        let (name, arn) = (self.topic_name(arn)?, arn.to_owned());
        self.lake
            .store
            .write(move |tx| {
                if let Some(topic) = sql::topic(tx, &name)? {
                    sql::delete_topic(tx, topic.id)?;
                    sql::remove_tags(tx, &arn)?;
                }
                Ok(())
            })
            .await
    }

    /// `ListTopics`: ARNs, by name.
    pub async fn list_topics(&self, token: Option<&str>) -> Result<Page<String>, SnsError> {
        let after = token.unwrap_or_default().to_owned();
        let names = self.lake.store.read(move |connection| sql::topic_names(connection, &after, PAGE + 1)).await?;
        let page = Page::cut(names, String::clone);
        Ok(Page { items: page.items.iter().map(|name| self.topic_arn(name)).collect(), next: page.next })
    }

    /// `GetTopicAttributes`, by AWS's names.
    pub async fn topic_attributes(&self, arn: &str) -> Result<Attributes, SnsError> {
        let name = self.topic_name(arn)?;
        let look = move |connection: &Connection| {
            let topic = find(connection, &name)?;
            let counts = sql::count_subscriptions(connection, topic.id)?;
            Ok::<_, SnsError>((topic, counts))
        };
        let (topic, (confirmed, pending)) = self.lake.store.read(look).await?;
        let account = &self.lake.place.account;
        let mut all = Attributes::new();
        let mut put = |name: &str, value: String| all.insert(name.into(), value);
        put("TopicArn", arn.into());
        put("Owner", account.clone());
        put("DisplayName", String::new());
        put("Policy", default_policy(arn, account));
        put("EffectiveDeliveryPolicy", effective_delivery_policy());
        put("SubscriptionsConfirmed", confirmed.to_string());
        put("SubscriptionsPending", pending.to_string());
        put("SubscriptionsDeleted", topic.deleted.to_string());
        all.extend(topic.attributes);
        Ok(all)
    }

    /// `SetTopicAttributes`. An empty value takes the attribute away.
    pub async fn set_topic_attribute(&self, arn: &str, attribute: &str, value: &str) -> Result<(), SnsError> {
        if !OF_TOPICS.contains(&attribute) {
            return Err(SnsError::invalid("AttributeName"));
        }
        if !value.is_empty() {
            attributes::check_topic(attribute, value).map_err(SnsError::InvalidParameter)?;
        }
        let (name, attribute, value) = (self.topic_name(arn)?, attribute.to_owned(), value.to_owned());
        self.lake
            .store
            .write(move |tx| {
                let mut topic = find(tx, &name)?;
                match value.is_empty() {
                    true => topic.attributes.remove(&attribute),
                    false => topic.attributes.insert(attribute, value),
                };
                Ok(sql::put_topic(tx, &topic.name, &topic.attributes)?)
            })
            .await
    }
}

/// What SNS gives a topic whose owner sets no policy.
fn default_policy(arn: &str, account: &str) -> String {
    let actions = [
        "GetTopicAttributes",
        "SetTopicAttributes",
        "AddPermission",
        "RemovePermission",
        "DeleteTopic",
        "Subscribe",
        "ListSubscriptionsByTopic",
        "Publish",
    ];
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": { "AWS": "*" },
            "Action": actions.map(|action| format!("SNS:{action}")),
            "Resource": arn,
            "Condition": { "StringEquals": { "AWS:SourceOwner": account } },
        }],
    })
    .to_string()
}

fn effective_delivery_policy() -> String {
    json!({
        "http": {
            "defaultHealthyRetryPolicy": {
                "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0, "numNoDelayRetries": 0,
                "numMinDelayRetries": 0, "backoffFunction": "linear",
            },
            "disableSubscriptionOverrides": false,
            "defaultRequestPolicy": { "headerContentType": "text/plain; charset=UTF-8" },
        },
    })
    .to_string()
}
