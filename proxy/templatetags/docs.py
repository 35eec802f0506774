"""Template tags of the API's reference."""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def ticks(text: str) -> SafeString:
    """A text with what stands between backticks as code, everything escaped."""
    kinds = ("{}", "<code>{}</code>")
    parts = ((format_html(kinds[place % 2], part),) for place, part in enumerate(text.split("`")))
    return format_html_join("", "{}", parts)
