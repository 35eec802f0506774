"""The rules of FOCUS 1.2 that a dataset of ours can break, written from the specification: columns and their values."""

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal

MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart",
    "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}  # fmt: skip
CONDITIONAL = {
    "BillingAccountType", "ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "InvoiceId",
    "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "RegionId", "RegionName", "ResourceId",
    "ResourceName", "ResourceType", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId",
    "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
}  # fmt: skip
NULLABLE = {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}
NEVER_NULL = (MANDATORY - NULLABLE) | {
    "BillingAccountType", "ChargeFrequency", "PricingCurrency", "PricingCurrencyEffectiveCost", "ServiceSubcategory",
}  # fmt: skip
NUMBERS = {
    "BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost",
    "ListUnitPrice", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice", "PricingQuantity",
}  # fmt: skip
TIMES = {"BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"}
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"", "Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"AI and Machine Learning", "Other"},
    "ServiceSubcategory": {"Generative AI", "Other (Other)"},
}
PRICED = ("ListUnitPrice", "ContractedUnitPrice", "PricingCategory", "PricingQuantity", "SkuId", "SkuPriceId")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TOGETHER = (
    ("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit"), ("SubAccountId", "SubAccountType"),
    ("ResourceId", "ResourceType"), ("SkuId", "SkuMeter"), ("BillingAccountId", "BillingAccountType"),
)  # fmt: skip

Texts = dict[str, str]


def broken(rows: list[Texts]) -> list[str]:
    """What is wrong with the rows of a CSV file, in words; an empty cell is null."""
    found = [f"column {name} is missing" for name in sorted(MANDATORY - set(rows[0]))]
    found += [f"column {name} is none of FOCUS" for name in rows[0] if name not in MANDATORY | CONDITIONAL]
    for place, row in enumerate(rows, 1):
        found += [f"row {place} ({row['ChargeCategory']}): {wrong}" for wrong in _of_row(row)]
    return found


def _of_row(row: Texts) -> list[str]:
    found = [f"{name} is null" for name in NEVER_NULL if not row[name]]
    found += [f"{name} is {row[name]!r}" for name in NUMBERS if row[name] and not NUMBER.fullmatch(row[name])]
    found += [f"{name} is {row[name]!r}" for name in TIMES if not TIME.fullmatch(row[name])]
    found += [f"{name} is {row[name]!r}" for name, allowed in ALLOWED.items() if row[name] not in allowed]
    found += [f"{one} without {other}" for one, other in TOGETHER if bool(row[one]) != bool(row[other])]
    if not re.fullmatch("[A-Z]{3}", row["BillingCurrency"]):
        found.append("BillingCurrency is no code of ISO 4217")
    return found if found else _of_periods(row) + _of_prices(row) + _of_texts(row)


def _of_periods(row: Texts) -> list[str]:
    found = []
    for name in ("BillingPeriod", "ChargePeriod"):
        if datetime.fromisoformat(row[f"{name}Start"]) >= datetime.fromisoformat(row[f"{name}End"]):
            found.append(f"{name} is empty")
    return found


def _of_prices(row: Texts) -> list[str]:
    found = []
    category, corrects = row["ChargeCategory"], row["ChargeClass"] == "Correction"
    if category == "Tax":
        found += [f"{name} of a tax" for name in (*PRICED, "ConsumedQuantity") if row[name]]
    if category in ("Usage", "Purchase") and not corrects:
        found += [f"{name} is null" for name in PRICED if not row[name]]
    if category != "Usage" and row["ConsumedQuantity"]:
        found.append("ConsumedQuantity of what is no usage")
    if category == "Usage" and not corrects and not row["ConsumedQuantity"]:
        found.append("ConsumedQuantity is null")
    if category == "Purchase" and row["ChargeFrequency"] == "Usage-Based":
        found.append("a purchase that goes by usage")
    for unit, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        if row[unit]:
            if Decimal(row[unit]) < 0:
                found.append(f"{unit} is negative")
            if not corrects and Decimal(row[unit]) * Decimal(row["PricingQuantity"]) != Decimal(row[cost]):
                found.append(f"{cost} is not {unit} times PricingQuantity")
        elif row[cost] != row["BilledCost"]:
            found.append(f"{cost} is not BilledCost")
    return found


def _of_texts(row: Texts) -> list[str]:
    found = []
    for name in ("Tags", "SkuPriceDetails"):
        values = json.loads(row[name] or "{}")
        if not isinstance(values, dict) or any(isinstance(value, dict | list) for value in values.values()):
            found.append(f"{name} is no object of plain values")
    if any(not key.startswith("x_") for key in json.loads(row["SkuPriceDetails"] or "{}")):
        found.append("a property of SkuPriceDetails that FOCUS does not define has no x_")
    return found
