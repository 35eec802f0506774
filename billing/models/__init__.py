"""Prices, usage, limits, ledger and invoices. Amounts are whole picodollars unless a name says otherwise.

The database keeps the rules it can keep: see billing/migrations/sql for the partitioned journal, its functions, the
zero-sum and immutability triggers and row-level security. One module writes each table; billing/README.md says which.
"""

from billing.models.answers import StoredAnswer
from billing.models.charges import Charge
from billing.models.contracts import FreeTokens, Terms, TierRule
from billing.models.costs import CostPrice
from billing.models.credits import (
    BalanceAlert,
    CreditDue,
    CreditGrant,
    CreditUse,
    TopUpAttempt,
    TopUpRule,
    Voucher,
    VoucherGuesses,
    VoucherRedemption,
)
from billing.models.evidence import Evidence
from billing.models.exports import ExportJob, ExportPart
from billing.models.invoices import Invoice, InvoicedTransfer, InvoiceLine, InvoiceSeries
from billing.models.invoicing import ExchangeRate, InvoiceEvent, InvoiceTax, TaxRate, VatCheck
from billing.models.ledger import LedgerAccount, LedgerEntry, Transfer
from billing.models.limits import Allowance, Budget, Run, Wallet
from billing.models.outbox import MessageKind, OutboxMessage, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from billing.models.payments import Allocation, BankLine, PayingCustomer, Payment, ProviderEvent, Refund
from billing.models.price_changes import LossAlert, PriceProposal, Rerating, ReratingLine
from billing.models.prices import Price, PriceBook
from billing.models.reconciliation import BooksCheck, ProviderReport, ProviderReportRow
from billing.models.usage import JournalOwner, UsageAdjustment, UsageEvent, UsageRollup

__all__ = [
    "Allocation",
    "Allowance",
    "BalanceAlert",
    "BankLine",
    "BooksCheck",
    "Budget",
    "Charge",
    "CostPrice",
    "CreditDue",
    "CreditGrant",
    "CreditUse",
    "Evidence",
    "ExchangeRate",
    "ExportJob",
    "ExportPart",
    "FreeTokens",
    "Invoice",
    "InvoiceEvent",
    "InvoiceLine",
    "InvoiceSeries",
    "InvoiceTax",
    "InvoicedTransfer",
    "JournalOwner",
    "LedgerAccount",
    "LedgerEntry",
    "LossAlert",
    "MessageKind",
    "OutboxMessage",
    "PayingCustomer",
    "Payment",
    "Price",
    "PriceBook",
    "PriceProposal",
    "ProviderEvent",
    "ProviderReport",
    "ProviderReportRow",
    "Refund",
    "Rerating",
    "ReratingLine",
    "Run",
    "StoredAnswer",
    "TaxRate",
    "Terms",
    "TierRule",
    "TopUpAttempt",
    "TopUpRule",
    "Transfer",
    "UsageAdjustment",
    "UsageEvent",
    "UsageRollup",
    "VatCheck",
    "Voucher",
    "VoucherGuesses",
    "VoucherRedemption",
    "Wallet",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
