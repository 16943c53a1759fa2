"""Stories that the vendor's own SDK plays with the emulator. Usage: conformance.py STORY URL"""

import json
import sys
import urllib.error
import urllib.request

import httpx
from friendli import SyncFriendli
from friendli.core import models
from friendli.core.utils import BackoffStrategy, RetryConfig

URL = sys.argv[2]
PROJECT = "prj-serving"
H100 = "TwD5AqnBSVN0"
TOKENIZER = {"tokenizer_skip_special_tokens": True, "tokenizer_add_special_tokens": True}
# Quick and bounded, where the SDK's own default goes on for an hour.
RETRIES = RetryConfig("backoff", BackoffStrategy(10, 50, 1.5, 20_000, 1), True)


def client(url=URL, token="flp_alice"):
    return SyncFriendli(token=token, server_url=url, retry_config=None, timeout_ms=20_000)


def tell(**instruction):
    """Says something to the emulator itself."""
    [(name, value)] = instruction.items()
    request = urllib.request.Request(f"{URL}/emulator", data=json.dumps({name: value}).encode())
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def raises(kind, status, call):
    """The error that a call has to end with."""
    try:
        call()
    except models.FriendliCoreError as error:
        assert isinstance(error, kind), repr(error)
        assert error.status_code == status, (error.status_code, error.body)
        return error
    raise AssertionError("the call should have failed")


def create(endpoints, name, **more):
    """Creates an endpoint and finds its id, as a client has to: by looking for what is new."""
    before = set(endpoints.list(project_id=PROJECT, limit=100).data)
    settings = {"hf_model_repo": "meta/llama", "autoscaling_policy": {"min_replica": 1, "max_replica": 2}} | more
    status = endpoints.create(
        project_id=PROJECT, name=name, instance_option_id=H100, advanced=TOKENIZER, **settings
    )
    assert status.status == "INITIALIZING" and status.phase == "REQUESTING_VIRTUAL_MACHINE", status
    [new] = set(endpoints.list(project_id=PROJECT, limit=100).data) - before
    assert endpoints.get_spec(endpoint_id=new).name == name
    return new


def running(endpoints, name, **more):
    new = create(endpoints, name, **more)
    tell(advance=120)
    assert endpoints.get_status(endpoint_id=new).status == "RUNNING"
    return new


def text(friendli, endpoint):
    """What answers at an endpoint."""
    answer = friendli.dedicated.chat.complete(
        model=endpoint, messages=[{"role": "user", "content": "hello"}], max_tokens=1
    )
    assert answer.model == endpoint
    return answer.choices[0].message.content


def lifecycle():
    friendli = client()
    endpoints = friendli.dedicated.endpoint
    new = create(
        endpoints, "chat", hf_model_repo_revision="main", initial_version_comment="first",
        autoscaling_policy={"min_replica": 2, "max_replica": 3, "cooldown_period": 600},
    )
    phases = [endpoints.get_status(endpoint_id=new).phase]
    for seconds in (20, 40, 60):
        tell(advance=seconds)
        phases.append(endpoints.get_status(endpoint_id=new).phase)
    assert phases == ["REQUESTING_VIRTUAL_MACHINE", "DOWNLOADING_MODEL", "ENGINE_INITIALIZING", None], phases

    spec = endpoints.get_spec(endpoint_id=new)
    assert (spec.gpu_type, spec.num_gpu) == ("NVIDIA H100", 1)
    assert (spec.autoscaling_min, spec.autoscaling_max, spec.autoscaling_cooldown) == (2, 3, 600)
    assert (spec.curr_replica_cnt, spec.desired_replica_cnt, spec.updated_replica_cnt) == (2, 2, 2)
    assert spec.creator_id == "usr-alice"

    updated = endpoints.update(
        endpoint_id=new, hf_model_repo_revision="abc", advanced=TOKENIZER | {"max_batch_size": 64},
        new_version_comment="smaller batches",
    )
    assert updated.max_batch_size == 64
    assert endpoints.get_status(endpoint_id=new).status == "UPDATING"
    assert endpoints.get_spec(endpoint_id=new).updated_replica_cnt == 0
    raises(models.SDKError, 400, lambda: endpoints.update(endpoint_id=new, new_version_comment="too early"))
    tell(advance=30)
    assert endpoints.get_spec(endpoint_id=new).updated_replica_cnt == 1
    tell(advance=30)
    assert endpoints.get_status(endpoint_id=new).status == "RUNNING"

    endpoints.update(endpoint_id=new, instance_option_id="zfTutSiLn0Hq", simplescale={"replicas": 4})
    history = endpoints.get_version_history(endpoint_id=new).data
    assert sorted(history) == ["0", "1", "2"]
    assert [history[number].max_batch_size for number in "012"] == [256, 64, 64]
    assert [history[number].num_gpu for number in "012"] == [1, 1, 2]
    assert (history["2"].autoscaling_min, history["2"].autoscaling_max) == (4, 4)

    everything = tell(versions={"id": new})
    assert [version["comment"] for version in everything] == ["first", "smaller batches", None]
    assert [version["model"] for version in everything] == ["meta/llama@main", "meta/llama@abc", "meta/llama@abc"]

    assert endpoints.delete(endpoint_id=new) is None
    raises(models.SDKError, 404, lambda: endpoints.get_status(endpoint_id=new))
    raises(models.SDKError, 404, lambda: endpoints.delete(endpoint_id=new))


