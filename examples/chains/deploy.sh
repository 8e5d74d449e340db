#!/usr/bin/env bash
# Deploys a chain with the AWS CLI alone, as it is done on AWS:
#
#     bucket -> function -> crawler -> rule -> function -> job -> rule -> topic -> mail
#
#     eval "$(millpond env)"
#     examples/chains/deploy.sh orders ops@example.com
#
# Needs the AWS CLI and python3 (for zip files).
set -euo pipefail

name=${1:?"usage: deploy.sh NAME MAIL"}
mail=${2:?"usage: deploy.sh NAME MAIL"}
here=$(cd "$(dirname "$0")" && pwd)
database=${name//-/_}
account=$(aws sts get-caller-identity --query Account --output text)
region=$(aws configure get region || echo "${AWS_REGION:-us-east-1}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

role() { # service, managed policies...
  local service=$1; shift
  aws iam create-role --role-name "$name-$service" --query Role.Arn --output text --assume-role-policy-document \
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"'"$service"'.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
  for policy in "$@"; do
    aws iam attach-role-policy --role-name "$name-$service" --policy-arn "arn:aws:iam::aws:policy/$policy"
  done
}

function_() { # name, module, role, variable
  (cd "$here/functions" && python3 -m zipfile -c "$work/$2.zip" "$2.py")
  aws lambda create-function --function-name "$name-$1" --runtime python3.11 --role "$3" --handler "$2.handler" --timeout 60 \
    --zip-file "fileb://$work/$2.zip" --environment "Variables={$4=$name}" --query FunctionArn --output text
  aws lambda wait function-active-v2 --function-name "$name-$1"
}

glue_role=$(role glue service-role/AWSGlueServiceRole AmazonS3FullAccess)
lambda_role=$(role lambda service-role/AWSLambdaBasicExecutionRole AWSGlueConsoleFullAccess)

aws s3 mb "s3://$name-raw"
aws s3 mb "s3://$name-processed"
aws glue create-database --database-input "Name=${database}_raw"
aws glue create-database --database-input "Name=$database,LocationUri=s3://$name-processed/"
aws glue create-crawler --name "$name" --role "$glue_role" --database-name "${database}_raw" \
  --targets '{"S3Targets":[{"Path":"s3://'"$name"'-raw/'"$name"'/"}]}'
aws glue create-job --name "$name" --role "$glue_role" --command Name=millpond --default-arguments '{
  "--source-database": "'"${database}"'_raw", "--source-table": "'"$database"'",
  "--target-database": "'"$database"'", "--target-table": "'"$database"'", "--job-bookmark-option": "job-bookmark-enable"}' > /dev/null

start_crawler=$(function_ start-crawler start_crawler "$lambda_role" CRAWLER)
start_job=$(function_ start-job start_job "$lambda_role" JOB)

aws lambda add-permission --function-name "$start_crawler" --statement-id s3 --action lambda:InvokeFunction \
  --principal s3.amazonaws.com --source-arn "arn:aws:s3:::$name-raw" --source-account "$account" > /dev/null
aws s3api put-bucket-notification-configuration --bucket "$name-raw" --notification-configuration '{"LambdaFunctionConfigurations":[{
  "LambdaFunctionArn":"'"$start_crawler"'", "Events":["s3:ObjectCreated:*"],
  "Filter":{"Key":{"FilterRules":[{"Name":"prefix","Value":"'"$name"'/"},{"Name":"suffix","Value":".csv"}]}}}]}'

crawled=$(aws events put-rule --name "$name-crawled" --query RuleArn --output text --event-pattern '{"source":["aws.glue"],
  "detail-type":["Glue Crawler State Change"],"detail":{"crawlerName":["'"$name"'"],"state":["Succeeded"]}}')
aws lambda add-permission --function-name "$start_job" --statement-id events --action lambda:InvokeFunction \
  --principal events.amazonaws.com --source-arn "$crawled" > /dev/null
aws events put-targets --rule "$name-crawled" --targets "Id=start-job,Arn=$start_job" > /dev/null

topic=$(aws sns create-topic --name "$name" --query TopicArn --output text)
aws sns set-topic-attributes --topic-arn "$topic" --attribute-name Policy --attribute-value '{"Version":"2012-10-17","Statement":[{
  "Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":"'"$topic"'"}]}'
aws sns subscribe --topic-arn "$topic" --protocol email --notification-endpoint "$mail" > /dev/null
aws events put-rule --name "$name-converted" --event-pattern '{"source":["aws.glue"],"detail-type":["Glue Job State Change"],
  "detail":{"jobName":["'"$name"'"],"state":["SUCCEEDED"]}}' > /dev/null
aws events put-targets --rule "$name-converted" --targets "Id=topic,Arn=$topic" > /dev/null

echo "deployed $name in account $account, $region"
echo "  confirm the subscription of $mail, then: aws s3 cp FILE.csv s3://$name-raw/$name/"
