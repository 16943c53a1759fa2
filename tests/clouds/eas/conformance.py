"""Proves the emulator of PAI-EAS with the vendor's own client. Each chapter is a function; a failed assertion fails it."""

import copy
import json
import os
import sys
import urllib.request
import urllib.error

from alibabacloud_eas20210701 import models as m
from alibabacloud_eas20210701.client import Client
from alibabacloud_tea_openapi import models as o
from alibabacloud_tea_openapi import exceptions as e
from alibabacloud_tea_util import models as u

REGION = "cn-hangzhou"
AUTHORITY = sys.argv[2]
LOOKS_MAX = 200


def client(**other):
    keys = {"access_key_id": os.environ["AK"], "access_key_secret": os.environ["SK"], **other}
    return Client(o.Config(endpoint=AUTHORITY, protocol="http", region_id=REGION, **keys))


c = client()


def raw(action, method, path, body=None, query=None):
    """A call that the newest client has no function for."""
    params = o.Params(
        action=action, version="2021-07-01", protocol="HTTPS", pathname=path, method=method,
        auth_type="AK", style="ROA", req_body_type="json", body_type="json",
    )
    return c.call_api(params, o.OpenApiRequest(body=body, query=query), u.RuntimeOptions())["body"]


def service_path(name, rest=""):
    return f"/api/v2/services/{REGION}/{name}{rest}"


def rollout(verb, name, body=None):
    action = {"POST": "Create", "PUT": "Update", "GET": "Describe", "DELETE": "Delete"}[verb]
    return raw(f"{action}ServiceRollout", verb, service_path(name, "/rollout"), body)


def document(name="foo_one", image="reg/x:1", instance=2, **metadata):
    strategy = {"max_surge": 1, "max_unavailable": 0}
    return {
        "metadata": {"name": name, "instance": instance, "rolling_strategy": strategy, **metadata},
        "containers": [{"image": image, "port": 8000, "script": "serve /m"}],
        "cloud": {"computing": {"instance_type": "ecs.gn7i-c16g1.4xlarge"}},
        "features": {"eas.aliyun.com/enable-rollout": "true"},
    }


def create(doc, **query):
    return c.create_service(m.CreateServiceRequest(body=json.dumps(doc), **query)).body


def describe(name):
    return c.describe_service(REGION, name).body


def update(name, doc, kind=None):
    return c.update_service(REGION, name, m.UpdateServiceRequest(update_type=kind, body=json.dumps(doc))).body


def instances(name):
    return raw("ListServiceInstances", "GET", service_path(name, "/instances"))["Instances"]


def until(name, level, what):
    for _ in range(LOOKS_MAX):
        seen = describe(name)
        if level(seen):
            return seen
    raise AssertionError(f"{what}: not reached; {seen}")


def running(name, version=None):
    """Waits until the service has reached a version with all its replicas."""
    def level(seen):
        fits = version is None or seen.latest_version == version
        return fits and seen.status == "Running" and seen.running_instance == seen.total_instance
    return until(name, level, f"{name} runs")


def refused(call, code, status=None):
    try:
        call()
    except e.ClientException as error:
        assert error.code == code, error
        assert status is None or error.status_code == status, error
        return error
    raise AssertionError(f"not refused with {code}")


def infer(name, token="bWFkZS11cA=="):
    request = urllib.request.Request(f"http://{AUTHORITY}/api/predict/{name}", headers={"Authorization": token})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def signatures():
    odd = "a b+c/d*~ü"
    for filter_ in ["", odd, "%41", "a=b&c"]:
        c.list_services(m.ListServicesRequest(filter=filter_, label={"k": odd}, page_number=1, page_size=10))
    sts = client(
        access_key_id=os.environ["STS_AK"], access_key_secret=os.environ["STS_SK"],
        security_token=os.environ["STS_TOKEN"],
    )
    sts.list_services(m.ListServicesRequest())
    listing = m.ListServicesRequest()
    wrong = client(access_key_secret="wrong")
    error = refused(lambda: wrong.list_services(listing), "SignatureDoesNotMatch", 400)
    assert "ACS3-HMAC-SHA256" in error.message
    refused(lambda: client(access_key_id="other").list_services(listing), "InvalidAccessKeyId.NotFound", 404)
    old = client(
        access_key_id=os.environ["STS_AK"], access_key_secret=os.environ["STS_SK"], security_token="old",
    )
    refused(lambda: old.list_services(listing), "InvalidSecurityToken.MismatchWithAccessKey")
    refused(lambda: raw("DescribeService", "GET", "/api/v2/services"), "InvalidAction.NotFound")
    refused(lambda: raw("ListServices", "GET", "/api/v2/services", query={"Nope": "1"}), "InvalidParameter")
    refused(lambda: c.describe_service("cn-beijing", "foo_one"), "InvalidAction.NotFound")


