"""Template tags of the pages: money, counts, times and icons."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal import figures, icons

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """``{% icon "key" %}``"""
    return SafeString(icons.svg(name))


@register.filter
def money(pico: int | None) -> SafeString:
    """Picodollars, short, with the exact amount on hovering."""
    if pico is None:
        return SafeString("—")
    shown, exact = figures.short(pico), figures.exact(pico)
    if shown == exact:
        return format_html('<span class="money">{}</span>', exact)
    return format_html('<span class="money" title="{} exactly">{}</span>', exact, shown)


@register.filter
def exact_money(pico: int | None, decimals: int = 0) -> SafeString:
    """Picodollars to the last digit, with at least so many decimals."""
    if pico is None:
        return SafeString("—")
    text = figures.exact(pico)
    missing = decimals - len(text.partition(".")[2])
    return format_html('<span class="money">{}</span>', text + "0" * missing)


@register.filter
def exact_decimals(rows: Iterable[Sequence[Any]]) -> int:
    """How many decimals the exact amounts of invoice lines need to stand in one column; a line is the last of a row."""
    return max((len(figures.exact(int(row[-1].exact)).partition(".")[2]) for row in rows), default=2)


@register.filter
def plain_money(pico: int | None) -> str:
    """Picodollars, short, as text without markup: for attributes and charts."""
    return "—" if pico is None else figures.short(pico)


@register.filter
def minor_money(amount: int, currency: str) -> SafeString:
    """Minor units of a currency."""
    return format_html('<span class="money">{}</span>', figures.minor(amount, currency))


@register.filter
def per_million(pico: int) -> str:
    """Picodollars per token as a price per 1M tokens."""
    return figures.per_million(pico)


@register.filter
def count(number: int | None) -> str:
    """Thousands separators."""
    return "—" if number is None else figures.count(number)


@register.filter
def compact(number: int) -> str:
    """A count for the axis of a chart: ``1.5M``."""
    return figures.compact(number)


@register.filter
def ms(value: int | None) -> str:
    """A duration."""
    return "—" if value is None else figures.milliseconds(value)


@register.filter
def moment(value: datetime | None, style: str = "minute") -> SafeString:
    """A time in the page's zone: ``day``, ``minute`` or ``second``; the full one on hovering. This year goes unsaid."""
    if value is None:
        return SafeString("—")
    local = timezone.localtime(value)
    year = "" if style != "day" and local.year == timezone.localdate().year else " %Y"
    clock = {"day": "", "minute": ", %H:%M", "second": ", %H:%M:%S"}[style]
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(),
        local.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + local.strftime(" %Z"),
        local.strftime(f"%-d %b{year}{clock}"),
    )


@register.simple_tag
def zone_now() -> str:
    """The page's time zone by name."""
    zone = timezone.get_current_timezone()
    return zone.key if isinstance(zone, zoneinfo.ZoneInfo) else str(zone)


@register.filter
def kind(field: BoundField) -> str:
    """How a field is laid out: ``check``, ``group`` (radios, many checks) or ``input``."""
    widget = field.field.widget
    if isinstance(widget, RadioSelect | CheckboxSelectMultiple):
        return "group"
    return "check" if isinstance(widget, CheckboxInput) else "input"
