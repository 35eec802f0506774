"""The gateway's public pages: the developers' guide and the reference of its API."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from proxy import error_table, reference
from proxy.guide import contents, pages, readings, search
from proxy.guide.contents import Entry

MOST_QUESTION = 200


@require_safe
def start(_request: HttpRequest) -> HttpResponse:
    """The guide begins with its first page."""
    return redirect("guide", slug=contents.ENTRIES[0].slug)


@require_safe
def guide(request: HttpRequest, slug: str) -> HttpResponse:
    """A page of the guide, its examples filled in for who reads it."""
    entry = contents.WRITTEN.get(slug)
    if entry is None:
        raise Http404
    source = pages.source_of(slug)
    reader = readings.reader_of(request)
    shown = {
        "title": source.title,
        "headings": [heading for heading in source.headings if heading.depth == 2],
        "changed": pages.changed()[slug]["on"],
        "content": SafeString(pages.html_of(slug, reader)),  # what is not ours in it was escaped by its maker
        "models": readings.models_for(request) if source.names_model else [],
        "model": reader.model,
    }
    return render(request, "docs/guide.html", around(entry) | shown)


@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Sections with the words of ``?q=``; to htmx the results alone."""
    question = request.GET.get("q", "")[:MOST_QUESTION]
    found = {"question": question, "results": search.find(question), "chapters": contents.CHAPTERS}
    part = request.headers.get("HX-Request") == "true"
    return render(request, "docs/results.html" if part else "docs/search.html", found)


@require_safe
def parameters(request: HttpRequest) -> HttpResponse:
    """Endpoints, parameters and errors, from the tables that check them and that tests prove whole."""
    shown = {
        "base_url": request.build_absolute_uri("/v1"),
        "endpoints": reference.ENDPOINTS,
        "rows": reference.rows(),
        "sections": reference.sections(),
        "refused": reference.refused(),
        "errors": error_table.ERRORS,
        "statuses": error_table.statuses(),
    }
    return render(request, "docs/parameters.html", around(contents.REFERENCE) | shown)


def around(entry: Entry) -> dict[str, Any]:
    """What the frame of a page of the docs needs: the contents, and the pages before and after."""
    before, after = contents.beside(entry)
    return {"chapters": contents.CHAPTERS, "entry": entry, "before": before, "after": after}


urlpatterns = [
    path("docs/", start, name="guide_start"),
    path("docs/api", parameters, name="api_reference"),
    path("docs/search", find, name="guide_search"),
    path("docs/<slug:slug>", guide, name="guide"),
]
