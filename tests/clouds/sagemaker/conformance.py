"""AWS's own client library against the emulator. Each story fails by an assertion.

Every successful answer is checked, byte by byte as it arrived, against the output shape of its operation in the service
model that comes with the library: no unknown members, every required one, types, enumerations, patterns, bounds.
"""

import datetime
import json
import os
import re
import sys
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

ROLE = "arn:aws:iam::123456789012:role/serving"
checked = []


def check(shape, value, at, problems):
    kind = shape.type_name
    bounds = shape.metadata
    if kind == "structure":
        if not isinstance(value, dict):
            return problems.append(f"{at} is no structure: {value!r}")
        for name in shape.required_members:
            if name not in value:
                problems.append(f"{at}.{name} is missing")
        for name, member in value.items():
            if name not in shape.members:
                problems.append(f"{at}.{name} is unknown")
            else:
                check(shape.members[name], member, f"{at}.{name}", problems)
    elif kind == "list":
        if not isinstance(value, list):
            return problems.append(f"{at} is no list: {value!r}")
        size(bounds, len(value), at, problems)
        for index, item in enumerate(value):
            check(shape.member, item, f"{at}[{index}]", problems)
    elif kind == "map":
        for key, item in value.items():
            check(shape.key, key, f"{at} key", problems)
            check(shape.value, item, f"{at}.{key}", problems)
    elif kind == "string":
        if not isinstance(value, str):
            return problems.append(f"{at} is no string: {value!r}")
        size(bounds, len(value), at, problems)
        # The real service prints the type of a pending instance without its prefix.
        pending = at.endswith(".InstanceType") and ".PendingDeploymentSummary." in at
        if shape.enum and value not in shape.enum and not (pending and f"ml.{value}" in shape.enum):
            problems.append(f"{at} is none of the enumeration: {value!r}")
        pattern = bounds.get("pattern")
        if pattern and "\\p{" not in pattern and "\\u" not in pattern and not re.fullmatch(pattern, value):
            problems.append(f"{at} does not match {pattern}: {value!r}")
    elif kind in ("integer", "long"):
        if type(value) is not int:
            return problems.append(f"{at} is no integer: {value!r}")
        size(bounds, value, at, problems)
    elif kind in ("float", "double"):
        if type(value) not in (int, float):
            return problems.append(f"{at} is no number: {value!r}")
        size(bounds, value, at, problems)
    elif kind == "timestamp":
        if type(value) is not float:
            problems.append(f"{at} is no timestamp in seconds: {value!r}")
    elif kind == "boolean":
        if type(value) is not bool:
            problems.append(f"{at} is no boolean: {value!r}")
    else:
        problems.append(f"{at} has a type that is not checked: {kind}")


def size(bounds, value, at, problems):
    if value < bounds.get("min", value) or value > bounds.get("max", value):
        problems.append(f"{at} is out of bounds: {value}")


def client(service, **settings):
    made = boto3.client(service, **settings)

    def received(response_dict, event_name, **_):
        if response_dict is None or response_dict["status_code"] != 200:
            return
        assert re.fullmatch(r"[0-9a-f-]{36}", response_dict["headers"]["x-amzn-RequestId"]), response_dict["headers"]
        operation = event_name.rsplit(".", 1)[1]
        shape = made.meta.service_model.operation_model(operation).output_shape
        body = response_dict["body"]
        if service in ("sts", "sagemaker-runtime"):
            return
        problems = []
        if shape is None:
            if body.strip() not in (b"", b"{}"):
                problems.append(f"an answer where there is none: {body!r}")
        else:
            check(shape, json.loads(body or b"{}"), operation, problems)
        assert not problems, "\n".join(problems)
        checked.append(operation)

    made.meta.events.register("response-received", received)
    return made


def order(**orders):
    for name, value in orders.items():
        request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/_emulator", json.dumps({name: value}).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 204


def refused(call, code, text, **parameters):
    try:
        call(**parameters)
    except botocore.exceptions.ClientError as error:
        told = error.response["Error"]
        assert told["Code"] == code and told["Message"].startswith(text), told
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return told["Message"]
    raise AssertionError(f"not refused: {parameters}")


