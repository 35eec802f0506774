"""``python -m bench.quotas RPM TPM CONCURRENCY``: the rates of the tenant and of its project."""

from __future__ import annotations

import os
import sys

os.environ["TOLLGATE_ROLE"] = "operator"
os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"


def main(arguments: list[str]) -> None:
    """Set them."""
    import django

    django.setup()
    from portal.models import Project
    from portal.quotas import set_quota

    requests, tokens, at_once = map(int, arguments)
    project = Project.objects.select_related("tenant").get(tenant__slug="bench", slug="default")
    for scope in (None, project):
        set_quota(
            tenant=project.tenant,
            project=scope,
            requests_per_minute=requests,
            tokens_per_minute=tokens,
            concurrency=at_once,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
