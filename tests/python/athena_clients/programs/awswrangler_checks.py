"""awswrangler (AWS SDK for pandas): datasets with a catalog, and the ways it has to read a query."""

import datetime
import os

import awswrangler as wr
import pandas as pd

STAGING = os.environ["STAGING"] + "wrangler/"
OUT = STAGING + "out/"
FRAME = pd.DataFrame(
    {
        "id": [1, 2, 3],
        "name": ["a", "b", None],
        "price": [1.5, 2.5, 3.5],
        "at": pd.to_datetime(["2024-01-01 10:00", "2024-01-02 00:00", "2024-01-03 00:00"]),
        "on": [datetime.date(2024, 1, 1)] * 3,
        "flag": [True, False, True],
        "day": ["x", "x", "y"],
    }
)

wr.config.athena_query_wait_polling_delay = 0.02


def database():
    wr.catalog.create_database("wrangler", exist_ok=True)
    return "wrangler"


def dataset(name, frame=FRAME, **more):
    settings = {"partition_cols": ["day"], "mode": "overwrite", **more}
    return wr.s3.to_parquet(frame, path=f"{STAGING}{name}/", dataset=True, database=database(), table=name, **settings)


def read(sql, **more):
    return wr.athena.read_sql_query(sql, database(), **{"s3_output": OUT, "ctas_approach": False, **more})


def check_a_partitioned_dataset_is_read_back():
    written = dataset("plain")
    assert sorted(values[0] for values in written["partitions_values"].values()) == ["x", "y"]
    found = read("SELECT * FROM plain ORDER BY id")
    assert found["id"].tolist() == [1, 2, 3] and found["price"].tolist() == [1.5, 2.5, 3.5] and found["day"].tolist() == ["x", "x", "y"]
    assert found["at"].tolist() == FRAME["at"].tolist() and found["name"].isna().tolist() == [False, False, True]


def check_overwrite_partitions_replaces_only_what_it_writes():
    dataset("parts")
    dataset("parts", FRAME[FRAME["day"] == "y"].assign(id=30), mode="overwrite_partitions")
    assert read("SELECT id FROM parts ORDER BY id")["id"].tolist() == [1, 2, 30]


def check_append_adds_a_column():
    dataset("grows")
    dataset("grows", FRAME.assign(id=FRAME["id"] + 3, extra="z"), mode="append")
    found = read("SELECT id, extra FROM grows ORDER BY id")
    assert found["id"].tolist() == [1, 2, 3, 4, 5, 6] and found["extra"].isna().tolist() == [True] * 3 + [False] * 3


def check_text_and_json_datasets_are_read_back():
    small = FRAME[["id", "name", "price"]].dropna()
    for kind, write in (("csv", wr.s3.to_csv), ("json", wr.s3.to_json)):
        more = {"index": False} if kind == "csv" else {"index": False, "orient": "records", "lines": True}
        write(small, path=f"{STAGING}as_{kind}/", dataset=True, database=database(), table=f"as_{kind}", mode="overwrite", **more)
        assert read(f"SELECT * FROM as_{kind} ORDER BY id").to_dict("list") == small.to_dict("list"), kind


def check_chunks_are_frames():
    dataset("chunked")
    assert sum(len(chunk) for chunk in read("SELECT * FROM chunked", chunksize=2)) == 3


def check_parameters_are_bound():
    dataset("bound")
    assert read("SELECT id FROM bound WHERE name = :name", params={"name": "a"})["id"].tolist() == [1]
    assert read("SELECT id FROM bound WHERE id = ?", params=["2"], paramstyle="qmark")["id"].tolist() == [2]


def check_results_are_cached_by_the_client():
    dataset("cached")
    ask = "SELECT id FROM cached ORDER BY id"
    first, second = (read(ask, athena_cache_settings={"max_cache_seconds": 900}) for _ in range(2))
    assert first.query_metadata["QueryExecutionId"] == second.query_metadata["QueryExecutionId"]


def check_a_query_is_started_and_waited_for():
    started = wr.athena.start_query_execution("SELECT 1 AS a", database(), s3_output=OUT, wait=True)
    assert started["Status"]["State"] == "SUCCEEDED"
    assert wr.athena.get_query_results(started["QueryExecutionId"])["a"].tolist() == [1]


def check_the_catalog_is_told():
    dataset("told")
    tables = wr.catalog.tables(database=database())
    assert "told" in tables["Table"].tolist()
    assert wr.catalog.get_table_types("wrangler", "told")["price"] == "double"
    assert wr.catalog.delete_table_if_exists("wrangler", "told")


def check_a_query_is_read_by_a_table_that_it_makes():
    dataset("ctas_read")
    found = read("SELECT * FROM ctas_read", ctas_approach=True)
    assert sorted(found["id"].tolist()) == [1, 2, 3] and found["name"].isna().sum() == 1, found
    assert not [name for name in wr.catalog.tables(database=database())["Table"] if name.startswith("temp_table_")]


def check_a_query_is_read_by_what_it_unloads():
    dataset("unload_read")
    # The output location is the target, which must be empty.
    found = read("SELECT * FROM unload_read", s3_output=STAGING + "unload_out/", unload_approach=True, unload_parameters={"file_format": "PARQUET"})
    assert sorted(found["id"].tolist()) == [1, 2, 3] and found["at"].min() == pd.Timestamp("2024-01-01 10:00"), found


def check_a_table_is_made_of_a_query():
    dataset("made_from")
    made = wr.athena.create_ctas_table(
        "SELECT id, name, day FROM made_from",
        database(),
        ctas_table="made_partitioned",
        s3_output=OUT,
        partitioning_info=["day"],
        storage_format="parquet",
        write_compression="snappy",
        wait=True,
    )
    assert made["ctas_query_metadata"].raw_payload["Status"]["State"] == "SUCCEEDED", made
    assert read("SELECT day, count(*) AS c FROM made_partitioned GROUP BY day ORDER BY day").values.tolist() == [["x", 2], ["y", 1]]


def check_an_empty_query_has_its_columns_whichever_way_it_is_read():
    dataset("emptied")
    for ctas_approach in (True, False):
        found = read("SELECT id, name FROM emptied WHERE id > 100", ctas_approach=ctas_approach)
        assert len(found) == 0 and list(found.columns) == ["id", "name"], found
    frames = list(read("SELECT id FROM emptied WHERE id > 100", ctas_approach=True, chunksize=10))
    assert [len(frame) for frame in frames] == [0]


def check_a_query_is_unloaded():
    dataset("unloaded")
    path = STAGING + "unload_target/"
    wr.athena.unload("SELECT id, name, day FROM unloaded", path, database(), file_format="PARQUET", partitioned_by=["day"])
    # The manifest and the metadata lie beside the files.
    found = wr.s3.read_parquet(path, dataset=True, path_ignore_suffix=[".csv", ".metadata"])
    assert sorted(zip(found["id"], found["day"])) == [(1, "x"), (2, "x"), (3, "y")], found


def check_a_table_is_repaired_described_and_shown():
    dataset("shown")
    wr.catalog.delete_partitions("shown", "wrangler", [["y"]])
    assert len(read("SELECT * FROM shown")) == 2
    assert wr.athena.repair_table("shown", database(), s3_output=OUT) == "SUCCEEDED"
    assert len(read("SELECT * FROM shown")) == 3
    assert wr.athena.describe_table("shown", database(), s3_output=OUT)["Column Name"].tolist()[:2] == ["id", "name"]
    assert "CREATE EXTERNAL TABLE" in wr.athena.show_create_table("shown", database(), s3_output=OUT)