def arn(kind, name):
    return f"arn:aws:sagemaker:eu-west-1:123456789012:{kind}/{name.lower()}"


def version(sagemaker, number, endpoint="Chat", variants=None, **settings):
    name = f"{endpoint}-v{number}"
    container = {"Image": f"registry.example/server:{number}", "Environment": {"LOG_LEVEL": "info"}}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=[{"Key": "endpoint", "Value": endpoint}])
    variant = {
        "VariantName": "main",
        "ModelName": name,
        "InstanceType": "ml.g5.xlarge",
        "InitialInstanceCount": 4,
        **settings,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants or [variant])
    return name


def rolling(batch, wait=300, alarms=(), **more):
    config = {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": batch},
            "WaitIntervalInSeconds": wait,
            **more,
        }
    }
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return config


def wait(sagemaker, name, waiter="endpoint_in_service"):
    sagemaker.get_waiter(waiter).wait(EndpointName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 500})
    if waiter == "endpoint_in_service":
        return sagemaker.describe_endpoint(EndpointName=name)


def alarm(name):
    client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0.1,
        ComparisonOperator="GreaterThanThreshold",
    )


def lifecycle():
    sagemaker = client("sagemaker")
    runtime = client("sagemaker-runtime")
    order(advance_by_look=7)
    alarm("errors")
    first, second, third = (version(sagemaker, number) for number in range(3))
    sagemaker.create_endpoint(EndpointName="Chat", EndpointConfigName=first)
    assert sagemaker.describe_endpoint(EndpointName="Chat")["EndpointStatus"] == "Creating"
    told = wait(sagemaker, "Chat")
    assert (told["EndpointConfigName"], told["EndpointArn"]) == (first, arn("endpoint", "Chat"))
    assert "FailureReason" not in told and "LastDeploymentConfig" not in told

    config = rolling(2, alarms=["errors"], MaximumExecutionTimeoutInSeconds=7200)
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=second, DeploymentConfig=config)
    told = wait(sagemaker, "Chat")
    assert told["EndpointConfigName"] == second and "PendingDeploymentSummary" not in told
    assert told["LastDeploymentConfig"] == config
    answer = runtime.invoke_endpoint(EndpointName="Chat", Body=b"{}", ContentType="application/json")
    assert json.loads(answer["Body"].read()) == {"answered_by": second}
    assert answer["InvokedProductionVariant"] == "main"

    order(script={"endpoint": "Chat", "script": {"failure": {"alarm": {"name": "errors", "batch": 2}}, "shows_rolling_back": True}})
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=third, RetainDeploymentConfig=True)
    seen = set()
    for _ in range(500):
        told = sagemaker.describe_endpoint(EndpointName="Chat")
        seen.add(told["EndpointStatus"])
        if told["EndpointStatus"] == "InService":
            break
    assert seen == {"Updating", "RollingBack", "InService"}, seen
    assert told["EndpointConfigName"] == second
    reason = "One or more configured alarm for automatic rollback deployment is in ALARM state: [errors]."
    assert told["FailureReason"] == reason, told

    # The reason stays while the next update runs, and goes with its success.
    client("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="repaired")
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=third)
    assert sagemaker.describe_endpoint(EndpointName="Chat")["FailureReason"] == reason
    told = wait(sagemaker, "Chat")
    assert told["EndpointConfigName"] == third and "FailureReason" not in told

    sagemaker.delete_endpoint(EndpointName="Chat")
    assert sagemaker.describe_endpoint(EndpointName="Chat")["EndpointStatus"] == "Deleting"
    text = 'Cannot create already existing endpoint "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/chat".'
    refused(sagemaker.create_endpoint, "ValidationException", text, EndpointName="CHAT", EndpointConfigName=third)
    wait(sagemaker, "Chat", "endpoint_deleted")
    for name in (first, second, third):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        sagemaker.delete_model(ModelName=name)
    missing = f'Could not find endpoint "{arn("endpoint", "Chat")}".'
    refused(sagemaker.describe_endpoint, "ValidationException", missing, EndpointName="Chat")


