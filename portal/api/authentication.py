"""Who calls the management API: an API token, or the session of the pages."""

from __future__ import annotations

from django.utils.timezone import now
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal import api_tokens
from portal.models import ApiToken, User

REFUSED = "This API token is not valid."


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer tgm_…``. Every token that is not usable gets the same answer."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """The token's member, and the token; None if there is no such header."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise AuthenticationFailed(REFUSED)
        token = api_tokens.find(text.strip(), now=now())
        if token is None:
            raise AuthenticationFailed(REFUSED)
        return token.membership.user, token

    def authenticate_header(self, request: Request) -> str:
        """Makes the answer to strangers 401."""
        return 'Bearer realm="Tollgate management API"'


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes it."""

    target_class = "portal.api.authentication.TokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "tgm_…"}
