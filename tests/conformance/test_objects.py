"""Files and S3 keep the promises of an object store; and training jobs read from it and write to it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from urllib3 import HTTPResponse

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.training_job import Algorithm, Channel, Checkpoints, Output, Resources, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import ObjectStore, Run, RunKey, RunState, StoreUnavailable
from rekindle.executors import orders, records
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor
from rekindle.objects import transfer
from rekindle.objects.mirror import mirror
from rekindle.objects.s3 import S3Objects
from rekindle.objects.store import Objects
from rekindle.objects.transfer import USAGE
from support.object_store import client, memory_folder, served_store
from support.simulated import SimulatedClock

from .executor_suite import KEY, finished, until
from .objects_suite import ObjectStoreSuite
from .supervised_suite import ENVIRONMENT, supervisor_of

TRANSFER = (sys.executable, "-I", "-m", "rekindle.objects.transfer")


class TestFiles(ObjectStoreSuite):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return Objects()

    @pytest.fixture
    def base(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return tmp_path_factory.mktemp("objects").as_uri()

    def put(self, store: ObjectStore, uri: str, data: bytes) -> None:
        path = Path(uri.removeprefix("file://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def test_drafts_are_never_seen(self, store: ObjectStore, base: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x")
        store.upload(str(tmp_path / "file"), f"{base}/file")
        assert [p.name for p in Path(base.removeprefix("file://")).iterdir()] == ["file"]

    def test_a_name_that_is_no_text_is_the_file_s_own(self, store: ObjectStore, base: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x")
        store.upload(str(tmp_path / "file"), f"{base}/%FF")
        assert [os.fsencode(p.name) for p in Path(base.removeprefix("file://")).iterdir()] == [b"\xff"]

    def test_uris_that_name_no_path(self, store: ObjectStore) -> None:
        for uri in ("file://elsewhere/x", "file://[HOST]/x", "file://[x", "relative/x"):
            with pytest.raises(InvalidValue):
                store.check(uri)
        with pytest.raises(Unsupported, match="ftp://x/y"):
            store.check("ftp://x/y")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with memory_folder() as folder, served_store(folder) as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> str:
    name = f"b-{abs(hash(request.node.nodeid)) % 10**12}"
    client(endpoint).create_bucket(Bucket=name)
    return name


class TestS3(ObjectStoreSuite):
    @pytest.fixture
    def store(self, endpoint: str) -> ObjectStore:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return Objects(S3Objects(endpoint_url=endpoint, **keys))

    @pytest.fixture
    def base(self, bucket: str) -> str:
        return f"s3://{bucket}/some/where"

    def put(self, store: ObjectStore, uri: str, data: bytes) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        store._s3._client.put_object(Bucket=bucket, Key=key, Body=data)

    def test_folder_marks_are_nothing(self, store: ObjectStore, base: str, tmp_path: Path) -> None:
        self.put(store, f"{base}/train/", b"")
        self.put(store, f"{base}/train/a", b"a")
        assert self.got(store, f"{base}/train", tmp_path) == {"a": b"a"}

    def test_what_s3_says_is_told_in_one_line(self, store: ObjectStore) -> None:
        with pytest.raises(InvalidValue, match=r"uri: 's3://no-such-bucket-1/x': .*NoSuchBucket"):
            store.check("s3://no-such-bucket-1/x")
        with pytest.raises(InvalidValue, match="not a URI of the form"):
            store.check("s3:///x")

    @pytest.mark.parametrize("bucket", ["[BUCKET]", "[b", "\u2100"])
    def test_a_bucket_that_nobody_filled_in_is_refused(self, store: ObjectStore, bucket: str) -> None:
        for ask in (store.check, store.check_target, store.list):
            with pytest.raises(InvalidValue, match="Invalid bucket name"):
                ask(f"s3://{bucket}/x")

    def test_nothing_can_be_put_where_there_is_no_bucket(self, store: ObjectStore) -> None:
        with pytest.raises(InvalidValue, match=r"uri: 's3://no-such-bucket-1/x': The specified bucket does not exist"):
            store.check_target("s3://no-such-bucket-1/x")

    def test_objects_that_cannot_be_files_side_by_side_are_refused(self, store: ObjectStore, base: str) -> None:
        for name in ("a", "a/b"):
            self.put(store, f"{base}/train/{name}", b"x")
        with pytest.raises(InvalidValue, match="the object 'a/b' cannot be a file beside the others"):
            store.check(f"{base}/train")

    def test_a_folder_is_uploaded_file_by_file(self, store: ObjectStore, base: str, tmp_path: Path) -> None:
        (tmp_path / "model" / "deep").mkdir(parents=True)
        (tmp_path / "model" / "deep" / "m").write_bytes(b"m")
        (tmp_path / "model" / "best").symlink_to("deep/m")
        # As `latest` is, once what it led to was rotated away: the training job would fail of it after all its work.
        (tmp_path / "model" / "latest").symlink_to("gone")
        store.upload(str(tmp_path / "model"), f"{base}/model")
        assert list(store.list(f"{base}/model/")) == [("best", 1), ("deep/m", 1)]

    def test_what_links_to_folders_lead_to_is_uploaded_with_a_folder(
        self, store: ObjectStore, base: str, tmp_path: Path
    ) -> None:
        """An uncompressed model lacked it, without a word."""
        (tmp_path / "model" / "step-2").mkdir(parents=True)
        (tmp_path / "model" / "step-2" / "weights").write_text("7")
        (tmp_path / "model" / "latest").symlink_to("step-2")
        (tmp_path / "model" / "step-2" / "up").symlink_to("..")
        store.upload(str(tmp_path / "model"), f"{base}/model")
        assert list(store.list(f"{base}/model/")) == [("latest/weights", 1), ("step-2/weights", 1)]

    def test_a_name_that_is_no_text_is_refused_and_keeps_no_other_from_the_store(
        self, store: ObjectStore, base: str, tmp_path: Path
    ) -> None:
        # Names of files are bytes: a checkpoint of that name ended the copying of all.
        kept, record = tmp_path / "kept", str(tmp_path / "record")
        kept.mkdir()
        strange = os.fsdecode(b"ck-\xff")
        for name in ("a", strange, "z"):
            (kept / name).write_bytes(b"x")
        with pytest.raises(InvalidValue, match=r"udcff': the file's name is not UTF-8.* Give the file another name"):
            store.upload(str(kept), f"{base}/model")
        with pytest.raises(InvalidValue, match="not UTF-8"):
            mirror(store, str(kept), f"{base}/kept/", record)
        assert list(store.list(f"{base}/kept/")) == [("a", 1), ("z", 1)]
        (kept / strange).rename(kept / "ck")
        mirror(store, str(kept), f"{base}/kept/", record)
        assert list(store.list(f"{base}/kept/")) == [("a", 1), ("ck", 1), ("z", 1)]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_store_that_cannot_answer_now_is_away(status: int, tmp_path: Path) -> None:
    """As while it starts, or as a proxy says while it is down: whoever has results for it tries again."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing."""

    (tmp_path / "file").write_bytes(b"x")
    once = {"config": Config(retries={"total_max_attempts": 1})}
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        store = S3Objects(
            endpoint_url=f"http://127.0.0.1:{server.server_port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
            **once,
        )
        uri = "s3://bucket/x"
        asks = (store.check, store.check_target, store.has, lambda uri: store.read(uri, 9))
        try:
            for ask in (*asks, lambda uri: store.upload(str(tmp_path / "file"), uri)):
                with pytest.raises(StoreUnavailable, match=f"{uri}: the object store cannot answer now"):
                    ask(uri)
        finally:
            server.shutdown()


