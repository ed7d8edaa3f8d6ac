"""Images are names for ways to run: from a training image's URI to a program on this machine."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rekindle.domain.builtins.catalogue import BUILTINS, FORMAT_NEEDS, builtin_named, builtin_of
from rekindle.domain.builtins.checks import format_of
from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import PROGRAM, SUBMITTED, Algorithm, Channel, TrainingSpec
from rekindle.engine.code import check_program
from rekindle.executors import container, contract, locations, opt_ml, script_mode
from rekindle.executors.host import Host
from rekindle.executors.images import ImageRule, repository
from rekindle.executors.programs import Container, Program, chosen_python

_SKLEARN = "sagemaker_sklearn_container.training:main"
_XGBOOST = "sagemaker_xgboost_container.training:main"
_PYTORCH = "sagemaker_pytorch_container.training:main"
_TENSORFLOW = "sagemaker_tensorflow_container.training:main"
_MXNET = "sagemaker_mxnet_container.training:main"
_CHAINER = "sagemaker_chainer_container.training:main"

#: Repositories whose images run a script of the user's, and the module that SageMaker's own run it with.
FRAMEWORKS = {
    "sagemaker-scikit-learn": _SKLEARN,
    "sagemaker-xgboost": _XGBOOST,
    "xgboost": _XGBOOST,
    "pytorch-training": _PYTORCH,
    "pytorch-training-neuron": _PYTORCH,
    "pytorch-training-neuronx": _PYTORCH,
    "pytorch-trcomp-training": _PYTORCH,
    "sagemaker-pytorch": _PYTORCH,
    "huggingface-pytorch-training": _PYTORCH,
    "huggingface-pytorch-training-neuronx": _PYTORCH,
    "huggingface-pytorch-trcomp-training": _PYTORCH,
    "tensorflow-training": _TENSORFLOW,
    "sagemaker-tensorflow": _TENSORFLOW,
    "sagemaker-tensorflow-scriptmode": _TENSORFLOW,
    "huggingface-tensorflow-training": _TENSORFLOW,
    "huggingface-tensorflow-trcomp-training": _TENSORFLOW,
    "mxnet-training": _MXNET,
    "sagemaker-mxnet": _MXNET,
    "autogluon-training": _MXNET,
    "sagemaker-chainer": _CHAINER,
}

#: Buckets of AWS's that hold JumpStart's models and scripts.
JUMPSTART = ("s3://jumpstart-cache-", "s3://jumpstart-private-cache-")
#: The registry of the Marketplace's images.
_MARKETPLACE = "865070037744"
#: Repositories of Amazon's own algorithms, from which nobody may pull; the others run built in.
_AT_AMAZON_ALONE = (
    "blazingtext",
    "factorization-machines",
    "forecasting-deepar",
    "image-classification",
    "ipinsights",
    "kmeans",
    "lda",
    "ntm",
    "object-detection",
    "object2vec",
    "pca",
    "randomcutforest",
    "semantic-segmentation",
    "seq2seq",
)
#: Where a container finds its channels.
_CHANNELS = re.compile(r"/opt/ml/input/data/([^/]+)/(.+)")
#: Where in a run's folder, and so in a container, code is that was brought here for it.
_BROUGHT = "input/sourcedir"


def check_image(
    algorithm: Algorithm, hyperparameters: Mapping[str, str] | None, rules: Sequence[ImageRule] = (), path: str = ""
) -> None:
    """Raises Unsupported or InvalidValue for an image that nothing here can run; ``hyperparameters`` are the static ones,
    where they are known. ``path`` is the PATH on which a container engine is found."""
    way = _way(algorithm, rules)
    if way.run == "container":
        _engine(way, algorithm, path)
        _check_code(algorithm, hyperparameters or {})
    elif algorithm.entrypoint or algorithm.arguments:
        _check_place(algorithm)
    elif hyperparameters is not None and _runs_script(algorithm, hyperparameters):
        entry = _entry_point(hyperparameters)
        _check_folder(_submitted(hyperparameters), entry)
    elif hyperparameters is not None:
        _module(algorithm.image or "")


def check_entrypoint(spec: TrainingSpec, host: Host) -> None:
    """Raises InvalidValue for an entry point whose program is not on this machine, as far as that is sure before it runs."""
    algorithm = spec.algorithm
    way = _way(algorithm, host.images)
    if not algorithm.entrypoint or way.run == "container" or way.requirements:
        return
    program = algorithm.entrypoint[0]
    _, folder, _ = chosen_python(_python(algorithm, way, host.path))
    # What lies below /opt/ml, or beside the code, is only there once the job has begun.
    late = os.sep in program and (not os.path.isabs(program) or os.path.normpath(program).startswith(f"{opt_ml.PLACE}/"))
    if not late and shutil.which(program, path=host.path_of(spec, (folder,))) is None:
        where = "there is no such program" if os.sep in program else "no such program is on PATH"
        way_out = "Install it, name another, or run the image itself as a container (images.yaml, docs/settings.md)."
        raise InvalidValue("entrypoint", program, where, way_out)


def script_of(algorithm: Algorithm, hyperparameters: Mapping[str, str], rules: Sequence[ImageRule]) -> tuple[str, str] | None:
    """Where the code is that we unpack ourselves, and the program in it; None for all that is no script of ours."""
    if algorithm.command is not None or algorithm.entrypoint or _way(algorithm, rules).run == "container":
        return None
    if not _runs_script(algorithm, hyperparameters):
        return None
    return _submitted(hyperparameters), _entry_point(hyperparameters)


def metrics_of(algorithm: Algorithm, rules: Sequence[ImageRule]) -> tuple[MetricDefinition, ...]:
    """The metrics that the user's rule for an image names."""
    rule = next((rule for rule in rules if algorithm.image is not None and rule.fits(algorithm.image)), None)
    return () if rule is None else rule.metrics


