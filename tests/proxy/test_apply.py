"""``manage.py apply``: what it takes, what it changes, what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.utils.timezone import now

from billing import proposals
from billing.models import Allowance, Budget, LedgerAccount, Price, PriceProposal, Wallet
from billing.money import PICO_PER_USD
from portal.models import AuditEntry, Project, Tenant, User
from portal.tenancy import as_operator
from proxy import upstreams
from proxy.apply import document
from proxy.apply.document import DocumentProblem
from proxy.models import Credential, Model, ModelAlias, Route, Upstream
from tests.proxy.commands import run

WHOLE = """
[[upstreams]]
name = "here"
dialect = "openai"
base_url = "https://no-such-host.invalid/v1"
api_key = "sk-upstream-0123456789"

[[models]]
name = "gpt-4o-mini"
aliases = ["openai/gpt-4o-mini", "gpt-4o-mini@2024-07-18"]
context_window = 128000
max_output_tokens = 16384
routes = [{ upstream = "here", model = "gpt-4o-mini", priority = 1, weight = 1 }]
[models.price]                         # USD per 1M tokens, as strings
input = "0.15"
cache_read = "0.075"
output = "0.60"

[[tenants]]
slug = "acme"
name = "Acme GmbH"
billing = "postpaid"
credit_limit = "100.00"
timezone = "Europe/Paris"
monthly_budget = "50.00"

[[tenants]]
slug = "paid"
name = "Paid"
billing = "prepaid"
top_up = "25.00"

[[projects]]
tenant = "acme"
slug = "web"
name = "Web"
monthly_budget = "5.00"

[[budgets]]
tenant = "acme"
project = "web"
window = "day"
limit = "1.00"
"""

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "offer.toml"
    path.write_text(WHOLE)
    return path


def lines(file: Path, *flags: str) -> list[str]:
    return run("apply", str(file), *flags).splitlines()


def refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(CommandError) as error:
        run("apply", str(file))
    return str(error.value)


def test_it_makes_everything(file: Path) -> None:
    told = lines(file)

    assert "+ model gpt-4o-mini" in told
    with as_operator():
        assert upstreams.secret_of(Upstream.objects.get(name="here")) == "sk-upstream-0123456789"
        assert ModelAlias.objects.filter(model__name="gpt-4o-mini").count() == 2
        assert Route.objects.get(model__name="gpt-4o-mini").upstream.name == "here"
        price = Price.objects.get(model="gpt-4o-mini")
        assert (price.input, price.cache_read, price.output) == (150_000, 75_000, 600_000)
        assert price.reasoning == price.output
        assert int(Wallet.objects.get(tenant__slug="acme").credit_limit) == 100 * PICO_PER_USD
        assert int(Allowance.objects.get(tenant__slug="paid", budget=None).limit) == 25 * PICO_PER_USD
        assert Budget.objects.filter(tenant__slug="acme").count() == 3
        assert Project.objects.get(slug="web").name == "Web"
        assert AuditEntry.objects.filter(action="apply", subject="offer.toml").count() == 1


def test_a_second_time_changes_nothing(file: Path) -> None:
    lines(file)

    assert lines(file) == ["= nothing to change"]
    with as_operator():
        assert LedgerAccount.objects.get(tenant__slug="paid", kind="wallet").entries.count() == 1
        assert Price.objects.filter(model="gpt-4o-mini").count() == 1


def test_a_dry_run_says_the_same_and_changes_nothing(file: Path) -> None:
    dry = [line for line in lines(file, "--dry-run") if not line.startswith("+ price")]

    with as_operator():
        assert not Upstream.objects.exists()
        assert not Tenant.objects.exists()
    assert dry == [line for line in lines(file) if not line.startswith("+ price")]


def test_it_says_what_changed(file: Path) -> None:
    lines(file)
    changed = WHOLE.replace('input = "0.15"', 'input = "0.20"').replace('"openai/gpt-4o-mini", ', "")
    changed = changed.replace('limit = "1.00"', 'limit = "2.00"').replace("weight = 1", "weight = 3")
    file.write_text(changed.replace('credit_limit = "100.00"', 'credit_limit = "80.00"'))

    told = lines(file)

    assert any(line.startswith("~ price gpt-4o-mini: input 0.15 → 0.20") for line in told)
    assert "- alias openai/gpt-4o-mini of gpt-4o-mini" in told
    assert "~ day budget of acme web: limit 1.00 → 2.00" in told
    assert "~ route gpt-4o-mini → here/gpt-4o-mini: weight 1 → 3" in told
    assert "~ tenant acme: credit_limit 100.00 → 80.00" in told
    assert len(told) == 5


def test_a_new_address_forgets_the_credential(file: Path) -> None:
    lines(file)
    file.write_text('[[upstreams]]\nname = "here"\nbase_url = "https://elsewhere.invalid/v1"')

    assert any("credential forgotten" in line for line in lines(file))
    with as_operator():
        assert not Credential.objects.exists()


def test_it_reads_a_credential_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = WHOLE.replace('api_key = "sk-upstream-0123456789"', 'api_key_env = "SOME_API_KEY"')
    assert "SOME_API_KEY is not set" in refusal(file, text)
    monkeypatch.setenv("SOME_API_KEY", "sk-from-the-environment")

    told = lines(file)

    assert "sk-from-the-environment" not in "\n".join(told)
    with as_operator():
        assert upstreams.secret_of(Upstream.objects.get(name="here")) == "sk-from-the-environment"


LISTED = """
[[upstreams]]
name = "here"
base_url = "https://no-such-host.invalid/v1"
credentials = [
    { name = "first", api_key = "sk-first-0123456789" },
    { name = "eu", api_key_env = "EU_API_KEY" },
]
"""


@pytest.fixture
def listed(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A document with two credentials, applied."""
    monkeypatch.setenv("EU_API_KEY", "sk-eu-0123456789ab")
    file.write_text(LISTED)
    assert {"+ credential first of here", "+ credential eu of here"} <= set(lines(file))
    return file


