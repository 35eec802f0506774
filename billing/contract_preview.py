"""What months would come to under terms that are not agreed yet, beside what they come to now. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing import contract_months, contract_sums, contract_windows, contract_words
from billing.contract_months import Stretch
from billing.contract_sums import USD, Contract, TierTerms
from billing.contract_windows import Window
from billing.money import usd
from billing.parties import Tenant
from billing.periods import last_ended, month_of


@dataclass(frozen=True, slots=True)
class Previewed:
    """A month: picodollars at list price (re-rated if it was), as it is now, and under the terms, part by part."""

    label: str
    is_over: bool
    listed: int
    now: int
    parts: tuple[tuple[str, int], ...]
    then: int

    @property
    def change(self) -> int:
        """What the terms add to the month, or (negative) take off."""
        return self.then - self.now


def months(*, tenant: Tenant, contract: Contract, now: datetime) -> list[Previewed]:
    """The month that ended last and the running one, as if the terms were in force from their beginning to their end.

    What is closed stays closed: this is to see what terms mean before they are agreed.
    """
    zone, anchor = tenant.timezone, tenant.billing_anchor_day
    done = contract_windows.closed(tenant.id)
    found = []
    for label in (last_ended(now, zone, anchor).label, month_of(now, zone, anchor).label):
        for window in contract_windows.of_month(tenant, label, done):
            found.append(_previewed(tenant, contract, window, now))
    return found


def warnings(contract: Contract) -> list[str]:
    """What an operator should know before agreeing."""
    return [
        f"{rule.pattern}: a month that grows from {_said(above, rule)} to a little more costs {usd(saved)} USD less. "
        "Volume prices that fall do that where a tier begins; graduated ones do not."
        for rule in contract.tiers
        for above, saved in contract_sums.drops(rule)
    ]


def _previewed(tenant: Tenant, contract: Contract, window: Window, now: datetime) -> Previewed:
    came = contract_months.outcome_under(
        contract, tenant_id=tenant.id, window=window, span=(window.start, window.end), now=now
    )
    listed = came.listed + came.besides
    stretches = contract_months.of_window(tenant, window, now)
    parts = tuple((contract_words.said(part, "en"), part.exact) for _name, part in came.parts)
    return Previewed(window.label, window.end <= now, listed, listed + changed(stretches), parts, came.total)


def changed(stretches: Sequence[Stretch]) -> int:
    """What the terms that are in force make of the list price."""
    return sum(stretch.outcome.changed for stretch in stretches)


def _said(above: int, rule: TierTerms) -> str:
    return f"{usd(above)} USD" if rule.unit == USD else f"{above:,} tokens"