def runs_container(algorithm: Algorithm, rules: Sequence[ImageRule]) -> bool:
    """Whether an algorithm is an image that is run as a container."""
    return algorithm.command is None and _way(algorithm, rules).run == "container"


def _python(algorithm: Algorithm, way: ImageRule, path: str) -> str:
    """The interpreter that an image stands for."""
    return algorithm.python or way.python or shutil.which("python", path=path) or sys.executable


def with_code(hyperparameters: Mapping[str, str], channels: Sequence[Channel]) -> Mapping[str, str]:
    """The hyperparameters with where the script really is. Under network isolation SageMaker's SDK sends it as a channel,
    and names it by its place in the container."""
    submitted = contract.decoded(hyperparameters.get(SUBMITTED, ""))
    place = _CHANNELS.fullmatch(submitted) if isinstance(submitted, str) else None
    uri = next((c.uri for c in channels if place and c.name == place[1]), None)
    if place is None or uri is None:
        return hyperparameters
    # The channel is the archive itself, or the folder that holds it.
    found = uri if uri.endswith(f"/{place[2]}") else f"{uri.rstrip('/')}/{place[2]}"
    return {**hyperparameters, SUBMITTED: json.dumps(found)}


def check_formats(spec: TrainingSpec, hyperparameters: Mapping[str, str], rules: Sequence[ImageRule]) -> None:
    """Raises Unsupported for a channel of a built-in algorithm in a format that nothing here can read, InvalidValue for one in
    a format that it does not take."""
    builtin = builtin_of(spec.algorithm, hyperparameters)
    if builtin is None or _way(spec.algorithm, rules).run == "container":
        return
    for channel in spec.channels:
        needed = FORMAT_NEEDS.get(format_of(builtin, channel))
        if needed is not None and not _is_there(needed):
            field = f"channels.{channel.name}.content_type"
            message = f"{field}: {channel.content_type!r}: {needed} is not installed here."
            raise Unsupported(message, f"Install it: pip install {needed}", field)


