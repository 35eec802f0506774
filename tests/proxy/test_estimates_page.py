"""The operators' page of estimates: what was learned of each model, and how far estimates were off."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils.timezone import now

from portal.models import User
from portal.tenancy import as_operator
from proxy.models import Model, ModelEstimate
from tests.portal.cast import person, signed_in


@pytest.fixture
def learned(db: None) -> ModelEstimate:
    with as_operator():
        model = Model.objects.create(name="gpt-4o-mini", context_window=1000, max_output_tokens=100)
        days = {f"{now():%Y-%m-%d}": [3, 2_500_000_000_000], f"{now() - timedelta(days=40):%Y-%m-%d}": [9, 10**13]}
        return ModelEstimate.objects.create(
            model=model,
            learned_until=now(),
            input_factor=4_321,
            input_samples=77,
            input_errors=[*[20] * 8, 300, 310],
            estimated=days,
        )


@pytest.mark.parametrize("page", ["changelist", "change"])
def test_it_shows_factors_errors_and_what_estimates_cost(learned: ModelEstimate, page: str) -> None:
    staff = signed_in(User.objects.create_superuser("staff@tollgate.test", None))
    arguments = [learned.model_id] if page == "change" else []
    shown = staff.get(reverse(f"admin:proxy_modelestimate_{page}", args=arguments))
    assert shown.status_code == 200
    text = shown.content.decode()
    for word in ("gpt-4o-mini", "o200k_base", "4.32", "77", "2.0 %, 30.0 %, 7.7 %", "too few calls", "2.50"):
        assert word in text, word
    assert "12.50" not in text  # what is older than 30 days


def test_it_is_for_operators(learned: ModelEstimate) -> None:
    answer = signed_in(person("alice@tollgate.test")).get(reverse("admin:proxy_modelestimate_changelist"))
    assert answer.status_code == 302
