"""Makes each request of a file with AWS's own client library, and prints what it would have sent.

The library checks the parameters against the service model, so that a member which it does not know is an error.
"""

import json
import sys

import boto3
import botocore

SERVICES = ["sagemaker", "application-autoscaling", "cloudwatch"]

sent = {}


def record(model, params, **_):
    body = params["body"]
    sent[model.name] = json.loads(body)
    raise Sent()


class Sent(Exception):
    pass


with open(sys.argv[1], encoding="utf-8") as file:
    wanted = json.load(file)
settings = {"region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
for service in SERVICES:
    client = boto3.client(service, **settings)
    client.meta.events.register("before-call", record)
    names = client.meta.service_model.operation_names
    for operation in names:
        if operation not in wanted:
            continue
        try:
            getattr(client, botocore.xform_name(operation))(**wanted[operation])
        except Sent:
            pass
print(json.dumps(sent))
