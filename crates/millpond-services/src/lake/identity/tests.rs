use super::*;
use crate::lake::Lake;
use millpond_core::env::SystemEnv;
use millpond_store::{Store, StoreError, Tx};
use rusqlite::params;

const NOW: i64 = 4_000_000_000_000;

struct Setup {
    lake: Lake,
    identity: Identity,
    _directory: tempfile::TempDir,
}

async fn setup() -> Setup {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
    let lake = Lake { store, place: Arc::new(Place { account: "111122223333".into(), ..Place::default() }) };
    let identity = Identity::open(&lake, "the root's secret").await.unwrap();
    Setup { lake, identity, _directory: directory }
}

fn trust(principal: &str, more: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal": {principal}, "Action": "sts:AssumeRole"{more}}}}}"#
    )
}

fn allow(more: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", {more}}}}}"#)
}

impl Setup {
    async fn role(&self, name: &str, trust: String) -> Role {
        let (identity, name, id) = (self.identity.clone(), name.to_owned(), format!("AROA{name}"));
        self.lake
            .store
            .write(move |tx: &Tx<'_>| {
                let insert = "INSERT INTO iam_role VALUES (?, ?, '/', NULL, 0, 3600, ?, NULL)";
                tx.execute(insert, params![id, name, trust])?;
                identity.role_comes(tx, &id);
                Ok::<_, StoreError>(role_by_id(tx, &id)?.unwrap())
            })
            .await
            .unwrap()
    }

    async fn change(&self, sql: &'static str, values: &[&str]) {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let change = move |tx: &Tx<'_>| Ok::<_, StoreError>(tx.execute(sql, rusqlite::params_from_iter(values))?);
        self.lake.store.write(change).await.unwrap();
    }

    fn session(&self, role: &Role) -> Caller {
        Caller::Session(Arc::new(self.identity.issue(role, "run-1", 3600).session))
    }

    /// The error's text, or nothing.
    async fn pass(&self, caller: &Caller, role: &'static str, service: &'static str) -> String {
        let (place, caller) = (self.lake.place.clone(), caller.clone());
        let look = move |connection: &rusqlite::Connection| may_pass(connection, &place, &caller, role, service, NOW, &[]);
        self.lake.store.read(look).await.map_or_else(|error: RoleError| error.to_string(), |()| String::new())
    }

    async fn assume(&self, caller: &Caller, role: &Role, more: &'static [(&'static str, &'static str)]) -> bool {
        let (place, caller, role) = (self.lake.place.clone(), caller.clone(), role.clone());
        let look = move |connection: &rusqlite::Connection| {
            decide_assume(connection, &place, &caller, &role, "sts:AssumeRole", NOW, more)
        };
        self.lake.store.read(look).await.is_ok()
    }
}

