"""The gateway's public pages: the reference of its API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from proxy import reference


@require_safe
def parameters(request: HttpRequest) -> HttpResponse:
    """The parameters of chat completions, from the table that checks them."""
    return render(
        request,
        "docs/parameters.html",
        {"rows": reference.rows(), "refused": reference.refused(), "base_url": request.build_absolute_uri("/v1")},
    )


urlpatterns = [path("docs/api", parameters, name="api_reference")]