def life():
    made = create(document(), labels={"env": "prod ü"}, workspace_id="123")
    assert (made.service_name, made.status, made.region) == ("foo_one", "Creating", REGION)
    assert made.service_id.startswith("eas-m-")
    refused(lambda: create(document()), "Conflict", 409)
    seen = running("foo_one")
    assert (seen.current_version, seen.latest_version, seen.total_instance) == (1, 1, 2)
    assert [(label.label_key, label.label_value) for label in seen.labels] == [("env", "prod ü")]
    assert json.loads(seen.service_config) == document() and seen.workspace_id == "123"
    assert infer("foo_one")[1]["version"] == 1
    assert infer("foo_one", "wrong")[0] == 401

    listed = c.list_services(m.ListServicesRequest(service_name="foo_one", page_size=10)).body
    assert (listed.total_count, listed.services[0].service_id) == (1, made.service_id)
    assert listed.services[0].internet_endpoint is None
    c.update_service_label(REGION, "foo_one", m.UpdateServiceLabelRequest(labels={"a.b": "1"}))
    c.delete_service_label(REGION, "foo_one", m.DeleteServiceLabelRequest(keys=["env", "none"]))
    assert [label.label_key for label in describe("foo_one").labels] == ["a.b"]

    raw("ScaleService", "PUT", service_path("foo_one", "/scale"), {"Instance": 3})
    assert running("foo_one").total_instance == 3
    autoscaler()
    c.update_service_safety_lock(REGION, "foo_one", m.UpdateServiceSafetyLockRequest(lock="dangerous"))
    refused(lambda: c.delete_service(REGION, "foo_one"), "Forbidden.SafetyLock", 403)
    c.update_service_safety_lock(REGION, "foo_one", m.UpdateServiceSafetyLockRequest(lock="none"))
    c.stop_service(REGION, "foo_one")
    until("foo_one", lambda seen: seen.status == "Stopped", "stopped")
    assert infer("foo_one")[0] == 503
    c.start_service(REGION, "foo_one")
    running("foo_one")
    c.delete_service(REGION, "foo_one")
    for _ in range(LOOKS_MAX):
        try:
            assert describe("foo_one").status == "Deleting"
        except e.ClientException as error:
            assert (error.code, error.status_code) == ("InvalidService.NotFound", 404)
            return
    raise AssertionError("never deleted")


def autoscaler():
    scaling = m.CreateServiceAutoScalerRequest(
        min=1, max=4,
        scale_strategies=[m.CreateServiceAutoScalerRequestScaleStrategies(metric_name="qps", threshold=10.0)],
    )
    c.create_service_auto_scaler(REGION, "foo_one", scaling)
    seen = c.describe_service_auto_scaler(REGION, "foo_one").body
    assert (seen.min_replica, seen.max_replica, seen.scale_strategies[0].metric_name) == (1, 4, "qps")
    scaling.min = 4
    refused(lambda: c.create_service_auto_scaler(REGION, "foo_one", scaling), "Conflict")
    c.delete_service_auto_scaler(REGION, "foo_one")
    refused(lambda: c.describe_service_auto_scaler(REGION, "foo_one"), "InvalidAutoScaler.NotFound", 404)