#[tokio::test]
async fn a_session_is_known_by_its_token_alone() {
    let setup = setup().await;
    let role = setup.role("loader", trust(r#"{"Service": "lambda.amazonaws.com"}"#, "")).await;
    let keys = setup.identity.issue(&role, "my-function", 3600);
    assert_eq!((keys.access_key.len(), keys.secret_key.len()), (20, 40));
    assert!(keys.access_key.starts_with("ASIA") && !format!("{keys:?}").contains(&keys.secret_key));
    assert_eq!(session::account_of(&keys.access_key).as_deref(), Some("111122223333"));

    let issued = keys.session.issued_ms;
    let verified = setup.identity.verify(&keys.access_key, &keys.session_token, issued).unwrap();
    assert_eq!(verified.secret_key, keys.secret_key);
    assert_eq!(*verified.session, keys.session);
    let place = &setup.lake.place;
    assert_eq!(verified.session.arn(place), "arn:aws:sts::111122223333:assumed-role/loader/my-function");
    assert_eq!(verified.session.user_id(place), "AROAloader:my-function");

    let again = Identity::open(&setup.lake, "the root's secret").await.unwrap();
    assert!(again.verify(&keys.access_key, &keys.session_token, issued).is_ok(), "a restart ends no session");
}

#[tokio::test]
async fn a_session_is_refused_when_anything_about_it_is_wrong() {
    let setup = setup().await;
    let role = setup.role("loader", trust(r#"{"AWS": "*"}"#, "")).await;
    let keys = setup.identity.issue(&role, "a", 900);
    let other = setup.identity.issue(&role, "b", 900);
    let now = keys.session.issued_ms;
    let refused = |key: &str, token: &str, now| setup.identity.verify(key, token, now).err();
    assert_eq!(refused(&keys.access_key, &keys.session_token, now + 899_999), None);
    assert_eq!(refused(&keys.access_key, &keys.session_token, now + 900_000), Some(SessionError::Expired));
    assert_eq!(refused(&other.access_key, &keys.session_token, now), Some(SessionError::Invalid));
    for at in [0, 5, 30, 60, keys.session_token.len() - 1] {
        let mut token = keys.session_token.clone().into_bytes();
        token[at] = if token[at] == b'A' { b'B' } else { b'A' };
        let token = String::from_utf8(token).unwrap();
        assert_eq!(refused(&keys.access_key, &token, now), Some(SessionError::Invalid), "character {at}");
    }
    for token in ["", "AQ", "not base64!", &"A".repeat(100_000)] {
        assert_eq!(refused(&keys.access_key, token, now), Some(SessionError::Invalid));
    }
    let stranger = Identity::open(&setup.lake, "another secret").await.unwrap();
    assert!(stranger.verify(&keys.access_key, &keys.session_token, now).is_err(), "a changed root key ends all sessions");

    let (identity, id) = (setup.identity.clone(), role.id.clone());
    let delete = move |tx: &Tx<'_>| {
        tx.execute("DELETE FROM iam_role WHERE id = ?", [&id])?;
        identity.role_goes(tx, &id);
        Ok::<_, StoreError>(())
    };
    setup.lake.store.write(delete).await.unwrap();
    assert_eq!(refused(&keys.access_key, &keys.session_token, now), Some(SessionError::RoleGone));
}

#[tokio::test]
async fn a_session_of_a_run_ends_with_the_run_and_with_the_server() {
    let setup = setup().await;
    let role = setup.role("loader", trust(r#"{"Service": "glue.amazonaws.com"}"#, "")).await;
    let issue = |run: &str| {
        let role = SessionRole { id: role.id.clone(), arn: role.arn(&setup.lake.place) };
        setup.identity.issue_new(NewSession {
            role: Some(role),
            name: "s".into(),
            seconds: 3600,
            job_run: Some(run.into()),
            ..NewSession::default()
        })
    };
    let refused = |identity: &Identity, keys: &SessionKeys| {
        identity.verify(&keys.access_key, &keys.session_token, keys.session.issued_ms).err()
    };
    let (keys, other) = (issue("jr_1"), issue("jr_2"));
    assert_eq!(refused(&setup.identity, &keys), Some(SessionError::Expired), "issued before the run");
    let (run, _other_run) = (setup.identity.admit_run("jr_1"), setup.identity.admit_run("jr_2"));
    assert_eq!((refused(&setup.identity, &keys), refused(&setup.identity.clone(), &other)), (None, None));
    let again = Identity::open(&setup.lake, "the root's secret").await.unwrap();
    assert_eq!(refused(&again, &keys), Some(SessionError::Expired), "a later server has none of its processes");
    drop(run);
    assert_eq!(refused(&setup.identity, &keys), Some(SessionError::Expired));
    assert_eq!(refused(&setup.identity, &other), None, "other runs go on");
}

#[tokio::test]
async fn a_service_may_assume_a_role_that_trusts_it() {
    let setup = setup().await;
    setup.role("loader", trust(r#"{"Service": ["lambda.amazonaws.com", "glue.amazonaws.com"]}"#, "")).await;
    let condition = r#", "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}}"#;
    setup.role("careful", trust(r#"{"Service": "lambda.amazonaws.com"}"#, condition)).await;
    let place = setup.lake.place.clone();
    let look = move |connection: &rusqlite::Connection| {
        let ask = |arn: &str, service: &str, context: &[(&str, &str)]| {
            assumable_by(connection, &place, arn, service, context).map(|role| role.name).map_err(|error| error.to_string())
        };
        let loader = "arn:aws:iam::111122223333:role/loader";
        assert_eq!(ask(loader, "lambda.amazonaws.com", &[]).unwrap(), "loader");
        assert!(ask(loader, "events.amazonaws.com", &[]).unwrap_err().contains("does not trust events.amazonaws.com"));
        assert!(
            ask("arn:aws:iam::111122223333:role/a/loader", "lambda.amazonaws.com", &[]).unwrap_err().contains("does not exist")
        );
        assert!(ask("arn:aws:iam::444455556666:role/loader", "lambda.amazonaws.com", &[]).is_err());
        let careful = "arn:aws:iam::111122223333:role/careful";
        assert!(ask(careful, "lambda.amazonaws.com", &[]).is_err());
        assert!(ask(careful, "lambda.amazonaws.com", &[("aws:SourceAccount", "111122223333")]).is_ok());
        Ok::<_, StoreError>(())
    };
    setup.lake.store.read(look).await.unwrap();
}

#[tokio::test]
async fn passing_a_role_needs_a_policy_that_allows_it() {
    let setup = setup().await;
    let deployer = setup.role("deployer", trust(r#"{"AWS": "111122223333"}"#, "")).await;
    let caller = setup.session(&deployer);
    assert_eq!(setup.pass(&Caller::Root, "anything", "glue.amazonaws.com").await, "");
    assert_eq!(
        setup.pass(&caller, "arn:aws:iam::111122223333:role/etl", "glue.amazonaws.com").await,
        "User: arn:aws:sts::111122223333:assumed-role/deployer/run-1 is not authorized to perform: iam:PassRole on resource: \
         arn:aws:iam::111122223333:role/etl because no identity-based policy allows the iam:PassRole action"
    );
    let only_glue = r#""Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/etl*",
        "Condition": {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}"#;
    setup.change("INSERT INTO iam_role_policy VALUES (?, 'pass', ?)", &[&deployer.id, &allow(only_glue)]).await;
    assert_eq!(setup.pass(&caller, "arn:aws:iam::111122223333:role/etl", "glue.amazonaws.com").await, "");
    assert_eq!(setup.pass(&caller, "etl-2", "glue.amazonaws.com").await, "", "Glue takes a name too");
    assert!(setup.pass(&caller, "etl", "lambda.amazonaws.com").await.contains("not authorized"));
    assert!(setup.pass(&caller, "admin", "glue.amazonaws.com").await.contains("not authorized"));

    let boundary = "arn:aws:iam::aws:policy/AmazonS3FullAccess";
    setup.change("UPDATE iam_role SET boundary = ? WHERE id = ?", &[boundary, &deployer.id]).await;
    assert!(setup.pass(&caller, "etl", "glue.amazonaws.com").await.contains("because no permissions boundary allows"));
    setup.change("UPDATE iam_role SET boundary = NULL WHERE id = ?", &[&deployer.id]).await;

    let mut narrowed = setup.identity.issue(&deployer, "run-2", 3600).session;
    narrowed.policy = Some(allow(r#""Action": "s3:*", "Resource": "*""#));
    let narrowed = Caller::Session(Arc::new(narrowed));
    assert!(setup.pass(&narrowed, "etl", "glue.amazonaws.com").await.contains("because no session policy allows"));

    let power = "arn:aws:iam::aws:policy/AdministratorAccess";
    setup.change("INSERT INTO iam_attachment VALUES (?, ?, 1)", &[&deployer.id, power]).await;
    assert_eq!(setup.pass(&caller, "admin", "lambda.amazonaws.com").await, "");
    let deny = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}}"#;
    setup.change("INSERT INTO iam_role_policy VALUES (?, 'no', ?)", &[&deployer.id, deny]).await;
    assert!(
        setup.pass(&caller, "admin", "lambda.amazonaws.com").await.contains("with an explicit deny in an identity-based policy")
    );
}

#[tokio::test]
async fn a_role_is_assumed_by_whom_it_trusts() {
    let setup = setup().await;
    let by_account = setup.role("by-account", trust(r#"{"AWS": "arn:aws:iam::111122223333:root"}"#, "")).await;
    let deployer = setup.role("deployer", trust(r#"{"Service": "glue.amazonaws.com"}"#, "")).await;
    let by_role = setup.role("by-role", trust(r#"{"AWS": "arn:aws:iam::111122223333:role/deployer"}"#, "")).await;
    let external = r#", "Condition": {"StringEquals": {"sts:ExternalId": "7"}}"#;
    let careful = setup.role("careful", trust(r#"{"AWS": "111122223333"}"#, external)).await;
    let caller = setup.session(&deployer);

    assert!(setup.assume(&Caller::Root, &by_account, &[]).await);
    assert!(!setup.assume(&Caller::Root, &deployer, &[]).await, "the root too must be trusted");
    assert!(!setup.assume(&Caller::Root, &careful, &[]).await);
    assert!(setup.assume(&Caller::Root, &careful, &[("sts:ExternalId", "7")]).await);
    assert!(setup.assume(&caller, &by_role, &[]).await, "named by its role");
    assert!(!setup.assume(&caller, &by_account, &[]).await, "trusting the account leaves it to the role's own policies");
    let may = allow(r#""Action": "sts:AssumeRole", "Resource": "arn:aws:iam::111122223333:role/by-*""#);
    setup.change("INSERT INTO iam_role_policy VALUES (?, 'assume', ?)", &[&deployer.id, &may]).await;
    assert!(setup.assume(&caller, &by_account, &[]).await);
    assert!(!setup.assume(&caller, &careful, &[("sts:ExternalId", "7")]).await);
}
