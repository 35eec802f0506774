"""``python -m bench.traced``: the gateway, noting for each call the time from its body read to its row committed."""

from __future__ import annotations

import time
from typing import Any

import orjson

from portal.stack import gateway
from proxy import exchange

PATH = "/bench/admissions"
TARGET = "bench.traced:application"


class Traced:
    """``proxy.asgi`` with a watch on two of its functions; ``GET /bench/admissions`` takes what was noted (seconds)."""

    def __init__(self) -> None:
        from proxy import admission, asgi

        self._application = asgi.application
        self._read: dict[str, float] = {}
        self._times: list[float] = []
        body, admit = exchange.Exchange.body, admission.Admission.admit
        noted, times = self._read, self._times

        async def read_body(one: exchange.Exchange) -> bytes:
            whole = await body(one)
            noted[one.request_id] = time.perf_counter()
            return whole

        async def timed_admit(one: Any, chat: Any, grant: Any, wanted: Any, meter: Any, *rest: Any) -> Any:
            taken = await admit(one, chat, grant, wanted, meter, *rest)
            times.append(time.perf_counter() - noted.pop(meter.request_id))
            return taken

        exchange.Exchange.body = read_body  # type: ignore[assignment, method-assign]
        admission.Admission.admit = timed_admit  # type: ignore[assignment, method-assign]

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._application(scope, receive, send)
            return
        body = orjson.dumps(self._times)
        self._times.clear()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def __getattr__(name: str) -> Any:
    """The application, made when granian's process asks for it and not before."""
    if name != "application":
        raise AttributeError(name)
    made = globals()["application"] = Traced()
    return made


if __name__ == "__main__":
    gateway.serve(gateway.options(), TARGET)
