use super::attributes::{self, SubscriptionFacts};
use super::confirm::{self, ask};
use super::delivery_policy::Effective;
use super::sql::{self, Attributes, State, SubscriptionRow, TopicRow};
use super::topics::{Page, find};
use super::{PAGE, Sns, SnsError, endpoints};
use millpond_core::arn::Place;
use millpond_core::env::EnvExt;
use millpond_store::Tx;
use rusqlite::Connection;
use serde_json::Value;

/// AWS's quotas, of one topic.
const SUBSCRIPTIONS_MAX: i64 = 12_500_000;
const SUBSCRIPTIONS_MAX_OF_FIFO: i64 = 100;
const FILTERS_MAX: i64 = 200;

/// A subscription to make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewSubscription {
    /// Of the topic.
    pub topic_arn: String,
    /// `email`, `email-json`, `http`, `https`, `sqs` or `lambda`.
    pub protocol: String,
    /// A mail address, a URL, or the ARN of a queue or function.
    pub endpoint: String,
    /// By AWS's names.
    pub attributes: Attributes,
}

/// What became of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// Its ARN.
    pub arn: String,
    /// Whether it waits for the subscriber to confirm.
    pub is_pending: bool,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its ARN.
    pub arn: String,
    /// Of its topic.
    pub topic_arn: String,
    /// `email`, `email-json`, `http`, `https`, `sqs` or `lambda`.
    pub protocol: String,
    /// A mail address, a URL (without its password), or an ARN.
    pub endpoint: String,
    /// Whether it waits for the subscriber to confirm.
    pub is_pending: bool,
    /// Whose it is.
    pub owner: String,
}

fn found(connection: &Connection, topic: &str, id: &str) -> Result<SubscriptionRow, SnsError> {
    sql::subscription(connection, topic, id)?.ok_or_else(SnsError::no_subscription)
}

impl Sns {
    /// `Subscribe`: a subscriber by mail or HTTP gets a link to confirm, and once more where it is asked for again while it is pending. Queues and
    /// functions need no confirmation: their policies say who may send to them.
    pub async fn subscribe(&self, new: NewSubscription) -> Result<Subscribed, SnsError> {
        self.subscribe_as(new, false).await
    }

    /// Subscribes an address that needs no confirmation, since the lake's owner gave it. Answers the subscription's ARN.
    pub async fn subscribe_confirmed(&self, topic_arn: &str, protocol: &str, endpoint: &str) -> Result<String, SnsError> {
        let new = NewSubscription {
            topic_arn: topic_arn.into(),
            protocol: protocol.into(),
            endpoint: endpoint.into(),
            attributes: Attributes::new(),
        };
        self.subscribe_as(new, true).await.map(|subscribed| subscribed.arn)
    }

