"""Learning in a worker that the server was asked to stop, while requests are still running.

Granian lets running requests end before it runs the lifespan's shutdown, and tells the application nothing in
between. It installs its signal handlers through ``granian._signals.set_loop_signals``, looked up when a worker starts;
wrapping that function is the one place where both it and the gateway can hear the signal.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import granian._signals as granian_signals


class Termination:
    """Calls ``begin`` in the worker's loop when the process is asked to stop."""

    def __init__(self) -> None:
        self.begin: Callable[[], None] | None = None
        self.asked = False

    def install(self) -> None:
        """Wrap granian's installer; must run before the worker starts serving, so at import of the application."""
        original = granian_signals.set_loop_signals

        def set_loop_signals(loop: Any) -> Any:
            event = original(loop)  # type: ignore[no-untyped-call]

            def stop() -> None:
                self.asked = True
                event.set()
                if self.begin is not None:
                    self.begin()

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop)
            return event

        granian_signals.set_loop_signals = set_loop_signals
