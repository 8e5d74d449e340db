"""Raw CSV as items of a DynamoDB table: an id that is the MD5 of the row, duplicates dropped, where and when a row came from beside it.

Arguments: --SOURCE (s3://bucket/key.csv or a prefix), --ITEMS (the table; it is made where it is missing).
"""

import sys

import boto3
from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
from awsglue.transforms import ApplyMapping
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
from pyspark.sql.functions import col, concat_ws, current_timestamp, lit, md5

args = getResolvedOptions(sys.argv, ["JOB_NAME", "SOURCE", "ITEMS"])
glue_context = GlueContext(SparkContext())
job = Job(glue_context)
job.init(args["JOB_NAME"], args)

dynamodb = boto3.client("dynamodb")
try:
    dynamodb.describe_table(TableName=args["ITEMS"])
except dynamodb.exceptions.ResourceNotFoundException:
    dynamodb.create_table(
        TableName=args["ITEMS"],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName=args["ITEMS"])

raw = glue_context.create_dynamic_frame.from_options(
    connection_type="s3",
    connection_options={"paths": [args["SOURCE"]], "recurse": True},
    format="csv",
    format_options={"withHeader": True, "separator": ","},
    transformation_ctx="raw",
)
rows = raw.toDF()
columns = rows.columns
if not columns:
    print("nothing new")
else:
    rows = rows.repartition(150).withColumn("id", md5(concat_ws("_", *[col(f"`{name}`") for name in columns])))
    rows = rows.dropDuplicates(["id"])
    rows = rows.withColumn("ingestion_timestamp", current_timestamp()).withColumn("source_file", lit(args["SOURCE"]))
    mappings = [
        ("id", "string", "id", "string"),
        ("ingestion_timestamp", "timestamp", "ingestion_timestamp", "string"),
        ("source_file", "string", "source_file", "string"),
    ]
    mappings += [(f"`{name}`", "string", f"`{name}`", "string") for name in columns]
    items = ApplyMapping.apply(frame=DynamicFrame.fromDF(rows, glue_context, "items"), mappings=mappings)
    glue_context.write_dynamic_frame.from_options(
        frame=items, connection_type="dynamodb", connection_options={"dynamodb.output.tableName": args["ITEMS"]}
    )
job.commit()
