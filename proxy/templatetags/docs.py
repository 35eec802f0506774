"""Template tags of the API's reference."""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing.price_conditions import said_hours
from billing.pricing import Window

register = template.Library()


@register.filter
def ticks(text: str) -> SafeString:
    """A text with what stands between backticks as code, everything escaped."""
    kinds = ("{}", "<code>{}</code>")
    parts = ((format_html(kinds[place % 2], part),) for place, part in enumerate(text.split("`")))
    return format_html_join("", "{}", parts)


@register.filter
def share(value: object) -> str:
    """A share as per cent: 100 % is all of it, and nothing less is rounded up to that. Anything but one is unknown."""
    if not isinstance(value, float):
        return "—"
    return "100 %" if value >= 1 else f"{int(value * 10_000) / 100:.2f} %"


@register.filter
def seconds(value: object) -> str:
    """A duration in seconds, short; anything but one is unknown."""
    if not isinstance(value, float):
        return "—"
    return f"{round(value * 1000):,} ms" if value < 1 else f"{value:.1f} s"


@register.filter
def per_second(value: object) -> str:
    """A rate, whole; anything but one is unknown."""
    return f"{value:,.0f}/s" if isinstance(value, float) else "—"


@register.filter
def worded(name: str) -> str:
    """A name of code in words: ``cache_write_5m`` → ``cache write 5m``."""
    return name.replace("_", " ")


@register.filter
def hours(windows: tuple[Window, ...]) -> str:
    """Hours of a price, UTC."""
    return said_hours(windows)