def pages():
    endpoints = client().dedicated.endpoint
    made = {create(endpoints, f"chat-{number}") for number in range(5)}
    seen, cursor = [], None
    while True:
        page = endpoints.list(project_id=PROJECT, limit=2, cursor=cursor)
        seen += page.data
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.data) == 2
    assert len(seen) == 5 and set(seen) == made, (seen, made)
    assert endpoints.list(project_id="prj-research").data == {}
    assert set(endpoints.list().data) == made, "without a project, all of the team"
    for limit in (0, 101):
        raises(models.SDKError, 422, lambda: endpoints.list(limit=limit))

    tell(advance=120)
    for number in range(12):
        endpoints.update(endpoint_id=seen[0], advanced=TOKENIZER | {"max_batch_size": 100 + number})
        tell(advance=60)
    versions, cursor = {}, None
    while True:
        page = endpoints.get_version_history(endpoint_id=seen[0], limit=5, cursor=cursor)
        versions |= page.data
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(map(int, versions)) == list(range(13))
    assert versions["12"].max_batch_size == 111


def states():
    friendli = client()
    endpoints = friendli.dedicated.endpoint
    new = running(endpoints, "chat")
    for refused in (endpoints.wake, endpoints.restart):
        raises(models.SDKError, 400, lambda: refused(endpoint_id=new))
    assert endpoints.sleep(endpoint_id=new).status == "SLEEPING"
    assert endpoints.get_spec(endpoint_id=new).desired_replica_cnt == 0
    raises(models.SDKError, 400, lambda: endpoints.update(endpoint_id=new, new_version_comment="asleep"))
    assert endpoints.wake(endpoint_id=new).status == "AWAKING"
    tell(advance=120)
    assert endpoints.get_status(endpoint_id=new).status == "RUNNING"

    assert endpoints.terminate(endpoint_id=new).status == "TERMINATING"
    raises(models.SDKError, 400, lambda: endpoints.restart(endpoint_id=new))
    tell(advance=10)
    assert endpoints.get_status(endpoint_id=new).status == "TERMINATED"
    raises(models.SDKError, 400, lambda: endpoints.terminate(endpoint_id=new))
    status = endpoints.restart(endpoint_id=new)
    assert status.status == "INITIALIZING"
    tell(advance=120)
    assert text(friendli, new) == "v0 meta/llama@main"

    tell(outcome={"fails": "WORKLOAD_INIT_CANNOT_ACCESS_REPO_ERROR"})
    bad = create(endpoints, "bad")
    tell(advance=120)
    status = endpoints.get_status(endpoint_id=bad)
    assert (status.status, status.error_code) == ("FAILED", "WORKLOAD_INIT_CANNOT_ACCESS_REPO_ERROR")
    endpoints.restart(endpoint_id=bad)
    tell(advance=120)
    assert endpoints.get_status(endpoint_id=bad).error_code is None

    lazy = running(endpoints, "lazy", autoscaling_policy={"min_replica": 0, "cooldown_period": 300})
    tell(advance=300)
    assert endpoints.get_status(endpoint_id=lazy).status == "SLEEPING"
    raises(models.SDKError, 503, lambda: text(friendli, lazy))
    assert endpoints.get_status(endpoint_id=lazy).status == "AWAKING", "a request wakes it"
    tell(advance=120)
    assert text(friendli, lazy).startswith("v0")
    tell(pass_with_each_look=150)
    assert endpoints.get_status(endpoint_id=lazy).status == "RUNNING"
    assert endpoints.get_status(endpoint_id=lazy).status == "SLEEPING"