    async fn subscribe_as(&self, mut new: NewSubscription, confirmed: bool) -> Result<Subscribed, SnsError> {
        let topic_name = self.topic_name(&new.topic_arn)?;
        let (arn, place) = (new.topic_arn.clone(), self.lake.place.clone());
        // The name says what the topic is: so the answer does not depend on whether it exists.
        new.endpoint = endpoints::check(&new.protocol, &new.endpoint, topic_name.ends_with(".fifo"), &place)?;
        new.attributes = checked(&new, &place)?;
        let confirmed = confirmed || confirm::needs_none(&new.protocol);
        let subscribe = move |tx: &Tx<'_>| {
            let topic = find(tx, &topic_name)?;
            sql::forget_unconfirmed(tx, topic.id, tx.now_ms() - confirm::TOKEN_VALID_MS)?;
            let there = sql::subscription_of(tx, topic.id, &new.protocol, &new.endpoint)?;
            let mut there = match there {
                Some(ended) if ended.state == State::Ended => {
                    sql::delete_subscription(tx, &ended)?;
                    return add(tx, &topic, new, confirmed);
                }
                Some(there) => there,
                None => return add(tx, &topic, new, confirmed),
            };
            if !agrees(&new.attributes, &there.attributes) {
                return Err(SnsError::invalid("Attributes Reason: Subscription already exists with different attributes"));
            }
            match (there.is_confirmed(), confirmed) {
                (true, _) => {}
                (false, true) => {
                    there.state = State::Confirmed;
                    sql::update_subscription(tx, &there)?;
                }
                (false, false) => ask(tx, &mut there)?,
            }
            Ok((there.id.clone(), !there.is_confirmed()))
        };
        let (id, is_pending) = self.lake.store.write(subscribe).await?;
        Ok(Subscribed { arn: format!("{arn}:{id}"), is_pending })
    }

    /// `ListSubscriptions` and, where a topic is given, `ListSubscriptionsByTopic`.
    pub async fn list_subscriptions(&self, topic_arn: Option<&str>, token: Option<&str>) -> Result<Page<Subscription>, SnsError> {
        let name = topic_arn.map(|arn| self.topic_name(arn)).transpose()?;
        let after: i64 = token.unwrap_or("0").parse().map_err(|_| SnsError::invalid("NextToken"))?;
        let look = move |connection: &Connection| {
            let topic = name.map(|name| find(connection, &name)).transpose()?;
            Ok::<_, SnsError>(sql::subscriptions(connection, topic.map(|topic| topic.id), after, PAGE + 1)?)
        };
        let page = Page::cut(self.lake.store.read(look).await?, |row: &SubscriptionRow| row.seq.to_string());
        Ok(Page { items: page.items.into_iter().map(|row| self.subscription(row)).collect(), next: page.next })
    }

    fn subscription(&self, row: SubscriptionRow) -> Subscription {
        let topic_arn = self.topic_arn(&row.topic);
        Subscription {
            arn: format!("{topic_arn}:{}", row.id),
            topic_arn,
            is_pending: !row.is_confirmed(),
            endpoint: endpoints::shown(&row.protocol, row.endpoint),
            protocol: row.protocol,
            owner: self.lake.place.account.clone(),
        }
    }

    /// `GetSubscriptionAttributes`, by AWS's names.
    pub async fn subscription_attributes(&self, arn: &str) -> Result<Attributes, SnsError> {
        let (topic, id) = self.subscription_id(arn)?;
        let look = move |connection: &Connection| {
            let row = found(connection, &topic, &id)?;
            Ok::<_, SnsError>((find(connection, &topic)?, row))
        };
        let (topic, row) = self.lake.store.read(look).await?;
        let mut all = Attributes::new();
        let mut put = |name: &str, value: String| all.insert(name.into(), value);
        put("SubscriptionArn", arn.into());
        put("TopicArn", self.topic_arn(&row.topic));
        put("Owner", self.lake.place.account.clone());
        put("SubscriptionPrincipal", format!("arn:aws:iam::{}:root", self.lake.place.account));
        put("PendingConfirmation", (!row.is_confirmed()).to_string());
        put("ConfirmationWasAuthenticated", confirm::was_authenticated(&row).to_string());
        put("RawMessageDelivery", "false".into());
        if row.attributes.contains_key("FilterPolicy") {
            put("FilterPolicyScope", "MessageAttributes".into());
        }
        let policies = (topic.attributes.get("DeliveryPolicy"), row.attributes.get("DeliveryPolicy"));
        if matches!(row.protocol.as_str(), "http" | "https") {
            put("EffectiveDeliveryPolicy", Effective::new(policies.0, policies.1).shown_of_subscription());
        }
        put("Endpoint", endpoints::shown(&row.protocol, row.endpoint));
        put("Protocol", row.protocol);
        all.extend(row.attributes.into_iter().filter(|(name, _)| !name.starts_with(confirm::OURS)));
        Ok(all)
    }

    /// `SetSubscriptionAttributes`. An empty value takes the attribute away.
    pub async fn set_subscription_attribute(&self, arn: &str, attribute: &str, value: &str) -> Result<(), SnsError> {
        if !attributes::is_of_subscriptions(attribute) {
            return Err(SnsError::invalid("AttributeName"));
        }
        let (topic, id) = self.subscription_id(arn)?;
        let (attribute, value, place) = (attribute.to_owned(), value.to_owned(), self.lake.place.clone());
        let set = move |tx: &Tx<'_>| {
            let mut row = found(tx, &topic, &id)?;
            if value.is_empty() && attribute != "RawMessageDelivery" {
                row.attributes.remove(&attribute);
            } else {
                if attribute == "FilterPolicy" && !row.attributes.contains_key("FilterPolicy") {
                    check_filters(tx, &find(tx, &topic)?)?;
                }
                row.attributes.insert(attribute.clone(), value.clone());
                let facts = SubscriptionFacts::of(&row, &place);
                let kept = attributes::check_subscription(&attribute, &value, &row.attributes, facts);
                row.attributes.insert(attribute, kept.map_err(SnsError::InvalidParameter)?);
            }
            Ok(sql::update_subscription(tx, &row)?)
        };
        self.lake.store.write(set).await
    }
}

