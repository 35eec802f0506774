"""The columns of the FOCUS dataset: those of FOCUS 1.2 that say something here, in the order of their names. Pure."""

from __future__ import annotations

from billing.exports.columns import Column, Type

VERSION = "1.2"


def _column(name: str, kind: Type, about: str) -> Column:
    return Column(name, kind, "", about)


def _metric(name: str, about: str) -> Column:
    return _column(name, Type.DECIMAL, about)


def _text(name: str, about: str) -> Column:
    return _column(name, Type.TEXT, about)


def _words(name: str, about: str) -> Column:
    return _column(name, Type.WORDS, about)


def _time(name: str, about: str) -> Column:
    return _column(name, Type.SECOND, about)


FOCUS = (
    _metric("BilledCost", "what the invoice charges; summed over an invoice, its total"),
    _text("BillingAccountId", "the organisation's name in addresses"),
    _words("BillingAccountName", "the organisation's name"),
    _text("BillingAccountType", "Organisation"),
    _text("BillingCurrency", "the invoice's currency, ISO 4217"),
    _time("BillingPeriodEnd", "the end of the invoice's month, not in it"),
    _time("BillingPeriodStart", "the start of the invoice's month"),
    _text("ChargeCategory", "Usage, Purchase, Credit, Adjustment or Tax"),
    _text("ChargeClass", "Correction where an earlier invoice is put right, else empty"),
    _words("ChargeDescription", "what the row is for"),
    _text("ChargeFrequency", "Usage-Based, Recurring or One-Time"),
    _time("ChargePeriodEnd", "the end of the hour, day or month that is charged, not in it"),
    _time("ChargePeriodStart", "the start of the hour, day or month that is charged"),
    _metric("ConsumedQuantity", "how many tokens, requests, searches or images were used"),
    _text("ConsumedUnit", "Tokens, Requests, Searches or Images"),
    _metric("ContractedCost", "ContractedUnitPrice times PricingQuantity; BilledCost where there is no price"),
    _metric("ContractedUnitPrice", "the organisation's own price of a PricingUnit"),
    _metric("EffectiveCost", "the same as BilledCost: nothing is paid for later use"),
    _text("InvoiceId", "the number of the invoice or credit note; empty until there is one"),
    _text("InvoiceIssuerName", "who issues the invoice"),
    _metric("ListCost", "ListUnitPrice times PricingQuantity; BilledCost where there is no price"),
    _metric("ListUnitPrice", "the public price of a PricingUnit; the organisation's own where there is none"),
    _text("PricingCategory", "Standard: prices are agreed beforehand"),
    _text("PricingCurrency", "USD, which prices are in"),
    _metric("PricingCurrencyContractedUnitPrice", "ContractedUnitPrice in USD"),
    _metric("PricingCurrencyEffectiveCost", "EffectiveCost in USD, exact before it is converted and rounded"),
    _metric("PricingCurrencyListUnitPrice", "ListUnitPrice in USD"),
    _metric("PricingQuantity", "how many of PricingUnit"),
    _text("PricingUnit", "1000000 Tokens, Requests, Searches, Images or Units"),
    _text("ProviderName", "who sells it"),
    _text("PublisherName", "who made it available: the seller"),
    _text("RegionId", "empty: nothing is sold by region"),
    _text("RegionName", "empty"),
    _text("ResourceId", "the API key's public id; empty for what belongs to none"),
    _words("ResourceName", "the API key's name"),
    _text("ResourceType", "API key"),
    _text("ServiceCategory", "AI and Machine Learning; Other for charges besides usage"),
    _text("ServiceName", "the model; the kind of charge besides usage"),
    _text("ServiceSubcategory", "Generative AI; Other (Other) for charges besides usage"),
    _text("SkuId", "the model and what of it is counted"),
    _text("SkuMeter", "what is counted"),
    _text("SkuPriceDetails", "the price's version and conditions, as JSON"),
    _text("SkuPriceId", "the version of the price and what of it is counted"),
    _text("SubAccountId", "the project's name in addresses"),
    _words("SubAccountName", "the project's name"),
    _text("SubAccountType", "Project"),
    _text("Tags", "the project and the key, as JSON; tags of ours begin with tollgate:"),
)