def failed_updates():
    friendli = client()
    endpoints = friendli.dedicated.endpoint
    new = running(endpoints, "chat")
    settings = {"advanced": TOKENIZER | {"max_batch_size": 7}, "hf_model_repo_revision": "broken"}
    shapes = [
        ({"runs_on_with_error": "INFERENCE_ENGINE_MEMORY_ERROR"}, "RUNNING", "INFERENCE_ENGINE_MEMORY_ERROR"),
        ("runs_on_silently", "RUNNING", None),
        ({"fails": "WORKLOAD_INIT_SETTINGS_ERROR"}, "FAILED", "WORKLOAD_INIT_SETTINGS_ERROR"),
        ({"fails": None}, "FAILED", None),
        ("waits_for_capacity", "UPDATING", None),
    ]
    for outcome, word, code in shapes:
        tell(outcome=outcome)
        endpoints.update(endpoint_id=new, **settings)
        for _ in range(4):
            tell(advance=20)
            assert text(friendli, new) == "v0 meta/llama@main", "the old version answers throughout"
        status = endpoints.get_status(endpoint_id=new)
        assert (status.status, status.error_code) == (word, code), (outcome, status)
        wanted = 7 if word == "UPDATING" else 256
        assert endpoints.get_spec(endpoint_id=new).max_batch_size == wanted
    assert len(endpoints.get_version_history(endpoint_id=new).data) == 6
    tell(grant_capacity={"id": new})
    assert text(friendli, new) == "v5 meta/llama@broken"
    tell(habits={"keeps_failed_numbers": False, "counts_nothing": True})
    tell(outcome="runs_on_silently")
    endpoints.update(endpoint_id=new, **settings)
    assert endpoints.get_spec(endpoint_id=new).updated_replica_cnt is None
    assert len(endpoints.get_version_history(endpoint_id=new).data) == 7
    tell(advance=60)
    assert len(endpoints.get_version_history(endpoint_id=new).data) == 6
    tell(habits={"mints_without_change": False, "seconds_of_update": 0})
    endpoints.update(endpoint_id=new, **settings)
    assert len(endpoints.get_version_history(endpoint_id=new).data) == 6
    endpoints.update(endpoint_id=new, hf_model_repo_revision="main")
    assert endpoints.get_status(endpoint_id=new).status == "RUNNING", "nobody saw it update"
    assert text(friendli, new) == "v6 meta/llama@main"
    tell(habits={"supersedes": True})
    endpoints.update(endpoint_id=new, hf_model_repo_revision="one")
    endpoints.update(endpoint_id=new, hf_model_repo_revision="two")
    tell(advance=60)
    assert text(friendli, new) == "v8 meta/llama@two"
    tell(habits={"updates_at_rest": True})
    endpoints.sleep(endpoint_id=new)
    endpoints.update(endpoint_id=new, hf_model_repo_revision="three")
    tell(advance=120)
    assert text(friendli, new) == "v9 meta/llama@three"


