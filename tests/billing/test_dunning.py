"""Reminders, online checks of VAT ids, and files of exchange rates."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from billing import closing, credit_notes, dunning, exchange, invoice_states, rate_files, tasks, taxes, vat_ids
from billing.invoice_events import Said
from billing.meters import Usage
from billing.models import ExchangeRate, Invoice, InvoiceEvent, VatCheck
from billing.rate_files import RateFileProblem
from billing.taxes import TaxProblem
from portal.tenancy import as_operator
from tests.billing.test_taxes import change
from tests.billing.world import World

WHY = Said("Ana", "They say it was paid")


def invoiced(world: World) -> Invoice:
    world.use(Usage(input=10**8))
    with as_operator():
        return closing.close(tenant=world.tenant, month="2027-03", now=world.clock, finalise=True)


def remind(world: World, invoice: Invoice, days: int) -> list[str]:
    """The subjects of what is sent some days after the due date."""
    assert invoice.due_on is not None
    mail.outbox.clear()
    late = days - (world.clock.date() - invoice.due_on).days
    with as_operator():
        dunning.remind(now=world.clock + timedelta(days=late))
    return [str(message.subject) for message in mail.outbox if invoice.number and invoice.number in message.subject]


def test_it_reminds_at_each_step_once(world: World) -> None:
    change(world, billing_email="ap@acme.test")
    invoice = invoiced(world)
    assert invoice.due_on == world.clock.date() + timedelta(days=14)
    sent = {days: len(remind(world, invoice, days)) for days in (0, 2, 3, 4, 13, 14, 15, 28, 29, 90)}
    assert sent == {0: 0, 2: 0, 3: 1, 4: 0, 13: 0, 14: 1, 15: 0, 28: 1, 29: 0, 90: 0}
    with as_operator():
        steps = InvoiceEvent.objects.filter(invoice=invoice).order_by("id")
        assert [(event.step, event.reason) for event in steps] == [(day, "ap@acme.test") for day in (3, 14, 28)]


@pytest.mark.parametrize(
    ("language", "says"), [("en", "Reminder"), ("de", "Zahlungserinnerung"), ("fr", "Rappel"), ("tr", "Hatırlatma")]
)
def test_a_late_job_sends_the_last_step_alone_in_the_tenants_language(world: World, language: str, says: str) -> None:
    change(world, billing_email="ap@acme.test", language=language, name="Acme\nBcc: eve@evil.test")
    invoice = invoiced(world)
    assert len(remind(world, invoice, 20)) == 1
    message = mail.outbox[-1]
    assert message.subject.startswith(says)
    assert message.to == ["ap@acme.test"]
    assert "Acme Bcc: eve@evil.test" in message.body
    assert remind(world, invoice, 21) == []


def test_nobody_is_reminded_while_they_dispute_or_after_it_is_over(world: World) -> None:
    change(world, billing_email="ap@acme.test")
    invoice = invoiced(world)
    with as_operator():
        invoice_states.dispute(invoice=invoice, said=WHY, now=world.clock)
    assert remind(world, invoice, 5) == []
    with as_operator():
        invoice_states.settle_dispute(invoice=invoice, said=WHY, now=world.clock)
    assert len(remind(world, invoice, 5)) == 1
    with as_operator():
        credit_notes.issue(invoice=invoice, amounts=None, said=WHY, now=world.clock)
    assert remind(world, invoice, 30) == []


def test_a_mail_that_fails_is_sent_the_next_time(world: World, settings: Any) -> None:
    change(world, billing_email="ap@acme.test")
    invoice = invoiced(world)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 2
    assert remind(world, invoice, 5) == []
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert len(remind(world, invoice, 5)) == 1


class Vies(BaseHTTPRequestHandler):
    """A service that answers as VIES does."""

    answers: ClassVar[dict[str, dict[str, object]]] = {
        "/ms/AT/vat/U13585627": {"isValid": True, "userError": "VALID", "name": "ÖBB"},
        "/ms/AT/vat/U38516405": {"isValid": False, "userError": "INVALID"},
        "/ms/FR/vat/40303265045": {"isValid": False, "userError": "MS_UNAVAILABLE"},
    }

    def do_GET(self) -> None:
        body = json.dumps(self.answers.get(self.path, {})).encode()
        self.send_response(200 if self.path in self.answers else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def vies(settings: Any) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vies)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.SELLER = {**settings.SELLER, "country": "DE", "vat_id": "DE136695976"}
    settings.VIES, settings.VIES_URL = True, f"http://127.0.0.1:{server.server_port}"
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("country", "vat_id", "outcome", "says"),
    [
        ("AT", "ATU13585627", "valid", ""),
        ("AT", "ATU38516405", "invalid", "not valid"),
        ("FR", "FR40303265045", "unknown", "not confirmed"),
        ("DE", "DE136695976", "unknown", ""),
    ],
)
def test_vies_decides_on_the_reverse_charge_where_it_is_asked(
    world: World, vies: None, country: str, vat_id: str, outcome: str, says: str
) -> None:
    change(world, country=country, vat_id=vat_id)
    with as_operator():
        if country != "DE":
            with pytest.raises(TaxProblem, match="not confirmed"):
                taxes.treatment_of(tenant=world.tenant, day=world.clock.date())
        tasks.check_vat_ids()
        check = VatCheck.objects.get(tenant=world.tenant)
        assert check.outcome == outcome
        assert vat_ids.is_due(tenant=world.tenant, now=check.checked_at) == (outcome == "unknown")
        if says:
            with pytest.raises(TaxProblem, match=says):
                taxes.treatment_of(tenant=world.tenant, day=world.clock.date())
        else:
            found = taxes.treatment_of(tenant=world.tenant, day=world.clock.date())
            assert found.category == ("S" if country == "DE" else "AE")


XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
<Cube><Cube time='2027-03-09'><Cube currency='USD' rate='1.0876'/><Cube currency='JPY' rate='161.35'/>
<Cube currency='GBP' rate='0.84255'/><Cube currency='ISK' rate='149.90'/></Cube></Cube></gesmes:Envelope>"""
CSV = b"Date, USD, JPY, GBP, CYP, \n2027-03-09, 1.0876, 161.35, 0.84255, N/A, \n2027-03-08, 1.09, 161, N/A, N/A, \n"


@pytest.mark.parametrize(("text", "count"), [(XML, 3), (CSV, 5)])
def test_rates_are_imported_exactly_and_once(db: None, tmp_path: Path, text: bytes, count: int) -> None:
    file = tmp_path / "rates"
    file.write_bytes(text)
    with as_operator():
        for _time in range(2):
            call_command("import_rates", str(file), verbosity=0)
        assert ExchangeRate.objects.count() == count
        yen = exchange.rate_for(currency="JPY", day=date(2027, 3, 10))
        euro = exchange.rate_for(currency="EUR", day=date(2027, 3, 10))
    assert yen.numerator * 10876 * 100 == yen.denominator * 16135 * 10_000
    assert euro.numerator * 10876 == euro.denominator * 10_000


@pytest.mark.parametrize("text", [b"", b"<a/>", b"<a", b"Date,USD\nx,1.0", b"Date,USD\n2027-03-09,0", b"\xff\xfe"])
def test_a_file_without_rates_is_refused(db: None, tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "rates"
    file.write_bytes(text)
    with pytest.raises(RateFileProblem):
        rate_files.read(text)
    with as_operator(), pytest.raises(CommandError):
        call_command("import_rates", str(file))
