"""Images are names for ways to run: from a training image's URI to a program on this machine."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rekindle.domain.builtins.catalogue import BUILTINS, builtin_named
from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.training_job import Algorithm
from rekindle.executors import contract, locations, opt_ml, script_mode
from rekindle.executors.programs import Program, chosen_python

#: Repositories whose images run a script of the user's, and the module that SageMaker's own run it with.
FRAMEWORKS = {
    "sagemaker-scikit-learn": "sagemaker_sklearn_container.training:main",
    "sagemaker-xgboost": "sagemaker_xgboost_container.training:main",
    "xgboost": "sagemaker_xgboost_container.training:main",
    "pytorch-training": "sagemaker_pytorch_container.training:main",
    "tensorflow-training": "sagemaker_tensorflow_container.training:main",
    "mxnet-training": "sagemaker_mxnet_container.training:main",
    "huggingface-pytorch-training": "sagemaker_pytorch_container.training:main",
    "huggingface-tensorflow-training": "sagemaker_tensorflow_container.training:main",
    "autogluon-training": "sagemaker_mxnet_container.training:main",
}

_PROGRAM = "sagemaker_program"
_SUBMITTED = "sagemaker_submit_directory"


def repository(image: str) -> str:
    """An image URI's name without registry, path, tag and digest: ``pytorch-training``."""
    return re.split(r"[:@]", image.rsplit("/", 1)[-1])[0]


def check_image(algorithm: Algorithm, hyperparameters: Mapping[str, str] | None) -> None:
    """Raises Unsupported or InvalidValue for an image that nothing here can run; ``hyperparameters`` are the static ones,
    where they are known."""
    _known(algorithm)
    if algorithm.entrypoint or algorithm.arguments:
        _check_place(algorithm)
        return
    if hyperparameters is None:
        return
    if _PROGRAM in hyperparameters:
        _entry_point(hyperparameters)
        _submitted(hyperparameters)
    else:
        _module(algorithm.image or "")


def image_program(
    algorithm: Algorithm, hyperparameters: Mapping[str, str], path: str, environments: Path, pythons: Mapping[str, str]
) -> Program:
    """What an image stands for. Raises Unsupported or InvalidValue where it stands for nothing here.

    ``path`` is the PATH on which Python is found unless ``pythons`` names one for the repository; ``environments`` is the
    folder of the environments that are built for requirements.
    """
    name = _known(algorithm)
    if algorithm.entrypoint or algorithm.arguments:
        return _entrypoint(algorithm, hyperparameters, _python(name, algorithm, path, pythons))
    if _PROGRAM in hyperparameters:
        return _script(name, hyperparameters, _python(name, algorithm, path, pythons), environments)
    values = contract.own(hyperparameters)
    return Program(argv=(sys.executable, "-m", _module(algorithm.image or "")), values=values)


def _known(algorithm: Algorithm) -> str:
    name = repository(algorithm.image or "")
    if name not in FRAMEWORKS and builtin_named(algorithm.image) is None:
        known = ", ".join(sorted({*FRAMEWORKS, *(image for builtin in BUILTINS for image in builtin.images)}))
        message = f"image: {algorithm.image!r}: nothing here knows how to run this image, and containers are not run here."
        raise Unsupported(message, f"Give a command to run instead, or one of the images {known}.")
    return name


def _python(name: str, algorithm: Algorithm, path: str, pythons: Mapping[str, str]) -> str:
    return algorithm.python or pythons.get(name) or shutil.which("python", path=path) or sys.executable


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
        done = subprocess.run([*_view("need"), "true"], cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr.strip().removeprefix("ClientError: ")


def _view(mode: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", str(Path(opt_ml.__file__)), mode)


def _entrypoint(algorithm: Algorithm, hyperparameters: Mapping[str, str], python: str) -> Program:
    """A command that is written for a container: in a view of the machine where /opt/ml is the job's folder."""
    _interpreter, folder, variables = chosen_python(python)
    # A container may install what it likes; here that goes to the job's folder and not to the interpreter's.
    packages = f"{opt_ml.PLACE}/packages"
    return Program(
        argv=(*_view("need"), *algorithm.entrypoint, *algorithm.arguments),
        values={n: contract.decoded(v) for n, v in contract.own(hyperparameters).items()},
        entry_point=str(hyperparameters.get(_PROGRAM, "")),
        first_on_path=(folder,),
        variables={**variables, "PIP_TARGET": packages, "PYTHONPATH": packages},
    )


def _module(image: str) -> str:
    """The module of a built-in algorithm, which our own interpreter runs. Raises InvalidValue or Unsupported."""
    builtin = builtin_named(image)
    if builtin is None:
        raise InvalidValue("hyperparameters", image, f"this image runs a script, and there is no {_PROGRAM!r}")
    if not _is_there(builtin.needs):
        message = f"image: {image!r}: its built-in algorithm needs {builtin.needs}, which is not installed here."
        raise Unsupported(message, f"Install it: pip install 'rekindle[{builtin.extra}]'")
    return builtin.module


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _script(name: str, hyperparameters: Mapping[str, str], python: str, environments: Path) -> Program:
    interpreter, folder, variables = chosen_python(python)
    values = {n: contract.decoded(v) for n, v in contract.own(hyperparameters).items()}
    arguments = contract.toolkit_arguments(values)
    entry, submitted = _entry_point(hyperparameters), _submitted(hyperparameters)
    source, archive, fetch = _source(submitted)
    runner = (sys.executable, "-I", "-S", str(Path(script_mode.__file__)))
    return Program(
        argv=(*_view("try"), *runner, interpreter, str(environments), archive, entry, *arguments),
        arguments=tuple(arguments),
        values=values,
        entry_point=entry,
        source=source,
        first_on_path=(folder,),
        variables=variables,
        module_dir=submitted,
        framework=FRAMEWORKS[name],
        fetch=fetch,
    )


def _entry_point(hyperparameters: Mapping[str, str]) -> str:
    entry: Any = contract.decoded(hyperparameters[_PROGRAM])
    if not isinstance(entry, str) or not entry:
        raise InvalidValue(f"hyperparameters.{_PROGRAM}", hyperparameters[_PROGRAM], "not the name of a script")
    return entry


def _submitted(hyperparameters: Mapping[str, str]) -> str:
    """Where the script is: checked as far as it is on this machine."""
    field = f"hyperparameters.{_SUBMITTED}"
    uri: Any = contract.decoded(hyperparameters.get(_SUBMITTED, ""))
    if not isinstance(uri, str) or not uri:
        raise InvalidValue(field, uri, "it must say where the script is: an s3:// or file:// URI of a tar.gz, or a folder")
    if not locations.is_remote(uri) and not locations.local_path(uri, field).exists():
        raise InvalidValue(field, uri, "there is no such file or folder")
    return uri


def _source(submitted: str) -> tuple[Path | None, str, tuple[str, str] | None]:
    """The folder to copy, or the archive to unpack (as seen from the code folder), and what must be fetched for it."""
    if locations.is_remote(submitted):
        inside = "input/sourcedir"
        return None, f"../{inside}/{submitted.rsplit('/', 1)[-1]}", (submitted, inside)
    path = locations.local_path(submitted, f"hyperparameters.{_SUBMITTED}")
    return (path, "", None) if path.is_dir() else (None, str(path), None)