def image_program(
    algorithm: Algorithm, hyperparameters: Mapping[str, str], path: str, environments: Path, rules: Sequence[ImageRule] = ()
) -> Program:
    """What an image stands for. Raises Unsupported or InvalidValue where it stands for nothing here.

    ``rules`` are the user's, before our own. ``path`` is the PATH on which Python is found unless a rule names one;
    ``environments`` is the folder of the environments that are built for requirements.
    """
    way = _way(algorithm, rules)
    if way.run == "container":
        return _container(way, algorithm, hyperparameters, path)
    python = _python(algorithm, way, path)
    if algorithm.entrypoint or algorithm.arguments:
        return _entrypoint(algorithm, hyperparameters, python, way, environments)
    if _runs_script(algorithm, hyperparameters):
        return _script(algorithm, hyperparameters, python, way, environments)
    values = contract.own(hyperparameters)
    return Program(argv=(sys.executable, "-m", _module(algorithm.image or "")), values=values)


def _runs_script(algorithm: Algorithm, hyperparameters: Mapping[str, str]) -> bool:
    return PROGRAM in hyperparameters and builtin_of(algorithm, hyperparameters) is None


def _way(algorithm: Algorithm, rules: Sequence[ImageRule]) -> ImageRule:
    """How to run an image: as the first rule says that fits, else as a framework's image."""
    if algorithm.image is None:
        message = (
            f"algorithm: {algorithm.name!r}: algorithms of the AWS Marketplace, and those that were registered, are AWS's only."
        )
        raise Unsupported(message, "Name a training image, or give a command to run.")
    way = next((rule for rule in rules if rule.fits(algorithm.image)), None)
    if way is not None:
        return way
    if f"{_MARKETPLACE}.dkr.ecr." in algorithm.image:
        message = f"image: {algorithm.image!r}: an image of the AWS Marketplace, which its seller lets run on AWS only."
        raise Unsupported(message, "Name another image, or give a command to run.", "image")
    if ".dkr.ecr." in algorithm.image and repository(algorithm.image) in _AT_AMAZON_ALONE:
        message = f"image: {algorithm.image!r}: an algorithm of Amazon's, whose image AWS lets nobody pull: it runs there only."
        built_in = ", ".join(builtin.name for builtin in BUILTINS)
        stand_in = "or train by a script, or say in images.yaml what image of yours stands for it (docs/settings.md)."
        raise Unsupported(message, f"Built in here are {built_in}; {stand_in}", "image")
    if repository(algorithm.image) not in FRAMEWORKS and builtin_named(algorithm.image) is None:
        known = ", ".join(sorted({*FRAMEWORKS, *(image for builtin in BUILTINS for image in builtin.images)}))
        raise Unsupported(
            f"image: {algorithm.image!r}: nothing here knows how to run this image.",
            f"Say it in the file images.yaml (docs/settings.md): a container, or a script in a Python environment. "
            f"Known without it: {known}.",
            "image",
        )
    return ImageRule(repository(algorithm.image))


def _check_place(algorithm: Algorithm) -> None:
    """An entry point of its own is written for a container: it finds its files at /opt/ml or not at all."""
    shown = [*algorithm.entrypoint, *algorithm.arguments]
    if not algorithm.entrypoint:
        raise Unsupported(f"arguments: {shown!r}: an image's own entry point is not here; give an entrypoint, too.")
    if problem := _no_place():
        raise Unsupported(f"entrypoint: {shown!r}: {problem}")


@functools.cache
def _no_place() -> str:
    """Why this machine cannot give a program its own /opt/ml; empty where it can."""
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "code")
        code.mkdir()
        done = subprocess.run([*view("need"), "true"], cwd=code, capture_output=True, text=True, check=False)
    return done.stderr.strip().removeprefix("ClientError: ")


def view(mode: str) -> tuple[str, ...]:
    """What gives the program that follows a view of its own: ``need``, ``try`` or ``hosts`` (opt_ml.py)."""
    return (sys.executable, "-I", "-S", str(Path(opt_ml.__file__)), mode)