def test_inputs_that_a_store_broke_off_are_fetched_on_from_where_they_were(endpoint: str, bucket: str, tmp_path: Path) -> None:
    """As one that answers 5xx now and then: a large input, begun anew each time, would never be whole."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    store = S3Objects(endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1}), **keys)
    names = ["one/a", "one/b", "two/c", "two/d"]
    for name in names:
        store._client.put_object(Bucket=bucket, Key=name, Body=name.encode())
    manifest = b'[{"prefix": "s3://%s/"}, "two/c", "two/d"]' % bucket.encode()
    store._client.put_object(Bucket=bucket, Key="manifest", Body=manifest)
    asked: list[str] = []

    def every_second_is_refused(request: Any, **_: object) -> AWSResponse | None:
        name = request.url.partition(f"{bucket}/")[2]
        if name in names:
            asked.append(name)
        return AWSResponse(request.url, 503, {}, HTTPResponse(io.BytesIO())) if name in names and len(asked) % 2 == 0 else None

    store._client.meta.events.register("before-send.s3.GetObject", every_second_is_refused)
    homes = [str(tmp_path / name) for name in ("one", "two", "listed")]
    uris = [f"s3://{bucket}/one/", f"s3://{bucket}/two/", f"manifest+s3://{bucket}/manifest"]
    pairs = [word for pair in zip(uris, homes, strict=True) for word in pair]
    assert transfer.main(["download", *pairs], store, SimulatedClock()) == 0
    assert [asked.count(name) for name in names] == [1, 2, 2 + 2, 2 + 2]
    for name, home in (("b", "one"), ("d", "two"), ("two/d", "listed")):
        assert (tmp_path / home / name).read_text().endswith(name[-1])


@pytest.fixture
def executor(endpoint: str, tmp_path: Path) -> ProcessExecutor:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    variables = {"AWS_ENDPOINT_URL_S3": endpoint, **keys}
    folder = tmp_path / "home"
    return ProcessExecutor(
        Host(folder, ENVIRONMENT, transfer=TRANSFER, transfer_variables=lambda owner: variables), SystemClock()
    )


def job(source: Path, bucket: str, script: str) -> TrainingSpec:
    (source / "train.py").write_text(script)
    # A user's module must not take the place of one that the transfer needs.
    (source / "json.py").write_text("raise SystemExit('the wrong json')")
    return TrainingSpec(
        Algorithm(command=f"{sys.executable} -I train.py", source=str(source)),
        channels=(Channel("train", f"s3://{bucket}/data/train"),),
        output=Output(f"s3://{bucket}/out"),
    )


def left_to_upload(folder: Path) -> list[Path]:
    """What was packed for an upload and is still in a run's folder."""
    assert list(folder.rglob("model"))
    return list(folder.rglob("upload-*"))


