//! How a subscription becomes one, and how it ends: tokens, links, and who may use them.
//!
//! A subscriber by mail or HTTP gets a token and confirms with it, signed or not. Who ends a subscription by the link in a message (unsigned)
//! gets another token, which restores it for a while: a link may be followed by mistake, or by a mail filter.

use super::envelope::Handshake;
use super::http::{HttpTask, http_task};
use super::mail::{MailTask, mail_task};
use super::sql::{self, State, SubscriptionRow};
use super::{Sns, SnsError};
use millpond_core::env::EnvExt;
use millpond_store::Tx;

/// A token confirms for so long.
pub(super) const TOKEN_VALID_MS: i64 = 48 * 60 * 60 * 1000;

pub(super) const TOKEN_BYTES: usize = 64;

/// Attributes that are ours and not shown begin so.
pub(super) const OURS: &str = "millpond:";

/// Marks a subscription that only signed requests can end.
const SIGNED_END: &str = "millpond:AuthenticateOnUnsubscribe";

/// Marks a subscription that was confirmed by a signed request.
const SIGNED_CONFIRMATION: &str = "millpond:ConfirmedSigned";

/// Whether subscribers of a protocol are asked by no message: the policy of a queue or a function says who may send to it.
pub(super) fn needs_none(protocol: &str) -> bool {
    matches!(protocol, "sqs" | "lambda")
}

pub(super) fn was_authenticated(row: &SubscriptionRow) -> bool {
    needs_none(&row.protocol) || [SIGNED_END, SIGNED_CONFIRMATION].iter().any(|mark| row.attributes.contains_key(*mark))
}

/// Has the subscriber asked. The token stays the same for its time, so that the links of all messages work.
pub(super) fn ask(tx: &Tx<'_>, row: &mut SubscriptionRow) -> Result<(), SnsError> {
    if tx.now_ms() - row.token_ms > TOKEN_VALID_MS {
        row.token = tx.env().random_hex(TOKEN_BYTES);
    }
    row.token_ms = tx.now_ms();
    sql::update_subscription(tx, row)?;
    tell(tx, row, Handshake::Subscribe)
}

fn tell(tx: &Tx<'_>, row: &SubscriptionRow, handshake: Handshake) -> Result<(), SnsError> {
    let (subscription_id, message_id) = (row.id.clone(), tx.env().uuid());
    let task = match row.protocol.as_str() {
        "http" | "https" => http_task(HttpTask::Handshake { subscription_id, message_id, handshake }),
        _ => mail_task(MailTask::Confirmation { subscription_id, message_id, handshake }),
    };
    tx.enqueue(&task)?;
    Ok(())
}

impl Sns {
    /// `ConfirmSubscription`: needs nothing but the token. `signed`: whether the request was; only then can it ask that ending the subscription
    /// needs a signature, too. Answers the subscription's ARN.
    pub async fn confirm(
        &self,
        topic_arn: &str,
        token: &str,
        signed: bool,
        authenticate_on_unsubscribe: bool,
    ) -> Result<String, SnsError> {
        // As SNS does, a topic that is not there is told like a wrong token: who asks is unknown.
        let name = self.topic_name(topic_arn).map_err(|error| match error {
            SnsError::NotFound(_) => SnsError::invalid("Token"),
            _ => SnsError::invalid("Topic"),
        })?;
        if token.len() < 32 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SnsError::Refused("Invalid token".into()));
        }
        let (token, arn) = (token.to_owned(), topic_arn.to_owned());
        let confirm = move |tx: &Tx<'_>| {
            let wrong = || SnsError::invalid("Token");
            let topic = sql::topic(tx, &name)?.ok_or_else(wrong)?;
            let mut there = sql::subscription_by_token(tx, topic.id, &token)?.ok_or_else(wrong)?;
            if there.is_confirmed() {
                return Ok(there.id);
            }
            if tx.now_ms() - there.token_ms > TOKEN_VALID_MS {
                return Err(SnsError::invalid("Token Reason: it has expired; subscribe again"));
            }
            there.state = State::Confirmed;
            if signed {
                there.attributes.insert(SIGNED_CONFIRMATION.into(), "true".into());
            }
            if signed && authenticate_on_unsubscribe {
                there.attributes.insert(SIGNED_END.into(), "true".into());
            }
            sql::update_subscription(tx, &there)?;
            Ok::<_, SnsError>(there.id)
        };
        Ok(format!("{arn}:{}", self.lake.store.write(confirm).await?))
    }

    /// `Unsubscribe`. `signed`: whether the request was; without, the ARN in the link is what entitles, and the subscriber is told how to come
    /// back. One that is gone is gone.
    pub async fn unsubscribe(&self, arn: &str, signed: bool) -> Result<(), SnsError> {
        if matches!(arn, "PendingConfirmation" | "pending confirmation") {
            return Err(SnsError::invalid(
                "SubscriptionArn Reason: a pending subscription is deleted after its token has expired",
            ));
        }
        let (topic, id) = self.subscription_id(arn)?;
        let unsubscribe = move |tx: &Tx<'_>| {
            let Some(mut there) = sql::subscription(tx, &topic, &id)? else { return Ok(()) };
            let needs_signature = needs_none(&there.protocol) || there.attributes.contains_key(SIGNED_END);
            if !signed && needs_signature {
                let message = "This subscription was confirmed so that only signed requests can end it.";
                return Err(SnsError::Authorization(message.into()));
            }
            sql::count_deleted(tx, &there)?;
            if signed || !there.is_confirmed() {
                return Ok(sql::delete_subscription(tx, &there)?);
            }
            (there.state, there.token, there.token_ms) = (State::Ended, tx.env().random_hex(TOKEN_BYTES), tx.now_ms());
            sql::update_subscription(tx, &there)?;
            tell(tx, &there, Handshake::Unsubscribe)
        };
        self.lake.store.write(unsubscribe).await
    }
}
