#!/usr/bin/env python3
"""Deploys the scripts of this folder as Glue jobs with boto3, as it is done on AWS, and starts them on a file:

    python3 examples/glue/deploy.py orders examples/chains/orders.csv --partition-key city

It needs boto3, and an environment that says where the lake is: eval "$(millpond env)". What it makes is named after the first argument: a bucket
`NAME-glue`, a role, a database, a crawler, the jobs `NAME-parquet` and `NAME-items`, a table `NAME_parquet` in the catalog, and a DynamoDB table `NAME`.
"""

import argparse
import json
import time
from pathlib import Path

import boto3

HERE = Path(__file__).parent
ENDS = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR")


class Deployment:
    """The parts of one deployment; all are named after it."""

    def __init__(self, name, partition_key):
        self.name, self.bucket, self.partition_key = name, f"{name}-glue", partition_key
        self.s3, self.glue, self.iam = boto3.client("s3"), boto3.client("glue"), boto3.client("iam")

    def make(self):
        """Everything but data. What is there already is brought up to date."""
        self.s3.create_bucket(Bucket=self.bucket)
        role = self.role()
        if self.name not in [database["Name"] for database in self.glue.get_databases()["DatabaseList"]]:
            self.glue.create_database(DatabaseInput={"Name": self.name})
        crawler = {"Role": role, "DatabaseName": self.name, "Targets": {"S3Targets": [{"Path": f"s3://{self.bucket}/raw/"}]}}
        try:
            self.glue.create_crawler(Name=self.name, **crawler)
        except self.glue.exceptions.AlreadyExistsException:
            self.glue.update_crawler(Name=self.name, **crawler)
        source = {"--DATABASE": self.name, "--TABLE": "raw"}
        target = {"--TARGET": f"s3://{self.bucket}/parquet/", "--TARGET_TABLE": f"{self.name}_parquet", "--PARTITION_KEY": self.partition_key}
        self.job("parquet", role, "catalog_to_parquet.py", {**source, **target, "--job-bookmark-option": "job-bookmark-enable"})
        self.job("items", role, "csv_to_items.py", {"--SOURCE": f"s3://{self.bucket}/raw/", "--ITEMS": self.name})

    def role(self):
        trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        name = f"{self.name}-glue"
        try:
            role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
        except self.iam.exceptions.EntityAlreadyExistsException:
            role = self.iam.get_role(RoleName=name)["Role"]
        for policy in ("service-role/AWSGlueServiceRole", "AmazonS3FullAccess", "AmazonDynamoDBFullAccess"):
            self.iam.attach_role_policy(RoleName=role["RoleName"], PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
        return role["Arn"]

    def job(self, name, role, script, arguments):
        self.s3.upload_file(str(HERE / script), self.bucket, f"scripts/{script}")
        job = {
            "Role": role,
            "Command": {"Name": "glueetl", "ScriptLocation": f"s3://{self.bucket}/scripts/{script}", "PythonVersion": "3"},
            "DefaultArguments": {"--job-language": "python", "--TempDir": f"s3://{self.bucket}/temp/", **arguments},
            "GlueVersion": "5.0",
            "WorkerType": "G.1X",
            "NumberOfWorkers": 2,
            "Timeout": 60,
        }
        try:
            self.glue.get_job(JobName=f"{self.name}-{name}")
            self.glue.update_job(JobName=f"{self.name}-{name}", JobUpdate=job)
        except self.glue.exceptions.EntityNotFoundException:
            self.glue.create_job(Name=f"{self.name}-{name}", **job)

    def load(self, path):
        """A file into the lake, and the crawler over it."""
        self.s3.upload_file(str(path), self.bucket, f"raw/{Path(path).name}")
        self.glue.start_crawler(Name=self.name)
        while self.glue.get_crawler(Name=self.name)["Crawler"]["State"] != "READY":
            time.sleep(0.1)

    def run(self, job):
        """Starts a job and waits for its end; answers the run."""
        name = f"{self.name}-{job}"
        run_id = self.glue.start_job_run(JobName=name)["JobRunId"]
        while True:
            run = self.glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]
            if run["JobRunState"] in ENDS:
                return run
            time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="what everything is named after")
    parser.add_argument("file", help="a CSV file with a header")
    parser.add_argument("--partition-key", required=True, help="the column that the Parquet files are partitioned by")
    given = parser.parse_args()
    deployment = Deployment(given.name, given.partition_key)
    deployment.make()
    deployment.load(given.file)
    for job in ("parquet", "items"):
        run = deployment.run(job)
        print(f"{given.name}-{job}: {run['JobRunState']} {run.get('ErrorMessage', '')}".rstrip())


if __name__ == "__main__":
    main()
