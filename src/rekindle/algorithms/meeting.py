"""How the hosts of one training job find each other: by files in a folder that they share."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

_PAUSE = 0.05


class Meeting:
    """A place where each host leaves notes that all can read. The folder is new with each attempt at a training job."""

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._host = host
        folder.mkdir(parents=True, exist_ok=True)

    def leave(self, topic: str, note: Any) -> None:
        """Leaves a note, whole or not at all."""
        path = self._folder / f"{topic}.{self._host}"
        hidden = path.with_name(f".{path.name}")
        hidden.write_text(json.dumps(note))
        os.replace(hidden, path)

    def read(self, topic: str, host: str) -> Any:
        """A host's note; waits until it is there. A host that failed takes us with it, so this needs no limit of its own."""
        path = self._folder / f"{topic}.{host}"
        pause = Event()
        while not path.exists():
            pause.wait(_PAUSE)
        return json.loads(path.read_text())

    def exchange(self, topic: str, note: Any, hosts: Sequence[str]) -> dict[str, Any]:
        """Leaves a note and reads everybody's."""
        self.leave(topic, note)
        return {host: self.read(topic, host) for host in hosts}

    def close(self) -> None:
        """Clears up; called by one host when nobody reads any more."""
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()
