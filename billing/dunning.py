"""Reminders of invoices past their due date: each once, by mail, in the tenant's language; none while disputed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from billing import dues, invoice_events, invoice_states, parties
from billing.documents.conventions import convention
from billing.invoice_events import Said
from billing.models import Invoice, InvoiceEvent
from billing.webhooks import messages

logger = logging.getLogger(__name__)

SUBJECTS = {
    "en": "Reminder: invoice {number} was due on {due}",
    "de": "Zahlungserinnerung: Rechnung {number} war am {due} fällig",
    "fr": "Rappel : la facture {number} était à payer avant le {due}",
    "tr": "Hatırlatma: {number} numaralı faturanın son ödeme tarihi {due} idi",
}
TEXTS = {
    "en": (
        "Hello {buyer},\n\nwe have not received your payment of {amount} for invoice {number}. It was due on {due}.\n"
        "If you have paid in the meantime, please take no notice of this message. If something is wrong with the "
        "invoice, please answer and tell us.\n\n{seller}\n"
    ),
    "de": (
        "Guten Tag {buyer},\n\nfür die Rechnung {number} über {amount} haben wir noch keinen Zahlungseingang. Sie war "
        "am {due} fällig.\nFalls Sie inzwischen gezahlt haben, ist diese Nachricht gegenstandslos. Stimmt etwas mit "
        "der Rechnung nicht, antworten Sie uns bitte.\n\n{seller}\n"
    ),
    "fr": (
        "Bonjour {buyer},\n\nnous n’avons pas encore reçu votre paiement de {amount} pour la facture {number}. Il "
        "était attendu pour le {due}.\nSi vous avez payé entre-temps, ne tenez pas compte de ce message. Si la facture "
        "comporte une erreur, répondez-nous.\n\n{seller}\n"
    ),
    "tr": (
        "Merhaba {buyer},\n\n{number} numaralı fatura için {amount} tutarındaki ödemeniz bize ulaşmadı. Son ödeme "
        "tarihi {due} idi.\nBu arada ödeme yaptıysanız bu iletiyi dikkate almayın. Faturada bir yanlışlık varsa lütfen "
        "bize yanıt yazın.\n\n{seller}\n"
    ),
}


def remind(*, now: datetime, unpaid: Callable[[Invoice], int] = dues.unpaid) -> int:
    """Send the reminders that are due; returns how many. It may run twice, late, or beside itself.

    ``unpaid`` says what is left to pay of an invoice, in minor units. Of several steps that have passed only the last
    is sent. A mail that fails is logged and tried again the next time.
    """
    if not settings.REMINDER_DAYS:
        return 0
    first = (now - timedelta(days=settings.REMINDER_DAYS[0])).date() + timedelta(days=1)
    rows = Invoice.objects.filter(
        kind=Invoice.Kind.INVOICE, status=Invoice.Status.FINALISED, due_on__isnull=False, due_on__lte=first
    )
    sent = 0
    for ident in list(rows.order_by("id").values_list("pk", flat=True)):
        try:
            sent += _remind(ident, now, unpaid)
        except OSError:  # the mail server; SMTP's errors are OSErrors, too
            logger.exception("the reminder of invoice %s was not sent", ident)
    return sent


@transaction.atomic
def _remind(ident: int, now: datetime, unpaid: Callable[[Invoice], int]) -> bool:
    """Remind of one invoice if that is due: noted and sent together, so that what failed is not noted."""
    rows = Invoice.objects.select_for_update(of=("self",), skip_locked=True).select_related("tenant")
    invoice = rows.filter(pk=ident, status=Invoice.Status.FINALISED).first()
    step = _step(invoice, now) if invoice else None
    if invoice is None or step is None or invoice_states.is_disputed(invoice):
        return False
    amount = unpaid(invoice)
    to = parties.addresses_for_bills(invoice.tenant)
    if amount <= 0 or not to:
        return False
    said = Said(reason=", ".join(to))
    invoice_events.note(invoice=invoice, kind=InvoiceEvent.Kind.REMINDED, said=said, now=now, step=step)
    messages.invoice_overdue(invoice=invoice, unpaid=amount, days_late=step, now=now)
    _message(invoice, amount, to).send()
    return True


def _step(invoice: Invoice, now: datetime) -> int | None:
    """The last step that has passed and was not sent, nor any after it: days after the due date; or None."""
    if invoice.due_on is None:
        return None
    late = (now.astimezone(ZoneInfo(invoice.timezone)).date() - invoice.due_on).days
    passed = [step for step in settings.REMINDER_DAYS if step <= late]
    sent = InvoiceEvent.objects.filter(invoice=invoice, kind=InvoiceEvent.Kind.REMINDED)
    if not passed or sent.filter(step__gte=passed[-1]).exists():
        return None
    return int(passed[-1])


def _message(invoice: Invoice, amount: int, to: list[str]) -> EmailMessage:
    """The reminder, in the language of the invoice."""
    language = invoice.language if invoice.language in TEXTS else "en"
    write = convention(language)
    said = {
        "number": invoice.number,
        "due": write.date(invoice.due_on) if invoice.due_on else "",
        "amount": f"{write.money(amount, invoice.currency)} {invoice.currency}",
        "buyer": _line(invoice.snapshot["buyer"]["name"]),
        "seller": _line(invoice.snapshot["seller"]["name"]),
    }
    reply = [settings.SELLER["email"]] if settings.SELLER["email"] else None
    subject = SUBJECTS[language].format(**said)
    return EmailMessage(subject=subject, body=TEXTS[language].format(**said), to=to, reply_to=reply)


def _line(text: str) -> str:
    """A name in one line: nothing in it can begin a header."""
    return " ".join(text.split())
