"""The object store as a process of its own, to be killed: `python -m support.object_store_process FOLDER PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from rekindle.engine.clock import SystemClock
from rekindle.s3.app import create_app

if __name__ == "__main__":
    app = create_app(Path(sys.argv[1]), clock=SystemClock(), region="us-east-1")
    uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False, ws="none")
