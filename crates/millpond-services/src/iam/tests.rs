use super::*;
use crate::lake::identity::{COMPONENT, SessionError};
use millpond_core::env::SystemEnv;
use millpond_core::policy::Decision;
use millpond_store::Store;
use std::sync::Arc;

const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#;
const READ: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}"#;
const S3: &str = "arn:aws:iam::aws:policy/AmazonS3FullAccess";

async fn iam() -> (Iam, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &[COMPONENT], Arc::new(SystemEnv)).unwrap();
    let lake = Lake { store, place: Arc::default() };
    let identity = Identity::open(&lake, "secret").await.unwrap();
    (Iam::new(lake, identity), directory)
}

fn role(name: &str) -> NewRole {
    NewRole { name: name.into(), trust: TRUST.into(), ..NewRole::default() }
}

fn said<T: std::fmt::Debug>(answer: Result<T, IamError>) -> String {
    answer.expect_err("it must be refused").to_string()
}

async fn policy(iam: &Iam, name: &str) -> String {
    let new = NewPolicy { name: name.into(), document: READ.into(), ..NewPolicy::default() };
    iam.create_policy(new).await.unwrap().arn
}

#[tokio::test]
async fn a_role_goes_only_when_nothing_is_left_on_it_and_its_sessions_with_it() {
    let (iam, _directory) = iam().await;
    let made = iam.create_role(NewRole { path: Some("/etl/".into()), ..role("Loader") }).await.unwrap();
    assert_eq!(made.arn, "arn:aws:iam::000000000000:role/etl/Loader");
    assert!(made.role.id.starts_with("AROA") && made.role.id.len() == 21);
    assert_eq!(said(iam.create_role(role("loader")).await), "Role with name loader already exists.");
    let keys = iam.identity.issue(&made.role, "me", 3600);
    let verify = || iam.identity.verify(&keys.access_key, &keys.session_token, keys.session.issued_ms).err();
    assert_eq!(verify(), None);

    iam.put_role_policy("Loader".into(), "read".into(), READ.into()).await.unwrap();
    iam.attach("Loader".into(), S3.into()).await.unwrap();
    iam.attach("Loader".into(), S3.into()).await.unwrap();
    iam.create_instance_profile("machine".into(), None, Tags::new()).await.unwrap();
    iam.add_role_to_instance_profile("machine".into(), "Loader".into()).await.unwrap();
    let delete = || iam.delete_role("Loader".into());
    assert_eq!(said(delete().await), "Cannot delete entity, must remove roles from instance profile first.");
    assert!(said(iam.delete_instance_profile("machine".into()).await).contains("remove roles"));
    iam.remove_role_from_instance_profile("machine".into(), "Loader".into()).await.unwrap();
    assert_eq!(said(delete().await), "Cannot delete entity, must detach all policies first.");
    iam.detach("Loader".into(), S3.into()).await.unwrap();
    assert!(said(iam.detach("Loader".into(), S3.into()).await).contains("was not found"));
    assert_eq!(said(delete().await), "Cannot delete entity, must delete policies first.");
    iam.delete_role_policy("Loader".into(), "read".into()).await.unwrap();
    delete().await.unwrap();
    assert_eq!(verify(), Some(SessionError::RoleGone));
    assert_eq!(said(delete().await), "The role with name Loader cannot be found.");

    let again = iam.create_role(role("Loader")).await.unwrap();
    assert_ne!(again.role.id, made.role.id);
    assert_eq!(verify(), Some(SessionError::RoleGone), "a new role of the same name is another one");
}