/// The attributes of a new subscription as they are stored.
fn checked(new: &NewSubscription, place: &Place) -> Result<Attributes, SnsError> {
    let facts = SubscriptionFacts { place, protocol: &new.protocol, endpoint: &new.endpoint };
    let one = |(name, value): (&String, &String)| {
        let checked = attributes::check_subscription(name, value, &new.attributes, facts);
        let kept = checked.map_err(|reason| match reason.starts_with("Filter policy scope") {
            true => SnsError::InvalidParameter(reason),
            false => SnsError::invalid(format!("Attributes Reason: {reason}")),
        });
        Ok((name.clone(), kept?))
    };
    new.attributes.iter().filter(|(name, value)| !value.is_empty() || *name == "RawMessageDelivery").map(one).collect()
}

/// Whether a subscription is already as it is asked for: what is not given does not count, and what was never set has its default.
fn agrees(asked: &Attributes, there: &Attributes) -> bool {
    let default = |name: &str| match name {
        "RawMessageDelivery" => Some("false"),
        "FilterPolicyScope" => Some("MessageAttributes"),
        _ => None,
    };
    let same = |a: &str, b: &str| {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
        a == b || (parsed(a).is_some() && parsed(a) == parsed(b))
    };
    asked.iter().all(|(name, value)| {
        there.get(name).map(String::as_str).or_else(|| default(name)).is_some_and(|found| same(found, value))
    })
}

fn check_filters(connection: &Connection, topic: &TopicRow) -> Result<(), SnsError> {
    match sql::count_filters(connection, topic.id)? {
        ..FILTERS_MAX => Ok(()),
        _ => Err(SnsError::FilterPolicyLimit(format!("A topic has up to {FILTERS_MAX} filter policies"))),
    }
}

fn add(tx: &Tx<'_>, topic: &TopicRow, new: NewSubscription, confirmed: bool) -> Result<(String, bool), SnsError> {
    let (there, pending) = sql::count_subscriptions(tx, topic.id)?;
    let limit = if topic.is_fifo() { SUBSCRIPTIONS_MAX_OF_FIFO } else { SUBSCRIPTIONS_MAX };
    if there + pending >= limit {
        return Err(SnsError::SubscriptionLimit(format!("A topic of this type has up to {limit} subscriptions")));
    }
    if new.attributes.contains_key("FilterPolicy") {
        check_filters(tx, topic)?;
    }
    let mut row = SubscriptionRow {
        seq: 0,
        id: tx.env().uuid(),
        topic: String::new(),
        protocol: new.protocol,
        endpoint: new.endpoint,
        state: if confirmed { State::Confirmed } else { State::Pending },
        token: tx.env().random_hex(confirm::TOKEN_BYTES),
        token_ms: tx.now_ms(),
        attributes: new.attributes,
    };
    sql::insert_subscription(tx, topic.id, &row)?;
    if !confirmed {
        ask(tx, &mut row)?;
    }
    Ok((row.id, !confirmed))
}