def validation():
    endpoints = client().dedicated.endpoint

    def refused(at, **change):
        body = {
            "project_id": PROJECT, "name": "chat", "instance_option_id": H100, "advanced": TOKENIZER,
            "hf_model_repo": "meta/llama",
        } | change
        error = raises(models.SDKError, 422, lambda: endpoints.create(**body))
        places = [".".join(fault["loc"]) for fault in json.loads(error.body)["detail"]]
        assert at in places, (at, error.body)

    refused("body.instanceOptionId", instance_option_id="nothing")
    refused("body.name", name="")
    refused("body", hf_model_repo=None)
    refused("body.uploadedModelId", uploaded_model_id="mdl")
    refused("body.hfModelRepoRevision", hf_model_repo=None, uploaded_model_id="mdl", hf_model_repo_revision="x")
    refused("body.autoscalingPolicy.minReplica", autoscaling_policy={"min_replica": -1})
    refused("body.autoscalingPolicy.maxReplica", autoscaling_policy={"max_replica": 11})
    refused("body.autoscalingPolicy", autoscaling_policy={"min_replica": 3, "max_replica": 2})
    refused("body.simplescale.replicas", simplescale={"replicas": 0})
    refused("body.simplescale", simplescale={"replicas": 1}, autoscaling_policy={})
    refused("body.advanced.max_context_length", advanced=TOKENIZER | {"max_context_length": 0})
    raises(
        models.SDKError, 400,
        lambda: endpoints.create(
            project_id="prj-nobody", name="chat", instance_option_id=H100, advanced=TOKENIZER, hf_model_repo="m/x"
        ),
    )
    # What the SDK's own types cannot send.
    faulty = {"projectId": PROJECT, "name": "chat", "advanced": {"tokenizer_add_special_tokens": 1}, "surge": 2}
    request = urllib.request.Request(
        f"{URL}/dedicated/beta/endpoint", data=json.dumps(faulty).encode(),
        headers={"Authorization": "Bearer flp_alice", "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=20)
        raise AssertionError("the request should have failed")
    except urllib.error.HTTPError as error:
        assert error.code == 422
        faults = models.HTTPValidationErrorData.model_validate_json(error.read()).detail
    told = {(".".join(map(str, fault.loc)), fault.type) for fault in faults}
    assert {
        ("body.instanceOptionId", "missing"),
        ("body.advanced.tokenizer_skip_special_tokens", "missing"),
        ("body.advanced.tokenizer_add_special_tokens", "bool_type"),
        ("body.surge", "extra_forbidden"),
        ("body", "value_error"),
    } == told, told
    assert endpoints.list().data == {}


def lost_answers():
    endpoints = client().dedicated.endpoint
    body = {
        "project_id": PROJECT, "name": "twice", "instance_option_id": H100, "advanced": TOKENIZER,
        "hf_model_repo": "meta/llama",
    }
    tell(fault={"operation": "create", "kind": "withhold"})
    endpoints.create(**body, retries=RETRIES, timeout_ms=1_000)
    made = endpoints.list(project_id=PROJECT).data
    assert len(made) == 2, "the SDK sent it again, and the service knows no better"
    tell(advance=120)
    one = next(iter(made))
    for kind, versions in (("drop_before", 1), ("drop_after", 2)):
        tell(fault={"operation": "update", "kind": kind})
        try:
            endpoints.update(endpoint_id=one, hf_model_repo_revision="x", retries=RETRIES)
            raise AssertionError("the connection should have ended")
        except httpx.RemoteProtocolError:
            assert len(endpoints.get_version_history(endpoint_id=one).data) == versions, kind
    tell(habits={"supersedes": True})
    tell(fault={"operation": "update", "kind": "withhold"})
    endpoints.update(endpoint_id=one, hf_model_repo_revision="y", retries=RETRIES, timeout_ms=1_000)
    assert len(endpoints.get_version_history(endpoint_id=one).data) == 4, "two for one update"


def faults():
    endpoints = client().dedicated.endpoint
    new = running(endpoints, "chat")
    tell(fault={"operation": "status", "kind": {"refuse": {"status": 429, "retry_after": 0}}, "times": 2})
    error = raises(models.SDKError, 429, lambda: endpoints.get_status(endpoint_id=new))
    assert error.headers["retry-after"] == "0"
    assert endpoints.get_status(endpoint_id=new, retries=RETRIES).status == "RUNNING"
    for status in (500, 502, 503, 504):
        tell(fault={"operation": "spec", "kind": {"refuse": {"status": status}}})
        assert endpoints.get_spec(endpoint_id=new, retries=RETRIES).name == "chat"
    tell(fault={"operation": "status", "kind": {"patch": {"status": "DREAMING"}}, "after": 1})
    assert endpoints.get_status(endpoint_id=new).status == "RUNNING"
    raises(models.ResponseValidationError, 200, lambda: endpoints.get_status(endpoint_id=new))
    tell(fault={"operation": "spec", "kind": {"patch": {"color": "red", "instanceId": None}}})
    assert endpoints.get_spec(endpoint_id=new).instance_id is None
    tell(fault={"operation": "spec", "kind": {"patch": {"gpuType": None}}})
    raises(models.ResponseValidationError, 200, lambda: endpoints.get_spec(endpoint_id=new))
    tell(expire=True)
    raises(models.SDKError, 401, lambda: endpoints.get_status(endpoint_id=new))
    tell(expire=False)
    assert endpoints.get_status(endpoint_id=new).status == "RUNNING"


def artifacts():
    friendli = client()
    endpoints = friendli.dedicated.endpoint
    made = endpoints.wandb_artifact_create(
        wandb_artifact_version_name="org/registry/chat:v0", project_id=PROJECT, idempotency_key="key",
        accelerator={"type": "NVIDIA H200", "count": 2}, autoscaling_policy={"min_replica": 1},
    )
    assert made.endpoint_name == "chat-v0" and made.team_name is None
    spec = endpoints.get_spec(endpoint_id=made.endpoint_id)
    assert (spec.gpu_type, spec.num_gpu) == ("NVIDIA H200", 2)
    tell(advance=120)
    again = endpoints.wandb_artifact_create(
        wandb_artifact_version_name="org/registry/chat:v1", project_id=PROJECT, idempotency_key="key"
    )
    assert again.endpoint_id == made.endpoint_id
    tell(advance=60)
    assert text(friendli, made.endpoint_id) == "v1 org/registry/chat:v1"
    assert sorted(endpoints.get_version_history(endpoint_id=made.endpoint_id).data) == ["0", "1"]
    other = endpoints.wandb_artifact_create(wandb_artifact_version_name="org/registry/chat:v1")
    assert other.endpoint_id != made.endpoint_id and other.project_id == PROJECT
    raises(
        models.SDKError, 422,
        lambda: endpoints.wandb_artifact_create(wandb_artifact_version_name="a/b/c:v1", idempotency_key="key"),
    )
    raises(
        models.SDKError, 422,
        lambda: endpoints.wandb_artifact_create(
            wandb_artifact_version_name="a/b/c:v1", accelerator={"type": "NVIDIA H100", "count": 3}
        ),
    )
    tell(habits={"listed_after": 1_000})
    assert endpoints.list(project_id=PROJECT).data == {}, "lists may be late"
    tell(forget_keys=None)
    doubled = endpoints.wandb_artifact_create(
        wandb_artifact_version_name="org/registry/chat:v2", name="chat", project_id=PROJECT, idempotency_key="key"
    )
    assert doubled.endpoint_id != made.endpoint_id, "a key that is forgotten makes another endpoint"


def console():
    friendli = client()
    endpoints = friendli.dedicated.endpoint
    new = running(endpoints, "chat")
    tell(edit={"id": new, "body": {"hfModelRepoRevision": "abc", "newVersionComment": "by hand"}})
    tell(advance=60)
    tell(roll_back={"id": new, "to": 0})
    tell(advance=60)
    assert text(friendli, new) == "v2 meta/llama@main"
    versions = tell(versions={"id": new})
    assert [version["author"] for version in versions] == ["usr-alice", "usr-console", "usr-console"]
    assert [version["comment"] for version in versions] == [None, "by hand", "Rollback to v0"]
    shown = endpoints.get_version_history(endpoint_id=new).data
    assert shown["0"] == shown["2"], "the history names neither model nor comment"
    tell(habits={"names_authors": True})
    shown = endpoints.get_version_history(endpoint_id=new).data
    assert [shown[number].creator_id for number in "012"] == ["usr-alice", "usr-console", "usr-console"]


def completions():
    friendli = client()
    endpoints = friendli.dedicated.endpoint
    new = create(endpoints, "chat")
    error = raises(models.SDKError, 503, lambda: text(friendli, new))
    assert error.body == "Endpoint is unavailable"
    tell(advance=120)
    assert text(friendli, new) == "v0 meta/llama@main"
    raises(models.SDKError, 404, lambda: text(friendli, "depnowhere"))
    tell(fault={"operation": "completion", "kind": {"refuse": {"status": 429}}})
    raises(models.SDKError, 429, lambda: text(friendli, new))
    endpoints.terminate(endpoint_id=new)
    raises(models.SDKError, 503, lambda: text(friendli, new))


def access():
    friendli = client(f"{URL}/some/prefix/")
    endpoints = friendli.dedicated.endpoint
    mine = create(endpoints, "mine")
    raises(models.SDKError, 404, lambda: endpoints.get_spec(endpoint_id=mine, x_friendli_team="team-other"))
    raises(models.SDKError, 403, lambda: endpoints.get_spec(endpoint_id=mine, x_friendli_team="team-strange"))
    assert endpoints.list(x_friendli_team="team-other").data == {}
    assert endpoints.get_spec(endpoint_id=mine, x_friendli_team="team-default").team_id == "team-default"
    for token in ("flp_", "sk-something"):
        raises(models.SDKError, 401, lambda: client(token=token).dedicated.endpoint.list())


STORIES = [
    lifecycle, pages, states, failed_updates, validation, lost_answers, faults, artifacts, console, completions, access,
]
{story.__name__: story for story in STORIES}[sys.argv[1]]()
