"""The Celery app of both rooms' jobs (tasks.py), and when they run. Workers act as the database's operator."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import Any

os.environ["TOLLGATE_ROLE"] = "operator"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_ready
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
app = Celery("billing", include=["billing.tasks", "proxy.tasks"])  # by name: billing knows no room above it
app.conf.update(
    broker_url=settings.REDIS_URL or "redis://127.0.0.1:6379/0",
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 6 * 3600},
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    # A worker of its own (-Q webhooks): what waits for tenants' systems holds up nothing else.
    task_routes={"billing.deliver_messages": {"queue": "webhooks"}},
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)
app.conf.beat_schedule = {
    # A run that nobody took before the next one is due is dropped: the next does its work.
    "sweep": {"task": "billing.sweep", "schedule": 5, "options": {"expires": 5}},
    "post": {"task": "billing.post", "schedule": 5, "options": {"expires": 5}},
    "watch_wallets": {"task": "billing.watch_wallets", "schedule": 10, "options": {"expires": 10}},
    "deliver": {"task": "billing.deliver_messages", "schedule": 2, "options": {"expires": 2}},
    "watch_limits": {"task": "billing.watch_limits", "schedule": 15, "options": {"expires": 15}},
    "payments": {"task": "billing.process_payments", "schedule": 10, "options": {"expires": 10}},
    "expire_credit": {"task": "billing.expire_credit", "schedule": 60, "options": {"expires": 60}},
    "prepare": {"task": "billing.prepare", "schedule": 600, "options": {"expires": 600}},
    "forget": {"task": "billing.forget", "schedule": 600, "options": {"expires": 600}},
    "overruns": {"task": "proxy.find_overruns", "schedule": 600, "options": {"expires": 600}},
    "learn": {"task": "proxy.learn_estimates", "schedule": 600, "options": {"expires": 600}},
    "close": {"task": "billing.close_periods", "schedule": crontab(minute="20"), "options": {"expires": 3600}},
    "close_from_the_end": {
        "task": "billing.close_periods",
        "kwargs": {"backwards": True},
        "schedule": crontab(minute="20"),
        "options": {"expires": 3600},
    },
    "exports": {"task": "billing.make_exports", "schedule": 30, "options": {"expires": 30}},
    "contracts": {
        "task": "billing.apply_contracts",
        "schedule": crontab(hour="2", minute="10"),
        "options": {"expires": 3600},
    },
    "remind": {"task": "billing.remind", "schedule": crontab(minute="50"), "options": {"expires": 3600}},
    "vat_ids": {"task": "billing.check_vat_ids", "schedule": crontab(minute="5"), "options": {"expires": 3600}},
    "check": {"task": "billing.check_books", "schedule": crontab(hour="3", minute="40"), "options": {"expires": 3600}},
    "margins": {"task": "billing.check_margins", "schedule": crontab(minute="35"), "options": {"expires": 3600}},
    "rerate": {"task": "billing.rerate", "schedule": 30, "options": {"expires": 30}},
    "rerate_late": {"task": "billing.rerate_late", "schedule": crontab(minute="15"), "options": {"expires": 3600}},
    "probe": {"task": "proxy.probe_due_routes", "schedule": 300, "options": {"expires": 300}},
    "tidy": {"task": "proxy.forget_health", "schedule": crontab(hour="4", minute="10"), "options": {"expires": 3600}},
}


def wake(job: str) -> None:
    """Have a job of the schedule run at once when the transaction commits; without a broker it comes a little later."""
    transaction.on_commit(partial(_wake, job))


def _wake(job: str) -> None:
    try:
        app.send_task(job, retry=False)
    except OperationalError:
        logger.warning("no worker could be told of %s: its schedule comes by", job)


@worker_ready.connect
def prepare_at_once(**_sender: Any) -> None:
    """After a long stop this month's partition and windows may be missing; do not wait for the schedule."""
    app.send_task("billing.prepare")
