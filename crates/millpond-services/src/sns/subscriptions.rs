use super::attributes::{self, OF_SUBSCRIPTIONS};
use super::mail::{MailTask, mail_task};
use super::sql::{self, Attributes, SubscriptionRow};
use super::topics::{Page, find};
use super::{PAGE, Sns, SnsError};
use millpond_core::env::EnvExt;
use millpond_store::Tx;
use rusqlite::Connection;

/// Of one topic. Each is a task for every message.
const SUBSCRIPTIONS_MAX: i64 = 1000;

/// A token confirms for so long.
const TOKEN_VALID_MS: i64 = 48 * 60 * 60 * 1000;

/// A subscription to make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewSubscription {
    /// Of the topic.
    pub topic_arn: String,
    /// `email` or `email-json`.
    pub protocol: String,
    /// A mail address.
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
    /// `email` or `email-json`.
    pub protocol: String,
    /// A mail address.
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
    /// `Subscribe`: the subscriber gets a mail with a link to confirm. Asked for once more while it is pending, another such mail.
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
        check_endpoint(&mut new)?;
        for (name, value) in &new.attributes {
            attributes::check_subscription(name, value, &new.attributes).map_err(|reason| {
                match reason.starts_with("Filter policy scope") {
                    true => SnsError::InvalidParameter(reason),
                    false => SnsError::invalid(format!("Attributes Reason: {reason}")),
                }
            })?;
        }
        let topic_name = self.topic_name(&new.topic_arn)?;
        let arn = new.topic_arn.clone();
        let subscribe = move |tx: &Tx<'_>| {
            let topic = find(tx, &topic_name)?;
            let Some(mut there) = sql::subscription_of(tx, topic.id, &new.protocol, &new.endpoint)? else {
                return add(tx, topic.id, new, confirmed);
            };
            if !new.attributes.is_empty() && new.attributes != there.attributes {
                return Err(SnsError::invalid("Attributes Reason: Subscription already exists with different attributes"));
            }
            match (there.confirmed, confirmed) {
                (true, _) => {}
                (false, true) => {
                    there.confirmed = true;
                    sql::update_subscription(tx, &there)?;
                }
                (false, false) => ask(tx, &mut there)?,
            }
            Ok((there.id, !there.confirmed))
        };
        let (id, is_pending) = self.lake.store.write(subscribe).await?;
        Ok(Subscribed { arn: format!("{arn}:{id}"), is_pending })
    }

    /// `ConfirmSubscription`: needs nothing but the token. Answers the subscription's ARN.
    pub async fn confirm(&self, topic_arn: &str, token: &str, authenticate_on_unsubscribe: bool) -> Result<String, SnsError> {
        let well_formed = token.len() == TOKEN_BYTES * 2 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !well_formed {
            return Err(SnsError::invalid("Token"));
        }
        // As SNS does, a topic that is not there is told like a wrong token: who asks is unknown.
        let name = self.topic_name(topic_arn).map_err(|_| SnsError::invalid("Token"))?;
        let (token, arn) = (token.to_owned(), topic_arn.to_owned());
        let confirm = move |tx: &Tx<'_>| {
            let wrong = || SnsError::invalid("Token");
            let topic = sql::topic(tx, &name)?.ok_or_else(wrong)?;
            let mut there = sql::subscription_by_token(tx, topic.id, &token)?.ok_or_else(wrong)?;
            if there.confirmed {
                return Ok(there.id);
            }
            if tx.now_ms() - there.token_ms > TOKEN_VALID_MS {
                return Err(SnsError::invalid("Token Reason: it has expired; subscribe again"));
            }
            there.confirmed = true;
            if authenticate_on_unsubscribe {
                there.attributes.insert(AUTHENTICATED.into(), "true".into());
            }
            sql::update_subscription(tx, &there)?;
            Ok::<_, SnsError>(there.id)
        };
        Ok(format!("{arn}:{}", self.lake.store.write(confirm).await?))
    }

    /// `Unsubscribe`. `signed`: whether the request was; without, the ARN in the link is what entitles. One that is gone is gone.
    pub async fn unsubscribe(&self, arn: &str, signed: bool) -> Result<(), SnsError> {
        if arn == "PendingConfirmation" {
            return Err(SnsError::invalid(
                "SubscriptionArn Reason: a pending subscription is deleted after its token has expired",
            ));
        }
        let (topic, id) = self.subscription_id(arn)?;
        let unsubscribe = move |tx: &Tx<'_>| {
            let Some(there) = sql::subscription(tx, &topic, &id)? else { return Ok(()) };
            if !signed && there.attributes.contains_key(AUTHENTICATED) {
                let message = "This subscription was confirmed so that only signed requests can end it.";
                return Err(SnsError::Authorization(message.into()));
            }
            Ok(sql::delete_subscription(tx, &there)?)
        };
        self.lake.store.write(unsubscribe).await
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
            protocol: row.protocol,
            endpoint: row.endpoint,
            is_pending: !row.confirmed,
            owner: self.lake.place.account.clone(),
        }
    }

    /// `GetSubscriptionAttributes`, by AWS's names.
    pub async fn subscription_attributes(&self, arn: &str) -> Result<Attributes, SnsError> {
        let (topic, id) = self.subscription_id(arn)?;
        let row = self.lake.store.read(move |connection| found(connection, &topic, &id)).await?;
        let mut all = Attributes::new();
        let mut put = |name: &str, value: String| all.insert(name.into(), value);
        put("SubscriptionArn", arn.into());
        put("TopicArn", self.topic_arn(&row.topic));
        put("Owner", self.lake.place.account.clone());
        put("SubscriptionPrincipal", format!("arn:aws:iam::{}:root", self.lake.place.account));
        put("Protocol", row.protocol);
        put("Endpoint", row.endpoint);
        put("PendingConfirmation", (!row.confirmed).to_string());
        put("ConfirmationWasAuthenticated", row.attributes.contains_key(AUTHENTICATED).to_string());
        put("RawMessageDelivery", "false".into());
        if row.attributes.contains_key("FilterPolicy") {
            put("FilterPolicyScope", "MessageAttributes".into());
        }
        all.extend(row.attributes.into_iter().filter(|(name, _)| name != AUTHENTICATED));
        Ok(all)
    }

    /// `SetSubscriptionAttributes`. An empty value takes the attribute away.
    pub async fn set_subscription_attribute(&self, arn: &str, attribute: &str, value: &str) -> Result<(), SnsError> {
        if !OF_SUBSCRIPTIONS.contains(&attribute) {
            return Err(SnsError::invalid("AttributeName"));
        }
        let (topic, id) = self.subscription_id(arn)?;
        let (attribute, value) = (attribute.to_owned(), value.to_owned());
        let set = move |tx: &Tx<'_>| {
            let mut row = found(tx, &topic, &id)?;
            if value.is_empty() && attribute != "RawMessageDelivery" {
                row.attributes.remove(&attribute);
            } else {
                row.attributes.insert(attribute.clone(), value.clone());
                attributes::check_subscription(&attribute, &value, &row.attributes).map_err(SnsError::InvalidParameter)?;
            }
            Ok(sql::update_subscription(tx, &row)?)
        };
        self.lake.store.write(set).await
    }
}