def _runner(python: str, way: ImageRule, environments: Path) -> tuple[str, ...]:
    """What builds the environments that are asked for, and becomes the script or command that follows."""
    program = (sys.executable, "-I", "-S", str(Path(script_mode.__file__)))
    return (*program, python, str(environments), str(way.requirements or ""))


def _entrypoint(
    algorithm: Algorithm, hyperparameters: Mapping[str, str], python: str, way: ImageRule, environments: Path
) -> Program:
    """A command that is written for a container: in a view of the machine where /opt/ml is the job's folder."""
    interpreter, folder, variables = chosen_python(python)
    runner = (*_runner(interpreter, way, environments), "", "") if way.requirements else ()
    return Program(
        argv=(*view("need"), *runner, *algorithm.entrypoint, *algorithm.arguments),
        values={n: contract.decoded(v) for n, v in contract.own(hyperparameters).items()},
        entry_point=str(hyperparameters.get(PROGRAM, "")),
        first_on_path=(folder,),
        variables={**variables, "PIP_TARGET": opt_ml.PACKAGES, "PYTHONPATH": opt_ml.PACKAGES},
        hint=_hint(algorithm, interpreter, way),
    )


def _hint(algorithm: Algorithm, interpreter: str, way: ImageRule) -> str:
    """What to do about a package that a script did not find."""
    where = f"the environment that is built for {way.requirements}" if way.requirements else interpreter
    return (
        f"The image {repository(algorithm.image or '')} stands for {where} here: install the package there, name it in a "
        "requirements.txt beside the script, or choose another environment in images.yaml (docs/settings.md)"
    )


def _module(image: str) -> str:
    """The module of a built-in algorithm, which our own interpreter runs. Raises InvalidValue or Unsupported."""
    builtin = builtin_named(image)
    if builtin is None:
        way_out = (
            "Name the script there, as SageMaker's SDKs do of an entry_point or a SourceCode(entry_script=...), or run the "
            "image itself as a container (images.yaml, docs/settings.md)."
        )
        raise InvalidValue("hyperparameters", image, f"this image runs a script, and there is no {PROGRAM!r}", way_out)
    if not _is_there(builtin.needs):
        message = f"image: {image!r}: its built-in algorithm needs {builtin.needs}, which is not installed here."
        raise Unsupported(message, f"Install it: pip install 'rekindle[{builtin.extra}]'", "image")
    return builtin.module


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _script(
    algorithm: Algorithm, hyperparameters: Mapping[str, str], python: str, way: ImageRule, environments: Path
) -> Program:
    interpreter, folder, variables = chosen_python(python)
    values = {n: contract.decoded(v) for n, v in contract.own(hyperparameters).items()}
    arguments = contract.toolkit_arguments(values)
    entry, submitted = _entry_point(hyperparameters), _submitted(hyperparameters)
    source, archive, fetch = _source(submitted)
    return Program(
        argv=(*view("try"), *_runner(interpreter, way, environments), archive, entry, *arguments),
        arguments=tuple(arguments),
        values=values,
        entry_point=entry,
        source=source,
        first_on_path=(folder,),
        variables=variables,
        module_dir=submitted,
        framework=FRAMEWORKS.get(repository(algorithm.image or ""), ""),
        is_script=True,
        fetch=fetch,
        hint=_hint(algorithm, interpreter, way),
        shown=" ".join([*((interpreter, entry) if entry.endswith(".py") else ("/bin/sh", "-c", f"./{entry}")), *arguments]),
    )


