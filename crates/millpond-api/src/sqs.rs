//! SQS's operations on the wire.

use crate::router::{Context, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use millpond_services::runtime::delivery::MessageAttribute;
use millpond_services::sqs::{
    Ask, BatchEntry, Draft, Names, NewMessage, NewPermission, NewQueue, Received, Sent, Settled, Sqs, SqsError,
};
use millpond_wire::sqs::*;
use millpond_wire::{Blob, WireError};
use std::collections::BTreeMap;

/// Registers the operations that are implemented.
pub fn register(router: &mut Router, sqs: Sqs) {
    router
        .service(sqs)
        .on(CreateQueue, create_queue)
        .on(GetQueueUrl, get_queue_url)
        .on(ListQueues, list_queues)
        .on(DeleteQueue, delete_queue)
        .on(PurgeQueue, purge_queue)
        .on(GetQueueAttributes, get_queue_attributes)
        .on(SetQueueAttributes, set_queue_attributes)
        .on(SendMessage, send_message)
        .on(SendMessageBatch, send_message_batch)
        .on(ReceiveMessage, receive_message)
        .on(DeleteMessage, delete_message)
        .on(DeleteMessageBatch, delete_message_batch)
        .on(ChangeMessageVisibility, change_message_visibility)
        .on(ChangeMessageVisibilityBatch, change_message_visibility_batch)
        .on(ListDeadLetterSourceQueues, list_dead_letter_source_queues)
        .on(StartMessageMoveTask, start_message_move_task)
        .on(CancelMessageMoveTask, cancel_message_move_task)
        .on(ListMessageMoveTasks, list_message_move_tasks)
        .on(AddPermission, add_permission)
        .on(RemovePermission, remove_permission)
        .on(TagQueue, tag_queue)
        .on(UntagQueue, untag_queue)
        .on(ListQueueTags, list_queue_tags);
}

type Answer<T> = Result<T, WireError>;

fn refused(error: SqsError) -> WireError {
    let message = error.to_string();
    let (shape, status) = match error {
        SqsError::QueueDoesNotExist => (&error::QUEUE_DOES_NOT_EXIST, 400),
        SqsError::QueueNameExists(_) => (&error::QUEUE_NAME_EXISTS, 400),
        SqsError::InvalidAddress(_) => (&error::INVALID_ADDRESS, 400),
        SqsError::InvalidAttributeName(_) => (&error::INVALID_ATTRIBUTE_NAME, 400),
        SqsError::InvalidAttributeValue(_) => (&error::INVALID_ATTRIBUTE_VALUE, 400),
        SqsError::InvalidMessageContents(_) => (&error::INVALID_MESSAGE_CONTENTS, 400),
        SqsError::ReceiptHandleIsInvalid(_) => (&error::RECEIPT_HANDLE_IS_INVALID, 400),
        SqsError::NotInflight => (&error::MESSAGE_NOT_INFLIGHT, 400),
        SqsError::OverLimit(_) => (&error::OVER_LIMIT, 403),
        SqsError::PurgeInProgress(_) => (&error::PURGE_QUEUE_IN_PROGRESS, 403),
        SqsError::EmptyBatch(_) => (&error::EMPTY_BATCH_REQUEST, 400),
        SqsError::TooManyEntries(_) => (&error::TOO_MANY_ENTRIES_IN_BATCH_REQUEST, 400),
        SqsError::IdsNotDistinct(_) => (&error::BATCH_ENTRY_IDS_NOT_DISTINCT, 400),
        SqsError::InvalidBatchId => (&error::INVALID_BATCH_ENTRY_ID, 400),
        SqsError::BatchTooLong(_) => (&error::BATCH_REQUEST_TOO_LONG, 400),
        SqsError::ResourceNotFound(_) => (&error::RESOURCE_NOT_FOUND_EXCEPTION, 404),
        SqsError::Unsupported(_) => (&error::UNSUPPORTED_OPERATION, 400),
        // The model names no shape for these two.
        SqsError::InvalidParameter(_) => return WireError::sender(StatusCode::BAD_REQUEST, INVALID_PARAMETER, message),
        SqsError::MissingParameter(_) => return WireError::sender(StatusCode::BAD_REQUEST, MISSING_PARAMETER, message),
        SqsError::Store(cause) => {
            tracing::error!(error = %cause, "an SQS operation failed");
            let message = "The lake could not do this now; its log says why. Try again.";
            return WireError::sender(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message);
        }
    };
    let mut refusal = WireError::of(shape, message);
    refusal.status = StatusCode::from_u16(status).unwrap_or(refusal.status);
    refusal
}

const INVALID_PARAMETER: &str = "InvalidParameterValue";
const MISSING_PARAMETER: &str = "MissingParameter";

/// How an entry of a batch failed.
fn failure(id: String, error: SqsError) -> BatchResultErrorEntry {
    let refusal = refused(error);
    BatchResultErrorEntry {
        id,
        sender_fault: refusal.sender_fault,
        code: refusal.code.into_owned(),
        message: Some(refusal.message),
    }
}

/// By the address at which the caller reached the lake; any other one is taken, too, when it comes back.
fn url(context: &Context, name: &str) -> String {
    format!("{}/{}/{name}", context.base_url(), context.account)
}

async fn create_queue(sqs: Sqs, context: Context, input: CreateQueueInput) -> Answer<CreateQueueOutput> {
    let new = NewQueue {
        name: input.queue_name,
        attributes: input.attributes.unwrap_or_default(),
        tags: input.tags.unwrap_or_default(),
    };
    let name = sqs.create_queue(new).await.map_err(refused)?;
    Ok(CreateQueueOutput { queue_url: Some(url(&context, &name)) })
}

async fn get_queue_url(sqs: Sqs, context: Context, input: GetQueueUrlInput) -> Answer<GetQueueUrlOutput> {
    sqs.queue_exists(&input.queue_name, input.queue_owner_aws_account_id.as_deref()).await.map_err(refused)?;
    Ok(GetQueueUrlOutput { queue_url: Some(url(&context, &input.queue_name)) })
}

fn urls(context: &Context, page: Names) -> (Vec<String>, Option<String>) {
    (page.names.iter().map(|name| url(context, name)).collect(), page.next)
}

async fn list_queues(sqs: Sqs, context: Context, input: ListQueuesInput) -> Answer<ListQueuesOutput> {
    let prefix = input.queue_name_prefix.unwrap_or_default();
    let page = sqs.list_queues(&prefix, input.max_results, input.next_token.as_deref()).await.map_err(refused)?;
    let (urls, next_token) = urls(&context, page);
    Ok(ListQueuesOutput { queue_urls: (!urls.is_empty()).then_some(urls), next_token })
}

async fn list_dead_letter_source_queues(
    sqs: Sqs,
    context: Context,
    input: ListDeadLetterSourceQueuesInput,
) -> Answer<ListDeadLetterSourceQueuesOutput> {
    let page = sqs.dead_letter_sources(&input.queue_url, input.max_results, input.next_token.as_deref());
    let (queue_urls, next_token) = urls(&context, page.await.map_err(refused)?);
    Ok(ListDeadLetterSourceQueuesOutput { queue_urls, next_token })
}

async fn delete_queue(sqs: Sqs, _: Context, input: DeleteQueueInput) -> Answer<DeleteQueueOutput> {
    sqs.delete_queue(&input.queue_url).await.map_err(refused)?;
    Ok(DeleteQueueOutput {})
}

async fn purge_queue(sqs: Sqs, _: Context, input: PurgeQueueInput) -> Answer<PurgeQueueOutput> {
    sqs.purge_queue(&input.queue_url).await.map_err(refused)?;
    Ok(PurgeQueueOutput {})
}

async fn get_queue_attributes(sqs: Sqs, _: Context, input: GetQueueAttributesInput) -> Answer<GetQueueAttributesOutput> {
    let wanted = input.attribute_names.unwrap_or_default();
    let attributes = sqs.queue_attributes(&input.queue_url, wanted).await.map_err(refused)?;
    Ok(GetQueueAttributesOutput { attributes: (!attributes.is_empty()).then_some(attributes) })
}

async fn set_queue_attributes(sqs: Sqs, _: Context, input: SetQueueAttributesInput) -> Answer<SetQueueAttributesOutput> {
    sqs.set_queue_attributes(&input.queue_url, input.attributes).await.map_err(refused)?;
    Ok(SetQueueAttributesOutput {})
}

/// The value of an attribute: what its type says of the two it may have.
fn value(data_type: String, text: Option<String>, bytes: Option<Blob>) -> MessageAttribute {
    let binary = data_type.split('.').next() == Some("Binary");
    // One that is missing is empty, which the service refuses with its type.
    let value = match binary {
        true => bytes.map(|bytes| STANDARD.encode(bytes.0)).unwrap_or_default(),
        false => text.unwrap_or_default(),
    };
    MessageAttribute { data_type, value }
}

/// A message's attributes, and what is wrong with the first that cannot be sent.
fn attributes(given: Option<BTreeMap<String, MessageAttributeValue>>) -> (BTreeMap<String, MessageAttribute>, Option<SqsError>) {
    let has_list = |value: &MessageAttributeValue| {
        value.string_list_values.as_ref().is_some_and(|list| !list.is_empty())
            || value.binary_list_values.as_ref().is_some_and(|list| !list.is_empty())
    };
    let given = given.unwrap_or_default();
    let wrong = given.iter().find(|(_, value)| has_list(value)).map(|(name, _)| {
        SqsError::Unsupported(format!("Message attribute list values in SendMessage operation are not supported ('{name}')."))
    });
    let convert =
        |(name, given): (String, MessageAttributeValue)| (name, value(given.data_type, given.string_value, given.binary_value));
    (given.into_iter().map(convert).collect(), wrong)
}

/// `AWSTraceHeader`, the only system attribute that a sender may give.
fn trace(given: Option<BTreeMap<String, MessageSystemAttributeValue>>) -> Result<Option<String>, SqsError> {
    let mut trace = None;
    for (name, value) in given.unwrap_or_default() {
        match (name.as_str(), value.data_type.as_str(), value.string_value) {
            ("AWSTraceHeader", "String", Some(text)) if !text.is_empty() => trace = Some(text),
            ("AWSTraceHeader", ..) => {
                let message = "Message (system) attribute 'AWSTraceHeader' must contain a non-empty value of type 'String'.";
                return Err(SqsError::InvalidParameter(message.into()));
            }
            _ => {
                let message = format!("Message system attribute name '{name}' is invalid. Only AWSTraceHeader can be sent.");
                return Err(SqsError::InvalidParameter(message));
            }
        }
    }
    Ok(trace)
}

async fn send_message(sqs: Sqs, context: Context, input: SendMessageInput) -> Answer<SendMessageOutput> {
    let (attributes, wrong) = attributes(input.message_attributes);
    wrong.map_or(Ok(()), |error| Err(refused(error)))?;
    let message = NewMessage {
        body: input.message_body,
        attributes,
        trace: trace(input.message_system_attributes).map_err(refused)?,
        group_id: input.message_group_id,
        deduplication_id: input.message_deduplication_id,
        delay_seconds: input.delay_seconds,
        sender: context.principal.user_id().to_owned(),
    };
    let Sent { message_id, md5_of_body, md5_of_attributes, md5_of_system_attributes, sequence_number } =
        sqs.send_message(&input.queue_url, message).await.map_err(refused)?;
    Ok(SendMessageOutput {
        md5_of_message_body: Some(md5_of_body),
        md5_of_message_attributes: md5_of_attributes,
        md5_of_message_system_attributes: md5_of_system_attributes,
        message_id: Some(message_id),
        sequence_number,
    })
}

async fn send_message_batch(sqs: Sqs, context: Context, input: SendMessageBatchInput) -> Answer<SendMessageBatchOutput> {
    let sender = context.principal.user_id();
    let entry = |entry: SendMessageBatchRequestEntry| {
        let (attributes, wrong) = attributes(entry.message_attributes);
        let (trace, wrong_trace) = match trace(entry.message_system_attributes) {
            Ok(trace) => (trace, None),
            Err(error) => (None, Some(error)),
        };
        let message = NewMessage {
            body: entry.message_body,
            attributes,
            trace,
            group_id: entry.message_group_id,
            deduplication_id: entry.message_deduplication_id,
            delay_seconds: entry.delay_seconds,
            sender: sender.to_owned(),
        };
        BatchEntry { id: entry.id, item: Draft { message, refused: wrong.or(wrong_trace) } }
    };
    let entries = input.entries.into_iter().map(entry).collect();
    let sent = sqs.send_message_batch(&input.queue_url, entries).await.map_err(refused)?;
    let mut output = SendMessageBatchOutput::default();
    for BatchEntry { id, item } in sent {
        match item {
            Ok(sent) => output.successful.push(SendMessageBatchResultEntry {
                id,
                message_id: sent.message_id,
                md5_of_message_body: sent.md5_of_body,
                md5_of_message_attributes: sent.md5_of_attributes,
                md5_of_message_system_attributes: sent.md5_of_system_attributes,
                sequence_number: sent.sequence_number,
            }),
            Err(error) => output.failed.push(failure(id, error)),
        }
    }
    Ok(output)
}

async fn receive_message(sqs: Sqs, _: Context, input: ReceiveMessageInput) -> Answer<ReceiveMessageOutput> {
    let ask = Ask {
        max: input.max_number_of_messages,
        wait_seconds: input.wait_time_seconds,
        visibility_seconds: input.visibility_timeout,
        attempt: input.receive_request_attempt_id,
    };
    let received = sqs.receive_message(&input.queue_url, ask).await.map_err(refused)?;
    // The older name for the same; where both are given, either will do.
    let mut system = input.message_system_attribute_names.unwrap_or_default();
    system.extend(input.attribute_names.unwrap_or_default());
    let own = input.message_attribute_names.unwrap_or_default();
    let messages: Vec<_> = received.into_iter().map(|received| message(received, &system, &own)).collect();
    Ok(ReceiveMessageOutput { messages: (!messages.is_empty()).then_some(messages) })
}

fn message(mut received: Received, system: &[String], own: &[String]) -> Message {
    received.keep_attributes(own);
    let all = system.iter().any(|name| name == "All");
    let wanted = |name: &str| all || system.iter().any(|wanted| wanted == name);
    let mut attributes = BTreeMap::new();
    if !system.is_empty() {
        attributes.extend(received.system_attributes().into_iter().filter(|(name, _)| wanted(name)));
    }
    let message_attributes = received.attributes.into_iter().map(|(name, attribute)| {
        let binary = attribute.is_binary();
        let value = MessageAttributeValue {
            string_value: (!binary).then(|| attribute.value.clone()),
            binary_value: binary.then(|| Blob(STANDARD.decode(&attribute.value).unwrap_or_default())),
            data_type: attribute.data_type,
            ..MessageAttributeValue::default()
        };
        (name, value)
    });
    let message_attributes: BTreeMap<_, _> = message_attributes.collect();
    Message {
        message_id: Some(received.message_id),
        receipt_handle: Some(received.receipt),
        md5_of_body: Some(received.md5_of_body),
        body: Some(received.body),
        attributes: (!attributes.is_empty())
            .then(|| attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        md5_of_message_attributes: received.md5_of_attributes,
        message_attributes: (!message_attributes.is_empty()).then_some(message_attributes),
    }
}

async fn delete_message(sqs: Sqs, _: Context, input: DeleteMessageInput) -> Answer<DeleteMessageOutput> {
    sqs.delete_message(&input.queue_url, input.receipt_handle).await.map_err(refused)?;
    Ok(DeleteMessageOutput {})
}

/// The ids that succeeded, and how the others failed.
fn settled(all: Settled) -> (Vec<String>, Vec<BatchResultErrorEntry>) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for BatchEntry { id, item } in all {
        match item {
            Ok(()) => done.push(id),
            Err(error) => failed.push(failure(id, error)),
        }
    }
    (done, failed)
}

async fn delete_message_batch(sqs: Sqs, _: Context, input: DeleteMessageBatchInput) -> Answer<DeleteMessageBatchOutput> {
    let entries = input.entries.into_iter().map(|entry| BatchEntry { id: entry.id, item: entry.receipt_handle });
    let all = sqs.delete_message_batch(&input.queue_url, entries.collect()).await.map_err(refused)?;
    let (done, failed) = settled(all);
    Ok(DeleteMessageBatchOutput { successful: done.into_iter().map(|id| DeleteMessageBatchResultEntry { id }).collect(), failed })
}

async fn change_message_visibility(
    sqs: Sqs,
    _: Context,
    input: ChangeMessageVisibilityInput,
) -> Answer<ChangeMessageVisibilityOutput> {
    sqs.change_visibility(&input.queue_url, input.receipt_handle, input.visibility_timeout).await.map_err(refused)?;
    Ok(ChangeMessageVisibilityOutput {})
}

async fn change_message_visibility_batch(
    sqs: Sqs,
    _: Context,
    input: ChangeMessageVisibilityBatchInput,
) -> Answer<ChangeMessageVisibilityBatchOutput> {
    let entry = |entry: ChangeMessageVisibilityBatchRequestEntry| BatchEntry {
        id: entry.id,
        item: (entry.receipt_handle, entry.visibility_timeout),
    };
    let entries = input.entries.into_iter().map(entry).collect();
    let all = sqs.change_visibility_batch(&input.queue_url, entries).await.map_err(refused)?;
    let (done, failed) = settled(all);
    let successful = done.into_iter().map(|id| ChangeMessageVisibilityBatchResultEntry { id }).collect();
    Ok(ChangeMessageVisibilityBatchOutput { successful, failed })
}

async fn start_message_move_task(sqs: Sqs, _: Context, input: StartMessageMoveTaskInput) -> Answer<StartMessageMoveTaskOutput> {
    let rate = input.max_number_of_messages_per_second;
    let started = sqs.start_move(&input.source_arn, input.destination_arn.as_deref(), rate).await.map_err(refused)?;
    Ok(StartMessageMoveTaskOutput { task_handle: Some(started.handle) })
}

async fn cancel_message_move_task(
    sqs: Sqs,
    _: Context,
    input: CancelMessageMoveTaskInput,
) -> Answer<CancelMessageMoveTaskOutput> {
    let moved = sqs.cancel_move(&input.task_handle).await.map_err(refused)?;
    Ok(CancelMessageMoveTaskOutput { approximate_number_of_messages_moved: Some(moved) })
}

async fn list_message_move_tasks(sqs: Sqs, _: Context, input: ListMessageMoveTasksInput) -> Answer<ListMessageMoveTasksOutput> {
    let moves = sqs.list_moves(&input.source_arn, input.max_results).await.map_err(refused)?;
    let results = moves.into_iter().map(|task| ListMessageMoveTasksResultEntry {
        task_handle: task.handle,
        status: Some(task.status),
        source_arn: Some(task.source),
        destination_arn: task.destination,
        max_number_of_messages_per_second: task.rate,
        approximate_number_of_messages_moved: Some(task.moved),
        approximate_number_of_messages_to_move: Some(task.to_move),
        failure_reason: task.failure,
        started_timestamp: Some(task.started_ms),
    });
    Ok(ListMessageMoveTasksOutput { results: Some(results.collect()) })
}

async fn add_permission(sqs: Sqs, _: Context, input: AddPermissionInput) -> Answer<AddPermissionOutput> {
    let new = NewPermission { label: input.label, accounts: input.aws_account_ids, actions: input.actions };
    sqs.add_permission(&input.queue_url, new).await.map_err(refused)?;
    Ok(AddPermissionOutput {})
}

async fn remove_permission(sqs: Sqs, _: Context, input: RemovePermissionInput) -> Answer<RemovePermissionOutput> {
    sqs.remove_permission(&input.queue_url, &input.label).await.map_err(refused)?;
    Ok(RemovePermissionOutput {})
}

async fn tag_queue(sqs: Sqs, _: Context, input: TagQueueInput) -> Answer<TagQueueOutput> {
    sqs.tag_queue(&input.queue_url, input.tags).await.map_err(refused)?;
    Ok(TagQueueOutput {})
}

async fn untag_queue(sqs: Sqs, _: Context, input: UntagQueueInput) -> Answer<UntagQueueOutput> {
    sqs.untag_queue(&input.queue_url, input.tag_keys).await.map_err(refused)?;
    Ok(UntagQueueOutput {})
}

async fn list_queue_tags(sqs: Sqs, _: Context, input: ListQueueTagsInput) -> Answer<ListQueueTagsOutput> {
    let tags = sqs.queue_tags(&input.queue_url).await.map_err(refused)?;
    Ok(ListQueueTagsOutput { tags: (!tags.is_empty()).then_some(tags) })
}
