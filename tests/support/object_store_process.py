"""The object store as a process of its own, to be killed: `python -m support.object_store_process FOLDER DESCRIPTOR`, where the
descriptor is that of a socket which listens already."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from rekindle.engine.clock import SystemClock
from rekindle.s3.app import create_app
from support.object_store import ACCOUNT

if __name__ == "__main__":
    app = create_app(Path(sys.argv[1]), clock=SystemClock(), region="us-east-1", default_account=ACCOUNT)
    config = uvicorn.Config(app, log_level="error", access_log=False, ws="none")
    uvicorn.Server(config).run([socket.socket(fileno=int(sys.argv[2]))])
