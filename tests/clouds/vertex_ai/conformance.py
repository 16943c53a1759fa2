"""Proves the emulator with Google's own client. Usage: conformance.py PART URL"""

import sys

import requests
from google.api_core import exceptions
from google.api_core.future import polling
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError
from google.cloud import aiplatform, aiplatform_v1 as v1, aiplatform_v1beta1 as beta
from google.cloud.aiplatform.preview import models as preview
from google.oauth2 import credentials as oauth2
from google.protobuf import field_mask_pb2

PART, URL = sys.argv[1:]
PARENT = "projects/demo-project/locations/us-central1"
NUMBERED = "projects/415104041262/locations/us-central1"
MODEL = f"{PARENT}/models/chat"
AT_ONCE = polling.DEFAULT_POLLING.with_delay(initial=0.01, maximum=0.01, multiplier=1.0).with_timeout(60)


def client(kind, credentials=None):
    return kind(
        credentials=credentials or AnonymousCredentials(),
        transport="rest",
        client_options={"api_endpoint": URL},
    )


def done(operation):
    return operation.result(polling=AT_ONCE)


def raw(method, path, body=None, **headers):
    return requests.request(method, f"{URL}{path}", json=body, headers=headers, timeout=30)


def refused(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), error
        return error
    raise AssertionError(f"not refused: {text}")


def container(**more):
    return {"image_uri": "gcr.io/demo/serve:2", "predict_route": "/predict", "health_route": "/health", **more}


def dedicated(least, most=0):
    return beta.DedicatedResources(
        machine_spec=beta.MachineSpec(
            machine_type="g2-standard-12",
            accelerator_type=beta.AcceleratorType.NVIDIA_L4,
            accelerator_count=1,
        ),
        min_replica_count=least,
        max_replica_count=most or least,
    )


def rolling(previous, version, **limits):
    limits = limits or {"max_surge_replicas": 1, "max_unavailable_replicas": 0}
    return beta.DeployedModel(
        model=f"{MODEL}@{version}",
        rollout_options=beta.RolloutOptions(previous_deployed_model=previous, **limits),
    )


def all_states(endpoint):
    return raw("GET", f"/v1beta1/{endpoint}?allDeploymentStates=true").json()


