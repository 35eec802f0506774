"""The gateway's public pages: the reference of its API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from proxy import error_table, reference


@require_safe
def parameters(request: HttpRequest) -> HttpResponse:
    """Endpoints, parameters and errors, from the tables that check them and that tests prove whole."""
    return render(
        request,
        "docs/parameters.html",
        {
            "base_url": request.build_absolute_uri("/v1"),
            "endpoints": reference.ENDPOINTS,
            "rows": reference.rows(),
            "sections": reference.sections(),
            "refused": reference.refused(),
            "errors": error_table.ERRORS,
            "statuses": error_table.statuses(),
        },
    )


urlpatterns = [path("docs/api", parameters, name="api_reference")]
