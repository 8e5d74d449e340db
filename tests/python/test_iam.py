"""Roles, policies and sessions, as boto3, the AWS CLI and infrastructure tools use them."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def trust(principal, action="sts:AssumeRole", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": action, **more}]})


def allow(action, resource="*", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource, **more}]})


def role_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def make_role(lake, name, principal=None, **more):
    return lake.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal or {"AWS": ROOT}), **more)["Role"]


def assume(lake, name, session="test", **more):
    return lake.client("sts").assume_role(RoleArn=role_arn(name), RoleSessionName=session, **more)


def client_of(lake, credentials, service, **more):
    """A client that signs with the credentials that STS answered."""
    session = boto3.Session(
        more.get("key", credentials["AccessKeyId"]),
        more.get("secret", credentials["SecretAccessKey"]),
        more.get("token", credentials["SessionToken"]),
        region_name="us-east-1",
    )
    config = Config(retries={"max_attempts": 1}).merge(more.get("config", Config()))
    return session.client(service, endpoint_url=lake.endpoint, config=config)


def refused(call, **more):
    """The code and the message of the error that the call must end in."""
    with pytest.raises(ClientError) as caught:
        call(**more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# Roles


def test_a_role_is_read_back_as_it_was_made(module_lake):
    iam = module_lake.client("iam")
    document = trust({"Service": ["lambda.amazonaws.com", "glue.amazonaws.com"]})
    made = iam.create_role(
        RoleName="Loader",
        Path="/etl/",
        AssumeRolePolicyDocument=document,
        Description="Lädt Daten",
        MaxSessionDuration=7200,
        Tags=[{"Key": "team", "Value": "data + co"}],
    )["Role"]
    read = iam.get_role(RoleName="Loader")["Role"]
    assert read == made
    assert read["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/etl/Loader"
    assert read["AssumeRolePolicyDocument"] == json.loads(document)
    assert (read["Description"], read["MaxSessionDuration"]) == ("Lädt Daten", 7200)
    assert read["Tags"] == [{"Key": "team", "Value": "data + co"}]
    assert read["RoleId"].startswith("AROA") and len(read["RoleId"]) == 21
    # What Terraform reads after it has made a role.
    assert iam.list_role_policies(RoleName="Loader")["PolicyNames"] == []
    assert iam.list_attached_role_policies(RoleName="Loader")["AttachedPolicies"] == []
    assert iam.list_instance_profiles_for_role(RoleName="Loader")["InstanceProfiles"] == []
    assert [role["RoleName"] for role in iam.list_roles(PathPrefix="/etl/")["Roles"]] == ["Loader"]

    iam.update_role(RoleName="Loader", Description="loads", MaxSessionDuration=3600)
    iam.update_assume_role_policy(RoleName="Loader", PolicyDocument=trust({"Service": "glue.amazonaws.com"}))
    iam.tag_role(RoleName="Loader", Tags=[{"Key": "cost", "Value": "7"}])
    iam.untag_role(RoleName="Loader", TagKeys=["team"])
    read = iam.get_role(RoleName="Loader")["Role"]
    assert (read["Description"], read["MaxSessionDuration"]) == ("loads", 3600)
    assert read["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "glue.amazonaws.com"}
    assert iam.list_role_tags(RoleName="Loader")["Tags"] == [{"Key": "cost", "Value": "7"}]

    assert refused(iam.create_role, RoleName="loader", AssumeRolePolicyDocument=document) == (
        "EntityAlreadyExists",
        "Role with name loader already exists.",
    )
    iam.delete_role(RoleName="Loader")
    assert refused(iam.get_role, RoleName="Loader") == ("NoSuchEntity", "The role with name Loader cannot be found.")


def test_a_trusted_account_is_read_back_as_its_root(module_lake):
    iam = module_lake.client("iam")
    with_one = trust({"AWS": "111122223333"})
    made = make_role(module_lake, "partner", {"AWS": "111122223333"})
    expected = json.loads(with_one.replace("111122223333", "arn:aws:iam::111122223333:root"))
    assert made["AssumeRolePolicyDocument"] == expected
    assert iam.get_role(RoleName="partner")["Role"]["AssumeRolePolicyDocument"] == expected
    listed = {"AWS": ["444455556666", ROOT], "Service": "lambda.amazonaws.com"}
    iam.update_assume_role_policy(RoleName="partner", PolicyDocument=trust(listed))
    kept = iam.get_role(RoleName="partner")["Role"]["AssumeRolePolicyDocument"]
    assert kept == json.loads(trust({**listed, "AWS": ["arn:aws:iam::444455556666:root", ROOT]}))


def test_policies_are_put_attached_and_in_the_way_of_deletion(module_lake):
    iam = module_lake.client("iam")
    make_role(module_lake, "worker")
    document = allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::raw/ü +%/*")
    iam.put_role_policy(RoleName="worker", PolicyName="objects", PolicyDocument=document)
    assert iam.get_role_policy(RoleName="worker", PolicyName="objects")["PolicyDocument"] == json.loads(document)
    basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="worker", PolicyArn=basic)
    attached = iam.list_attached_role_policies(RoleName="worker")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": basic}]
    policy = iam.get_policy(PolicyArn=basic)["Policy"]
    version = iam.get_policy_version(PolicyArn=basic, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    assert "logs:PutLogEvents" in version["Document"]["Statement"][0]["Action"]
    code, message = refused(iam.attach_role_policy, RoleName="worker", PolicyArn="arn:aws:iam::aws:policy/AmazonBraketFullAccess")
    assert code == "NoSuchEntity" and "aws iam create-policy" in message

    made = iam.create_policy(PolicyName="own", PolicyDocument=document, Description="mine", Tags=[{"Key": "a", "Value": "b"}])["Policy"]
    own = made["Arn"]
    assert iam.get_policy(PolicyArn=own)["Policy"]["Description"] == "mine"
    iam.attach_role_policy(RoleName="worker", PolicyArn=own)
    assert [role["RoleName"] for role in iam.list_entities_for_policy(PolicyArn=own)["PolicyRoles"]] == ["worker"]
    for code, call, more in [
        ("DeleteConflict", iam.delete_role, {"RoleName": "worker"}),
        ("DeleteConflict", iam.delete_policy, {"PolicyArn": own}),
        ("MalformedPolicyDocument", iam.put_role_policy, {"RoleName": "worker", "PolicyName": "x", "PolicyDocument": "{"}),
        ("MalformedPolicyDocument", iam.create_policy, {"PolicyName": "x", "PolicyDocument": trust("*")}),
        ("ValidationError", iam.create_role, {"RoleName": "no space", "AssumeRolePolicyDocument": trust("*")}),
        ("NoSuchEntity", iam.detach_role_policy, {"RoleName": "worker", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}),
        ("NoSuchEntity", iam.get_role_policy, {"RoleName": "worker", "PolicyName": "none"}),
    ]:
        assert refused(call, **more)[0] == code, more
    # The order in which Terraform and CDK take it down.
    iam.detach_role_policy(RoleName="worker", PolicyArn=basic)
    iam.detach_role_policy(RoleName="worker", PolicyArn=own)
    iam.delete_role_policy(RoleName="worker", PolicyName="objects")
    iam.delete_role(RoleName="worker")
    iam.delete_policy(PolicyArn=own)


def test_documents_in_answers_are_percent_encoded(module_lake):
    make_role(module_lake, "encoded", {"Service": "glue.amazonaws.com"})
    raw = []
    iam = module_lake.session().client("iam", endpoint_url=module_lake.endpoint)
    iam.meta.events.register("before-parse.iam.GetRole", lambda response_dict, **_: raw.append(response_dict["body"].decode()))
    iam.get_role(RoleName="encoded")
    document = raw[0].split("<AssumeRolePolicyDocument>")[1].split("<")[0]
    assert document.startswith("%7B%22Version%22%3A%20%222012-10-17%22%2C")
    assert json.loads(urllib.parse.unquote(document)) == json.loads(trust({"Service": "glue.amazonaws.com"}))


def test_the_command_line_makes_a_role(module_lake):
    module_lake.aws("iam", "create-role", "--role-name", "cli", "--assume-role-policy-document", trust({"Service": "lambda.amazonaws.com"}))
    module_lake.aws("iam", "attach-role-policy", "--role-name", "cli", "--policy-arn", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    shown = json.loads(module_lake.aws("iam", "list-attached-role-policies", "--role-name", "cli", "--output", "json"))
    assert [policy["PolicyName"] for policy in shown["AttachedPolicies"]] == ["AmazonS3ReadOnlyAccess"]
    assert json.loads(module_lake.aws("sts", "get-caller-identity", "--output", "json"))["Arn"] == ROOT


def test_listings_are_paged(module_lake):
    iam = module_lake.client("iam")
    names = [f"page-{number}" for number in range(7)]
    for name in names:
        make_role(module_lake, name, Path="/paged/")
    pages = iam.get_paginator("list_roles").paginate(PathPrefix="/paged/", PaginationConfig={"PageSize": 3})
    found = [[role["RoleName"] for role in page["Roles"]] for page in pages]
    assert found == [names[:3], names[3:6], names[6:]]


def test_a_simulation_tells_what_a_role_may_do(module_lake):
    iam = module_lake.client("iam")
    make_role(module_lake, "simulated")
    iam.put_role_policy(RoleName="simulated", PolicyName="read", PolicyDocument=allow("s3:Get*", "arn:aws:s3:::raw/*"))
    results = iam.simulate_principal_policy(
        PolicySourceArn=role_arn("simulated"),
        ActionNames=["s3:GetObject", "s3:PutObject"],
        ResourceArns=["arn:aws:s3:::raw/x"],
    )["EvaluationResults"]
    assert [(result["EvalActionName"], result["EvalDecision"]) for result in results] == [
        ("s3:GetObject", "allowed"),
        ("s3:PutObject", "implicitDeny"),
    ]
    assert results[0]["MatchedStatements"][0]["SourcePolicyId"] == "role_simulated_read"


# Sessions


def test_a_session_acts_as_its_role_in_every_service(module_lake):
    made = make_role(module_lake, "etl")
    assumed = assume(module_lake, "etl", "run-1")
    assert assumed["AssumedRoleUser"] == {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/etl/run-1",
        "AssumedRoleId": f"{made['RoleId']}:run-1",
    }
    credentials = assumed["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA") and len(credentials["SecretAccessKey"]) == 40
    assert 3590 < credentials["Expiration"].timestamp() - time.time() <= 3600
    identity = client_of(module_lake, credentials, "sts").get_caller_identity()
    assert (identity["Arn"], identity["UserId"]) == (assumed["AssumedRoleUser"]["Arn"], f"{made['RoleId']}:run-1")

    s3 = client_of(module_lake, credentials, "s3")
    s3.create_bucket(Bucket="by-session")
    s3.put_object(Bucket="by-session", Key="a", Body=b"x" * 100_000)
    assert s3.get_object(Bucket="by-session", Key="a")["ContentLength"] == 100_000
    for version in ("s3", "s3v4"):  # boto3's default for us-east-1 is the first
        signer = client_of(module_lake, credentials, "s3", config=Config(signature_version=version))
        url = signer.generate_presigned_url("get_object", Params={"Bucket": "by-session", "Key": "a"})
        assert len(urllib.request.urlopen(url).read()) == 100_000, version
        other = assume(module_lake, "etl", "run-2")["Credentials"]["SessionToken"]
        forged = url.replace(urllib.parse.quote(credentials["SessionToken"]), other)
        assert forged != url
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(forged)
        assert caught.value.code in (400, 403), version
    glue = client_of(module_lake, credentials, "glue")
    glue.create_database(DatabaseInput={"Name": "by_session"})
    queue = client_of(module_lake, credentials, "sqs").create_queue(QueueName="by-session")["QueueUrl"]
    client_of(module_lake, credentials, "sqs").send_message(QueueUrl=queue, MessageBody="hello")
    assert module_lake.client("glue").get_database(Name="by_session")


def test_a_session_outlives_a_restart_and_not_its_role(lake):
    make_role(lake, "mortal")
    credentials = assume(lake, "mortal")["Credentials"]
    lake.kill9()
    lake.start()
    sts = client_of(lake, credentials, "sts")
    assert sts.get_caller_identity()["Arn"].endswith("assumed-role/mortal/test")
    lake.client("iam").delete_role(RoleName="mortal")
    assert refused(client_of(lake, credentials, "sts").get_caller_identity)[0] == "InvalidClientTokenId"
    assert refused(client_of(lake, credentials, "s3").list_buckets)[0] in ("InvalidToken", "InvalidAccessKeyId")
    make_role(lake, "mortal")
    assert refused(client_of(lake, credentials, "sts").get_caller_identity)[0] == "InvalidClientTokenId"


def test_what_is_not_a_sessions_own_is_refused(module_lake):
    make_role(module_lake, "strict")
    one = assume(module_lake, "strict", "one")["Credentials"]
    two = assume(module_lake, "strict", "two")["Credentials"]
    root = module_lake.credentials
    token = one["SessionToken"]
    middle = len(token) // 2
    tampered = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    for what, more, code in [
        ("another's token", {"token": two["SessionToken"]}, "InvalidClientTokenId"),
        ("a changed token", {"token": tampered}, "InvalidClientTokenId"),
        ("no token", {"token": None}, "InvalidClientTokenId"),
        ("rubbish", {"token": "rubbish"}, "InvalidClientTokenId"),
        ("another's secret", {"secret": two["SecretAccessKey"]}, "SignatureDoesNotMatch"),
        ("the root's key with a token", {"key": root["access_key_id"], "secret": root["secret_access_key"]}, "InvalidClientTokenId"),
    ]:
        assert refused(client_of(module_lake, one, "sts", **more).get_caller_identity)[0] == code, what
        with pytest.raises(ClientError):
            client_of(module_lake, one, "s3", **more).list_buckets()
        with pytest.raises(ClientError):
            client_of(module_lake, one, "glue", **more).get_databases()


def test_the_lakes_own_operations_are_the_roots(module_lake):
    make_role(module_lake, "curious")
    session = assume(module_lake, "curious")["Credentials"]
    assert "tasks" in module_lake.own("dead-letters/list", {"limit": 1})
    with pytest.raises(urllib.error.HTTPError) as raised:
        module_lake.own("dead-letters/list", {"limit": 1}, session)
    assert raised.value.code == 403
    assert "is not authorized to perform: millpond:Administer" in raised.value.read().decode()


def test_who_is_not_trusted_is_denied(module_lake):
    iam, sts = module_lake.client("iam"), module_lake.client("sts")
    make_role(module_lake, "for-glue", {"Service": "glue.amazonaws.com"})
    code, message = refused(sts.assume_role, RoleArn=role_arn("for-glue"), RoleSessionName="me")
    assert code == "AccessDenied"
    assert message == f"User: {ROOT} is not authorized to perform: sts:AssumeRole on resource: {role_arn('for-glue')}"
    assert refused(sts.assume_role, RoleArn=role_arn("nobody"), RoleSessionName="me")[0] == "AccessDenied"
    iam.create_role(
        RoleName="external",
        AssumeRolePolicyDocument=trust({"AWS": ROOT}, Condition={"StringEquals": {"sts:ExternalId": "secret-7"}}),
    )
    assert refused(sts.assume_role, RoleArn=role_arn("external"), RoleSessionName="me")[0] == "AccessDenied"
    sts.assume_role(RoleArn=role_arn("external"), RoleSessionName="me", ExternalId="secret-7")
    code, message = refused(sts.assume_role, RoleArn=role_arn("external"), RoleSessionName="me", ExternalId="secret-7", DurationSeconds=7200)
    assert (code, message) == ("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")

    make_role(module_lake, "first")
    first = client_of(module_lake, assume(module_lake, "first")["Credentials"], "sts")
    iam.create_role(RoleName="second", AssumeRolePolicyDocument=trust({"AWS": role_arn("first")}))
    chained = first.assume_role(RoleArn=role_arn("second"), RoleSessionName="chained")
    assert chained["AssumedRoleUser"]["Arn"].endswith("assumed-role/second/chained")
    assert refused(first.get_session_token)[0] == "AccessDenied"
    of_root = client_of(module_lake, sts.get_session_token()["Credentials"], "sts")
    assert of_root.get_caller_identity()["Arn"] == ROOT
    assert sts.get_access_key_info(AccessKeyId=chained["Credentials"]["AccessKeyId"])["Account"] == ACCOUNT


# iam:PassRole


def test_a_session_passes_only_the_roles_that_its_policies_name(module_lake):
    iam = module_lake.client("iam")
    make_role(module_lake, "deployer")
    make_role(module_lake, "crawler-role", {"Service": "glue.amazonaws.com"})
    module_lake.bucket("passed")
    credentials = assume(module_lake, "deployer", "cd")["Credentials"]
    glue, events = client_of(module_lake, credentials, "glue"), client_of(module_lake, credentials, "events")
    module_lake.client("glue").create_database(DatabaseInput={"Name": "passed"})

    def crawler(name, role):
        targets = {"S3Targets": [{"Path": "s3://passed/"}]}
        return glue.create_crawler(Name=name, Role=role, DatabaseName="passed", Targets=targets)

    def job(name, role):
        return glue.create_job(Name=name, Role=role, Command={"Name": "millpond"})

    code, message = refused(crawler, name="c", role=role_arn("crawler-role"))
    assert code == "AccessDeniedException"
    assert message == (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/deployer/cd is not authorized to perform: iam:PassRole on resource: "
        f"{role_arn('crawler-role')} because no identity-based policy allows the iam:PassRole action"
    )
    assert refused(job, name="j", role=role_arn("crawler-role"))[0] == "AccessDeniedException"
    rule = {"Name": "r", "EventPattern": '{"source": ["x"]}'}
    assert refused(events.put_rule, RoleArn=role_arn("crawler-role"), **rule)[0] == "AccessDeniedException"

    condition = {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}
    document = allow("iam:PassRole", role_arn("crawler-*"), Condition=condition)
    iam.put_role_policy(RoleName="deployer", PolicyName="pass", PolicyDocument=document)
    crawler(name="c", role=role_arn("crawler-role"))
    glue.update_crawler(Name="c", Role="crawler-role")
    assert refused(glue.update_crawler, Name="c", Role="other-role")[0] == "AccessDeniedException"
    assert refused(events.put_rule, RoleArn=role_arn("crawler-role"), **rule)[0] == "AccessDeniedException"
    events.put_rule(**rule)
    # The root passes what it wants, also a role that does not exist.
    module_lake.client("glue").update_crawler(Name="c", Role="not-there")