def test_a_training_job_reads_from_s3_and_writes_to_it(endpoint: str, bucket: str, executor, tmp_path: Path) -> None:
    s3 = client(endpoint)
    s3.put_object(Bucket=bucket, Key="data/train/x.csv", Body=b"1,2")
    source = tmp_path / "source"
    source.mkdir()
    script = "import os, shutil\nshutil.copy(os.environ['SM_CHANNEL_TRAIN'] + '/x.csv', os.environ['SM_MODEL_DIR'])\n"
    spec = job(source, bucket, script)
    executor.check(spec)
    executor.launch(Run(KEY, spec, {}))
    report = finished(executor)
    assert report.state is RunState.COMPLETED, executor.read_log(KEY.owner, KEY.name)
    assert report.model_uri == f"s3://{bucket}/out/{KEY.name}/output/model.tar.gz"
    assert s3.head_object(Bucket=bucket, Key=f"out/{KEY.name}/output/model.tar.gz")["ContentLength"] > 0
    assert left_to_upload(tmp_path) == []


def test_orders_of_a_worker_whose_package_was_replaced_are_understood(
    endpoint: str, bucket: str, executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(*given: Any) -> records.Fields:
        fields = orders_of(*given)
        return fields | {"fetch": ["fetch all"]}

    orders_of = orders.orders_of
    monkeypatch.setattr(orders, "orders_of", as_before)
    client(endpoint).put_object(Bucket=bucket, Key="data/train/x.csv", Body=b"1,2")
    (source := tmp_path / "source").mkdir()
    executor.launch(Run(KEY, job(source, bucket, "import os\nopen(os.environ['SM_CHANNEL_TRAIN'] + '/x.csv')\n"), {}))
    assert (report := finished(executor)).state is RunState.COMPLETED, report.failure_reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channels": (Channel("train", "s3://gone/x"),)}, "ClientError: Data download failed: uri: 's3://gone/x': "),
        ({"channels": (), "output": Output("s3://gone/x")}, "ClientError: Artifact upload failed: uri: 's3://gone/x/"),
    ],
)
def test_objects_that_cannot_be_moved_fail_the_job(bucket: str, executor, tmp_path: Path, change: dict, reason: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    executor.launch(Run(KEY, replace(job(source, bucket, ""), **change), {}))
    report = finished(executor)
    assert report.state is RunState.FAILED
    assert report.failure_reason.startswith(reason)
    assert report.model_uri is None
    assert left_to_upload(tmp_path) == []
    if "upload" in reason:
        assert f"What was trained is kept in {tmp_path / 'home' / '_' / KEY.name / 'model'};" in report.failure_reason


PRINTING = """
import traceback
try:
    {}['handled']
except KeyError:
    traceback.print_exc()
print('loss=0.5', end='', flush=True)
"""


def test_why_a_transfer_fails_is_what_it_said_itself_and_nothing_of_the_program(bucket: str, executor, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    executor.launch(Run(KEY, replace(job(source, bucket, PRINTING), channels=(), output=Output("s3://gone/x")), {}))
    reason = finished(executor).failure_reason
    assert reason.startswith("ClientError: Artifact upload failed: uri: 's3://gone/x/")
    assert "loss=" not in reason
    assert "handled" not in reason


CHECKPOINTING = """
import os, sys, time
folder = os.environ['SM_CHECKPOINT_DIR']
found = sorted((n, open(os.path.join(folder, n)).read()) for n in os.listdir(folder))
open(os.environ['SEEN'], 'w').write(str(found))
open(os.path.join(folder, 'last'), 'w').write(sys.argv[1])
open(os.path.join(folder, 'first'), 'a').write('x')
while sys.argv[1] == 'forever': time.sleep(0.01)
os.remove(os.path.join(folder, 'first'))
"""


def test_checkpoints_are_kept_in_s3_and_brought_back(endpoint: str, bucket: str, executor, tmp_path: Path) -> None:
    s3, source = client(endpoint), tmp_path / "source"
    source.mkdir()
    spec = replace(
        job(source, bucket, CHECKPOINTING),
        channels=(),
        output=Output(),
        checkpoints=Checkpoints(f"s3://{bucket}/c"),
        environment={"SEEN": str(tmp_path / "seen")},
    )

    def run(mode: str, attempt: int) -> Run:
        command = f"{spec.algorithm.command} {mode}"
        algorithm = replace(spec.algorithm, command=command)
        return Run(RunKey(KEY.name, attempt), replace(spec, algorithm=algorithm), {}, group="tuning")

    def kept() -> list[str]:
        return [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix="c/").get("Contents", ())]

    def body(key: str) -> bytes:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    for name in (KEY.name, f"{KEY.name}0"):
        s3.put_object(Bucket=bucket, Key=f"c/{name}/{name}", Body=b"before")
    executor.check(spec)
    executor.launch(run("forever", 1))
    names = [f"{KEY.name}/{KEY.name}", f"{KEY.name}/first", f"{KEY.name}/last", f"{KEY.name}0/{KEY.name}0"]
    whole = dict(zip((f"c/{name}" for name in names), (b"before", b"x", b"forever", b"before"), strict=True))
    # A file may be copied before it is written, and again after that.
    until(lambda: {key: body(key) for key in kept()} == whole, "a copy while it runs")
    supervisor_of(tmp_path / "home", KEY).kill()
    assert finished(executor).state is RunState.LOST
    executor.launch(run("briefly", 2))
    assert finished(executor, RunKey(KEY.name, 2)).state is RunState.COMPLETED
    seen = [("first", "x"), (KEY.name, "before"), ("last", "forever")]
    assert (tmp_path / "seen").read_text() == str(sorted(seen))
    assert kept() == [f"c/{KEY.name}/{KEY.name}", f"c/{KEY.name}/last", f"c/{KEY.name}0/{KEY.name}0"]
    assert body(f"c/{KEY.name}/last") == b"briefly"


def test_the_next_training_job_of_its_own_goes_on_from_the_checkpoints_of_the_last(
    endpoint: str, bucket: str, executor, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    remote, local = Checkpoints(f"s3://{bucket}/c/"), Checkpoints(str(tmp_path / "kept"))
    for place, checkpoints in (("remote", remote), ("local", local)):
        seen = tmp_path / f"seen-{place}"
        spec = replace(
            job(source, bucket, CHECKPOINTING),
            channels=(),
            output=Output(),
            checkpoints=checkpoints,
            environment={"SEEN": str(seen)},
        )
        spec = replace(spec, algorithm=replace(spec.algorithm, command=f"{spec.algorithm.command} briefly"))
        for name in ("one", "two"):
            executor.launch(Run(RunKey(f"{place}-{name}", 1), spec, {}))
            assert finished(executor, RunKey(f"{place}-{name}", 1)).state is RunState.COMPLETED
        assert seen.read_text() == str([("last", "briefly")])
    assert [o["Key"] for o in client(endpoint).list_objects_v2(Bucket=bucket)["Contents"]] == ["c/last"]


def test_objects_are_shared_among_the_hosts(endpoint: str, bucket: str, executor, tmp_path: Path) -> None:
    for name in ("a", "b", "deep/c"):
        client(endpoint).put_object(Bucket=bucket, Key=f"data/train/{name}", Body=name.encode())
    (tmp_path / "source").mkdir()
    script = (
        "import os\ntop = os.environ['SM_CHANNEL_TRAIN']\nhost = os.environ['SM_CURRENT_HOST']\n"
        "found = sorted(os.path.relpath(os.path.join(p, n), top) for p, _, names in os.walk(top) for n in names)\n"
        "open(os.environ['SEEN'] + host, 'w').write(' '.join(found))\n"
    )
    spec = job(tmp_path / "source", bucket, script)
    channels = (replace(spec.channels[0], distribution="ShardedByS3Key"),)
    changes = {"output": Output(), "environment": {"SEEN": f"{tmp_path}/seen-"}, "resources": Resources(instance_count=2)}
    executor.launch(Run(KEY, replace(spec, channels=channels, **changes), {}))
    assert finished(executor).state is RunState.COMPLETED
    assert [(tmp_path / f"seen-algo-{n}").read_text() for n in (1, 2)] == ["a deep/c", "b"]


def test_checkpoints_that_cannot_be_kept_fail_the_job_before_it_starts(executor, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    spec = job(tmp_path / "source", "gone", "")
    executor.launch(Run(KEY, replace(spec, channels=(), checkpoints=Checkpoints("s3://gone/c")), {}))
    report = finished(executor)
    assert report.state is RunState.FAILED
    assert report.failure_reason.startswith("ClientError: Checkpoint download failed: uri: 's3://gone/c/'")


def test_the_transfer_says_how_it_is_called() -> None:
    done = subprocess.run([*TRANSFER, "sideways"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, USAGE)
