"""Answers kept for their idempotency keys."""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now


class StoredAnswer(models.Model):
    """One call under an idempotency key: running under a claim, or done with its answer sealed.

    Digests stand for the key and for the request. Written by claim_idempotency, finish_idempotency and
    drop_idempotency alone; what has expired is deleted by the jobs.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"

    tenant = models.ForeignKey("portal.Tenant", on_delete=models.PROTECT, related_name="+")
    key_hash = models.BinaryField(max_length=32)
    body_hash = models.BinaryField(max_length=32)
    state = models.CharField(max_length=7, choices=State, default=State.RUNNING)
    request_id = models.CharField(max_length=32)
    owner = models.UUIDField()
    status = models.IntegerField(default=0)
    sealed = models.BinaryField(default=b"")
    claimed_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint("tenant", "key_hash", name="stored_answer_once"),)
        indexes = (models.Index("expires_at", name="stored_answer_expiry"),)

    def __str__(self) -> str:
        return f"{self.state} answer of req_{self.request_id[:24]}"
