"""Starting and stopping the applications behind the gateway together with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Send


async def relay(apps: Iterable[ASGIApp], receive: Receive, send: Send) -> None:
    """Passes the server's start and stop on to each application, one after the other, and then confirms it.

    An application that knows nothing of such events is left alone, as ASGI says.
    """
    followers = [_Follower(app) for app in apps]
    while True:
        kind = (await receive())["type"]
        for follower in followers:
            await follower.tell(kind)
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


class _Follower:
    """One application's side of the conversation, in a task of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._heard: asyncio.Queue[Message | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._follow(app))

    async def tell(self, kind: str) -> None:
        if not self._task.done():
            await self._told.put({"type": kind})
            await self._heard.get()

    async def _follow(self, app: ASGIApp) -> None:
        try:
            await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self._told.get, self._heard.put)
        except Exception:  # noqa: S110 - ASGI: an exception here means that the application has no lifespan
            pass
        finally:
            await self._heard.put(None)