def documents():
    for spoil in [
        lambda d: d.update(surprise=1),
        lambda d: d["metadata"].update(instance="2"),
        lambda d: d["metadata"].update(name="With-Hyphen"),
        lambda d: d["metadata"].update(name="ab"),
        lambda d: d["metadata"]["rolling_strategy"].update(max_surge=0),
        lambda d: d["metadata"]["rolling_strategy"].update(max_unavailable="many"),
        lambda d: d["metadata"].update(resource="eas-r-1"),
        lambda d: d["containers"].clear(),
        lambda d: d["containers"][0].update(port=8080),
        lambda d: d["containers"][0].update(command="serve"),
        lambda d: d["containers"][0].update(readiness_check={"period_seconds": 3}),
        lambda d: d["features"].update(flag=True),
        lambda d: d.update(storage=[{"mount_path": "m", "oss": {"path": "oss://b/"}}]),
    ]:
        spoilt = copy.deepcopy(document())
        spoil(spoilt)
        refused(lambda: create(spoilt), "BadRequest", 400)
    create({**document(), "token": "secret"})
    running("foo_one")
    assert json.loads(describe("foo_one").service_config)["token"] == "******"

    update("foo_one", {"metadata": {"eas.termination_grace_period": 40}})
    merged = json.loads(running("foo_one", 2).service_config)
    assert merged["metadata"]["eas"] == {"termination_grace_period": 40}, "keys with dots are objects"
    assert merged["features"], "a merge removes nothing"
    without = document()
    del without["features"]
    update("foo_one", without, "replace")
    assert json.loads(running("foo_one", 3).service_config) == without
    refused(lambda: update("foo_one", document("other_one"), "replace"), "BadRequest")
    refused(lambda: update("foo_one", without, "patch"), "InvalidParameter")
    refused(lambda: update("nobody", without), "InvalidService.NotFound", 404)

    versions = c.list_service_versions(REGION, "foo_one", m.ListServiceVersionsRequest(page_number=1, page_size=2)).body
    assert (versions.total_count, [v.image_id for v in versions.versions]) == (3, [3, 2])
    assert json.loads(versions.versions[0].service_config) == without
    assert versions.versions[0].image_available == "true"
    for wrong in [0, 3, 9]:
        refused(
            lambda: c.update_service_version(REGION, "foo_one", m.UpdateServiceVersionRequest(version=wrong)),
            "InvalidVersion",
        )
    c.update_service_version(REGION, "foo_one", m.UpdateServiceVersionRequest(version=1))
    seen = until("foo_one", lambda seen: seen.status == "Running" and seen.current_version == 1, "back")
    assert seen.latest_version == 3


def rewritten():
    create(document(eas={"termination_grace_period": 45}))
    stored = json.loads(running("foo_one").service_config)
    assert "eas" not in stored["metadata"] and stored["runtime"] == {"termination_grace_period": 45}
    assert stored["labels"] == {}


def rolling():
    create(document("safe_one", instance=4))
    running("safe_one")
    update("safe_one", document("safe_one", "reg/x:2", 4), "replace")
    versions = set()

    def done(seen):
        versions.add(infer("safe_one")[1]["version"])
        return seen.status == "Running" and seen.latest_version == 2
    assert describe("safe_one").status == "Updating"
    until("safe_one", done, "updated")
    assert versions == {1, 2} and all(i["IsLatest"] for i in instances("safe_one"))
    assert describe("safe_one").current_version == 2

    risky = document("risky_one", instance=1, rolling_strategy={"max_surge": 1, "max_unavailable": 1})
    create(risky)
    running("risky_one")
    update("risky_one", {"containers": [{"image": "reg/x:2"}]})
    running("risky_one", 2)


def halted():
    create(document("halted_one"))
    running("halted_one")
    for number, (image, reason) in enumerate([("reg/bad:1", "CrashLoopBackOff"), ("reg/gone:1", "ImagePullBackOff")], 2):
        update("halted_one", document("halted_one", image), "replace")
        for _ in range(20):
            assert describe("halted_one").status in ("Updating", "Running")
            assert infer("halted_one")[1]["version"] == 1
        failed = [i for i in instances("halted_one") if i["Status"] == "Failed"]
        assert [(i["IsLatest"], i["Reason"], i["ReadyProcesses"]) for i in failed] == [(True, reason, 0)]
        assert len(instances("halted_one")) == 3
        diagnosis = c.describe_service_diagnosis(REGION, "halted_one").body.diagnosis_list
        assert reason in diagnosis[0].error
        containers = c.list_service_containers(REGION, "halted_one", failed[0]["InstanceName"]).body.containers
        assert (containers[0].image, containers[0].current_reaon) == (image, reason)
        assert describe("halted_one").latest_version == number
    versions = c.list_service_versions(REGION, "halted_one", m.ListServiceVersionsRequest()).body.versions
    assert [v.image_available for v in versions] == ["false", "true", "true"]
    update("halted_one", document("halted_one", "reg/x:3"), "replace")
    running("halted_one", 4)


