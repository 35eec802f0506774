"""Strict reading of what API clients send: bounded JSON, and no field that nobody declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request


class StrictJSONParser(JSONParser):
    """JSON as DRF reads it (no NaN, no Infinity), where endless nesting is a bad request and not a crash."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The parsed body; ParseError for anything that is no JSON object or list."""
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error: nested too deeply") from None


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that answers an undeclared field with 400 instead of ignoring it."""

    def to_internal_value(self, data: Any) -> Any:
        """The declared values; ValidationError names every field that is unknown."""
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = [_shown(name) for name in data if name not in known]
            if unknown:
                raise ValidationError({name: ["Unknown field."] for name in unknown})
        return super().to_internal_value(data)


def _shown(name: object) -> str:
    """A name as it can be told back: JSON may hold lone surrogates, which no answer can."""
    return str(name)[:64].encode("utf-8", "replace").decode()


def read_body(kind: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The validated body of a request."""
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


def read_query(kind: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The validated query string; ``tenant``, which chooses the organisation, is read elsewhere."""
    serializer = kind(data={name: value for name, value in request.query_params.items() if name != "tenant"})
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
