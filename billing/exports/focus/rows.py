"""Rows of the FOCUS dataset: what is the same for all of an invoice, and the kinds of charge. Amounts become 10⁻¹⁸."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings

from billing.exchange import PRICED_IN, Rate
from billing.exports.focus.columns import FOCUS
from billing.exports.focus.reading import Used
from billing.exports.span import Row
from billing.models import Charge, Invoice
from billing.money import per_cent
from billing.parties import Tenant

ATTO_OF_PICO = 10**6
MILLION = 10**6
SERVICE = {"ServiceCategory": "AI and Machine Learning", "ServiceSubcategory": "Generative AI"}
BESIDES = {"ServiceCategory": "Other", "ServiceSubcategory": "Other (Other)"}
UNITS = {"per_request": "Requests", "per_web_search": "Searches", "per_image": "Images"}
"""What a surcharge counts; all else is tokens."""
GIVEN = (Charge.Kind.FREE, Charge.Kind.CREDIT)
BOUGHT = (Charge.Kind.MINIMUM, Charge.Kind.OTHER)

Values = dict[str, Any]


class Stretch(NamedTuple):
    """``[start, end)``."""

    start: datetime
    end: datetime


class Part(NamedTuple):
    """One token class or surcharge of some usage: how many, at which prices, and what they cost; picodollars."""

    meter: str
    quantity: int
    unit: int
    list_unit: int
    exact: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What every row of an invoice says, or of what is on none yet: whose, of which month, in which currency."""

    tenant: Tenant
    period: Stretch
    rate: Rate
    number: str | None
    seller: str

    @classmethod
    def of(cls, tenant: Tenant, invoice: Invoice, rate: Rate) -> Frame:
        """That of an invoice or credit note; a draft has no number yet."""
        seller = invoice.snapshot.get("seller", settings.SELLER)["name"]
        return cls(tenant, Stretch(invoice.period_start_at, invoice.period_end_at), rate, invoice.number, seller)

    def row(self, billed: int, charged: Stretch, exact: int, values: Values) -> Row:
        """A row that bills 10⁻¹² units of the currency, for ``exact`` picodollars; more columns in ``values``."""
        atto = billed * ATTO_OF_PICO
        whole = {
            "BilledCost": atto, "EffectiveCost": atto, "ListCost": atto, "ContractedCost": atto,
            "BillingAccountId": self.tenant.slug, "BillingAccountName": self.tenant.name,
            "BillingAccountType": "Organisation", "BillingCurrency": self.rate.currency,
            "BillingPeriodStart": self.period.start, "BillingPeriodEnd": self.period.end,
            "ChargePeriodStart": charged.start, "ChargePeriodEnd": charged.end,
            "ChargeFrequency": "One-Time", "InvoiceId": self.number, "InvoiceIssuerName": self.seller,
            "PricingCurrency": PRICED_IN, "PricingCurrencyEffectiveCost": exact * ATTO_OF_PICO,
            "ProviderName": self.seller, "PublisherName": self.seller, **values,
        }  # fmt: skip
        return tuple(whole.get(column.name) for column in FOCUS)

    def usage(self, used: Used, part: Part, charged: Stretch, details: str) -> Row:
        """Usage of one key, by its price and the public one."""
        billed = self.rate.convert(part.exact)
        return self.row(billed, charged, part.exact, {
            **SERVICE, **_priced(self.rate, part), **_whose(used),
            "ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based",
            "ChargeClass": "Correction" if used.is_late_truth and charged.start < self.period.start else None,
            "ChargeDescription": f"{used.model}: {words(part.meter)}",
            "ServiceName": used.model, "SkuId": f"{used.model}/{part.meter}",
            "SkuMeter": words(part.meter).capitalize(),
            "SkuPriceId": f"{used.price_id}/{part.meter}", "SkuPriceDetails": details,
            "ConsumedQuantity": part.quantity * 10**18, "ConsumedUnit": UNITS.get(part.meter, "Tokens"),
        })  # fmt: skip

    def charge(self, charge: Charge, charged: Stretch) -> Row:
        """A charge besides usage: bought where it costs, granted where it is an allowance or credit."""
        exact = int(charge.exact)
        billed = self.rate.convert(exact)
        late = charged.start < self.period.start
        values: Values = {
            **BESIDES, "ChargeCategory": "Adjustment", "ChargeDescription": charge.description,
            "ChargeClass": "Correction" if charge.kind == Charge.Kind.RERATED and late else None,
            "ServiceName": charge.get_kind_display(),
        }  # fmt: skip
        if charge.kind in GIVEN:
            values["ChargeCategory"] = "Credit"
        elif charge.kind in BOUGHT and exact > 0:
            values |= _bought(charge, billed, exact)
        return self.row(billed, charged, exact, values)

    def tax(self, category: str, basis_points: int, amounts: tuple[int, int]) -> Row:
        """The tax of one category and rate: 10⁻¹² units of the currency, and picodollars."""
        return self.row(amounts[0], self.period, amounts[1], {
            **BESIDES, "ChargeCategory": "Tax", "ServiceName": "Tax",
            "ChargeDescription": f"Tax of category {category} at {per_cent(basis_points)} %",
        })  # fmt: skip

    def rounding(self, amounts: tuple[int, int]) -> Row:
        """What rounding the lines added to the exact rows before it."""
        return self.row(amounts[0], self.period, amounts[1], {
            **BESIDES, "ChargeCategory": "Adjustment", "ServiceName": "Rounding",
            "ChargeDescription": "Rounding of the invoice's lines",
        })  # fmt: skip

    def credited(self, line: Values, charged: Stretch, amounts: tuple[int, int]) -> Row:
        """What a credit note takes back of a line; ``line`` has its ``model``, ``token_class`` and ``description``."""
        values: Values = {"ChargeClass": "Correction"}
        if line["model"]:
            meter = str(line["token_class"])
            values |= SERVICE | {
                "ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based", "ServiceName": line["model"],
                "ChargeDescription": f"Credited: {line['model']}: {words(meter)}",
                "SkuId": f"{line['model']}/{meter}", "SkuMeter": words(meter).capitalize(),
                "SkuPriceId": f"{line['price_id']}/{meter}",
            }  # fmt: skip
        else:
            values |= BESIDES | {
                "ChargeCategory": "Adjustment", "ServiceName": "Credit note",
                "ChargeDescription": f"Credited: {line['description']}",
            }  # fmt: skip
        return self.row(amounts[0], charged, amounts[1], values)