def stored() -> dict[str, tuple[str, bool]]:
    with as_operator():
        return {one.name: (upstreams.secret_in(one), one.is_active) for one in Credential.objects.all()}


def again(file: Path, old: str, new: str) -> list[str]:
    """What a changed document changes; the same once more changes nothing."""
    assert old in LISTED
    file.write_text(LISTED.replace(old, new))
    told = [line for line in lines(file) if not line.startswith("!")]
    assert [line for line in lines(file) if not line.startswith("!")] in ([], ["= nothing to change"])
    return told


def test_listed_credentials_are_stored_once(listed: Path) -> None:
    assert lines(listed) == ["= nothing to change"]
    assert stored() == {"first": ("sk-first-0123456789", True), "eu": ("sk-eu-0123456789ab", True)}


def test_a_credential_that_is_listed_no_more_is_removed(listed: Path) -> None:
    told = again(listed, '{ name = "eu", api_key_env = "EU_API_KEY" },', "")
    assert told == ["- credential eu of here"]
    assert set(stored()) == {"first"}


def test_a_listed_credential_gets_another_secret(listed: Path) -> None:
    told = again(listed, "sk-first-0123456789", "sk-first-abcdefghij")
    assert told == ["~ credential first of here: another API key"]
    assert stored()["first"] == ("sk-first-abcdefghij", True)


def test_a_listed_credential_is_disabled_and_stays_so_until_the_document_says_otherwise(listed: Path) -> None:
    eu = '{ name = "eu", api_key_env = "EU_API_KEY" }'
    assert again(listed, eu, '{ name = "eu", active = false }') == ["~ credential eu of here: disabled"]
    assert stored()["eu"] == ("sk-eu-0123456789ab", False)
    assert again(listed, eu, eu) == ["= nothing to change"]
    assert again(listed, eu, '{ name = "eu", active = true }') == ["~ credential eu of here: enabled"]


