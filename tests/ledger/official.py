"""What a ledger asks of a bucket, asked by the vendor's own library."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, bucket, region = sys.argv[1:]
config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1})
s3 = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=config)

for name in "abcd":
    s3.put_object(Bucket=bucket, Key=f"folder/{name}/1.json", Body=name.encode(), IfNoneMatch="*")

try:
    s3.put_object(Bucket=bucket, Key="folder/a/1.json", Body=b"other", IfNoneMatch="*")
    raise SystemExit("a second create succeeded")
except ClientError as error:
    assert error.response["Error"]["Code"] == "PreconditionFailed", error
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 412, error

assert s3.get_object(Bucket=bucket, Key="folder/a/1.json")["Body"].read() == b"a"

try:
    s3.get_object(Bucket=bucket, Key="folder/none.json")
    raise SystemExit("an object that is not there was read")
except ClientError as error:
    assert error.response["Error"]["Code"] == "NoSuchKey", error

pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="folder/", Delimiter="/"))
assert len(pages) > 1, pages
folders = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
assert folders == [f"folder/{name}/" for name in "abcd"], folders

keys = [e["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for e in p["Contents"]]
assert keys == [f"folder/{name}/1.json" for name in "abcd"], keys
