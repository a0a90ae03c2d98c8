"""An application that is made when it is first needed: what many servers never use costs them no memory."""

from collections.abc import Callable

import trio

from .asgi import App, Receive, Scope, Send


class LateApp:
    """Makes an application in a thread at its first request; those that come meanwhile wait for it."""

    def __init__(self, make: Callable[[], App]) -> None:
        self._make = make
        self._app: App | None = None
        self._limiter = trio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as the application does."""
        if self._app is None:
            await trio.to_thread.run_sync(self._make_once, limiter=self._limiter)
        assert self._app is not None
        await self._app(scope, receive, send)

    def _make_once(self) -> None:
        if self._app is None:
            self._app = self._make()
