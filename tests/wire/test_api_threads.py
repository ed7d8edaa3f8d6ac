"""Many requests at once: nobody waits for somebody who waits for him."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from rekindle.api.app import create_app
from rekindle.api.protocol import MAX_THREADS
from rekindle.domain.errors import InvalidValue
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.clock import SystemClock
from rekindle.gateway.app import Gateway, GatewaySettings
from support.engine import Engine
from support.gateway import ALICE, CREDENTIALS, echo_apps, serving
from support.wire import client_of, definition, fresh, tuning_request


class OwnObjects:
    """Inputs are looked for in the same server's object store."""

    port = 0

    def check(self, uri: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/bucket")
        if connection.getresponse().status != 200:
            raise InvalidValue("uri", uri, "the object store did not answer")
        connection.close()

    def check_target(self, uri: str) -> None:
        self.check(uri)


async def threaded_store(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers from a thread, as the object store does."""
    text = await run_in_threadpool(lambda: "there")
    await PlainTextResponse(text)(scope, receive, send)


def test_creations_that_look_for_inputs_in_our_own_store_do_not_starve_it() -> None:
    engine, objects = Engine(), OwnObjects()
    app = create_app(engine.store, engine.executor, engine.clock, RELAXED, lambda owner: objects)  # type: ignore[arg-type, return-value]
    apps = echo_apps(sagemaker=app, s3=threaded_store)
    gateway = Gateway(apps, CREDENTIALS, GatewaySettings(insecure_no_auth=True), SystemClock().now)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/key"}}
    part = definition(InputDataConfig=[{"ChannelName": "train", "DataSource": source}])
    with serving(gateway) as objects.port:
        client = client_of(objects.port, ALICE, connections=MAX_THREADS + 10)
        with ThreadPoolExecutor(MAX_THREADS + 10) as pool:
            requests = [tuning_request(fresh(), TrainingJobDefinition=part) for _ in range(MAX_THREADS + 10)]
            arns = list(
                pool.map(lambda r: client.create_hyper_parameter_tuning_job(**r)["HyperParameterTuningJobArn"], requests)
            )
    assert len(set(arns)) == len(requests)
