"""A table of many partitions, of which one is selected: how long planning takes, by the query's own statistics."""

import time

from common import new_lake

AIM_MS = 100


def partitions(report, count=100_000):
    import harness

    lake = new_lake("")
    try:
        glue = lake.client("glue")
        lake.bucket("parts")
        glue.create_database(DatabaseInput={"Name": "parts"})
        serde = {"SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", "Parameters": {"field.delim": ","}}
        storage = {
            "Columns": [{"Name": "id", "Type": "bigint"}],
            "Location": "s3://parts/t",
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "SerdeInfo": serde,
        }
        keys = [{"Name": "day", "Type": "string"}, {"Name": "number", "Type": "int"}]
        glue.create_table(DatabaseName="parts", TableInput={"Name": "t", "StorageDescriptor": storage, "PartitionKeys": keys})
        began = time.perf_counter()
        for first in range(0, count, 100):
            inputs = []
            for number in range(first, first + 100):
                day = f"2024-{number % 12 + 1:02}-{number // 12 % 28 + 1:02}"
                location = f"s3://parts/t/day={day}/number={number}"
                inputs.append({"Values": [day, str(number)], "StorageDescriptor": {**storage, "Location": location}})
            errors = glue.batch_create_partition(DatabaseName="parts", TableName="t", PartitionInputList=inputs)["Errors"]
            assert not errors, errors
        report.add(f"{count:,} partitions registered", f"{time.perf_counter() - began:.1f} s")
        for number in (1, count // 2, count - 1):
            day = f"2024-{number % 12 + 1:02}-{number // 12 % 28 + 1:02}"
            lake.put("parts", f"t/day={day}/number={number}/a.csv", "7\n")
        chosen = count // 2
        wheres = {
            "its key": f"number = {chosen}",
            "a range": f"number BETWEEN {chosen} AND {chosen + 1}",
            "day and number": f"day = '2024-{chosen % 12 + 1:02}-{chosen // 12 % 28 + 1:02}' AND number = {chosen}",
        }
        for name, where in wheres.items():
            times = []
            for _ in range(5):
                query_id = lake.start_query(f"SELECT sum(id) FROM t WHERE {where}", "parts")
                execution = lake.wait_query(query_id)
                assert execution["Status"]["State"] == "SUCCEEDED", execution
                times.append(execution["Statistics"]["QueryPlanningTimeInMillis"])
            report.add(f"one of {count:,} partitions selected by {name}: planning", f"{sorted(times)[2]} ms", f"aim: at most {AIM_MS} ms")
    finally:
        harness.discard(lake)
