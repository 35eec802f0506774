"""The answer under the API's prefix where there is nothing: JSON, not a page."""

from __future__ import annotations

from django.http import Http404
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Missing(APIView):
    """404 for every method, whoever asks."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Nothing is here."""
        raise Http404

    def get(self, request: Request) -> Response:
        """Never reached; it makes the view known to the router of methods."""
        raise Http404
