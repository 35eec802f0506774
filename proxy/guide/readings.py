"""Who reads the guide right now: the gateway's address, and for members the models and the key of their tenant."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.timezone import now

from portal import access, offers
from portal.models import ApiKey
from proxy.guide.reader import Reader
from proxy.models import Model

MOST_MODELS = 500


def models_for(request: HttpRequest) -> list[str]:
    """The models an example can name: those on sale to the reader's first tenant, or to everybody."""
    membership = access.memberships_of(request).first()
    return offers.models_on_sale(membership.tenant_id if membership else 0, now=now())[:MOST_MODELS]


def reader_of(request: HttpRequest) -> Reader:
    """The origin of this request; the model of ``?model=`` or the first that chats, and the newest key's beginning."""
    on_sale = models_for(request)
    deeds = _deeds(on_sale)
    chosen = request.GET.get("model", "")
    origin = request.build_absolute_uri("/").rstrip("/")
    return Reader(
        origin,
        model=chosen if "chat" in deeds.get(chosen, ()) else _first(deeds, "chat"),
        embedding=_first(deeds, "embeddings"),
        image=_first(deeds, "images"),
        key=_key_of(request),
    )


def _deeds(names: list[str]) -> dict[str, list[str]]:
    """What each model is for, in the order of names."""
    rules = dict(Model.objects.filter(name__in=names).values_list("name", "rules"))
    return {name: rules.get(name, {}).get("operations", ["chat"]) for name in names}


def _first(deeds: dict[str, list[str]], deed: str) -> str:
    return next((name for name, mine in deeds.items() if deed in mine), "")


def _key_of(request: HttpRequest) -> str:
    """What stands for a key: the reader's newest one as far as it is known; a secret is shown once and not here."""
    membership = access.memberships_of(request).first()
    if membership is None or not access.allowed(membership.role, access.Permission.SEE_KEYS):
        return "sk-tg-…"
    access.enter(request, membership)
    keys = ApiKey.objects.filter(tenant_id=membership.tenant_id, revoked_at=None, created_by_id=request.user.pk)
    newest = keys.order_by("-pk").first()
    return str(newest) if newest else "sk-tg-…"