def words(meter: str) -> str:
    """A token class or surcharge as words: ``cache_read`` → ``cache read tokens``."""
    if meter in UNITS:
        return UNITS[meter].lower()
    return f"{meter.replace('_', ' ')} tokens"


def _priced(rate: Rate, part: Part) -> Values:
    """Quantities and unit prices, so that a cost is exactly their product. Tokens are priced by the million."""
    by_million = part.meter not in UNITS
    scale = MILLION if by_million else 1
    unit, listed = part.unit * scale, part.list_unit * scale  # picodollars of one pricing unit
    own, public = rate.convert(unit), rate.convert(listed)
    quantity = part.quantity * 10**18 // scale
    return {
        "PricingCategory": "Standard", "PricingQuantity": quantity,
        "PricingUnit": f"{MILLION} Tokens" if by_million else UNITS[part.meter],
        "ContractedUnitPrice": own * ATTO_OF_PICO, "ListUnitPrice": public * ATTO_OF_PICO,
        "ContractedCost": own * part.quantity * ATTO_OF_PICO // scale,
        "ListCost": public * part.quantity * ATTO_OF_PICO // scale,
        "PricingCurrencyContractedUnitPrice": unit * ATTO_OF_PICO,
        "PricingCurrencyListUnitPrice": listed * ATTO_OF_PICO,
    }  # fmt: skip


def _whose(used: Used) -> Values:
    project, key = used.project_slug or str(used.project_id), used.key_id or str(used.api_key_id)
    tags = {"tollgate:project": used.project or project, "tollgate:api_key": used.key or key}
    return {
        "SubAccountId": project, "SubAccountName": used.project, "SubAccountType": "Project",
        "ResourceId": key, "ResourceName": used.key or None, "ResourceType": "API key",
        "Tags": json.dumps(tags, ensure_ascii=False),
    }  # fmt: skip


def _bought(charge: Charge, billed: int, exact: int) -> Values:
    """One piece at its whole price."""
    return {
        "ChargeCategory": "Purchase", "PricingCategory": "Standard", "PricingQuantity": 10**18, "PricingUnit": "Units",
        "ChargeFrequency": "Recurring" if charge.kind == Charge.Kind.MINIMUM else "One-Time",
        "ContractedUnitPrice": billed * ATTO_OF_PICO, "ListUnitPrice": billed * ATTO_OF_PICO,
        "PricingCurrencyContractedUnitPrice": exact * ATTO_OF_PICO,
        "PricingCurrencyListUnitPrice": exact * ATTO_OF_PICO,
        "SkuId": f"charge/{charge.kind}", "SkuMeter": "Units", "SkuPriceId": f"charge/{charge.kind}",
    }  # fmt: skip
