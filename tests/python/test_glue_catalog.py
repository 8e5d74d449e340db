"""The Glue data catalog by boto3: databases, tables with versions, partitions, filters, pages, search, tags, and what wrong requests get."""

import itertools
import threading

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
STORAGE = {
    "Columns": [{"Name": "id", "Type": "bigint", "Comment": "a key"}, {"Name": "fare", "Type": "decimal(12,2)"}],
    "Location": "s3://raw/trips/",
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        "Parameters": {"field.delim": ","},
    },
    "BucketColumns": ["id"],
    "SkewedInfo": {"SkewedColumnNames": ["id"], "SkewedColumnValues": [], "SkewedColumnValueLocationMaps": {}},
}
KEYS = [{"Name": "year", "Type": "int"}, {"Name": "city", "Type": "string"}]


def table_input(name="trips", **more):
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": "csv"},
        "StorageDescriptor": STORAGE,
        "PartitionKeys": KEYS,
    } | more


def partition(year, city, **more):
    return {
        "Values": [str(year), city],
        "StorageDescriptor": STORAGE | {"Location": f"s3://raw/trips/year={year}/city={city}/"},
        "Parameters": {"source": "test"},
    } | more


_numbers = itertools.count()


@pytest.fixture
def glue(session_lake):
    return session_lake.client("glue")


@pytest.fixture
def db(glue):
    """A database of the test's own."""
    name = f"catalog_{next(_numbers)}"
    glue.create_database(DatabaseInput={"Name": name})
    yield name
    try:
        glue.delete_database(Name=name)
    except glue.exceptions.EntityNotFoundException:
        pass


@pytest.fixture
def trips(glue, db):
    glue.create_table(DatabaseName=db, TableInput=table_input())
    return {"DatabaseName": db, "TableName": "trips"}


