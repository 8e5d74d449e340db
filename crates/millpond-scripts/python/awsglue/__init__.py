"""Millpond's `awsglue`: what Glue's scripts import, on an engine that speaks Spark's API.

The names and their behaviour are AWS's ("Program AWS Glue ETL scripts in PySpark", AWS Glue developer guide); the code is Millpond's own. Nothing
here starts an engine: importing is cheap, and the engine comes with the first SparkContext or SparkSession.
"""

__all__ = ["DynamicFrame"]


def __getattr__(name):
    if name == "DynamicFrame":
        from awsglue.dynamicframe import DynamicFrame

        return DynamicFrame
    raise AttributeError(f"module 'awsglue' has no attribute {name!r}")
