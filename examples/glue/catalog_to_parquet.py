"""A table of the catalog (CSV, as a crawler found it) as Parquet, partitioned, and as a table of its own.

Arguments: --DATABASE, --TABLE, --TARGET (s3://bucket/prefix/), --TARGET_TABLE, --PARTITION_KEY. New files only, where the job's bookmarks are enabled.
"""

import sys

from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.transforms import DropNullFields, ResolveChoice
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "DATABASE", "TABLE", "TARGET", "TARGET_TABLE", "PARTITION_KEY"])
glue_context = GlueContext(SparkContext.getOrCreate())
job = Job(glue_context)
job.init(args["JOB_NAME"], args)

source = glue_context.create_dynamic_frame.from_catalog(database=args["DATABASE"], table_name=args["TABLE"], transformation_ctx="source")
print(f"{source.count()} new records in {args['DATABASE']}.{args['TABLE']}")

resolved = ResolveChoice.apply(frame=source, choice="make_cols", transformation_ctx="resolved")
cleaned = DropNullFields.apply(frame=resolved, transformation_ctx="cleaned")

sink = glue_context.getSink(
    connection_type="s3",
    path=args["TARGET"],
    enableUpdateCatalog=True,
    updateBehavior="UPDATE_IN_DATABASE",
    partitionKeys=[args["PARTITION_KEY"]],
    transformation_ctx="sink",
)
sink.setFormat("glueparquet", compression="snappy")
sink.setCatalogInfo(catalogDatabase=args["DATABASE"], catalogTableName=args["TARGET_TABLE"])
if source.count() > 0:
    sink.writeFrame(cleaned)
job.commit()