def test_a_document_without_a_list_leaves_them_alone_and_one_without_active_ones_says_so(listed: Path) -> None:
    listed.write_text('[[upstreams]]\nname = "here"\n')
    assert lines(listed) == ["= nothing to change"]
    listed.write_text('[[upstreams]]\nname = "here"\ncredentials = [{ name = "first", active = false }]\n')
    assert "! all credentials of upstream here are disabled: no call goes to it" in lines(listed)
    listed.write_text('[[upstreams]]\nname = "here"\ncredentials = []\n')
    assert lines(listed) == ["- credential first of here"]


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ('[{ name = "new" }]', "here: credentials: new: api_key: is missing, and none is stored under this name"),
        ('[{ api_key = "sk-0123456789ab" }]', "here: credentials: number 1: name: is missing"),
        ('[{ name = "A b", api_key = "sk-0123456789ab" }]', "here: credentials: number 1: name: must have a–z"),
        ('[{ name = "a", api_key = "ключ" }]', "here: credentials: a: api_key: An upstream's API key has visible"),
        ('[{ name = "a", api_key_env = "NOT_SET" }]', "here: credentials: a: api_key_env: NOT_SET is not set"),
        ('[{ name = "a", api_key = "x", api_key_env = "Y" }]', "credentials: number 1: api_key: cannot stand beside"),
        ('[{ name = "a", secret = "x" }]', "here: credentials: number 1: secret: is not a known field"),
        ('[{ name = "a", api_key = "x" }, { name = "a", api_key = "y" }]', "here: credentials: has a name twice"),
        ('[]\napi_key = "x"', "here: credentials: cannot stand beside api_key"),
        ('"sk-0123456789ab"', "here: credentials: must be a list of tables"),
    ],
)
def test_it_refuses_lists_of_credentials_that_cannot_be(listed: Path, credentials: str, said: str) -> None:
    before = stored()
    text = f'[[upstreams]]\nname = "here"\ncredentials = {credentials}\n'
    assert f"[[upstreams]] {said}" in (found := refusal(listed, text)) or said in found
    assert stored() == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("context_window = 128000", 'context_window = "128000"', "[[models]] gpt-4o-mini: context_window"),
        ("context_window = 128000", "context_window = true", "[[models]] gpt-4o-mini: context_window"),
        ("context_window = 128000", "context_window = 0", "context_window: must be a whole number from 1"),
        ("max_output_tokens = 16384", "", "[[models]] gpt-4o-mini: max_output_tokens: is missing"),
        ('input = "0.15"', "input = 0.15", "[[models]] gpt-4o-mini: price: input: must be an amount in quotes"),
        ('input = "0.15"', 'input = "0.1234567"', "price: input"),
        ('input = "0.15"', 'input = "-1"', "price: input"),
        ('input = "0.15"', 'input = "1e3"', "price: input"),
        ('output = "0.60"', "", "price: output: is missing"),
        ('output = "0.60"', 'output = "0.60"\nmagic = "1"', "price: magic: is not a known field"),
        ('upstream = "here", model', 'upstream = "there", model', "routes: upstream: there is no upstream there"),
        ("weight = 1", "weight = 0", "routes: number 1: weight"),
        ('dialect = "openai"', 'dialect = "klingon"', "[[upstreams]] here: dialect: must be one of"),
        ('"https://no-such-host.invalid/v1"', '"http://no-such-host.invalid/v1"', "here: base_url: A base URL starts"),
        ('"https://no-such-host.invalid/v1"', '"https://127.0.0.1/v1"', "here: base_url: 127.0.0.1 leads"),
        ('timezone = "Europe/Paris"', 'timezone = "Mars"', "[[tenants]] acme"),
        ('billing = "postpaid"', 'billing = "never"', "[[tenants]] acme: billing: must be one of prepaid, postpaid"),
        ('top_up = "25.00"', 'credit_limit = "1.00"', "[[tenants]] paid: credit_limit"),
        ('slug = "acme"', 'slug = "Acme!"', "[[tenants]] Acme!: slug"),
        ('window = "day"', 'window = "year"', "[[budgets]] acme web year: window"),
        ('project = "web"', 'project = "app"', "[[budgets]] acme app: project: there is no project app"),
        ('name = "Web"', 'name = "Web"\nrole = "owner"', "[[projects]] acme web: role: is not a known field"),
        ("[[budgets]]", "[[bugdets]]", "bugdets: is not a known field"),
        ('aliases = ["', 'aliases = ["gpt-4o-mini", "', "aliases: holds the model's own name"),
        ("[[upstreams]]", "[[upstreams", "offer.toml: "),
    ],
)
def test_it_names_file_table_and_field(file: Path, old: str, new: str, said: str) -> None:
    assert old in WHOLE
    told = refusal(file, WHOLE.replace(old, new, 1))

    assert told.startswith("offer.toml: ")
    assert said in told
    with as_operator():
        assert not Upstream.objects.exists()
        assert not Tenant.objects.exists()


def test_it_names_every_problem_at_once() -> None:
    with pytest.raises(DocumentProblem) as problem:
        document.parse('[[models]]\nname = 1\n[[tenants]]\nslug = "a"\nname = ""', "x.toml")

    assert len(problem.value.lines) == 2


def test_an_alias_cannot_be_stolen(file: Path) -> None:
    lines(file)
    told = refusal(
        file,
        '[[models]]\nname = "other"\ncontext_window = 1\nmax_output_tokens = 1\naliases = ["gpt-4o-mini@2024-07-18"]',
    )

    assert "is an alias of gpt-4o-mini" in told


def test_an_alias_can_move_within_a_file(file: Path) -> None:
    lines(file)
    moved = WHOLE.replace('"openai/gpt-4o-mini", ', "")
    file.write_text(
        '[[models]]\nname = "a-first"\ncontext_window = 1\nmax_output_tokens = 1\naliases = ["openai/gpt-4o-mini"]\n'
        + moved
    )
    lines(file)
    with as_operator():
        assert ModelAlias.objects.get(name="openai/gpt-4o-mini").model.name == "a-first"


