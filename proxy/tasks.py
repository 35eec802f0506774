"""The jobs of routing: probing the routes that are due, and forgetting old counts; and learning the size of tokens.

Each may run twice, or late.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.timezone import now as current_time

from billing.celery import app
from proxy import learning, overruns, verification
from proxy.models import RouteHealth

logger = logging.getLogger(__name__)


@app.task(name="proxy.probe_due_routes")
def probe_due_routes(**_unknown: Any) -> None:
    """Probe the few routes that waited longest, so that other jobs never wait long behind them."""
    if not settings.PROBE_HOURS:
        return
    now = current_time()
    for probe in verification.probe_all(
        verification.due(now=now, every=timedelta(hours=settings.PROBE_HOURS)), now=now
    ):
        if probe.trouble:
            logger.warning("the probe of %s failed: %s", probe.route, probe.trouble)


@app.task(name="proxy.forget_health")
def forget_health(**_unknown: Any) -> None:
    """Delete counts and probes older than 90 days."""
    now = current_time()
    RouteHealth.objects.filter(starts_at__lt=now - verification.KEPT).delete()
    verification.forget(now=now)


@app.task(name="proxy.find_overruns")
def find_overruns(**_unknown: Any) -> None:
    """Tell operators of upstreams whose calls cost more than was held."""
    for told in overruns.find(now=current_time()):
        logger.error("calls cost more than was held: %s", told)


@app.task(name="proxy.learn_estimates")
def learn_estimates(**_unknown: Any) -> None:
    """Learn from the calls of the last minutes how many bytes tokens have."""
    learned = learning.learn(now=current_time())
    if learned:
        logger.info("learned the sizes of tokens from %s calls", learned)
