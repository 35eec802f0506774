"""Applying upstreams, models, aliases and routes."""

from __future__ import annotations

from portal import environment
from proxy import upstreams
from proxy.addresses import AddressProblem, Unresolvable
from proxy.apply.changes import Changes, assign
from proxy.apply.document import CredentialPart, ModelPart, RoutePart, UpstreamPart
from proxy.credentials import CredentialProblem
from proxy.dialects import NAMES
from proxy.models import Model, ModelAlias, Route, Upstream


def apply_upstream(part: UpstreamPart, changes: Changes, *, sandbox_url: str = "") -> None:
    """Make or change one upstream. The address is checked; a new one forgets the credentials."""
    title = f"[[upstreams]] {part.name}"
    upstream = Upstream.objects.filter(name=part.name).first()
    made = upstream is None
    if upstream is None:
        if part.base_url is None:
            raise changes.problem(title, "base_url", "is missing")
        upstream = Upstream(name=part.name)
    told = assign(upstream, _dialect(part, title, changes) | part.settings)
    if part.base_url is not None and part.base_url != upstream.base_url:
        _check_address(part.base_url, title, changes, sandbox_url)
        told.append(f"base_url {upstream.base_url} → {part.base_url}")
        if upstreams.change_base_url(upstream, part.base_url):
            told.append("credential forgotten, because the address changed")
    if made:
        upstream.save(force_insert=True)
        changes.made(f"upstream {part.name}")
    elif told:
        upstream.save()
        changes.changed(f"upstream {part.name}", ", ".join(told))
    _apply_credential(upstream, part, title, changes)
    if part.credentials is not None:
        _apply_credentials(upstream, part.credentials, changes)


def apply_model(part: ModelPart, changes: Changes) -> None:
    """Make or change one model; its aliases and routes come later, when every model is there."""
    title = f"[[models]] {part.name}"
    model = Model.objects.filter(name=part.name).first()
    if model is None:
        for field in ("context_window", "max_output_tokens"):
            if field not in part.settings:
                raise changes.problem(title, field, "is missing")
        if ModelAlias.objects.filter(name=part.name).exists():
            raise changes.problem(title, "name", "is an alias of another model")
        Model.objects.create(name=part.name, **part.settings)
        changes.made(f"model {part.name}")
    elif told := assign(model, part.settings):
        model.save()
        changes.changed(f"model {part.name}", ", ".join(told))


def apply_aliases(parts: tuple[ModelPart, ...], changes: Changes) -> None:
    """Give every model in the document that lists aliases exactly those. Removals come first, so names can move."""
    listed = [(Model.objects.get(name=part.name), part) for part in parts if part.aliases is not None]
    for model, part in listed:
        for alias in model.aliases.exclude(name__in=part.aliases or ()).order_by("name"):
            alias.delete()
            changes.removed(f"alias {alias.name} of {model.name}")
    for model, part in listed:
        for name in part.aliases or ():
            _add_alias(model, name, changes)


def apply_routes(part: ModelPart, changes: Changes) -> None:
    """Give a model that lists routes exactly those."""
    if part.routes is None:
        return
    model = Model.objects.get(name=part.name)
    title = f"[[models]] {part.name}: routes"
    kept = [_apply_route(model, route, title, changes) for route in part.routes]
    for route in model.routes.exclude(pk__in=kept).select_related("upstream").order_by("pk"):
        changes.removed(f"route {route}")
        route.delete()


def _dialect(part: UpstreamPart, title: str, changes: Changes) -> dict[str, str]:
    if part.dialect is None:
        return {}
    if part.dialect not in NAMES:
        raise changes.problem(title, "dialect", f"must be one of {', '.join(sorted(NAMES))}")
    return {"dialect": part.dialect}


def _check_address(base_url: str, title: str, changes: Changes, sandbox_url: str) -> None:
    try:
        upstreams.check_address(base_url, sandbox_url=sandbox_url)
    except Unresolvable as problem:
        changes.noted(f"{title}: base_url: {problem}")
    except AddressProblem as problem:
        raise changes.problem(title, "base_url", problem) from None