def registry():
    endpoints, models = client(beta.EndpointServiceClient), client(beta.ModelServiceClient)
    operation = endpoints.create_endpoint(
        parent=PARENT, endpoint=beta.Endpoint(display_name="e", labels={"team": "a"}), endpoint_id="77"
    )
    assert isinstance(operation.metadata, beta.CreateEndpointOperationMetadata)
    made = done(operation)
    assert made.name == f"{NUMBERED}/endpoints/77" and made.etag and made.create_time.year == 2026
    again = lambda: endpoints.create_endpoint(
        parent=PARENT, endpoint=beta.Endpoint(display_name="e"), endpoint_id="77"
    )
    refused(exceptions.Conflict, "already exists", again)
    nameless = lambda: endpoints.create_endpoint(parent=PARENT, endpoint=beta.Endpoint())
    refused(exceptions.BadRequest, "display_name", nameless)
    for bad in ["077", "1234567890", "Chat", "chat-"]:
        named = lambda: endpoints.create_endpoint(
            parent=PARENT, endpoint=beta.Endpoint(display_name="e"), endpoint_id=bad
        )
        refused(exceptions.BadRequest, "endpoint_id", named)
    generated = done(endpoints.create_endpoint(parent=PARENT, endpoint=beta.Endpoint(display_name="f")))
    assert 16 <= len(generated.name.split("/")[-1]) <= 19
    found = lambda text: [
        found.display_name for found in endpoints.list_endpoints(request={"parent": PARENT, "filter": text})
    ]
    assert found('display_name="e"') == ["e"] and found("displayName!=e") == ["f"]
    assert found("labels.team=a") == ["e"] and found("labels.team:*") == ["e"] and found("endpoint=77") == ["e"]
    pages = endpoints.list_endpoints(request={"parent": PARENT, "page_size": 1})
    assert sorted(found.display_name for found in pages) == ["e", "f"]

    made.description = "changed"
    mask = field_mask_pb2.FieldMask(paths=["description"])
    changed = endpoints.update_endpoint(endpoint=made, update_mask=mask)
    assert changed.description == "changed" and changed.etag != made.etag
    made.description = "lost update"
    error = refused(
        exceptions.Conflict, "etag", lambda: endpoints.update_endpoint(endpoint=made, update_mask=mask)
    )
    assert error.response.json()["error"]["status"] == "ABORTED"
    made.etag = ""
    assert endpoints.update_endpoint(endpoint=made, update_mask=mask).description == "lost update"
    seen = client(v1.EndpointServiceClient).get_endpoint(name=made.name)
    assert seen.description == "lost update", "both versions of the API show the same resources"
    refused(exceptions.NotFound, "not found", lambda: endpoints.get_endpoint(name=f"{PARENT}/endpoints/78"))

    uploaded = models.upload_model(
        request={
            "parent": PARENT,
            "model": {
                "display_name": "mine",
                "container_spec": container(shared_memory_size_mb=512),
                "artifact_uri": "gs://bucket/mine",
            },
            "model_id": "mine",
        }
    )
    first = done(uploaded)
    assert first.model == f"{NUMBERED}/models/mine" and first.model_version_id == "1"
    second = done(
        models.upload_model(
            request={
                "parent": PARENT,
                "parent_model": first.model,
                "model": {"display_name": "mine", "container_spec": container(), "version_aliases": ["next"]},
            }
        )
    )
    assert second.model_version_id == "2"
    assert models.get_model(name=first.model).version_id == "1", "no suffix is the alias `default`"
    assert models.get_model(name=f"{first.model}@next").version_id == "2"
    assert models.get_model(name=f"{first.model}@1").container_spec.shared_memory_size_mb == 512
    versions = models.list_model_versions(request={"name": first.model})
    assert [version.version_id for version in versions] == ["1", "2"]
    merged = models.merge_version_aliases(name=f"{first.model}@2", version_aliases=["default", "-next"])
    assert list(merged.version_aliases) == ["default"]
    refused(
        exceptions.BadRequest, "default", lambda: models.delete_model_version(name=f"{first.model}@2")
    )
    done(models.delete_model_version(name=f"{first.model}@1"))
    refused(exceptions.BadRequest, "only version", lambda: models.delete_model_version(name=f"{first.model}@2"))
    done(models.delete_model(name=first.model))
    done(endpoints.delete_endpoint(name=generated.name))
    refused(exceptions.NotFound, "not found", lambda: endpoints.get_endpoint(name=generated.name))
    strictness()