def refused(code, part, call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    assert part in error.value.response["Error"]["Message"], error.value


def values(partitions):
    return ["/".join(one["Values"]) for one in partitions]


def test_a_database_is_kept_with_what_was_said_of_it(glue):
    given = {
        "Name": "Sales_DB",
        "Description": "what was sold",
        "LocationUri": "s3://raw/sales/",
        "Parameters": {"owner": "finance"},
    }
    glue.create_database(DatabaseInput=given, Tags={"team": "finance"})
    got = glue.get_database(Name="SALES_DB")["Database"]
    assert got["Name"] == "sales_db"
    assert {name: got[name] for name in given if name != "Name"} == {name: given[name] for name in given if name != "Name"}
    assert got["CatalogId"] == ACCOUNT
    assert got["CreateTableDefaultPermissions"][0]["Permissions"] == ["ALL"]
    assert glue.get_tags(ResourceArn=f"arn:aws:glue:us-east-1:{ACCOUNT}:database/sales_db")["Tags"] == {"team": "finance"}
    glue.update_database(Name="sales_db", DatabaseInput={"Name": "sales_db", "Description": "other"})
    got = glue.get_database(Name="sales_db", CatalogId=ACCOUNT)["Database"]
    assert (got["Description"], "LocationUri" in got) == ("other", False)
    refused("AlreadyExistsException", "Database already exists.", glue.create_database, DatabaseInput={"Name": "sales_db"})
    refused("InvalidInputException", "cannot be renamed", glue.update_database, Name="sales_db", DatabaseInput={"Name": "other"})
    refused("EntityNotFoundException", "Catalog 999999999999 not found", glue.get_database, Name="sales_db", CatalogId="999999999999")
    glue.delete_database(Name="sales_db")
    refused("EntityNotFoundException", "Database sales_db not found.", glue.get_database, Name="sales_db")
    refused("EntityNotFoundException", "Database sales_db not found.", glue.delete_database, Name="sales_db")
    glue.create_database(DatabaseInput={"Name": "sales_db"})
    assert glue.get_tags(ResourceArn=f"arn:aws:glue:us-east-1:{ACCOUNT}:database/sales_db")["Tags"] == {}
    glue.delete_database(Name="sales_db")


def test_databases_are_listed_in_pages(glue):
    names = [f"page_{number:02}" for number in range(7)]
    for name in names:
        glue.create_database(DatabaseInput={"Name": name})
    pages = list(glue.get_paginator("get_databases").paginate(PaginationConfig={"PageSize": 3}))
    assert len(pages) > 2
    listed = [one["Name"] for page in pages for one in page["DatabaseList"]]
    assert [name for name in listed if name.startswith("page_")] == names
    assert glue.get_databases(ResourceShareType="FOREIGN")["DatabaseList"] == []
    refused("InvalidInputException", "NextToken", glue.get_databases, NextToken="§§")
    for name in names:
        glue.delete_database(Name=name)


def test_a_table_comes_back_as_it_was_given(glue, db):
    given = table_input("Trips", Description="d", Owner="me", Retention=7, ViewOriginalText="v")
    glue.create_table(DatabaseName=db.upper(), TableInput=given)
    got = glue.get_table(DatabaseName=db, Name="TRIPS")["Table"]
    assert (got["Name"], got["DatabaseName"], got["VersionId"], got["CatalogId"]) == ("trips", db, "0", ACCOUNT)
    for name in given:
        if name not in ("Name", "StorageDescriptor"):
            assert got[name] == given[name], name
    for name in STORAGE:
        assert got["StorageDescriptor"][name] == STORAGE[name], name
    assert got["StorageDescriptor"]["Compressed"] is False
    assert got["IsRegisteredWithLakeFormation"] is False
    assert got["CreatedBy"].startswith("arn:aws:")
    assert got["CreateTime"] == got["UpdateTime"]
    bare = glue.create_table(DatabaseName=db, TableInput={"Name": "bare"}) and glue.get_table(DatabaseName=db, Name="bare")["Table"]
    assert (bare["PartitionKeys"], bare["Retention"], "StorageDescriptor" in bare) == ([], 0, False)


def test_wrong_tables_are_refused(glue, db):
    glue.create_table(DatabaseName=db, TableInput=table_input())
    create = glue.create_table
    refused("AlreadyExistsException", "Table already exists.", create, DatabaseName=db, TableInput=table_input("TRIPS"))
    refused("EntityNotFoundException", "Database nosuch not found.", create, DatabaseName="nosuch", TableInput=table_input())
    refused("InvalidInputException", "two columns of the name 'id'", create, DatabaseName=db,
            TableInput=table_input("x", PartitionKeys=[{"Name": "ID", "Type": "int"}]))
    refused("InvalidInputException", "only primitive types", create, DatabaseName=db,
            TableInput=table_input("x", PartitionKeys=[{"Name": "k", "Type": "array<int>"}]))
    refused("InvalidInputException", "not a partition key", create, DatabaseName=db, TableInput=table_input("x"),
            PartitionIndexes=[{"IndexName": "i", "Keys": ["nosuch"]}])
    refused("InvalidInputException", "TransactionId", create, DatabaseName=db, TableInput=table_input("x"), TransactionId="t1")
    refused("EntityNotFoundException", "Table nosuch not found.", glue.get_table, DatabaseName=db, Name="nosuch")
    refused("EntityNotFoundException", "Database nosuch not found.", glue.get_table, DatabaseName="nosuch", Name="x")
    refused("EntityNotFoundException", "Table nosuch not found.", glue.delete_table, DatabaseName=db, Name="nosuch")


def test_tables_are_listed_by_pattern_and_in_pages(glue, db):
    for name in ["flights_2013", "flights_2014", "weather", "my_flights"]:
        glue.create_table(DatabaseName=db, TableInput=table_input(name))

    def names(**more):
        return [one["Name"] for page in glue.get_paginator("get_tables").paginate(DatabaseName=db, **more) for one in page["TableList"]]

    assert names() == ["flights_2013", "flights_2014", "my_flights", "weather"]
    assert names(PaginationConfig={"PageSize": 1}) == names()
    assert names(Expression="flights*") == ["flights_2013", "flights_2014"]
    assert names(Expression="*flights*") == ["flights_2013", "flights_2014", "my_flights"]
    assert names(Expression=".*20(13|99)|weather") == ["flights_2013", "weather"]
    assert names(Expression="nosuch") == []
    slim = glue.get_tables(DatabaseName=db, AttributesToGet=["NAME"])["TableList"]
    assert [sorted(one) for one in slim][0] == ["CatalogId", "DatabaseName", "Name"]
    refused("InvalidInputException", "not a pattern", glue.get_tables, DatabaseName=db, Expression="(")
    refused("EntityNotFoundException", "Database nosuch not found.", glue.get_tables, DatabaseName="nosuch")


def test_updates_make_versions_and_a_stale_one_is_refused(glue, trips):
    db = trips["DatabaseName"]
    update = dict(DatabaseName=db)
    glue.update_table(**update, TableInput=table_input(Description="one"))
    glue.update_table(**update, TableInput=table_input(Description="two"), VersionId="1")
    refused("ConcurrentModificationException", "concurrent modifications", glue.update_table, **update, TableInput=table_input(), VersionId="1")
    refused("InvalidInputException", "'x' is not a version", glue.update_table, **update, TableInput=table_input(), VersionId="x")
    glue.update_table(**update, TableInput=table_input(Description="three"), SkipArchive=True)
    refused("EntityNotFoundException", "Table nosuch not found.", glue.update_table, **update, TableInput=table_input("nosuch"))
    versions = glue.get_table_versions(**trips)["TableVersions"]
    told = [(one["VersionId"], one["Table"].get("Description")) for one in versions]
    assert told == [("3", "three"), ("1", "one"), ("0", None)]
    pages = glue.get_paginator("get_table_versions").paginate(**trips, PaginationConfig={"PageSize": 1})
    assert [one["VersionId"] for page in pages for one in page["TableVersions"]] == ["3", "1", "0"]
    assert glue.get_table_version(**trips)["TableVersion"]["VersionId"] == "3"
    assert glue.get_table_version(**trips, VersionId="1")["TableVersion"]["Table"]["Description"] == "one"
    refused("EntityNotFoundException", "Version not found.", glue.get_table_version, **trips, VersionId="2")
    glue.delete_table_version(**trips, VersionId="0")
    errors = glue.batch_delete_table_version(**trips, VersionIds=["1", "7", "3"])["Errors"]
    told = [(one["VersionId"], one["ErrorDetail"]["ErrorCode"]) for one in errors]
    assert told == [("7", "EntityNotFoundException"), ("3", "InvalidInputException")]
    assert [one["VersionId"] for one in glue.get_table_versions(**trips)["TableVersions"]] == ["3"]


def test_two_writers_of_one_version_do_not_both_win(session_lake, glue, trips):
    outcomes = []

    def write(number):
        client = session_lake.client("glue")
        try:
            client.update_table(DatabaseName=trips["DatabaseName"], TableInput=table_input(Description=str(number)), VersionId="0")
            outcomes.append("won")
        except client.exceptions.ConcurrentModificationException:
            outcomes.append("lost")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    [writer.start() for writer in writers]
    [writer.join() for writer in writers]
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_many_tables_are_deleted_with_an_outcome_each(glue, db):
    for name in ["a", "b"]:
        glue.create_table(DatabaseName=db, TableInput=table_input(name))
    errors = glue.batch_delete_table(DatabaseName=db, TablesToDelete=["a", "nosuch", "B"])["Errors"]
    assert [(one["TableName"], one["ErrorDetail"]["ErrorCode"]) for one in errors] == [("nosuch", "EntityNotFoundException")]
    assert glue.get_tables(DatabaseName=db)["TableList"] == []
    refused("EntityNotFoundException", "Database nosuch not found.", glue.batch_delete_table, DatabaseName="nosuch", TablesToDelete=["a"])


def test_a_partition_comes_back_as_it_was_given(glue, trips):
    given = partition(2024, "São Paulo/x")
    glue.create_partition(**trips, PartitionInput=given)
    got = glue.get_partition(**trips, PartitionValues=given["Values"])["Partition"]
    assert (got["DatabaseName"], got["TableName"], got["CatalogId"]) == (trips["DatabaseName"], "trips", ACCOUNT)
    assert (got["Values"], got["Parameters"]) == (given["Values"], given["Parameters"])
    for name, value in given["StorageDescriptor"].items():
        assert got["StorageDescriptor"][name] == value, name
    assert "CreationTime" in got
    refused("AlreadyExistsException", "Partition already exists.", glue.create_partition, **trips, PartitionInput=given)
    refused("EntityNotFoundException", "Cannot find partition.", glue.get_partition, **trips, PartitionValues=["2024", "x"])
    refused("InvalidInputException", "number of partition keys do not match", glue.get_partition, **trips, PartitionValues=["2024"])
    changed = partition(2025, "Rome", Parameters={"a": "b"})
    glue.update_partition(**trips, PartitionValueList=given["Values"], PartitionInput=changed)
    assert values(glue.get_partitions(**trips)["Partitions"]) == ["2025/Rome"]
    refused("EntityNotFoundException", "Cannot find partition.", glue.update_partition, **trips,
            PartitionValueList=given["Values"], PartitionInput=changed)
    glue.delete_partition(**trips, PartitionValues=["2025", "Rome"])
    refused("EntityNotFoundException", "Cannot find partition.", glue.delete_partition, **trips, PartitionValues=["2025", "Rome"])


def test_batches_tell_which_of_their_partitions_failed(glue, trips):
    batch = [partition(2024, f"c{number:02}") for number in range(98)]
    errors = glue.batch_create_partition(**trips, PartitionInputList=[*batch, batch[0], {"Values": ["1"]}])["Errors"]
    told = [(one["PartitionValues"], one["ErrorDetail"]["ErrorCode"]) for one in errors]
    assert told == [(["2024", "c00"], "AlreadyExistsException"), (["1"], "InvalidInputException")]
    wanted = [{"Values": ["2024", "c97"]}, {"Values": ["2024", "nosuch"]}, {"Values": ["2024", "c03"]}]
    got = glue.batch_get_partition(**trips, PartitionsToGet=wanted)
    assert (values(got["Partitions"]), got["UnprocessedKeys"]) == (["2024/c97", "2024/c03"], [])
    entries = [
        {"PartitionValueList": ["2024", "c00"], "PartitionInput": partition(2024, "c00", Parameters={"new": "1"})},
        {"PartitionValueList": ["2024", "zz"], "PartitionInput": partition(2024, "zz")},
    ]
    errors = glue.batch_update_partition(**trips, Entries=entries)["Errors"]
    told = [(one["PartitionValueList"], one["ErrorDetail"]["ErrorCode"]) for one in errors]
    assert told == [(["2024", "zz"], "EntityNotFoundException")]
    assert glue.get_partition(**trips, PartitionValues=["2024", "c00"])["Partition"]["Parameters"] == {"new": "1"}
    errors = glue.batch_delete_partition(**trips, PartitionsToDelete=[{"Values": ["2024", "c01"]}, {"Values": ["2024", "c01"]}])["Errors"]
    assert [one["ErrorDetail"]["ErrorCode"] for one in errors] == ["EntityNotFoundException"]
    with pytest.raises(ClientError):
        glue.batch_create_partition(**trips, PartitionInputList=[partition(1, f"x{number}") for number in range(101)])


def test_filters_compare_by_the_keys_type(glue, trips):
    given = [(9, "b"), (10, "a"), (10, "B%"), (2024, "it's"), ("__HIVE_DEFAULT_PARTITION__", "n")]
    glue.batch_create_partition(**trips, PartitionInputList=[partition(*one) for one in given])

    def found(expression):
        return values(glue.get_partitions(**trips, Expression=expression)["Partitions"])

    for expression, expected in [
        ("year < 11", ["9/b", "10/B%", "10/a"]),
        ("year = '10' AND city = 'a'", ["10/a"]),
        ("(year=10) and not (city='a')", ["10/B%"]),
        ("year in (9, 2024)", ["9/b", "2024/it's"]),
        ("year between 10 and 2023", ["10/B%", "10/a"]),
        ("city like '%B%'", ["10/B%"]),
        ("city = 'it''s'", ["2024/it's"]),
        ("year is null", ["__HIVE_DEFAULT_PARTITION__/n"]),
        ("YEAR <> 10", ["9/b", "2024/it's"]),
        ("year = 9 or city = 'a'", ["9/b", "10/a"]),
        ("year > 3000", []),
        ("", ["__HIVE_DEFAULT_PARTITION__/n", "9/b", "10/B%", "10/a", "2024/it's"]),
    ]:
        assert found(expression) == expected, expression
    for expression, part in [
        ("month = 1", "'month' is not a partition key of the table; its keys are: year, city"),
        ("year = 'x'", "not of its type: integer"),
        ("year =", "character 7: expected a value"),
        ("year = 1; drop table x", "character 9"),
        ("(" * 500 + "year = 1" + ")" * 500, "nested more than"),
    ]:
        refused("InvalidInputException", part, glue.get_partitions, **trips, Expression=expression)


def test_pages_and_segments_hold_each_partition_once(glue, trips):
    for start in range(0, 300, 100):
        batch = [partition(number % 7, f"c{number:03}") for number in range(start, start + 100)]
        assert glue.batch_create_partition(**trips, PartitionInputList=batch)["Errors"] == []
    pages = list(glue.get_paginator("get_partitions").paginate(**trips, PaginationConfig={"PageSize": 70}))
    assert [len(page["Partitions"]) for page in pages] == [70, 70, 70, 70, 20]
    assert len({one for page in pages for one in values(page["Partitions"])}) == 300
    seen = []
    for number in range(4):
        segment = {"SegmentNumber": number, "TotalSegments": 4}
        parts = [one for page in glue.get_paginator("get_partitions").paginate(**trips, Segment=segment) for one in values(page["Partitions"])]
        assert 30 < len(parts) < 120
        seen += parts
    assert sorted(seen) == sorted(one for page in pages for one in values(page["Partitions"]))
    slim = glue.get_partitions(**trips, ExcludeColumnSchema=True, MaxResults=1)["Partitions"][0]
    assert "Columns" not in slim["StorageDescriptor"]
    refused("InvalidInputException", "counted from 0", glue.get_partitions, **trips, Segment={"SegmentNumber": 4, "TotalSegments": 4})
    refused("InvalidInputException", "NextToken", glue.get_partitions, **trips, NextToken="§")
    with pytest.raises(ClientError):
        glue.get_partitions(**trips, MaxResults=1001)


def test_a_dropped_database_takes_its_tables_along(glue, trips):
    db = trips["DatabaseName"]
    glue.create_partition(**trips, PartitionInput=partition(1, "a"))
    glue.delete_database(Name=db)
    refused("EntityNotFoundException", f"Database {db} not found.", glue.get_table, DatabaseName=db, Name="trips")
    glue.create_database(DatabaseInput={"Name": db})
    refused("EntityNotFoundException", "Table trips not found.", glue.get_table, DatabaseName=db, Name="trips")
    glue.create_table(DatabaseName=db, TableInput=table_input())
    assert glue.get_partitions(**trips)["Partitions"] == []


def test_tables_are_found_by_text_and_properties(glue, db):
    glue.create_table(DatabaseName=db, TableInput=table_input("customer-link", Description="who buys", Owner="zoe"))
    glue.create_table(DatabaseName=db, TableInput=table_input("xxlinkyy", Owner="amy"))
    glue.create_table(DatabaseName=db, TableInput=table_input("orders", Parameters={"classification": "parquet"}, Owner="max"))
    here = {"Key": "DatabaseName", "Value": db}

    def found(*filters, **more):
        got = glue.search_tables(Filters=[here, *filters], **more)["TableList"]
        return [one["Name"] for one in got]

    assert found() == ["customer-link", "orders", "xxlinkyy"]
    assert found({"Key": "Name", "Value": "link"}) == ["customer-link"]
    assert found({"Key": "classification", "Value": "parquet"}) == ["orders"]
    assert found(SearchText="LINK") == ["customer-link", "xxlinkyy"]
    assert found(SearchText='"who buys"') == ["customer-link"]
    assert found(SearchText='"who"') == []
    assert found(SearchText="fare buys") == ["customer-link"]
    assert found(SortCriteria=[{"FieldName": "Owner", "Sort": "DESC"}]) == ["customer-link", "orders", "xxlinkyy"]
    assert found(SortCriteria=[{"FieldName": "Owner", "Sort": "ASC"}]) == ["xxlinkyy", "orders", "customer-link"]
    assert found({"Key": "CreateTime", "Value": "2000-01-01", "Comparator": "LESS_THAN"}) == []
    assert len(found({"Key": "CreateTime", "Value": "2000-01-01", "Comparator": "GREATER_THAN"})) == 3
    paged, token = [], {}
    while True:
        page = glue.search_tables(Filters=[here], SortCriteria=[{"FieldName": "Owner", "Sort": "ASC"}], MaxResults=1, **token)
        paged += [one["Name"] for one in page["TableList"]]
        if not page.get("NextToken"):
            break
        token = {"NextToken": page["NextToken"]}
    assert paged == ["xxlinkyy", "orders", "customer-link"]
    refused("InvalidInputException", "not a time", glue.search_tables, Filters=[{"Key": "CreateTime", "Value": "yesterday"}])


def test_tags_belong_to_what_exists(glue, trips):
    arn = f"arn:aws:glue:us-east-1:{ACCOUNT}:table/{trips['DatabaseName']}/trips"
    glue.tag_resource(ResourceArn=arn, TagsToAdd={"a": "1", "b": "2"})
    glue.tag_resource(ResourceArn=arn, TagsToAdd={"b": "3"})
    glue.untag_resource(ResourceArn=arn, TagsToRemove=["a", "nosuch"])
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {"b": "3"}
    refused("EntityNotFoundException", "not found", glue.get_tags, ResourceArn=arn + "x")
    refused("InvalidInputException", "reserved", glue.tag_resource, ResourceArn=arn, TagsToAdd={"aws:x": "1"})
    refused("InvalidInputException", "more than 50 tags", glue.tag_resource, ResourceArn=arn,
            TagsToAdd={f"k{number}": "v" for number in range(50)})
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {"b": "3"}


def test_the_catalog_is_kept_over_a_crash(lake):
    glue = lake.client("glue")
    glue.create_database(DatabaseInput={"Name": "d"})
    glue.create_table(DatabaseName="d", TableInput=table_input())
    glue.create_partition(DatabaseName="d", TableName="trips", PartitionInput=partition(1, "a"))
    lake.kill9()
    lake.restart()
    glue = lake.client("glue")
    got = glue.get_partitions(DatabaseName="d", TableName="trips", Expression="year = 1")["Partitions"]
    assert values(got) == ["1/a"]
