"""What users say of images: for a pattern of names, the Python environment to run scripts in, or a container."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rekindle.domain.errors import InvalidValue
from rekindle.engine.paths import text_of_setting, with_home

if TYPE_CHECKING:
    from rekindle.domain.metrics import MetricDefinition

Engine = Literal["", "docker", "podman"]

_SCRIPT_ONLY = ("python", "requirements")
_CONTAINER_ONLY = ("engine", "options", "instead")


@dataclass(frozen=True)
class ImageRule:
    """How to run the images that fit ``pattern``.

    ``script``: in the Python environment ``python`` (an interpreter or an environment's folder; None: the PATH's), or in one
    that is built for the file ``requirements``. ``container``: by ``engine`` (empty: whichever there is), with further
    ``options`` for it, and with the image ``instead`` in place of the named one.
    """

    pattern: str
    run: Literal["script", "container"] = "script"
    python: str | None = None
    requirements: Path | None = None
    engine: Engine = ""
    options: tuple[str, ...] = ()
    instead: str = ""
    metrics: tuple[MetricDefinition, ...] = ()

    def fits(self, image: str) -> bool:
        """Whether an image is meant: by its whole URI where the pattern has a ``/``, ``:`` or ``@``, else by its repository."""
        whole = any(c in self.pattern for c in "/:@")
        return fnmatchcase(image if whole else repository(image), self.pattern)


def repository(image: str) -> str:
    """An image URI's name without registry, path, tag and digest: ``pytorch-training``."""
    return re.split(r"[:@]", image.rsplit("/", 1)[-1])[0]


def load_rules(path: Path, setting: str = "") -> tuple[ImageRule, ...]:
    """The rules of a file, in their order; the first that fits an image holds. Raises InvalidValue, naming file and entry and,
    where there is nothing to read, the setting that names the file."""
    import yaml

    try:
        entries = yaml.safe_load(text_of_setting(path, setting or path.name))
    # Beside YAML's own errors: a date that is none, an escape beyond Unicode, nesting without end.
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise InvalidValue(path.name, str(path), " ".join(f"cannot be read: {error}".split())) from error
    if not isinstance(entries, list | None):
        raise InvalidValue(path.name, entries, "not a list of images", "Begin each with: - image: NAME")
    return tuple(_rule(entry, f"{path.name}[{at}]", path.parent) for at, entry in enumerate(entries or (), start=1))


def _rule(entry: Any, place: str, folder: Path) -> ImageRule:
    if not isinstance(entry, Mapping):
        raise InvalidValue(place, entry, "not a group of settings", "Write: - image: NAME")
    if unknown := [name for name in entry if name not in _READERS]:
        raise InvalidValue(f"{place}.{unknown[0]}", entry[unknown[0]], f"not one of {', '.join(_READERS)}")
    if "image" not in entry:
        raise InvalidValue(
            f"{place}.image", None, "a pattern is needed: a repository's name such as 'pytorch-training', or '*'"
        )
    told = {name: _READERS[name](value, f"{place}.{name}", folder) for name, value in entry.items()}
    rule = ImageRule(told.pop("image"), **told)
    for name in _CONTAINER_ONLY if rule.run == "script" else _SCRIPT_ONLY:
        if name in entry:
            other = "container" if rule.run == "script" else "script"
            raise InvalidValue(f"{place}.{name}", entry[name], f"this is for a {other}", f"Write run: {other}")
    return rule


def _text(value: Any, place: str, _folder: Path) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidValue(place, value, "not a text")
    return value


def _way(value: Any, place: str, _folder: Path) -> str:
    if value not in ("script", "container"):
        raise InvalidValue(place, value, "neither 'script' nor 'container'")
    return str(value)


def _engine(value: Any, place: str, _folder: Path) -> str:
    if value not in ("docker", "podman"):
        raise InvalidValue(place, value, "neither 'docker' nor 'podman'")
    return str(value)


def _python(value: Any, place: str, folder: Path) -> str:
    from rekindle.executors.programs import chosen_python

    path = os.path.join(folder, with_home(_text(value, place, folder), place))
    try:
        chosen_python(path)
    except InvalidValue as error:
        raise InvalidValue(place, value, error.reason) from error
    return path


def _requirements(value: Any, place: str, folder: Path) -> Path:
    path = folder / with_home(_text(value, place, folder), place)
    if not os.path.isfile(path):
        raise InvalidValue(place, value, "there is no such file")
    return path


def _options(value: Any, place: str, _folder: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InvalidValue(place, value, "not a list of words", "Write: options: ['--shm-size', '2g']")
    return tuple(value)


def _metrics(value: Any, place: str, _folder: Path) -> tuple[MetricDefinition, ...]:
    from rekindle.domain.metrics import MetricDefinition, check_definitions

    if not isinstance(value, Mapping) or not all(isinstance(word, str) for pair in value.items() for word in pair):
        reason = "not a group of names, each with a regex that finds the value in the log"
        raise InvalidValue(place, value, reason, "Write: metrics: {'test:msd': 'test msd <loss>=(\\S+)'}")
    found = tuple(MetricDefinition(name, regex) for name, regex in value.items())
    try:
        check_definitions(found)
    except InvalidValue as error:
        raise InvalidValue(f"{place}{error.field.removeprefix('metrics')}", error.value, error.reason, error.hint) from error
    return found


_READERS: Mapping[str, Callable[[Any, str, Path], Any]] = {
    "image": _text,
    "run": _way,
    "python": _python,
    "requirements": _requirements,
    "engine": _engine,
    "options": _options,
    "instead": _text,
    "metrics": _metrics,
}