/// Marks a subscription that only signed requests can end.
const AUTHENTICATED: &str = "millpond:AuthenticateOnUnsubscribe";

const TOKEN_BYTES: usize = 64;

fn check_endpoint(new: &mut NewSubscription) -> Result<(), SnsError> {
    match new.protocol.as_str() {
        "email" | "email-json" => {}
        "http" | "https" | "sqs" | "lambda" | "sms" | "application" | "firehose" => {
            let reason = format!("Protocol Reason: this lake delivers to email and email-json so far, not to {}", new.protocol);
            return Err(SnsError::invalid(reason));
        }
        other => return Err(SnsError::invalid(format!("Amazon SNS does not support this protocol string: {other}"))),
    }
    if let Some(address) = new.endpoint.strip_prefix("mailto:") {
        new.endpoint = address.to_owned();
    }
    match new.endpoint.parse::<lettre::Address>() {
        Ok(_) if new.endpoint.len() <= 320 => Ok(()),
        _ => Err(SnsError::invalid("Email address")),
    }
}

fn add(tx: &Tx<'_>, topic: i64, new: NewSubscription, confirmed: bool) -> Result<(String, bool), SnsError> {
    let (there, pending) = sql::count_subscriptions(tx, topic)?;
    if there + pending >= SUBSCRIPTIONS_MAX {
        return Err(SnsError::SubscriptionLimit(format!("A topic has up to {SUBSCRIPTIONS_MAX} subscriptions")));
    }
    let mut row = SubscriptionRow {
        seq: 0,
        id: tx.env().uuid(),
        topic: String::new(),
        protocol: new.protocol,
        endpoint: new.endpoint,
        confirmed,
        token: tx.env().random_hex(TOKEN_BYTES),
        token_ms: tx.now_ms(),
        attributes: new.attributes,
    };
    sql::insert_subscription(tx, topic, &row)?;
    if !confirmed {
        ask(tx, &mut row)?;
    }
    Ok((row.id, !confirmed))
}

/// Has the subscriber asked. The token stays the same for its time, so that the links of all mails work.
fn ask(tx: &Tx<'_>, row: &mut SubscriptionRow) -> Result<(), SnsError> {
    if tx.now_ms() - row.token_ms > TOKEN_VALID_MS {
        row.token = tx.env().random_hex(TOKEN_BYTES);
    }
    row.token_ms = tx.now_ms();
    sql::update_subscription(tx, row)?;
    tx.enqueue(&mail_task(MailTask::Confirmation { subscription_id: row.id.clone(), message_id: tx.env().uuid() }))?;
    Ok(())
}