def refusals():
    sagemaker = client("sagemaker", config=botocore.config.Config(parameter_validation=False))
    first, second = (version(sagemaker, number) for number in range(2))
    bad = "ValidationException"
    refused(sagemaker.create_model, bad, f'Cannot create already existing model "{arn("model", first)}".', ModelName=first.upper(), PrimaryContainer={"Image": "a"}, ExecutionRoleArn=ROLE)
    refused(sagemaker.describe_model, bad, f'Could not find model "{arn("model", "no")}".', ModelName="no")
    refused(sagemaker.delete_model, bad, f'Could not find model "{arn("model", "no")}".', ModelName="no")
    refused(sagemaker.describe_endpoint_config, bad, f'Could not find endpoint configuration "{arn("endpoint-config", "no")}".', EndpointConfigName="no")
    refused(sagemaker.create_endpoint, bad, f'Could not find endpoint configuration "{arn("endpoint-config", "no")}".', EndpointName="e", EndpointConfigName="no")
    variant = {"VariantName": "main", "ModelName": "no", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}

    def with_variant(text, **changes):
        one = {key: value for key, value in {**variant, **changes}.items() if value is not None}
        refused(sagemaker.create_endpoint_config, bad, text, EndpointConfigName="c", ProductionVariants=[one])

    with_variant(f'Could not find model "{arn("model", "no")}".')
    with_variant("1 validation error detected: Value 'ml.x1' at 'productionVariants.1.member.instanceType' failed to satisfy constraint: Member must satisfy enum value set: [", InstanceType="ml.x1")
    with_variant("1 validation error detected: Value 'a_b' at 'productionVariants.1.member.variantName' failed to satisfy constraint: Member must satisfy regular expression pattern: ", VariantName="a_b")
    with_variant("1 validation error detected: Value '0' at 'productionVariants.1.member.initialInstanceCount' failed to satisfy constraint: Member must have value greater than or equal to 1", InitialInstanceCount=0)
    with_variant("1 validation error detected: Value null at 'productionVariants.1.member.variantName' failed to satisfy constraint: Member must not be null", VariantName=None)
    with_variant("ManagedInstanceScaling is only supported for inference component endpoints.", ModelName=first, ManagedInstanceScaling={"Status": "ENABLED"})
    long = "n" * 64
    refused(sagemaker.create_endpoint, bad, "2 validation errors detected: Value ", EndpointName=long, EndpointConfigName=first)

    def with_config(text, config, number=0):
        refused(sagemaker.update_endpoint, bad, text, EndpointName="Chat", EndpointConfigName=f"Chat-v{number}", DeploymentConfig=config)

    sagemaker.create_endpoint(EndpointName="Chat", EndpointConfigName=first)
    busy = f'Cannot update in-progress endpoint "{arn("endpoint", "Chat")}".'
    refused(sagemaker.delete_endpoint, bad, busy, EndpointName="Chat")
    refused(sagemaker.update_endpoint, bad, busy, EndpointName="Chat", EndpointConfigName=second)
    order(advance=120)
    percentage = {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "CAPACITY_PERCENTAGE", "Value": 25}, "WaitIntervalInSeconds": 0}}
    with_config("1 validation error detected: Value 'CAPACITY_PERCENTAGE' at 'deploymentConfig.rollingUpdatePolicy.maximumBatchSize.type' failed to satisfy constraint: Member must satisfy enum value set: [INSTANCE_COUNT, CAPACITY_PERCENT]", percentage, 1)
    with_config("MaximumBatchSize must be at most 50%", rolling(3), 1)
    both = {**rolling(1), "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}}
    with_config("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.", both, 1)
    version(sagemaker, 2, VariantName="other")
    with_config("Deployment guardrails need the same production variant names", rolling(1), 2)
    weights = {"EndpointName": "Chat", "DesiredWeightsAndCapacities": [{"VariantName": "x", "DesiredWeight": 1}]}
    refused(sagemaker.update_endpoint_weights_and_capacities, bad, f'The variant name(s) "x" is/are not present within endpoint configuration "{first}".', **weights)

    # The live configuration may be deleted, and the next update names it.
    sagemaker.delete_endpoint_config(EndpointConfigName=first)
    gone = f'Could not find endpoint configuration "{arn("endpoint-config", first)}".'
    refused(sagemaker.update_endpoint, bad, gone, EndpointName="Chat", EndpointConfigName=second)
    order(quota={"instance_type": "ml.g6.48xlarge", "instances": 0})
    limit = "The account-level service limit 'ml.g6.48xlarge for endpoint usage' is 0 Instances, with current utilization"
    one = {**variant, "ModelName": first, "InstanceType": "ml.g6.48xlarge"}
    refused(sagemaker.create_endpoint_config, "ResourceLimitExceeded", limit, EndpointConfigName="c", ProductionVariants=[one])
    order(script={"endpoint": "broken", "script": {"failure": {"start": {"reason": "It does not start.", "batch": 1}}}})
    sagemaker.create_endpoint(EndpointName="broken", EndpointConfigName=second)
    order(advance=120)
    told = sagemaker.describe_endpoint(EndpointName="broken")
    assert (told["EndpointStatus"], told["FailureReason"]) == ("Failed", "It does not start."), told
    refused(sagemaker.update_endpoint, bad, "Cannot update endpoint", EndpointName="broken", EndpointConfigName=second)
    sagemaker.delete_endpoint(EndpointName="broken")


def progress():
    sagemaker = client("sagemaker")
    first, second = (version(sagemaker, number) for number in range(2))
    sagemaker.create_endpoint(EndpointName="Chat", EndpointConfigName=first)
    order(advance=120)
    before = sagemaker.describe_endpoint(EndpointName="Chat")["LastModifiedTime"]
    order(advance=1)
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=second, DeploymentConfig=rolling(1))
    told = sagemaker.describe_endpoint(EndpointName="Chat")
    assert told["EndpointStatus"] == "Updating" and told["EndpointConfigName"] == first
    assert "PendingDeploymentSummary" not in told and told["LastDeploymentConfig"] and told["LastModifiedTime"] > before
    phases, counts = [], []
    for _ in range(400):
        order(advance=5)
        told = sagemaker.describe_endpoint(EndpointName="Chat")
        if told["EndpointStatus"] == "InService":
            break
        assert told["EndpointConfigName"] == first
        pending = told["PendingDeploymentSummary"]
        (new,), (old,) = pending["ProductionVariants"], told["ProductionVariants"]
        assert pending["EndpointConfigName"] == second and new["InstanceType"] == "g5.xlarge"
        assert new["DesiredInstanceCount"] == old["DesiredInstanceCount"] == 4
        assert new["CurrentInstanceCount"] + old["CurrentInstanceCount"] == 4
        phase = [status["Status"] for one in (new, old) for status in one.get("VariantStatus", [])]
        if not phases or phases[-1] != phase[0]:
            phases.append(phase[0])
        counts.append(new["CurrentInstanceCount"])
    assert phases == ["Creating", "ActivatingTraffic", "Baking", "Deleting"] * 4, phases
    assert sorted(set(counts)) == [0, 1, 2, 3, 4] and counts == sorted(counts), counts
    assert told["EndpointConfigName"] == second and "VariantStatus" not in told["ProductionVariants"][0]

    # Autoscaling has changed the number; who wants to keep it says so.
    order(scale={"endpoint": "Chat", "instances": 7})
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=first, RetainAllVariantProperties=True)
    order(advance=600)
    assert sagemaker.describe_endpoint(EndpointName="Chat")["ProductionVariants"][0]["DesiredInstanceCount"] == 7
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=second)
    order(advance=600)
    assert sagemaker.describe_endpoint(EndpointName="Chat")["ProductionVariants"][0]["DesiredInstanceCount"] == 4

    # Stuck between two versions, and out again.
    stuck = {"failure": {"start": {"reason": "No start.", "batch": 1}}, "rollback_fails": "No way back."}
    order(script={"endpoint": "Chat", "script": stuck})
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=first)
    order(advance=600)
    told = sagemaker.describe_endpoint(EndpointName="Chat")
    assert (told["EndpointStatus"], told["FailureReason"]) == ("UpdateRollbackFailed", "No way back."), told
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=first)
    order(advance=600)
    told = sagemaker.describe_endpoint(EndpointName="Chat")
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", first), told

    # A way back without a word.
    order(script={"endpoint": "Chat", "script": {"failure": {"start": {"reason": "x", "batch": 1}}, "silent": True}})
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=second)
    order(advance=600)
    told = sagemaker.describe_endpoint(EndpointName="Chat")
    assert told["EndpointConfigName"] == first and "FailureReason" not in told, told

    shift = {"TrafficRoutingConfiguration": {"Type": "LINEAR", "WaitIntervalInSeconds": 60, "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25}}, "TerminationWaitInSeconds": 120}
    sagemaker.update_endpoint(EndpointName="Chat", EndpointConfigName=second, DeploymentConfig={"BlueGreenUpdatePolicy": shift})
    counts = set()
    for _ in range(100):
        order(advance=5)
        told = sagemaker.describe_endpoint(EndpointName="Chat")
        if told["EndpointStatus"] == "InService":
            break
        counts.update(one["CurrentInstanceCount"] for one in told.get("PendingDeploymentSummary", {}).get("ProductionVariants", []))
    assert counts == {0, 1, 2, 3, 4} and told["EndpointConfigName"] == second, (counts, told)


def lists():
    sagemaker = client("sagemaker")
    names = [version(sagemaker, number, endpoint="list") for number in range(23)]
    for name in names:
        order(advance=1)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert len(sagemaker.list_endpoints()["Endpoints"]) == 10
    for operation, member in (("list_models", "Models"), ("list_endpoint_configs", "EndpointConfigs"), ("list_endpoints", "Endpoints")):
        pages = list(sagemaker.get_paginator(operation).paginate(NameContains="list"))
        assert [len(page[member]) for page in pages] == [10, 10, 3], operation
        found = {one[f"{member[:-1]}Name"] for page in pages for one in page[member]}
        assert found == set(names), operation
    newest = sagemaker.list_endpoints(MaxResults=1)["Endpoints"]
    assert [one["EndpointName"] for one in newest] == ["list-v22"]
    first = sagemaker.list_endpoints(MaxResults=1, SortBy="Name", SortOrder="Ascending", NameContains="v1")["Endpoints"]
    assert [one["EndpointName"] for one in first] == ["list-v1"]
    assert not sagemaker.list_endpoints(StatusEquals="InService", CreationTimeAfter=datetime.datetime(2020, 1, 1))["Endpoints"]
    refused(sagemaker.list_endpoints, "ValidationException", "Invalid pagination token", NextToken="nonsense")


def surroundings():
    sagemaker, cloudwatch, scaling = client("sagemaker"), client("cloudwatch"), client("application-autoscaling")
    assert client("sts").get_caller_identity()["Account"] == "123456789012"
    name = version(sagemaker, 0)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert config["ProductionVariants"][0]["InitialVariantWeight"] == 1.0
    assert sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["Environment"] == {"LOG_LEVEL": "info"}
    address = arn("model", name)
    sagemaker.add_tags(ResourceArn=address, Tags=[{"Key": "number", "Value": "0"}])
    sagemaker.delete_tags(ResourceArn=address, TagKeys=["endpoint"])
    tags = [tag for page in sagemaker.get_paginator("list_tags").paginate(ResourceArn=address) for tag in page["Tags"]]
    assert tags == [{"Key": "number", "Value": "0"}], tags
    bad = "ValidationException"
    constraint = "failed to satisfy constraint: Member must "
    for value in ["50%", "a\tb", "\u24d0"]:
        text = f"1 validation error detected: Value '{value}' at 'tags.1.member.value' {constraint}satisfy regular expression pattern: "
        refused(sagemaker.add_tags, bad, text, ResourceArn=address, Tags=[{"Key": "k", "Value": value}])
    text = f"1 validation error detected: Value '{'n' * 257}' at 'tags.1.member.value' {constraint}have length less than or equal to 256"
    refused(sagemaker.add_tags, bad, text, ResourceArn=address, Tags=[{"Key": "k", "Value": "n" * 257}])
    refused(sagemaker.add_tags, bad, "Tag keys may not start with aws:", ResourceArn=address, Tags=[{"Key": "aws:k", "Value": ""}])

    given = client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/deployer", RoleSessionName="story")["Credentials"]
    session = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"]}
    assumed = client("sagemaker", aws_session_token=given["SessionToken"], **session)
    assert assumed.describe_model(ModelName=name)["ModelName"] == name
    nobody = client("sagemaker", aws_session_token="other", **session)
    refused(nobody.describe_model, "UnrecognizedClientException", "The security token included", ModelName=name)

    alarm("errors")
    cloudwatch.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(errors)")
    found = cloudwatch.describe_alarms(AlarmNames=["errors", "both", "missing"])
    assert [one["AlarmName"] for one in found["MetricAlarms"]] == ["errors"] and not found["CompositeAlarms"]
    found = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    assert [one["AlarmName"] for one in found["CompositeAlarms"]] == ["both"]
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    found = list(cloudwatch.get_paginator("describe_alarms").paginate(StateValue="ALARM"))
    assert found[0]["MetricAlarms"][0]["StateReason"] == "test"

    variant = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/Chat/variant/main", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    refused(scaling.register_scalable_target, "ValidationException", "", MinCapacity=1, MaxCapacity=8, **variant)
    sagemaker.create_endpoint(EndpointName="Chat", EndpointConfigName=name)
    order(advance=120)
    refused(scaling.register_scalable_target, "ValidationException", "MinCapacity and MaxCapacity", MinCapacity=1, **variant)
    scaling.register_scalable_target(MinCapacity=1, MaxCapacity=8, **variant)
    scaling.register_scalable_target(SuspendedState={"DynamicScalingInSuspended": True}, **variant)
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[variant["ResourceId"]])["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 8) and target["SuspendedState"]["DynamicScalingInSuspended"]
    tracking = {"TargetValue": 70.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
    scaling.put_scaling_policy(PolicyName="track", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=tracking, **variant)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == tracking
    other = version(sagemaker, 1, InstanceType="ml.g6.xlarge")
    refused(sagemaker.update_endpoint, "ValidationException", "Cannot change the instance type", EndpointName="Chat", EndpointConfigName=other)
    scaling.delete_scaling_policy(PolicyName="track", **variant)
    sagemaker.delete_endpoint(EndpointName="Chat")
    assert not scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    refused(scaling.deregister_scalable_target, "ObjectNotFoundException", "No scalable target", **variant)


def faults():
    sagemaker = client("sagemaker", config=botocore.config.Config(retries={"mode": "standard", "max_attempts": 3}))
    name = version(sagemaker, 0)
    order(fault={"operation": "DescribeModel", "times": 1, "kind": "throttle"})
    sagemaker.describe_model(ModelName=name)
    order(fault={"operation": "DescribeModel", "times": 2, "kind": {"status": 503}})
    sagemaker.describe_model(ModelName=name)
    order(fault={"operation": "CreateEndpoint", "times": 1, "kind": "drop_after"})
    refused(sagemaker.create_endpoint, "ValidationException", "Cannot create already existing endpoint", EndpointName="Chat", EndpointConfigName=name)
    order(fault={"operation": "DescribeEndpoint", "times": 1, "kind": "drop_before"})
    assert sagemaker.describe_endpoint(EndpointName="Chat")["EndpointStatus"] == "Creating"
    order(config_lag=2)
    late = version(sagemaker, 1)
    for _ in range(2):
        refused(sagemaker.create_endpoint, "ValidationException", "Could not find endpoint configuration", EndpointName="late", EndpointConfigName=late)
    sagemaker.create_endpoint(EndpointName="late", EndpointConfigName=late)
    wrong = client("sagemaker", aws_secret_access_key="wrong", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"])
    refused(wrong.list_endpoints, "InvalidSignatureException", "The request signature we calculated does not match")
    stranger = client("sagemaker", aws_secret_access_key="x", aws_access_key_id="AKIASTRANGER")
    refused(stranger.list_endpoints, "UnrecognizedClientException", "The security token included in the request is invalid.")
    order(expire=True)
    refused(sagemaker.list_endpoints, "ExpiredTokenException", "The security token included in the request is expired")


if __name__ == "__main__":
    story = {one.__name__: one for one in (lifecycle, refusals, progress, lists, surroundings, faults)}[sys.argv[1]]
    story()
    assert checked, "no answer was checked"
    print(f"{len(checked)} answers checked")
