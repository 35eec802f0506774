"""The line icons of the pages: path data in a 20 × 20 box."""

from __future__ import annotations

PATHS = {
    "mark": '<path d="M4 17V4M2.5 17h3M4 7l12.5-3.3M4 10.6l13-3.4M17 3.5v4"/>',
    "home": '<path d="M3 9.2 10 3.5l7 5.7V16a1 1 0 0 1-1 1h-3.5v-4.5h-5V17H4a1 1 0 0 1-1-1z"/>',
    "key": '<circle cx="6.8" cy="13.2" r="3.8"/><path d="m9.6 10.4 7-7M13.8 6.2l2.4 2.4M11.6 8.4l1.5 1.5"/>',
    "chart": '<path d="M3 17h14M5.5 17v-5M10 17V4M14.5 17V8.5"/>',
    "list": '<path d="M7 5h10M7 10h10M7 15h10M3 5h.01M3 10h.01M3 15h.01"/>',
    "folder": '<path d="M2.5 6a1.5 1.5 0 0 1 1.5-1.5h3.2L9 6.5h7A1.5 1.5 0 0 1 17.5 8v6a1.5 1.5 0 0 1-1.5 1.5'
    'H4A1.5 1.5 0 0 1 2.5 14z"/>',
    "people": '<circle cx="7.5" cy="6.8" r="2.8"/><path d="M2.5 16.5c0-2.8 2.2-4.6 5-4.6s5 1.8 5 4.6'
    'M13 4.2a2.8 2.8 0 0 1 0 5.2M14.5 12.2c1.9.5 3 2.1 3 4.3"/>',
    "wallet": '<path d="M15 6.5V5a1.5 1.5 0 0 0-1.5-1.5h-9A1.5 1.5 0 0 0 3 5v10a1.5 1.5 0 0 0 1.5 1.5h11A1.5'
    ' 1.5 0 0 0 17 15V8a1.5 1.5 0 0 0-1.5-1.5h-11M13.5 11.5h.01"/>',
    "card": '<rect x="2.5" y="4.5" width="15" height="11" rx="1.6"/><path d="M2.5 8.5h15M5.5 12.5h3"/>',
    "gauge": '<path d="M3.6 15.5a7.5 7.5 0 1 1 12.8 0M10 12l3.2-4.2"/><circle cx="10" cy="12" r="1.2"/>',
    "invoice": '<path d="M5 2.8h10v14.4l-2.5-1.6-2.5 1.6-2.5-1.6L5 17.2zM8 7h4M8 10.5h4"/>',
    "audit": '<circle cx="10" cy="10" r="7.2"/><path d="M10 5.8V10l2.8 1.8"/>',
    "terminal": '<path d="m3.5 5.5 4.5 4.5-4.5 4.5M10 15h6.5"/>',
    "settings": '<path d="M3 5.5h7M14 5.5h3M3 14.5h3M10 14.5h7"/><circle cx="12" cy="5.5" r="2"/>'
    '<circle cx="8" cy="14.5" r="2"/>',
    "book": '<path d="M10 5.5C8 4 5.5 3.8 3 4v11c2.5-.2 5 0 7 1.5 2-1.5 4.5-1.7 7-1.5V4c-2.5-.2-5 0-7 1.5z'
    'M10 5.5v11"/>',
    "person": '<circle cx="10" cy="7" r="3.2"/><path d="M3.8 17c.4-3.2 2.9-5 6.2-5s5.8 1.8 6.2 5"/>',
    "theme": '<circle cx="10" cy="10" r="7"/><path d="M10 3v14a7 7 0 0 0 0-14z" fill="currentColor"/>',
    "leave": '<path d="M8 17H4.5A1.5 1.5 0 0 1 3 15.5v-11A1.5 1.5 0 0 1 4.5 3H8M13 13.5l3.5-3.5L13 6.5M16.5 10H8"/>',
    "menu": '<path d="M3 6h14M3 10h14M3 14h14"/>',
    "close": '<path d="m5 5 10 10M15 5 5 15"/>',
    "chevrons": '<path d="m6.5 8 3.5-3.5L13.5 8M6.5 12l3.5 3.5 3.5-3.5"/>',
    "download": '<path d="M10 3.5v9M6.5 9 10 12.5 13.5 9M3.5 16.5h13"/>',
    "webhook": '<path d="M10 6.5a2.7 2.7 0 1 0-2.3-1.3M8.4 6.6 5.6 11.4M12.5 13.6H8a2.7 2.7 0 1 1-3.6-2.5M12 6l2.7 4.6'
    'a2.7 2.7 0 1 1-2.2 4.3"/>',
    "plus": '<path d="M10 4v12M4 10h12"/>',
}


def svg(name: str) -> str:
    """An icon as decorative SVG; its colour is the text's. Raises KeyError for an unknown name."""
    return (
        '<svg viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.6" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">{PATHS[name]}</svg>'
    )
