"""The partitioned journal with its functions, the ledger's triggers, row-level security and change notices."""

from pathlib import Path

from django.db import migrations

from billing.row_security import CURRENT_TENANT, notify, protect

SQL = Path(__file__).parent / "sql"
READ_MINE_OR_SHARED = f"tenant_id IS NULL OR tenant_id = {CURRENT_TENANT}"
SHARED_BOOKS = f"book_id IN (SELECT id FROM billing_pricebook WHERE {READ_MINE_OR_SHARED})"
ADD = "SELECT, INSERT"


def run(name: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / name).read_text(), reverse_sql=migrations.RunSQL.noop)


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_initial"), ("portal", "0002_security")]

    operations = [
        run("0003_journal.sql"),
        run("0003_ledger.sql"),
        protect("billing_pricebook", gateway="SELECT", mine=READ_MINE_OR_SHARED),
        protect("billing_price", gateway="SELECT", mine=SHARED_BOOKS),
        protect("billing_budget", portal="SELECT, INSERT, UPDATE", gateway="SELECT"),
        protect("billing_wallet", gateway="SELECT"),
        protect(
            "billing_allowance",
            portal='SELECT, INSERT (tenant_id, budget_id, starts_at, ends_at, "limit", spent, held), UPDATE ("limit")',
            operator='SELECT, INSERT, UPDATE ("limit")',
            gateway="SELECT",
        ),
        protect("billing_journalowner", portal="", operator="SELECT, DELETE", mine=""),
        protect("billing_usageevent", operator="SELECT, UPDATE (transfer_id)"),
        protect("billing_usageadjustment", operator="SELECT, UPDATE (transfer_id)"),
        protect("billing_usagerollup"),
        protect("billing_ledgeraccount", operator=ADD, mine=READ_MINE_OR_SHARED),
        protect("billing_transfer", operator=ADD),
        protect("billing_ledgerentry", operator=ADD),
        protect("billing_invoiceseries", portal="", mine=""),
        protect("billing_invoice"),
        protect("billing_invoiceline"),
        protect("billing_invoicedtransfer"),
        notify("billing_budget", "'tenant:' || r.tenant_id"),
        notify("billing_wallet", "'tenant:' || r.tenant_id"),
        notify("billing_allowance", "'tenant:' || r.tenant_id", events="INSERT OR DELETE"),
        notify("billing_pricebook", "'catalog'"),
        notify("billing_price", "'catalog'"),
    ]
