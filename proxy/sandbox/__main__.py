"""``python -m proxy.sandbox``: an upstream for trying Tollgate on, and for its tests and benchmark."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
from pathlib import Path

import uvloop

from proxy.sandbox.fast import FastAnswers
from proxy.sandbox.ledger import Ledger
from proxy.sandbox.service import Sandbox
from proxy.sandbox.wire import Connection

BACKLOG = 4096


def main(arguments: list[str]) -> int:
    """Serve until SIGINT or SIGTERM. Prints one line with the address once it listens."""
    options = _options(arguments)
    uvloop.run(serve(options.host, options.port, None if options.no_ledger else options.state, options.replays))
    return 0


async def serve(host: str, port: int, state: Path | None, replays: Path | None = None) -> None:
    """Listen on host and port (0: any free one). Without a state folder nothing is kept and answers are fast.

    ``replays`` is a folder of answers to replay (proxy/sandbox/replay.py).
    """
    ledger = Ledger(None if state is None else state / "charges.jsonl")
    sandbox = Sandbox(ledger, FastAnswers() if state is None else None, replays)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(sandbox.answer), host, port, backlog=BACKLOG)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    gc.freeze()
    bound = server.sockets[0].getsockname()
    print(f"sandbox listening on http://{bound[0]}:{bound[1]}", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()
    server.close()
    ledger.close()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proxy.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, default=Path("sandbox-state"), help="folder of the durable count")
    parser.add_argument("--no-ledger", action="store_true", help="keep no count; fixed and paced answer at least cost")
    parser.add_argument("--replays", type=Path, help="folder of answers that models named replay-… replay")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