def test_it_tells_of_a_model_nobody_can_call(file: Path) -> None:
    file.write_text('[[models]]\nname = "free"\ncontext_window = 1\nmax_output_tokens = 1')

    assert "! model free has no price: calls to it are refused" in lines(file)
    with as_operator():
        assert Model.objects.filter(name="free").exists()


VARIANTS = """
[[models.price.variants]]              # a long prompt prices the whole request
above_tokens = 200000
input = "0.30"
output = "0.90"

[[models.price.variants]]
service_tier = "flex"
input = "0.075"

[[models.price.variants]]
name = "night"
hours = "16:30-00:30"
input = "0.05"
output = "0.20"
per_image = "0.01"
"""
PRICED = WHOLE.replace('output = "0.60"\n', f'output = "0.60"\n{VARIANTS}')


def variants() -> dict[str, Price]:
    with as_operator():
        return {row.variant: row for row in Price.objects.filter(model="gpt-4o-mini", effective_to=None)}


def test_a_price_may_have_variants(file: Path) -> None:
    file.write_text(PRICED)
    told = lines(file)

    assert any(line.startswith("+ price gpt-4o-mini, above-200000: input 0.30, output 0.90") for line in told)
    found = variants()
    assert set(found) == {"", "above-200000", "flex", "night"}
    assert (found["above-200000"].above_tokens, found["above-200000"].input) == (200_000, 300_000)
    assert (found["flex"].service_tier, found["flex"].output) == ("flex", 600_000)
    assert (found["night"].hours, found["night"].per_image) == ([[990, 30]], PICO_PER_USD // 100)
    assert lines(file) == ["= nothing to change"]


def test_variants_change_with_the_list_and_stay_without_one(file: Path) -> None:
    file.write_text(PRICED)
    lines(file)
    file.write_text(WHOLE)
    assert lines(file) == ["= nothing to change"]

    file.write_text(WHOLE.replace('"0.60"', '"0.61"'))
    told = lines(file)
    assert any(line.startswith("~ price gpt-4o-mini: output 0.60 → 0.61") for line in told)
    assert "! price gpt-4o-mini keeps its variants: night, above-200000, flex" in told
    assert variants()["above-200000"].output == 900_000

    file.write_text(PRICED.replace('service_tier = "flex"', 'service_tier = "batch"').replace('"0.90"', '"0.95"'))
    told = lines(file)
    assert any(line.startswith("~ price gpt-4o-mini, above-200000: output 0.90 → 0.95") for line in told)
    assert any(line.startswith("- price gpt-4o-mini, flex from") for line in told)
    assert any(line.startswith("+ price gpt-4o-mini, batch: input 0.075") for line in told)

    file.write_text(WHOLE.replace('output = "0.60"', 'output = "0.60"\nvariants = []'))
    lines(file)
    assert set(variants()) == {""}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("above_tokens = 0", "above_tokens: must be a whole number from 1"),
        ("above_tokens = 200000", "variants: above-200000 is there twice"),
        ('service_tier = "default"', "no service tier with a price of its own"),
        ('service_tier = "flex"\nabove_tokens = 5', "needs a price for every request"),
        ('hours = "25:00-26:00"', "hours: 25:00-26:00 is no span of hours"),
        ('input = "1"', "has no condition"),
        ("above_tokens = 9\ninput = 1", "input: must be an amount in quotes"),
        ("above_tokens = 9\nspeed = 1", "speed: is not a known field"),
    ],
)
def test_it_says_what_is_wrong_with_variants(file: Path, wrong: str, message: str) -> None:
    first = "[[models.price.variants]]\nabove_tokens = 200000\n"
    text = f'output = "0.60"\n{first}[[models.price.variants]]\n{wrong}\n'
    assert message in refusal(file, WHOLE.replace('output = "0.60"\n', text))


def test_under_four_eyes_prices_wait_for_a_second_operator(file: Path, settings: Any) -> None:
    settings.FOUR_EYES = True
    assert any(line.startswith("! prices of 1 models wait for a second operator") for line in lines(file))
    assert "! price gpt-4o-mini: the same change waits for approval" in lines(file)
    with as_operator():
        assert not Price.objects.exists()
        waiting = PriceProposal.objects.get()
        other = User.objects.create_superuser("other@tollgate.test", None)
        proposals.approve(proposal_id=waiting.pk, actor_id=other.pk, now=now())
        assert Price.objects.get(model="gpt-4o-mini").input == 150_000
    assert lines(file) == ["= nothing to change"]