def _container(way: ImageRule, algorithm: Algorithm, hyperparameters: Mapping[str, str], path: str) -> Program:
    """The image itself, by the machine's container engine. Code in an object store is brought here for it."""
    passed, fetch, links = dict(hyperparameters), None, {}
    if SUBMITTED in hyperparameters:
        submitted = _submitted(hyperparameters)
        name = submitted.rstrip("/").rsplit("/", 1)[-1]
        inside = f"{_BROUGHT}/{name}"
        if locations.is_remote(submitted):
            fetch = (submitted, _BROUGHT)
        else:
            links[inside] = str(locations.local_path(submitted, f"hyperparameters.{SUBMITTED}"))
        place = f"{container.PLACE}/{inside}"
        quoted = hyperparameters[SUBMITTED] != submitted
        passed[SUBMITTED] = json.dumps(place) if quoted else place
    return Program(
        argv=(sys.executable, "-I", "-S", str(Path(container.__file__))),
        raw=passed,
        fetch=fetch,
        links=links,
        container=Container(
            engine=_engine(way, algorithm, path),
            image=way.instead or algorithm.image or "",
            options=way.options,
            entrypoint=algorithm.entrypoint,
            arguments=algorithm.arguments,
        ),
    )


def _engine(way: ImageRule, algorithm: Algorithm, path: str) -> str:
    """The engine's program."""
    for name in (way.engine,) if way.engine else ("docker", "podman"):
        if found := shutil.which(name, path=path):
            return found
    wanted = way.engine or "docker or podman"
    message = f"image: {algorithm.image!r}: it is to run in a container, and there is no {wanted} on PATH."
    raise Unsupported(message, "Install it, or let images.yaml choose a Python environment for this image.")


def _entry_point(hyperparameters: Mapping[str, str]) -> str:
    entry: Any = contract.decoded(hyperparameters[PROGRAM])
    if not isinstance(entry, str) or not entry:
        raise InvalidValue(f"hyperparameters.{PROGRAM}", hyperparameters[PROGRAM], "not the name of a script")
    return entry


def _submitted(hyperparameters: Mapping[str, str]) -> str:
    """Where the script is: checked as far as it is on this machine."""
    field = f"hyperparameters.{SUBMITTED}"
    uri: Any = contract.decoded(hyperparameters.get(SUBMITTED, ""))
    if not isinstance(uri, str) or not uri:
        raise InvalidValue(field, uri, "it must say where the script is: an s3:// or file:// URI of a tar.gz, or a folder")
    if uri.startswith(JUMPSTART):
        raise Unsupported(f"{field}: {uri!r}: a script of JumpStart's, in a bucket of AWS's.", "Give a script of your own.")
    if not locations.is_remote(uri):
        path = locations.local_path(uri, field)
        if not os.path.exists(path):
            raise InvalidValue(field, uri, "there is no such file or folder")
        if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
            raise InvalidValue(field, uri, "it cannot be read by this user", "Make it readable.")
    return uri


def _check_code(algorithm: Algorithm, hyperparameters: Mapping[str, str]) -> None:
    """Raises InvalidValue or Unsupported for code that cannot be brought to a container. What it is for, its image knows."""
    if _runs_script(algorithm, hyperparameters):
        _entry_point(hyperparameters)
    if SUBMITTED in hyperparameters:
        _submitted(hyperparameters)


def _check_folder(submitted: str, entry: str) -> None:
    """Raises InvalidValue where the code is a folder of this machine that surely lacks the program."""
    if locations.is_remote(submitted):
        return
    folder = locations.local_path(submitted, f"hyperparameters.{SUBMITTED}")
    if folder.is_dir() and not os.path.exists(folder / entry):
        check_program([path.name for path in folder.iterdir() if path.is_file()], entry, "hyperparameters")


def _source(submitted: str) -> tuple[Path | None, str, tuple[str, str] | None]:
    """The folder to copy, or the archive to unpack (as seen from the code folder), and what must be fetched for it."""
    if locations.is_remote(submitted):
        return None, f"../{_BROUGHT}/{submitted.rsplit('/', 1)[-1]}", (submitted, _BROUGHT)
    path = locations.local_path(submitted, f"hyperparameters.{SUBMITTED}")
    return (path, "", None) if path.is_dir() else (None, str(path), None)
