use super::attributes::{self, TopicFacts};
use super::delivery_policy::Effective;
use super::sql::{self, Attributes, TopicRow};
use super::{PAGE, Sns, SnsError, policy};
use millpond_store::Tx;
use rusqlite::Connection;
use serde_json::Value;

/// AWS's default (100,000) for standard topics.
const TOPICS_MAX: i64 = 100_000;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewTopic {
    /// 1 to 256 characters of `[A-Za-z0-9_-]`; that of a FIFO topic ends with `.fifo`.
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
    pub async fn create_topic(&self, mut new: NewTopic) -> Result<String, SnsError> {
        let is_fifo = check_name(&new)?;
        let arn = self.topic_arn(&new.name);
        let facts = TopicFacts { arn: &arn, is_fifo };
        for (name, value) in &mut new.attributes {
            *value = attributes::check_topic(name, value, facts)
                .map_err(|reason| SnsError::invalid(format!("Attributes Reason: {reason}")))?;
        }
        super::tags::check(&new.tags)?;
        let answer = arn.clone();
        let create = move |tx: &Tx<'_>| {
            let Some(there) = sql::topic(tx, &new.name)? else {
                if sql::count_topics(tx)? >= TOPICS_MAX {
                    return Err(SnsError::TopicLimit(format!("A lake has up to {TOPICS_MAX} topics")));
                }
                new.attributes.retain(|name, value| match name.as_str() {
                    "FifoTopic" => value == "true",
                    "KmsMasterKeyId" => !value.is_empty(),
                    _ => true,
                });
                sql::put_topic(tx, &new.name, &new.attributes)?;
                new.tags.iter().try_for_each(|(key, value)| sql::put_tag(tx, &arn, key, value))?;
                return Ok(());
            };
            let found =
                |name: &str| there.attributes.get(name).map(String::as_str).or_else(|| attributes::default_of_topic(name));
            if new.attributes.iter().any(|(name, value)| found(name) != Some(value)) {
                return Err(SnsError::invalid("Attributes Reason: Topic already exists with different attributes"));
            }
            let tags = sql::tags(tx, &arn)?;
            if new.tags.iter().any(|tag| !tags.contains(tag)) {
                return Err(SnsError::invalid("Tags Reason: Topic already exists with different tags"));
            }
            Ok(())
        };
        self.lake.store.write(create).await?;
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
        put("Policy", policy::default(arn, account).to_string());
        put("EffectiveDeliveryPolicy", Effective::shown_of_topic(topic.attributes.get("DeliveryPolicy")));
        put("SubscriptionsConfirmed", confirmed.to_string());
        put("SubscriptionsPending", pending.to_string());
        put("SubscriptionsDeleted", topic.deleted.to_string());
        if topic.is_fifo() {
            put("ContentBasedDeduplication", "false".into());
        }
        all.extend(topic.attributes);
        Ok(all)
    }

    /// `SetTopicAttributes`. An empty value takes the attribute away.
    pub async fn set_topic_attribute(&self, arn: &str, attribute: &str, value: &str) -> Result<(), SnsError> {
        if !attributes::is_of_topics(attribute) {
            return Err(SnsError::invalid("AttributeName"));
        }
        let (name, attribute, value, arn) = (self.topic_name(arn)?, attribute.to_owned(), value.to_owned(), arn.to_owned());
        let set = move |tx: &Tx<'_>| {
            let mut topic = find(tx, &name)?;
            if value.is_empty() {
                topic.attributes.remove(&attribute);
            } else {
                let facts = TopicFacts { arn: &arn, is_fifo: topic.is_fifo() };
                let kept = attributes::check_topic(&attribute, &value, facts).map_err(SnsError::InvalidParameter)?;
                topic.attributes.insert(attribute, kept);
            }
            Ok(sql::put_topic(tx, &topic.name, &topic.attributes)?)
        };
        self.lake.store.write(set).await
    }

    /// `AddPermission`: a statement of the topic's policy, under `label`.
    pub async fn add_permission(
        &self,
        arn: &str,
        label: &str,
        accounts: Vec<String>,
        actions: Vec<String>,
    ) -> Result<(), SnsError> {
        let (label, topic_arn) = (label.to_owned(), arn.to_owned());
        self.change_policy(arn, move |policy| policy::with_permission(policy, &label, &accounts, &actions, &topic_arn)).await
    }

    /// `RemovePermission`: the statement under `label`. One that is not there is gone already.
    pub async fn remove_permission(&self, arn: &str, label: &str) -> Result<(), SnsError> {
        let label = label.to_owned();
        self.change_policy(arn, move |policy| policy::without_permission(policy, &label)).await
    }

    async fn change_policy<F>(&self, arn: &str, change: F) -> Result<(), SnsError>
    where
        F: FnOnce(&str) -> Result<String, SnsError> + Send + 'static,
    {
        let (name, sns) = (self.topic_name(arn)?, self.clone());
        let write = move |tx: &Tx<'_>| {
            let mut topic = find(tx, &name)?;
            let changed = change(&sns.policy(&topic))?;
            topic.attributes.insert("Policy".into(), changed);
            Ok(sql::put_topic(tx, &topic.name, &topic.attributes)?)
        };
        self.lake.store.write(write).await
    }

    /// Lets a service publish to a topic for one rule or bucket, or for all whose ARN `source` means with its stars. Said twice is said once.
    pub async fn allow(&self, arn: &str, label: &str, principal: &str, source: &str) -> Result<(), SnsError> {
        let (label, principal, source, topic_arn) = (label.to_owned(), principal.to_owned(), source.to_owned(), arn.to_owned());
        self.change_policy(arn, move |policy| policy::allowing(policy, &label, &principal, &source, &topic_arn)).await
    }

    /// A topic's policy: what its owner set, or AWS's default.
    pub(super) fn policy(&self, topic: &TopicRow) -> String {
        let default = || policy::default(&self.topic_arn(&topic.name), &self.lake.place.account);
        topic.attributes.get("Policy").cloned().unwrap_or_else(|| Value::to_string(&default()))
    }
}

/// Checks a topic's name; answers whether it is a FIFO topic's.
fn check_name(new: &NewTopic) -> Result<bool, SnsError> {
    let is_fifo = new.attributes.get("FifoTopic").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let stem = if is_fifo { new.name.strip_suffix(".fifo") } else { Some(new.name.as_str()) };
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match stem {
        Some(stem) if !stem.is_empty() && new.name.len() <= 256 && stem.chars().all(valid) => Ok(is_fifo),
        _ => Err(SnsError::invalid("Topic Name")),
    }
}
