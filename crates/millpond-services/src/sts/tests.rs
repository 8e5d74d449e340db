use super::*;
use crate::lake::identity::{COMPONENT, Session};
use millpond_core::env::SystemEnv;
use millpond_store::{Store, StoreError, Tx};
use std::sync::Arc;

async fn setup() -> (Sts, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
    let lake = Lake { store, place: Arc::default() };
    let identity = Identity::open(&lake, "secret").await.unwrap();
    let roles = identity.clone();
    let fill = move |tx: &Tx<'_>| {
        let trust = |action: &str, more: &str| {
            format!(r#"{{"Statement": {{"Effect": "Allow", "Principal": {{"AWS": "000000000000"}}, "Action": {action}{more}}}}}"#)
        };
        let external = r#", "Condition": {"StringEquals": {"sts:ExternalId": "42"}}"#;
        for (name, trust) in [
            ("loader", trust(r#""sts:AssumeRole""#, "")),
            ("tagged", trust(r#"["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]"#, "")),
            ("careful", trust(r#""sts:AssumeRole""#, external)),
        ] {
            let insert = "INSERT INTO iam_role VALUES (?1, ?2, '/', NULL, 0, 7200, ?3, NULL)";
            tx.execute(insert, [&format!("AROA{name}"), name, &trust])?;
            let all = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
            tx.execute("INSERT INTO iam_role_policy VALUES (?, 'all', ?)", [&format!("AROA{name}"), all])?;
            roles.role_comes(tx, &format!("AROA{name}"));
        }
        Ok::<_, StoreError>(())
    };
    lake.store.write(fill).await.unwrap();
    (Sts::new(lake, identity), directory)
}

fn asked(role: &str) -> AssumeRole {
    let role_arn = format!("arn:aws:iam::000000000000:role/{role}");
    AssumeRole { role_arn, session_name: "me".into(), ..AssumeRole::default() }
}

fn tag(key: &str, value: &str) -> Vec<(String, String)> {
    vec![(key.into(), value.into())]
}

fn caller(session: &Session) -> Caller {
    Caller::Session(Arc::new(session.clone()))
}

async fn refused(sts: &Sts, caller: &Caller, asked: AssumeRole) -> String {
    sts.assume_role(caller.clone(), asked, 0).await.expect_err("it must be refused").to_string()
}

#[tokio::test]
async fn a_session_is_who_it_says_and_its_time_is_bounded() {
    let (sts, _directory) = setup().await;
    let assumed = sts.assume_role(Caller::Root, asked("loader"), 0).await.unwrap();
    assert_eq!(assumed.arn, "arn:aws:sts::000000000000:assumed-role/loader/me");
    assert_eq!((assumed.user_id.as_str(), assumed.packed_percent), ("AROAloader:me", None));
    let session = caller(&assumed.keys.session);
    assert_eq!(sts.caller_identity(&session).arn, assumed.arn);
    assert_eq!(sts.caller_identity(&Caller::Root).arn, "arn:aws:iam::000000000000:root");
    assert_eq!(sts.access_key_account("AKIAROOT", &assumed.keys.access_key).unwrap(), "000000000000");
    assert!(sts.access_key_account("AKIAROOT", "AKIAIOSFODNN7EXAMPLE").is_err());

    let long = AssumeRole { seconds: Some(7201), ..asked("loader") };
    assert!(refused(&sts, &Caller::Root, long).await.contains("exceeds the MaxSessionDuration"));
    let two_hours = AssumeRole { seconds: Some(7200), ..asked("loader") };
    let keys = sts.assume_role(Caller::Root, two_hours.clone(), 0).await.unwrap().keys;
    assert_eq!(keys.session.expires_ms - keys.session.issued_ms, 7_200_000);
    assert!(refused(&sts, &session, two_hours).await.contains("role chaining"));
    assert!(sts.assume_role(session.clone(), asked("loader"), 0).await.is_ok());

    assert!(sts.session_token(&session, None).is_err());
    let root = sts.session_token(&Caller::Root, Some(129_600)).unwrap().session;
    assert_eq!((root.role.is_none(), root.expires_ms - root.issued_ms), (true, 3_600_000));
}

#[tokio::test]
async fn what_may_not_be_assumed_is_denied_in_one_way() {
    let (sts, _directory) = setup().await;
    let root = Caller::Root;
    for role in ["nobody", "careful"] {
        assert_eq!(
            refused(&sts, &root, asked(role)).await,
            format!(
                "User: arn:aws:iam::000000000000:root is not authorized to perform: sts:AssumeRole on resource: \
                 arn:aws:iam::000000000000:role/{role}"
            )
        );
    }
    let external = AssumeRole { external_id: Some("42".into()), ..asked("careful") };
    assert!(sts.assume_role(root.clone(), external, 0).await.is_ok());
    let tagged = AssumeRole { tags: tag("team", "etl"), ..asked("loader") };
    assert!(refused(&sts, &root, tagged).await.contains("sts:TagSession"));
    for arn in ["role", "arn:aws:iam::000000000000:user/x", "arn:aws:s3:::role/x"] {
        let asked = AssumeRole { role_arn: arn.into(), ..asked("loader") };
        assert!(refused(&sts, &root, asked).await.contains("is invalid"));
    }
    let policy = AssumeRole { policy: Some("{".into()), ..asked("loader") };
    assert!(refused(&sts, &root, policy).await.contains("invalid Json"));
    let policy = AssumeRole { policy_arns: vec!["arn:aws:iam::aws:policy/None".into()], ..asked("loader") };
    assert!(refused(&sts, &root, policy).await.contains("does not exist"));
}

#[tokio::test]
async fn tags_go_on_to_further_sessions_where_they_are_transitive() {
    let (sts, _directory) = setup().await;
    let first = AssumeRole {
        tags: vec![("team".into(), "etl".into()), ("cost".into(), "7".into())],
        transitive_tags: vec!["team".into()],
        source_identity: Some("ann".into()),
        ..asked("tagged")
    };
    let assumed = sts.assume_role(Caller::Root, first.clone(), 0).await.unwrap();
    assert_eq!(assumed.packed_percent, Some(1));
    let session = caller(&assumed.keys.session);
    let second = sts.assume_role(session.clone(), asked("loader"), 0).await.unwrap().keys.session;
    assert_eq!(second.tags.into_iter().collect::<Vec<_>>(), tag("team", "etl"));
    assert_eq!((second.transitive_tags, second.source_identity.as_deref()), (vec!["team".to_owned()], Some("ann")));

    let again = AssumeRole { tags: tag("team", "other"), ..asked("tagged") };
    assert!(refused(&sts, &session, again).await.contains("conflicts with a transitive tag"));
    let other = AssumeRole { source_identity: Some("bob".into()), ..asked("tagged") };
    assert!(refused(&sts, &session, other).await.contains("cannot become"));
    let large = AssumeRole { tags: tag("team", &"x".repeat(5000)), ..asked("tagged") };
    assert!(refused(&sts, &Caller::Root, large).await.contains("122% of allotted space"));
    let unknown = AssumeRole { transitive_tags: vec!["none".into()], ..first };
    assert!(refused(&sts, &Caller::Root, unknown).await.contains("must be included"));
}