def _apply_credential(upstream: Upstream, part: UpstreamPart, title: str, changes: Changes) -> None:
    """Store the default credential of an upstream, as ``api_key`` beside its name gives it."""
    secret = _secret(part, title, changes)
    if secret is None:
        return
    try:
        if upstreams.set_credential(upstream=upstream, secret=secret):
            changes.made(f"credential of {upstream.name}")
    except CredentialProblem as problem:
        raise changes.problem(title, _field(part), problem) from None


def _apply_credentials(upstream: Upstream, parts: tuple[CredentialPart, ...], changes: Changes) -> None:
    """Give an upstream that lists credentials exactly those."""
    for gone in upstream.credentials.exclude(name__in=[part.name for part in parts]).order_by("pk"):
        upstreams.remove_credential(gone)
        changes.removed(f"credential {gone.name} of {upstream.name}")
    for part in parts:
        _apply_named(upstream, part, changes)
    rows = list(upstream.credentials.values_list("is_active", flat=True))
    if rows and not any(rows):
        changes.noted(f"all credentials of upstream {upstream.name} are disabled: no call goes to it")


def _apply_named(upstream: Upstream, part: CredentialPart, changes: Changes) -> None:
    title, what = (
        f"[[upstreams]] {upstream.name}: credentials: {part.name}",
        f"credential {part.name} of {upstream.name}",
    )
    secret = _secret(part, title, changes)
    before = upstream.credentials.filter(name=part.name).first()
    if before is None and secret is None:
        raise changes.problem(title, "api_key", "is missing, and none is stored under this name")
    told = []
    if secret is not None:
        try:
            stored = upstreams.set_credential(upstream=upstream, name=part.name, secret=secret, is_active=None)
        except CredentialProblem as problem:
            raise changes.problem(title, _field(part), problem) from None
        if stored is not None:
            told.append("another API key")
    stored = upstream.credentials.get(name=part.name)
    if part.is_active is not None and upstreams.set_active(stored, part.is_active):
        told.append("enabled" if part.is_active else "disabled")
    if before is None:
        changes.made(what + ("" if stored.is_active else ", disabled"))
    elif told:
        changes.changed(what, ", ".join(told))


def _secret(part: UpstreamPart | CredentialPart, title: str, changes: Changes) -> str | None:
    """The API key of a part, wherever it says it is; None if it says nothing of one."""
    if part.api_key_env is None:
        return part.api_key
    secret = environment.variable(part.api_key_env)
    if not secret:
        raise changes.problem(title, "api_key_env", f"{part.api_key_env} is not set in the environment")
    return secret


def _field(part: UpstreamPart | CredentialPart) -> str:
    """Which field of a part its API key comes from."""
    return "api_key" if part.api_key_env is None else "api_key_env"


def _add_alias(model: Model, name: str, changes: Changes) -> None:
    title = f"[[models]] {model.name}"
    if Model.objects.filter(name=name).exists():
        raise changes.problem(title, "aliases", f"{name} is the name of a model")
    alias, made = ModelAlias.objects.select_related("model").get_or_create(name=name, defaults={"model": model})
    if alias.model_id != model.pk:
        raise changes.problem(title, "aliases", f"{name} is an alias of {alias.model.name}")
    if made:
        changes.made(f"alias {name} of {model.name}")


def _apply_route(model: Model, part: RoutePart, title: str, changes: Changes) -> int:
    upstream = Upstream.objects.filter(name=part.upstream).first()
    if upstream is None:
        raise changes.problem(title, "upstream", f"there is no upstream {part.upstream}")
    wanted = {"priority": part.priority, "weight": part.weight, "is_active": True}
    route, made = Route.objects.get_or_create(
        model=model, upstream=upstream, upstream_model=part.model, defaults=wanted
    )
    if made:
        changes.made(f"route {route}")
    elif told := assign(route, wanted):
        route.save()
        changes.changed(f"route {route}", ", ".join(told))
    return route.pk
