"""Whether the database already has the migrations of this checkout, told without starting Django."""

from __future__ import annotations

import hashlib
import importlib.metadata

import psycopg

from portal.environment import ROOT

APPS = ("portal", "proxy", "billing")
#: Packages that bring migrations of their own.
PACKAGES = ("django", "django-allauth", "djangorestframework")
APPLIED = """
SELECT (SELECT oid FROM pg_database WHERE datname = current_database())::text, count(*)::text, max(applied)::text
FROM django_migrations
"""


def fingerprint(database_url: str) -> str | None:
    """A digest of the migrations here and of those applied there; None if none are applied."""
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            applied = connection.execute(APPLIED).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    digest = hashlib.sha256(repr(applied).encode())
    for package in PACKAGES:
        digest.update(f"{package} {importlib.metadata.version(package)}\n".encode())
    for app in APPS:
        for path in sorted((ROOT / app / "migrations").rglob("*")):
            if path.suffix in (".py", ".sql"):
                digest.update(str(path.relative_to(ROOT)).encode() + b"\n" + path.read_bytes())
    return digest.hexdigest()
