"""A script that is started by hand, without a run: sources are listed with boto3, there are no bookmarks, and what a run does at its end is done at once."""

import os
import sys

from millpond_job import storage


class LocalRun:
    """The operations of `millpond_job.run.ApiRun`."""

    run_id = f"local-{os.getpid()}"

    @property
    def in_run(self):
        return False

    def describe(self):
        """As far as a process by hand knows it: from its arguments and `MILLPOND_ENGINE`."""
        return {
            "JobName": _argument("--JOB_NAME") or "local",
            "RunId": self.run_id,
            "Attempt": 0,
            "BookmarkOption": "job-bookmark-disable",
            "Output": "as-written",
            "Engine": os.environ.get("MILLPOND_ENGINE", "sail"),
            "TempDir": _argument("--TempDir"),
        }

    def source(self, **request):
        """The files of `Paths`, or of a table of the catalog."""
        exclusions = request.get("Exclusions") or ()
        if request.get("Paths"):
            return {"Files": storage.files_below(request["Paths"], bool(request.get("Recurse")), exclusions), "BookmarkFiltered": 0}
        return _table(request, exclusions)

    def commit(self):
        """There is nothing to be saved."""

    def load_items(self, table, prefix, options=None):
        raise AssertionError("items are put at once outside of a run")

    def update_table(self, **change):
        """Makes or changes a table by the Glue API."""
        glue = storage.client("glue")
        key = {"DatabaseName": change["Database"], "Name": change["Table"]}
        try:
            found = glue.get_table(**key)["Table"]
        except glue.exceptions.EntityNotFoundException:
            found = None
        if found is None:
            glue.create_table(DatabaseName=change["Database"], TableInput=_table_input(change))
        elif change["Behavior"] == "UPDATE_IN_DATABASE":
            known = {column["Name"].lower() for column in found["StorageDescriptor"]["Columns"]}
            more = [column for column in change["Columns"] if column["Name"].lower() not in known]
            if more:
                kept = {
                    name: found[name]
                    for name in ("Name", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor", "Description", "Owner", "Retention")
                    if name in found
                }
                kept["StorageDescriptor"]["Columns"] += more
                glue.update_table(DatabaseName=change["Database"], TableInput=kept)
        descriptor = glue.get_table(**key)["Table"]["StorageDescriptor"]
        inputs = [{"Values": one["Values"], "StorageDescriptor": {**descriptor, "Location": one["Location"]}} for one in change["Partitions"]]
        for start in range(0, len(inputs), 100):
            # Those that are there already are answered as errors, and stay as they are.
            glue.batch_create_partition(DatabaseName=change["Database"], TableName=change["Table"], PartitionInputList=inputs[start : start + 100])

    def fail(self, *args, **kwargs):
        """The traceback has said it."""


def _argument(name):
    for index, argument in enumerate(sys.argv):
        if argument == name and index + 1 < len(sys.argv):
            return sys.argv[index + 1]
        if argument.startswith(name + "="):
            return argument[len(name) + 1 :]
    return None


def _table(request, exclusions):
    from millpond_job.run import RunError

    glue = storage.client("glue")
    name = f"{request['Database']}.{request['Table']}"
    try:
        table = glue.get_table(DatabaseName=request["Database"], Name=request["Table"])["Table"]
    except glue.exceptions.EntityNotFoundException as error:
        raise RunError("EntityNotFoundException", f"Table {name} not found: {error.response['Error']['Message']}") from None
    descriptor = table["StorageDescriptor"]
    parameters = {**table.get("Parameters", {})}
    answer = {
        "Columns": descriptor.get("Columns", []),
        "PartitionKeys": table.get("PartitionKeys", []),
        "Format": parameters.get("classification") or descriptor.get("Parameters", {}).get("classification"),
        "Parameters": {**descriptor.get("Parameters", {}), **parameters},
        "SerdeParameters": descriptor.get("SerdeInfo", {}).get("Parameters", {}),
        "SerdeLibrary": descriptor.get("SerdeInfo", {}).get("SerializationLibrary"),
        "BookmarkFiltered": 0,
    }
    recurse = request.get("Recurse", True)
    if not answer["PartitionKeys"]:
        answer["Files"] = storage.files_below([_directory(descriptor["Location"])], recurse, exclusions)
        return answer
    arguments = {"DatabaseName": request["Database"], "TableName": request["Table"]}
    if request.get("CatalogPartitionPredicate"):
        arguments["Expression"] = request["CatalogPartitionPredicate"]
    partitions = [one for page in glue.get_paginator("get_partitions").paginate(**arguments) for one in page["Partitions"]]
    if request.get("PushDownPredicate"):
        partitions = _matching(partitions, answer["PartitionKeys"], request["PushDownPredicate"])
    answer["Files"] = []
    for partition in partitions:
        for one in storage.files_below([_directory(partition["StorageDescriptor"]["Location"])], recurse, exclusions):
            answer["Files"].append({**one, "Partition": partition["Values"]})
    return answer


def _directory(location):
    return location.rstrip("/") + "/"


def _matching(partitions, keys, predicate):
    """Partitions that a predicate in Spark's SQL is true for."""
    from awsglue.connections.types import quoted, spark_fields
    from pyspark.sql import functions as F

    from millpond_job import engine

    if engine.is_connect():
        session = engine.session()
    else:
        from pyspark.sql import SparkSession

        session = SparkSession.builder.getOrCreate()
    if not partitions:
        return []
    fields = spark_fields(keys)
    names = ["_millpond_number", *(field.name for field in fields)]
    rows = session.createDataFrame(
        [(number, *one["Values"]) for number, one in enumerate(partitions)], ", ".join(f"{quoted(name)} string" for name in names)
    )
    rows = rows.select("_millpond_number", *[F.col(quoted(field.name)).cast(field.dataType).alias(field.name) for field in fields])
    wanted = {int(row[0]) for row in rows.where(predicate).select("_millpond_number").collect()}
    return [one for number, one in enumerate(partitions) if number in wanted]


#: Input format, output format and serialization library by format, as AWS's crawlers write them.
HADOOP = {
    "parquet": ("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat", "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat", "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"),
    "orc": ("org.apache.hadoop.hive.ql.io.orc.OrcInputFormat", "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat", "org.apache.hadoop.hive.ql.io.orc.OrcSerde"),
    "avro": ("org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat", "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat", "org.apache.hadoop.hive.serde2.avro.AvroSerDe"),
    "json": ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat", "org.openx.data.jsonserde.JsonSerDe"),
    "csv": ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat", "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"),
}  # fmt: skip


def _table_input(change):
    reads, writes, library = HADOOP[change["Format"]]
    serde = {name: value for name, value in change["SerdeParameters"].items() if name != "skip.header.line.count"}
    parameters = {"classification": change["Format"]}
    if "skip.header.line.count" in change["SerdeParameters"]:
        parameters["skip.header.line.count"] = change["SerdeParameters"]["skip.header.line.count"]
    return {
        "Name": change["Table"],
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": change["PartitionKeys"],
        "StorageDescriptor": {
            "Columns": change["Columns"],
            "Location": change["Location"],
            "InputFormat": reads,
            "OutputFormat": writes,
            "SerdeInfo": {"SerializationLibrary": library, "Parameters": serde},
        },
    }