def strictness():
    endpoint = f"{PARENT}/endpoints/77"
    answer = raw("PATCH", f"/v1beta1/{endpoint}?updateMask=description", {"nonsense": 1})
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["status"] == "INVALID_ARGUMENT"
    assert error["message"] == 'Invalid JSON payload received. Unknown name "nonsense": Cannot find field.'
    assert error["details"][0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    answer = raw("GET", f"/v1beta1/{endpoint}?nonsense=1")
    assert "Cannot bind query parameter. Field 'nonsense'" in answer.json()["error"]["message"]
    answer = raw("PATCH", f"/v1beta1/{endpoint}", {"description": "x"})
    assert "update_mask" in answer.json()["error"]["message"]
    options = {"deployedModel": {"model": MODEL, "rolloutOptions": {"previousDeployedModel": "1"}}}
    answer = raw("POST", f"/v1/{endpoint}:deployModel", options)
    text = "Unknown name \"rolloutOptions\" at 'deployed_model': Cannot find field."
    assert answer.status_code == 400 and text in answer.json()["error"]["message"], answer.text
    quoted = {
        "deployed_model": {
            "model": f"{MODEL}@1",
            "dedicated_resources": {"min_replica_count": "1", "machine_spec": {"machine_type": "n1-standard-2"}},
        }
    }
    assert raw("POST", f"/v1/{endpoint}:deployModel", quoted).status_code == 200
    wrong = {"deployedModel": {"model": MODEL, "dedicatedResources": {"minReplicaCount": "many"}}}
    assert "TYPE_INT32" in raw("POST", f"/v1/{endpoint}:deployModel", wrong).text
    assert raw("GET", "/v1/projects/other/locations/us-central1/endpoints").status_code == 403
    assert raw("GET", f"/v1/{PARENT}/tensorboards").status_code == 404


def rolling_part():
    endpoints = client(beta.EndpointServiceClient)
    endpoint = done(
        endpoints.create_endpoint(
            parent=PARENT, endpoint=beta.Endpoint(display_name="e"), endpoint_id="77"
        )
    ).name
    get = lambda: endpoints.get_endpoint(name=endpoint)
    operation = endpoints.deploy_model(
        endpoint=endpoint,
        deployed_model=beta.DeployedModel(id="11", model=f"{MODEL}@1", dedicated_resources=dedicated(4)),
        traffic_split={"0": 100},
    )
    assert operation.metadata.deployment_stage == beta.DeploymentStage.STARTING_DEPLOYMENT
    assert not get().deployed_models, "what is being deployed is hidden"
    assert all_states(endpoint)["deployedModels"][0]["state"] == "BEING_DEPLOYED"
    deployed = done(operation).deployed_model
    assert deployed.id == "11" and dict(get().traffic_split) == {"11": 100}
    assert operation.metadata.deployment_stage == beta.DeploymentStage.SUCCESSFULLY_DEPLOYED
    assert get().deployed_models[0].status.available_replica_count == 4

    predictions = client(beta.PredictionServiceClient)
    ask = lambda: predictions.predict(endpoint=endpoint, instances=[{"text": "hi"}])
    assert ask().deployed_model_id == "11"

    for call, text in [
        (rolling("99", 2), "[99] do not exist"),
        (rolling("11", 2, max_surge_replicas=0, max_unavailable_replicas=0), "cannot both be zero"),
        (rolling("11", 9), "does not exist"),
    ]:
        kind = exceptions.NotFound if text == "does not exist" else exceptions.BadRequest
        refused(kind, text, lambda: endpoints.deploy_model(endpoint=endpoint, deployed_model=call))
    reshaped = rolling("11", 2)
    reshaped.dedicated_resources = dedicated(2)
    refused(
        exceptions.BadRequest,
        "dedicated_resources",
        lambda: endpoints.deploy_model(endpoint=endpoint, deployed_model=reshaped),
    )

    operation = endpoints.deploy_model(
        endpoint=endpoint,
        deployed_model=rolling("11", 2, max_surge_percentage=25, max_unavailable_percentage=0),
    )
    twice = lambda: endpoints.deploy_model(endpoint=endpoint, deployed_model=rolling("11", 3))
    refused(exceptions.BadRequest, "already has a rolling deployment", twice)
    answered = set()
    while not operation.done():
        answered.add(ask().model_version_id)
        assert dict(get().traffic_split) == {"11": 100} or operation.done()
    assert answered == {"1", "2"}, "while it rolls, both answer"
    new = operation.result().deployed_model
    assert new.id != "11" and new.rollout_options.revision_number == 1
    seen = get()
    assert dict(seen.traffic_split) == {new.id: 100} and len(seen.deployed_models) == 2
    assert new.dedicated_resources.min_replica_count == 4, "resources are inherited"
    assert seen.deployed_models[1].rollout_options.previous_deployed_model == "11"
    old = client(v1.EndpointServiceClient).get_endpoint(name=endpoint)
    assert [model.id for model in old.deployed_models] == ["11", new.id]
    assert "rolloutOptions" not in raw("GET", f"/v1/{endpoint}").text
    done(endpoints.undeploy_model(endpoint=endpoint, deployed_model_id="11"))
    assert [model.id for model in get().deployed_models] == [new.id]
    on_top(endpoints, endpoint, new.id)


def on_top(endpoints, endpoint, live):
    """A rolling deployment on top of one that is in progress, which takes its place."""
    first = endpoints.deploy_model(endpoint=endpoint, deployed_model=rolling(live, 3))
    flying = all_states(endpoint)["deployedModels"][1]
    assert flying["state"] == "BEING_DEPLOYED"
    undeploy = lambda: endpoints.undeploy_model(endpoint=endpoint, deployed_model_id=flying["id"])
    refused(exceptions.BadRequest, "in progress", undeploy)
    second = endpoints.deploy_model(endpoint=endpoint, deployed_model=rolling(flying["id"], 2))
    refused(exceptions.Cancelled, "superseded", lambda: done(first))
    back = done(second).deployed_model
    assert back.model_version_id == "2" and back.rollout_options.revision_number == 3
    seen = endpoints.get_endpoint(name=endpoint)
    assert dict(seen.traffic_split) == {back.id: 100} and len(seen.deployed_models) == 3
    with_traffic = lambda: endpoints.undeploy_model(endpoint=endpoint, deployed_model_id=back.id)
    refused(exceptions.BadRequest, "has traffic", with_traffic)
    for id in [live, flying["id"]]:
        done(endpoints.undeploy_model(endpoint=endpoint, deployed_model_id=id))

    mask = field_mask_pb2.FieldMask(paths=["dedicated_resources.max_replica_count"])
    scaled = beta.DeployedModel(id=back.id, dedicated_resources=dedicated(4, 6))
    operation = endpoints.mutate_deployed_model(endpoint=endpoint, deployed_model=scaled, update_mask=mask)
    assert done(operation).deployed_model.dedicated_resources.max_replica_count == 6
    mask = field_mask_pb2.FieldMask(paths=["dedicated_resources.machine_spec"])
    refused(
        exceptions.BadRequest,
        "cannot be updated",
        lambda: endpoints.mutate_deployed_model(endpoint=endpoint, deployed_model=scaled, update_mask=mask),
    )
    split = lambda **split: endpoints.update_endpoint(
        endpoint=beta.Endpoint(name=endpoint, traffic_split=split["split"]),
        update_mask=field_mask_pb2.FieldMask(paths=["traffic_split"]),
    )
    refused(exceptions.BadRequest, "sum", lambda: split(split={back.id: 50}))
    refused(exceptions.BadRequest, "[5] do not exist", lambda: split(split={"5": 100}))
    names = [found.name for found in endpoints.list_operations({"name": endpoint}).operations]
    assert operation.operation.name in names
    refused(exceptions.BadRequest, "has deployed", lambda: endpoints.delete_endpoint(name=endpoint))


def failures():
    endpoints = client(beta.EndpointServiceClient)
    endpoint = done(
        endpoints.create_endpoint(parent=PARENT, endpoint=beta.Endpoint(display_name="e"))
    ).name
    deploy = lambda deployed, **more: endpoints.deploy_model(
        endpoint=endpoint, deployed_model=deployed, **more
    )
    first = deploy(
        beta.DeployedModel(model=f"{MODEL}@3", dedicated_resources=dedicated(2)), traffic_split={"0": 100}
    )
    refused(exceptions.FailedPrecondition, "Model server never became ready", lambda: done(first))
    assert first.metadata.deployment_stage == beta.DeploymentStage.FAILED_TO_DEPLOY
    assert not endpoints.get_endpoint(name=endpoint).deployed_models
    live = done(
        deploy(
            beta.DeployedModel(model=f"{MODEL}@1", dedicated_resources=dedicated(2)), traffic_split={"0": 100}
        )
    ).deployed_model.id
    rolled = deploy(rolling(live, 3, max_surge_replicas=0, max_unavailable_replicas=1))
    endpoints.cancel_operation(request={"name": rolled.operation.name})
    refused(exceptions.FailedPrecondition, "Model server never became ready", lambda: done(rolled))
    seen = endpoints.get_endpoint(name=endpoint)
    assert dict(seen.traffic_split) == {live: 100} and len(seen.deployed_models) == 1
    endpoints.get_endpoint(name=endpoint)
    seen = endpoints.get_endpoint(name=endpoint)
    assert seen.deployed_models[0].status.available_replica_count == 2, "replicas are back"
    endpoints.delete_operation(request={"name": rolled.operation.name})
    gone = lambda: endpoints.get_operation(request={"name": rolled.operation.name})
    refused(exceptions.NotFound, "not found", gone)


def high_level():
    aiplatform.init(
        project="demo-project",
        location="us-central1",
        credentials=AnonymousCredentials(),
        api_transport="rest",
        api_endpoint=URL,
    )
    made = aiplatform.Endpoint.create(display_name="high", endpoint_id="88")
    endpoint = preview.Endpoint(made.resource_name)
    model = preview.Model(f"{MODEL}@1")
    endpoint.deploy(
        model=model,
        machine_type="g2-standard-12",
        accelerator_type="NVIDIA_L4",
        accelerator_count=1,
        min_replica_count=2,
        max_replica_count=2,
        traffic_percentage=100,
    )
    first = endpoint.list_models()[0]
    endpoint.deploy(
        model=preview.Model(f"{MODEL}@2"),
        rollout_options=preview.RolloutOptions(previous_deployed_model=int(first.id), max_surge_replicas=1),
    )
    split = endpoint.traffic_split
    assert len(split) == 1 and first.id not in split, split
    endpoint.undeploy(deployed_model_id=first.id)
    assert [model.id for model in endpoint.list_models()] == list(split)
    assert aiplatform.Endpoint(made.resource_name).predict(instances=[1]).model_version_id == "2"
    made.delete(force=True)


def tokens():
    lists = lambda client: list(client.list_endpoints(request={"parent": PARENT}))
    answer = raw("GET", f"/v1/{PARENT}/endpoints")
    assert answer.status_code == 429, answer.text
    assert raw("GET", f"/v1/{PARENT}/endpoints").json()["error"]["status"] == "UNAVAILABLE"
    assert raw("GET", f"/v1/{PARENT}/endpoints").json()["error"]["status"] == "ABORTED"
    for kind in [requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError]:
        try:
            raw("GET", f"/v1/{PARENT}/endpoints")
        except kind:
            continue
        raise AssertionError("the connection was not dropped")
    answer = raw("GET", f"/v1/{PARENT}/endpoints")
    assert answer.status_code == 401 and answer.json()["error"]["status"] == "UNAUTHENTICATED"
    assert "missing required authentication credential" in answer.json()["error"]["message"]

    user = oauth2.Credentials(
        token=None,
        refresh_token="refresh-me",
        token_uri=f"{URL}/token",
        client_id="id",
        client_secret="secret",
    )
    known = client(beta.EndpointServiceClient, user)
    assert lists(known) == []
    wrong = client(beta.EndpointServiceClient, oauth2.Credentials(token="nonsense"))
    # The client asks for another token when one is refused, and this one cannot be renewed.
    refused(RefreshError, "refresh", lambda: lists(wrong))
    answer = raw("GET", f"/v1/{PARENT}/endpoints", Authorization="Bearer nonsense")
    assert answer.status_code == 401 and "invalid authentication" in answer.text

    machine = raw(
        "GET",
        "/computeMetadata/v1/instance/service-accounts/default/token?scopes=x",
        **{"Metadata-Flavor": "Google"},
    )
    assert machine.headers["metadata-flavor"] == "Google" and machine.json()["expires_in"] == 3600
    bearer = {"Authorization": f"Bearer {machine.json()['access_token']}"}
    email = "sa@demo-project.iam.gserviceaccount.com"
    other = raw(
        "POST",
        f"/v1/projects/-/serviceAccounts/{email}:generateAccessToken",
        {"scope": ["x"], "lifetime": "3600s"},
        **bearer,
    ).json()
    assert other["accessToken"] and other["expireTime"]
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": "//iam.googleapis.com/pool",
        "subject_token": "t",
    }
    assert requests.post(f"{URL}/v1/token", data=exchange, timeout=30).json()["access_token"]

    # The answer to the first is lost, but not what it did.
    body = {"displayName": "e"}
    try:
        raw("POST", f"/v1/{PARENT}/endpoints?endpointId=77", body, **bearer)
        raise AssertionError("the connection was not dropped")
    except requests.exceptions.ConnectionError:
        pass
    again = raw("POST", f"/v1/{PARENT}/endpoints?endpointId=77", body, **bearer)
    assert again.status_code == 409 and again.json()["error"]["status"] == "ALREADY_EXISTS"
    monitoring(bearer)


def monitoring(bearer):
    path = "/v1/projects/demo-project/location/global/prometheus/api/v1/query"
    rate = "sum(rate(aiplatform_googleapis_com:prediction_online_response_count[5m]))"
    answer = raw("POST", path, {"query": rate}, **bearer).json()
    assert answer["data"]["result"][0]["value"][1] == "0.25"
    assert raw("GET", f"{path}?query=nothing", **bearer).json()["data"]["result"] == []
    assert raw("GET", path, **bearer).status_code == 400
    alerts = raw("GET", "/v3/projects/demo-project/alerts", **bearer).json()["alerts"]
    assert alerts[0]["state"] == "OPEN" and alerts[0]["policy"]["name"].endswith("alertPolicies/1")


PARTS = {
    "registry": registry,
    "rolling": rolling_part,
    "failures": failures,
    "high_level": high_level,
    "tokens": tokens,
}
PARTS[PART]()
print(f"{PART}: proven")
