"""Where Stripe tells what happened: the one address that anybody may post to, and only Stripe is believed."""

from __future__ import annotations

import logging

from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.utils.timezone import now
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.card_payments import events, provider
from billing.card_payments.events import EventProblem
from billing.celery import wake
from portal.tenancy import as_operator

logger = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Store a message and answer at once; 400 in plain words for what Stripe did not sign. A job does the rest."""
    if not provider.is_set_up():
        return _answer("Card payments are not set up here.", 404)
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal() or int(length) > events.LARGEST:
        return _answer(f"A message has a length, of at most {events.LARGEST} bytes.", 413 if length else 411)
    try:
        raw = request.body
    except (UnreadablePostError, RawPostDataException):
        return _answer("The message did not arrive whole.", 400)
    try:
        with as_operator():
            new = events.receive(raw=raw, signature=request.headers.get("Stripe-Signature", ""), now=now())
    except EventProblem as problem:
        logger.warning("a message to the webhook of Stripe was refused: %s", problem)
        return _answer(str(problem), 400)
    if new:
        wake("billing.process_payments")
    return _answer("Stored." if new else "Known.", 200)


def _answer(words: str, status: int) -> HttpResponse:
    return HttpResponse(words + "\n", status=status, content_type="text/plain; charset=utf-8")