def plans():
    plain = document("plain_one")
    del plain["features"]
    create(plain)
    refused(lambda: rollout("POST", "plain_one", {"Partition": {"Partition": "1"}}), "BadRequest", 400)
    update("plain_one", document("plain_one"), "replace")
    refused(lambda: rollout("POST", "plain_one", {"Partition": {"Partition": "1"}}), "BadRequest", 400)

    create(document(instance=4))
    running("foo_one")
    refused(lambda: rollout("GET", "foo_one"), "InvalidRollout.NotFound", 404)
    both = {"Partition": {"Partition": "1"}, "Batch": {"Interval": "1m"}}
    for wrong in [both, {}, {"Paused": True}, {"Partition": {"Partition": 1}}, {"Batch": {"Interval": "soon"}}]:
        refused(lambda: rollout("POST", "foo_one", wrong), "BadRequest", 400)
    assert rollout("POST", "foo_one", {"Partition": {"Partition": "1"}, "Paused": True})["Message"] == "Rollout created successfully"
    assert partition() == "3", "created with replicas to update, told as replicas to keep"
    refused(lambda: rollout("PUT", "foo_one", {}), "BadRequest", 400)
    rollout("PUT", "foo_one", {"Partition": {"Partition": "4"}})
    assert phase() == ("Pending", 0)
    update("foo_one", document("foo_one", "reg/x:2", 4), "replace")
    settle()
    assert phase() == ("Paused", 0)
    rollout("PUT", "foo_one", {"Paused": False})
    for keep, updated in [("3", 1), ("50%", 2), ("3", 1), ("100%", 0)]:
        rollout("PUT", "foo_one", {"Partition": {"Partition": keep}})
        settle()
        assert phase() == ("Running", updated)
        assert sum(i["IsLatest"] for i in instances("foo_one")) == updated
    rollout("PUT", "foo_one", {"Partition": {"Partition": "0"}})
    running("foo_one", 2)
    assert phase() == ("Completed", 4)
    c.update_service_version(REGION, "foo_one", m.UpdateServiceVersionRequest(version=1))
    until("foo_one", lambda seen: seen.status == "Running" and seen.current_version == 1, "back, without the plan")
    rollout("PUT", "foo_one", {"Partition": {"Partition": "2"}})
    update("foo_one", document("foo_one", "reg/x:3", 4), "replace")
    settle()
    assert phase() == ("Running", 2), "the next update follows the same plan"
    rollout("DELETE", "foo_one")
    settle()
    assert sum(i["IsLatest"] for i in instances("foo_one")) == 2, "without its plan the mix stays"
    refused(lambda: rollout("GET", "foo_one"), "InvalidRollout.NotFound", 404)


def partition():
    return rollout("GET", "foo_one")["Rollout"]["Strategy"]["Partition"]["Partition"]


def phase():
    status = rollout("GET", "foo_one")["Rollout"]["Status"]
    return status["Phase"], status["UpdatedReplicas"]


def settle():
    for _ in range(40):
        describe("foo_one")


def keeping():
    create(document(instance=4))
    rollout("POST", "foo_one", {"Partition": {"Partition": "1"}, "Paused": True})
    assert partition() == "1"


def one_way():
    create(document(instance=4))
    running("foo_one")
    rollout("POST", "foo_one", {"Partition": {"Partition": "50%"}})
    update("foo_one", document("foo_one", "reg/x:2", 4), "replace")
    settle()
    rollout("PUT", "foo_one", {"Partition": {"Partition": "100%"}})
    settle()
    assert phase() == ("Running", 2)


def batches():
    create(document(instance=4))
    running("foo_one")
    rollout("POST", "foo_one", {"Batch": {"BatchSize": "25%", "Interval": "5m"}})
    update("foo_one", document("foo_one", "reg/x:2", 4), "replace")
    seen = []
    for _ in range(LOOKS_MAX * 2):
        status = describe("foo_one").status
        told = rollout("GET", "foo_one")["Rollout"]["Status"]
        if told["UpdatedReplicas"] not in seen:
            seen.append(told["UpdatedReplicas"])
        if told["Phase"] == "Completed" and status == "Running":
            break
        if "NextBatchStartTime" in told:
            assert len(told["NextBatchStartTime"]) == len("2026/05/08 16:10:56")
    assert seen == [0, 1, 2, 3, 4] or seen == [1, 2, 3, 4], seen


