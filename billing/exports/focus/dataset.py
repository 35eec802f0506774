"""The FOCUS dataset as an export: usage day by day, then charges, rounding and tax of each invoice, and credit notes.

Each row is in the month of its invoice, and no other: the files of several months together have each row once. What is
on no invoice yet is in the month in which it was used, without an invoice's number, tax and rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from billing import exchange
from billing.exchange import PRICED_IN, ExchangeProblem, Rate
from billing.exports.columns import Column
from billing.exports.focus.columns import FOCUS
from billing.exports.focus.prices import Prices
from billing.exports.focus.reading import Books, Used
from billing.exports.focus.rows import Frame, Stretch
from billing.exports.span import Row, Span
from billing.models import Invoice, InvoiceLine, InvoiceTax
from billing.money import minor_to_pico
from billing.periods import Period, month, month_of

PAGE = 5_000
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Focus:
    """The dataset with charge periods of an hour or a day."""

    name: str
    about: str
    is_hourly: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of FOCUS 1.2."""
        return FOCUS

    def count(self, span: Span) -> int | None:
        """Not known before it is made."""
        return None

    def pages(self, span: Span) -> Iterator[list[Row]]:
        """Pages of rows; held are those of one day's keys, models and prices. The caller's role must see them."""
        page: list[Row] = []
        for row in _Reader(Books.of(span), self.is_hourly).rows():
            page.append(row)
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page


@dataclass(slots=True)
class _Reader:
    """Reads a span once, and sums what it billed of each invoice, exactly."""

    books: Books
    is_hourly: bool
    prices: Prices = field(default_factory=Prices)
    billed: dict[int, list[int]] = field(default_factory=dict)
    """What was converted, and its exact picodollars, by invoice."""
    frames: dict[int | datetime, Frame] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        for day in self.books.days():
            yield from self._usage(day)
        for charge, invoice_id in self.books.charges():
            frame = self._frame(invoice_id, charge.effective_at)
            self._add(invoice_id, frame, int(charge.exact))
            yield frame.charge(charge, self._month(charge.period_label))
        for invoice in self.books.invoices.values():
            if invoice.number:
                yield from self._closing(invoice)
        for note in self.books.notes:
            yield from self._note(note)

    def _usage(self, day: Period) -> Iterator[Row]:
        found = self.books.used(day, hourly=self.is_hourly)
        self.prices.learn(found)
        for used in found:
            frame, charged = self._frame(used.invoice_id, day.start), self._slot(day, used)
            for part in self.prices.parts_of(used, charged.start):
                self._add(used.invoice_id, frame, part.exact)
                yield frame.usage(used, part, charged, self.prices.details(used.price_id))

    def _slot(self, day: Period, used: Used) -> Stretch:
        end = day.end or day.start
        if not self.is_hourly:
            return Stretch(day.start, end)
        start = day.start + used.slot * HOUR
        return Stretch(start, min(end, start + HOUR))

    def _closing(self, invoice: Invoice) -> Iterator[Row]:
        """Rounding and tax: with them the rows of an invoice sum to its total."""
        frame = self._frame(invoice.pk, invoice.period_start_at)
        taxes = list(InvoiceTax.objects.filter(invoice=invoice).exclude(amount=0).order_by("category", "rate"))
        converted, exact = self.billed.get(invoice.pk, [0, 0])
        rounding = minor_to_pico(invoice.subtotal, invoice.currency) - converted
        taxed = sum(frame.rate.to_usd(tax.amount) for tax in taxes)
        if rounding:
            yield frame.rounding((rounding, int(invoice.usd_total) - exact - taxed))
        for tax in taxes:
            amounts = minor_to_pico(tax.amount, invoice.currency), frame.rate.to_usd(tax.amount)
            yield frame.tax(tax.category, tax.rate, amounts)

    def _note(self, note: Invoice) -> Iterator[Row]:
        """A credit note, negative."""
        frame = Frame.of(self.books.span.tenant, note, exchange.rate_of(note))
        names = ("period_label", "model", "token_class", "price_id", "description", "amount", "exact")
        for line in InvoiceLine.objects.filter(invoice=note).order_by("position").values(*names):
            amounts = -minor_to_pico(line["amount"], note.currency), -int(line["exact"])
            yield frame.credited(line, self._month(line["period_label"]), amounts)
        for tax in InvoiceTax.objects.filter(invoice=note).exclude(amount=0).order_by("category", "rate"):
            amounts = -minor_to_pico(tax.amount, note.currency), -frame.rate.to_usd(tax.amount)
            yield frame.tax(tax.category, tax.rate, amounts)

    def _add(self, invoice_id: int | None, frame: Frame, exact: int) -> None:
        if invoice_id is not None:
            sums = self.billed.setdefault(invoice_id, [0, 0])
            sums[0] += frame.rate.convert(exact)
            sums[1] += exact

    def _frame(self, invoice_id: int | None, moment: datetime) -> Frame:
        """That of an invoice, or of the month of what is on none."""
        tenant = self.books.span.tenant
        if invoice_id is not None:
            if invoice_id not in self.frames:
                invoice = self.books.invoices[invoice_id]
                self.frames[invoice_id] = Frame.of(tenant, invoice, exchange.rate_of(invoice))
            return self.frames[invoice_id]
        period = month_of(moment, tenant.timezone, tenant.billing_anchor_day)
        if period.start not in self.frames:
            stretch = Stretch(period.start, period.end or period.start)
            self.frames[period.start] = Frame(tenant, stretch, self._open_rate(moment), None, settings.SELLER["name"])
        return self.frames[period.start]

    def _open_rate(self, moment: datetime) -> Rate:
        """The rate of what no invoice has converted yet: the latest there is, else it stays in what prices are in."""
        try:
            return exchange.rate_for(currency=self.books.span.tenant.currency, day=moment.date())
        except ExchangeProblem:
            return Rate(PRICED_IN)

    def _month(self, label: str) -> Stretch:
        tenant = self.books.span.tenant
        period = month(label, tenant.timezone, tenant.billing_anchor_day)
        return Stretch(period.start, period.end or period.start)


DATASETS = (
    Focus("focus", "all costs by day as a FOCUS 1.2 dataset", is_hourly=False),
    Focus("focus-hourly", "all costs by hour as a FOCUS 1.2 dataset", is_hourly=True),
)