#[tokio::test]
async fn what_is_malformed_or_too_large_is_refused_in_iams_words() {
    let (iam, _directory) = iam().await;
    let with = |trust: &str| iam.create_role(NewRole { trust: trust.into(), ..role("x") });
    assert!(said(with("{").await).starts_with("This policy contains invalid Json"));
    let stranger = TRUST.replace(r#""Service": "glue.amazonaws.com""#, r#""AWS": "arn:aws:iam::000000000000:role/none""#);
    assert!(said(with(&stranger).await).contains(r#"Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:role/none""#));
    let elsewhere = stranger.replace("000000000000", "111122223333");
    with(&elsewhere).await.unwrap();
    let long = TRUST.replace("glue.amazonaws.com", &format!("{}.amazonaws.com", "g".repeat(2100)));
    assert_eq!(said(with(&long).await), "Cannot exceed quota for ACLSizePerRole: 2048");

    let many =
        format!(r#"{{"Statement": {{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::{}"}}}}"#, "x".repeat(5500));
    iam.put_role_policy("x".into(), "one".into(), many.clone()).await.unwrap();
    iam.put_role_policy("x".into(), "one".into(), many.clone()).await.unwrap();
    assert!(said(iam.put_role_policy("x".into(), "two".into(), many.clone()).await).contains("10240 bytes exceeded"));
    let larger = many.replace("arn:aws:s3:::", &format!("arn:aws:s3:::{}", "y".repeat(1000)));
    let new = NewPolicy { name: "large".into(), document: larger, ..NewPolicy::default() };
    assert_eq!(said(iam.create_policy(new).await), "Cannot exceed quota for PolicySize: 6144");

    let tags = vec![("Team".to_owned(), "1".to_owned()), ("team".to_owned(), "2".to_owned())];
    assert!(said(iam.tag(Owner::Role("x".into()), tags).await).contains("case insensitive"));
    assert!(
        said(iam.attach("x".into(), "arn:aws:iam::aws:policy/AmazonMacieFullAccess".into()).await)
            .contains("aws iam create-policy")
    );
    let near = said(iam.attach("x".into(), "arn:aws:iam::aws:policy/AWSGlueServiceRole".into()).await);
    assert!(near.contains("arn:aws:iam::aws:policy/service-role/AWSGlueServiceRole"), "{near}");
    for number in 0..10 {
        let arn = policy(&iam, &format!("p{number}")).await;
        iam.attach("x".into(), arn).await.unwrap();
    }
    assert_eq!(said(iam.attach("x".into(), S3.into()).await), "Cannot exceed quota for PoliciesPerRole: 10");
}

#[tokio::test]
async fn a_policy_has_five_versions_and_goes_when_nobody_uses_it() {
    let (iam, _directory) = iam().await;
    let arn = policy(&iam, "reader").await;
    for number in 2..=5 {
        let version = iam.create_policy_version(arn.clone(), READ.into(), number == 3).await.unwrap();
        assert_eq!((version.version, version.is_default), (number, number == 3));
    }
    assert!(said(iam.create_policy_version(arn.clone(), READ.into(), true).await).contains("up to 5 versions"));
    assert_eq!(iam.policy(arn.clone()).await.unwrap().default_version, 3);
    let delete = |version: &str| iam.delete_policy_version(arn.clone(), version.into());
    assert_eq!(said(delete("v3").await), "Cannot delete the default version of a policy.");
    delete("v5").await.unwrap();
    assert!(said(delete("v5").await).contains("version v5 does not exist"));
    let next = iam.create_policy_version(arn.clone(), READ.into(), false).await.unwrap();
    assert_eq!(next.version, 6, "a number is never used again");
    assert!(said(iam.delete_policy(arn.clone()).await).contains("more than one version"));
    iam.set_default_version(arn.clone(), "v6".into()).await.unwrap();
    for version in ["v1", "v2", "v3", "v4"] {
        delete(version).await.unwrap();
    }
    iam.create_role(role("x")).await.unwrap();
    iam.set_boundary("x".into(), Some(arn.clone())).await.unwrap();
    assert_eq!(said(iam.delete_policy(arn.clone()).await), "Cannot delete a policy attached to entities.");
    let usage = iam.policy(arn.clone()).await.unwrap();
    assert_eq!((usage.attachments, usage.boundaries), (0, 1));
    iam.set_boundary("x".into(), None).await.unwrap();
    assert!(said(iam.set_boundary("x".into(), None).await).contains("does not have a permissions boundary"));
    iam.delete_policy(arn.clone()).await.unwrap();
    assert!(said(iam.policy(arn).await).contains("was not found"));
    assert!(said(iam.delete_policy(S3.into()).await).contains("is AWS's"));
}

#[tokio::test]
async fn listings_come_in_pages_without_gaps() {
    let (iam, _directory) = iam().await;
    for name in ["beta", "Alpha", "delta", "Gamma", "epsilon"] {
        iam.create_role(NewRole { path: Some("/a/".into()), ..role(name) }).await.unwrap();
    }
    iam.create_role(role("elsewhere")).await.unwrap();
    let (mut window, mut names) = (Window { marker: None, items_max: Some(2) }, Vec::new());
    loop {
        let page = iam.roles(Some("/a/".into()), window.clone()).await.unwrap();
        names.extend(page.items.into_iter().map(|detail| detail.role.name));
        match page.next {
            Some(marker) => window.marker = Some(marker),
            None => break,
        }
    }
    assert_eq!(names, ["Alpha", "beta", "delta", "epsilon", "Gamma"]);
    let bad = Window { marker: Some("?".into()), items_max: None };
    assert!(said(iam.roles(None, bad).await).contains("Invalid Marker"));

    policy(&iam, "mine").await;
    let list = |scope, attached| iam.policies(scope, attached, None, None, Window { marker: None, items_max: Some(1000) });
    assert_eq!(list(Scope::Local, false).await.unwrap().items.len(), 1);
    assert_eq!(list(Scope::Aws, false).await.unwrap().items.len(), managed::all().len());
    assert_eq!(list(Scope::All, false).await.unwrap().items.len(), managed::all().len() + 1);
    iam.attach("beta".into(), S3.into()).await.unwrap();
    let attached = list(Scope::All, true).await.unwrap().items;
    assert_eq!(attached.iter().map(|policy| (policy.arn.as_str(), policy.attachments)).collect::<Vec<_>>(), [(S3, 1)]);
    let entities = iam.entities_for_policy(S3.into(), None, None, Window::default()).await.unwrap().items;
    assert_eq!(entities[0].name, "beta");
}

#[tokio::test]
async fn a_service_linked_role_is_its_services_alone() {
    let (iam, _directory) = iam().await;
    let make = |service: &str| iam.create_service_linked_role(service.into(), None, None);
    let made = make("lakeformation.amazonaws.com").await.unwrap();
    assert_eq!(
        made.arn,
        "arn:aws:iam::000000000000:role/aws-service-role/lakeformation.amazonaws.com/AWSServiceRoleForLakeFormationDataAccess"
    );
    assert!(said(make("lakeformation.amazonaws.com").await).contains("has been taken"));
    assert!(said(make("lakeformation").await).contains("is not a service's name"));
    assert_eq!(make("some-thing.amazonaws.com").await.unwrap().role.name, "AWSServiceRoleForSomeThing");
    assert!(said(iam.attach(made.role.name.clone(), S3.into()).await).contains("protected role"));
    assert!(said(iam.delete_role(made.role.name.clone()).await).contains("protected role"));
    let task = iam.delete_service_linked_role(made.role.name).await.unwrap();
    iam.deletion_status(task).await.unwrap();
    assert!(iam.deletion_status("task/other".into()).await.is_err());
}

#[tokio::test]
async fn a_simulation_says_what_the_policies_would_say() {
    let (iam, _directory) = iam().await;
    let made = iam.create_role(role("x")).await.unwrap();
    let document = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::raw/*",
         "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
        {"Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"}]}"#;
    iam.put_role_policy("x".into(), "own".into(), document.into()).await.unwrap();
    iam.attach("x".into(), "arn:aws:iam::aws:policy/AmazonSQSFullAccess".into()).await.unwrap();
    let ask = |actions: &[&str], resource: &str, context: Vec<ContextEntry>| Simulation {
        source: Some(made.arn.clone()),
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        resources: vec![resource.into()],
        context,
        ..Simulation::default()
    };
    let here = vec![ContextEntry { key: "aws:SourceIp".into(), values: vec!["10.1.2.3".into()] }];
    let actions = ["s3:GetObject", "s3:DeleteObject", "sqs:SendMessage", "glue:GetTable"];
    let page = iam.simulate(ask(&actions, "arn:aws:s3:::raw/a", here), Window::default()).await.unwrap();
    let decisions: Vec<Decision> = page.items.iter().map(|item| item.decision).collect();
    assert_eq!(decisions, [Decision::Allow, Decision::Deny, Decision::Allow, Decision::Silent]);
    let matched = &page.items[0].matched[0];
    assert_eq!((matched.policy.as_str(), matched.kind, matched.places.0.line), ("role_x_own", SourceKind::Role, 2));
    assert_eq!(page.items[2].matched[0].kind, SourceKind::AwsManaged);

    let page =
        iam.simulate(ask(&actions, "arn:aws:s3:::raw/a", vec![]), Window { marker: None, items_max: Some(1) }).await.unwrap();
    assert_eq!((page.items[0].decision, page.items[0].missing.as_slice()), (Decision::Silent, &["aws:SourceIp".to_owned()][..]));
    let window = Window { marker: page.next, items_max: Some(1) };
    let second = iam.simulate(ask(&actions, "arn:aws:s3:::raw/a", vec![]), window).await.unwrap();
    assert_eq!(second.items[0].action, "s3:DeleteObject");

    let mut bounded = ask(&["sqs:SendMessage"], "*", vec![]);
    bounded.boundary = Some(READ.into());
    let page = iam.simulate(bounded, Window::default()).await.unwrap();
    assert_eq!((page.items[0].decision, page.items[0].allowed_by_boundary), (Decision::Silent, Some(false)));
    let many = Simulation { actions: vec!["s3:*".into(); 101], resources: vec!["*".into(); 100], ..Simulation::default() };
    assert!(said(iam.simulate(many, Window::default()).await).contains("several calls"));
}