def groups():
    create(document("prod_one", group="chat"))
    create(document("canary_one", "reg/x:2", group="chat"))
    running("prod_one")
    running("canary_one")
    listed = c.list_groups(m.ListGroupsRequest(filter="chat")).body
    assert [group.name for group in listed.groups] == ["chat"]
    group = c.describe_group(REGION, "chat").body
    assert group.internet_endpoint == describe("prod_one").internet_endpoint
    raw("UpdateGroup", "PUT", f"/api/v2/groups/{REGION}/chat", {"TrafficMode": "customized"})
    assert raw("DescribeGroup", "GET", f"/api/v2/groups/{REGION}/chat")["TrafficMode"] == "customized"
    for wrong in [-2, 1001]:
        refused(lambda: release("prod_one", weight=wrong), "BadRequest", 400)
    refused(lambda: release("prod_one", traffic_state="else"), "BadRequest", 400)
    release("canary_one", traffic_state="grouping", weight=10)
    release("prod_one", traffic_state="grouping", weight=90)
    assert shares() == {"prod_one": 90, "canary_one": 10}
    seen = describe("canary_one")
    assert (seen.weight, seen.traffic_state, seen.service_group) == (10, "grouping", "chat")
    release("canary_one", traffic_state="standalone")
    assert shares() == {"prod_one": 100}
    release("canary_one", traffic_state="grouping", weight=0)
    assert shares() == {"prod_one": 100}
    create(document("alone_one"))
    refused(lambda: release("alone_one", weight=1), "BadRequest", 400)


def release(name, **fields):
    c.release_service(REGION, name, m.ReleaseServiceRequest(**fields))


def shares():
    served = [infer("chat")[1]["service"] for _ in range(100)]
    return {name: served.count(name) for name in set(served)}


def stale():
    create(document())
    running("foo_one")
    update("foo_one", document(image="reg/x:2"), "replace")
    seen = [describe("foo_one") for _ in range(3)]
    assert [(s.status, s.latest_version) for s in seen] == [("Running", 1), ("Running", 1), ("Updating", 2)]


def renumbered():
    create(document())
    running("foo_one")
    update("foo_one", document(image="reg/x:2"), "replace")
    running("foo_one", 2)
    c.update_service_version(REGION, "foo_one", m.UpdateServiceVersionRequest(version=1))
    seen = running("foo_one", 3)
    assert seen.current_version == 3 and json.loads(seen.service_config)["containers"][0]["image"] == "reg/x:1"


def errors():
    listing = lambda: c.list_services(m.ListServicesRequest())
    try:
        listing()
        raise AssertionError("not throttled")
    except e.ThrottlingException as error:
        assert (error.code, error.retry_after) == ("Throttling.User", 1500)
    try:
        listing()
        raise AssertionError("not throttled")
    except (e.ClientException, e.ThrottlingException) as error:
        assert error.code == "Throttling.User" and getattr(error, "retry_after", None) is None
    try:
        listing()
        raise AssertionError("not down")
    except e.ServerException as error:
        assert (error.code, error.status_code) == ("ServiceUnavailable", 503)
    error = refused(listing, "NoPermission", 403)
    assert error.access_denied_detail["AuthAction"] == "eas:ListServices"
    refused(listing, "InvalidAccessKeyId.NotFound", 404)
    refused(listing, "InvalidSecurityToken.Expired", 400)
    refused(listing, "QuotaExceeded", 400)
    for _ in range(2):
        try:
            listing()
        except Exception as error:
            assert not isinstance(error, (e.ClientException, e.ServerException)), error
        else:
            raise AssertionError("an answer that is no JSON, or none at all, is an error")
    listing()
    create(document())
    running("foo_one")
    c.stop_service(REGION, "foo_one")
    until("foo_one", lambda seen: seen.status == "Stopped", "stopped")
    c.start_service(REGION, "foo_one")
    try:
        c.stop_service(REGION, "foo_one")
    except Exception:
        until("foo_one", lambda seen: seen.status == "Stopped", "stopped, though the answer was lost")
    else:
        raise AssertionError("the answer was not lost")


globals()[sys.argv[1]]()
