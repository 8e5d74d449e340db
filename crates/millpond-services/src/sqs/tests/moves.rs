use super::*;
use crate::runtime::Workers;

/// Two dead letters of `q` in `dead`.
async fn dead_letters(fixture: &Fixture) {
    fixture.create("dead", &[]).await;
    fixture.create("q", &[("RedrivePolicy", &redrive(&fixture.arn("dead"), 1))]).await;
    for body in ["one", "two"] {
        fixture.send("q", body).await;
    }
    assert_eq!(fixture.receive_hidden("q", 10, Some(0)).await.len(), 2);
    assert_eq!(fixture.receive("q", 10).await, []);
    assert_eq!(fixture.counts("dead").await, (2, 0, 0));
}

async fn ended(fixture: &Fixture) -> Move {
    for _ in 0..500 {
        let last = fixture.sqs.list_moves(&fixture.arn("dead"), None).await.unwrap().remove(0);
        if !matches!(last.status.as_str(), "RUNNING" | "CANCELLING") {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the move does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_back_to_where_they_came_from() {
    let fixture = Fixture::new();
    dead_letters(&fixture).await;
    let workers = Workers::start(&fixture.lake, fixture.sqs.handlers());
    fixture.sqs.start_move(&fixture.arn("dead"), None, None).await.unwrap();
    let done = ended(&fixture).await;
    assert_eq!((done.status.as_str(), done.moved, done.to_move, done.handle), ("COMPLETED", 2, 2, None));
    let back = fixture.receive("q", 10).await;
    assert_eq!((bodies(&back), back[0].receives), (vec!["one", "two"], 1));
    assert_eq!(fixture.counts("dead").await, (0, 0, 0));
    workers.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_source_ends_the_move() {
    let fixture = Fixture::new();
    dead_letters(&fixture).await;
    fixture.send("dead", "sent here").await;
    let workers = Workers::start(&fixture.lake, fixture.sqs.handlers());
    fixture.sqs.start_move(&fixture.arn("dead"), None, None).await.unwrap();
    let done = ended(&fixture).await;
    assert_eq!((done.status.as_str(), done.failure.as_deref()), ("FAILED", Some("CouldNotDetermineMessageSource")));
    fixture.create("elsewhere", &[]).await;
    fixture.sqs.start_move(&fixture.arn("dead"), Some(&fixture.arn("elsewhere")), None).await.unwrap();
    assert_eq!(ended(&fixture).await.status, "COMPLETED");
    assert!(bodies(&fixture.receive("elsewhere", 10).await).contains(&"sent here"));
    workers.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_cancelled_and_another_can_start() {
    let fixture = Fixture::new();
    dead_letters(&fixture).await;
    let started = fixture.sqs.start_move(&fixture.arn("dead"), None, Some(1)).await.unwrap();
    let error = fixture.sqs.start_move(&fixture.arn("dead"), None, None).await.unwrap_err().to_string();
    assert!(error.starts_with("There is already a task running."), "{error}");
    assert_eq!(fixture.sqs.cancel_move(&started.handle).await.unwrap(), 0);
    let workers = Workers::start(&fixture.lake, fixture.sqs.handlers());
    let done = ended(&fixture).await;
    assert_eq!((done.status.as_str(), done.moved), ("CANCELLED", 0));
    assert!(fixture.sqs.cancel_move(&started.handle).await.unwrap_err().to_string().contains("Only active tasks"));
    fixture.sqs.start_move(&fixture.arn("dead"), None, None).await.unwrap();
    assert_eq!(ended(&fixture).await.status, "COMPLETED");
    assert_eq!(fixture.sqs.list_moves(&fixture.arn("dead"), Some(10)).await.unwrap().len(), 2);
    workers.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_move_cannot_do_is_said() {
    let fixture = Fixture::new();
    dead_letters(&fixture).await;
    let (dead, q) = (fixture.arn("dead"), fixture.arn("q"));
    let missing = fixture.arn("none");
    for (source, destination, rate, expected) in [
        (q.as_str(), None, None, "Source queue must be configured as a Dead Letter Queue."),
        (&missing, None, None, "the SourceArn parameter doesn't exist."),
        (&dead, Some(missing.as_str()), None, "the DestinationArn parameter doesn't exist."),
        ("nonsense", None, None, "You must use this format to specify the SourceArn"),
        (&dead, None, Some(501), "Must be between 1 and 500"),
        (&dead, Some(dead.as_str()), None, "two queues"),
    ] {
        let error = fixture.sqs.start_move(source, destination, rate).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (handle, expected) in [
        ("nonsense".to_owned(), "Value for parameter TaskHandle is invalid."),
        (handle(&missing), "the SourceArn parameter doesn't exist."),
        (handle(&dead), "Task does not exist."),
    ] {
        let error = fixture.sqs.cancel_move(&handle).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn handle(source: &str) -> String {
    use base64::Engine;
    let text = serde_json::json!({ "taskId": "x", "sourceArn": source }).to_string();
    base64::engine::general_purpose::STANDARD.encode(text)
}
