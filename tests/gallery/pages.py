"""Which pages there are, read from the URL patterns, and an address with something on it for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from billing.models import BankLine, Invoice, Payment, ProviderReport, UsageEvent, WebhookDelivery
from portal.models import ApiKey, Membership, Tenant, User
from proxy.models import Credential
from tests.gallery.people import NEWCOMER, OPERATOR, OWNER, Cast
from tests.gallery.picture import Picture

GUEST = ""
ADMIN = "admin:"

#: Addresses that show no page of their own, each with its reason.
WITHOUT_PICTURE = {
    "healthz": "a line for machines",
    "guide_start": "leads to the first page of the guide",
    "set_alerts": "takes a form of the wallet's page",
    "set_top_up_rule": "takes a form of the wallet's page",
    "redeem_voucher": "takes a form of the wallet's page",
    "draft_invoice": "takes a form of the invoices' page",
    "discard_invoice": "takes a form of the invoice's page",
    "dispute_invoice": "takes a form of the invoice's page",
    "invoice_document": "a file",
    "invoice_ubl": "a file",
    "invoice_csv": "a file",
    "invoice_parquet": "a file",
    "rename_project": "takes a form of the project's page",
    "top_up": "takes a form of the wallet's page",
    "forget_card": "takes a form of the wallet's page",
    "pay_invoice": "takes a form of the invoice's page",
    "cancel_payment": "takes a form of the payment's page",
    "stripe_webhook": "answers a program",
    "cancel_export": "takes a form of the exports' page",
    "export_file": "a file",
    "switch_webhook": "takes a form of the endpoint's page",
    "test_webhook": "takes a form of the endpoint's page",
    "resend_failed": "takes a form of the endpoint's page",
    "rotate_webhook": "takes a form of the endpoint's page",
    "remove_webhook": "takes a form of the endpoint's page",
    "resend_message": "takes a form of the message's page",
    "revoke_invitation": "takes a form of the members' page",
    "revoke_token": "takes a form of the tokens' page",
    "account_set_password": "for people without a password, whom no page makes",
    "account_confirm_email": "needs a link from a mail",
    "account_reset_password_from_key": "needs a link from a mail",
    "account_confirm_login_code": "needs a code from a mail",
    "account_email_verification_sent": "comes only where addresses must be proven first",
    "mfa_authenticate": "comes between password and page once there is a second factor",
    "mfa_reauthenticate": "needs a second factor",
    "mfa_deactivate_totp": "needs a second factor",
    "mfa_view_recovery_codes": "needs a second factor",
    "mfa_generate_recovery_codes": "needs a second factor",
    "mfa_download_recovery_codes": "a file",
    "admin:login": "leads to the one page to sign in at",
    "admin:logout": "takes a form",
    "admin:password_change": "leads to the account's pages",
    "admin:password_change_done": "leads to the account's pages",
    "admin:autocomplete": "answers a script",
    "admin:jsi18n": "a script",
    "admin:view_on_site": "leads elsewhere",
    "admin:search": "answers a script",
    "admin:billing_invoice_pdf": "a file",
    "admin:billing_price_publish": "comes once prices were typed",
    "admin:proxy_credential_test": "takes a form",
}
#: Of these one picture shows what all look alike: the history of a row, and the question before it is deleted.
ALIKE = ("_history", "_delete")


def routes() -> set[str]:
    """The names of all addresses for people; those of the API answer programs."""
    return set(_names(get_resolver(), "", ""))


def without_picture(route: str) -> bool:
    """Whether an address needs none; rows that only verbs write have no form for a new one."""
    if route in WITHOUT_PICTURE or (route.startswith(ADMIN) and route.endswith(ALIKE)):
        return True
    known = {f"{ADMIN}{_named(model)}_add": pages for model, pages in admin.site._registry.items()}
    return route in known and not known[route].has_add_permission(_request(User(is_staff=True, is_superuser=True)))


def pictures(cast: Cast, checks: tuple[int, int]) -> list[Picture]:
    """Every picture of the demonstration."""
    return [*_open(cast), *_own(cast), *_of_tenants(cast), *_of_money(cast), *_admin(cast), *_admin_more(cast, checks)]


def _names(resolver: URLResolver, prefix: str, space: str) -> Iterator[str]:
    for one in resolver.url_patterns:
        place = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _names(one, place, f"{one.namespace}:" if one.namespace else space)
        elif isinstance(one, URLPattern) and one.name and not place.startswith("manage/api/"):
            yield space + one.name


def _open(cast: Cast) -> Iterator[Picture]:
    """For anybody."""
    for route in ("account_login", "account_signup", "account_reset_password", "account_reset_password_done",
                  "account_reset_password_from_key_done", "account_inactive", "api_reference", "models",
                  "status"):  # fmt: skip
        yield Picture(route, route, reverse(route), GUEST)
    yield Picture("guide_search", "guide_search", reverse("guide_search") + "?q=budget", GUEST)
    yield Picture("guide_search-nothing", "guide_search", reverse("guide_search") + "?q=zebra", GUEST)
    for slug in ("quick-start", "errors"):
        yield Picture(f"guide-{slug}", "guide", reverse("guide", args=[slug]), GUEST)
    yield Picture("model", "model", reverse("model", args=["atlas-large"]), GUEST)
    yield Picture("not-found", "", "/nothing/here/", GUEST)


def _own(cast: Cast) -> Iterator[Picture]:
    """Of a person's own account."""
    for route in ("account_email", "account_change_password", "account_logout", "account_reauthenticate",
                  "mfa_index", "mfa_activate_totp", "account_settings", "new_tenant"):  # fmt: skip
        yield Picture(route, route, reverse(route), OWNER)
    yield Picture("home", "home", reverse("home"), OWNER)
    yield Picture("invitation", "invitation", reverse("invitation", args=[cast.invitation]), OWNER)


def _of_tenants(cast: Cast) -> Iterator[Picture]:
    """Of an organisation with a busy quarter, and of one that is new."""
    plain = ("overview", "keys", "new_key", "usage", "calls", "exports", "projects", "limits", "tenant_limits",
             "wallet", "spend", "invoices", "payments", "webhooks", "new_webhook", "webhook_messages", "members",
             "tokens", "audit", "settings")  # fmt: skip
    for route in plain:
        yield _page(route, cast.postpaid)
        yield _page(route, cast.empty, name=f"{route}-new", who=NEWCOMER)
    yield _page("usage", cast.postpaid, name="usage-by-model", query="?by=model&span=90")
    yield _page("calls", cast.postpaid, name="calls-failed", query="?status=failed")
    keys = ApiKey.objects.filter(tenant=cast.postpaid)
    limited, revoked = keys.get(name="Contractor"), keys.get(name="Laptop of Alan")
    for route in ("key", "rotate_key", "revoke_key"):
        yield _page(route, cast.postpaid, limited.public_id)
    yield _page("key", cast.postpaid, revoked.public_id, name="key-revoked")
    yield _page("project", cast.postpaid, "search")
    member = Membership.objects.get(tenant=cast.postpaid, user__email__startswith="alan")
    for route in ("member", "remove_member"):
        yield _page(route, cast.postpaid, member.pk)
    events = UsageEvent.objects.filter(tenant=cast.postpaid).order_by("-id")
    for name, wanted in (("", {"status": 200, "cache_read__gt": 0}), ("-failed", {"status": 502}),
                         ("-running", {"state": "open"}), ("-estimated", {"basis": "estimated"})):  # fmt: skip
        event = events.filter(**wanted)[0]
        yield _page("call", cast.postpaid, f"req_{event.id.hex[:24]}", name=f"call{name}")


def _of_money(cast: Cast) -> Iterator[Picture]:
    """Wallets of each kind, and invoices in every state."""
    yield _page("wallet", cast.prepaid, name="wallet-prepaid")
    yield _page("wallet", cast.prepaid, name="wallet-with-calls", query="?calls=1")
    yield _page("invoices", cast.prepaid, name="invoices-prepaid")
    yield _page("invoices", cast.doubtful, name="invoices-parked", who=NEWCOMER)
    for name, invoice in _invoices(cast).items():
        who = NEWCOMER if invoice.tenant_id == cast.doubtful.pk else OWNER
        yield _page("invoice", invoice.tenant, invoice.pk, name=f"invoice-{name}", who=who)
        if name == "draft":
            yield _page("finalise_invoice", invoice.tenant, invoice.pk)
    payment = Payment.objects.filter(tenant=cast.postpaid).latest("pk")
    yield _page("payment", cast.postpaid, payment.pk)
    for delivery in WebhookDelivery.objects.filter(tenant=cast.postpaid):
        yield _page("webhook_message", cast.postpaid, delivery.pk, name=f"webhook-message-{delivery.status}")
    yield _page("webhook", cast.postpaid, delivery.endpoint_id)


def _invoices(cast: Cast) -> dict[str, Invoice]:
    """The newest invoice of each look."""
    found: dict[str, Invoice] = {}
    for invoice in Invoice.objects.select_related("tenant").order_by("id"):
        look = "credit-note" if invoice.kind == Invoice.Kind.CREDIT_NOTE else str(invoice.status)
        if invoice.parked_reason:
            look = "parked"
        elif look == "finalised" and Invoice.objects.filter(corrects=invoice).exists():
            look = "disputed"
        elif invoice.tenant_id == cast.prepaid.pk:
            look = "prepaid"
        found[look] = invoice
    return found


def _page(
    route: str, tenant: Tenant, *more: object, name: str = "", query: str = "", who: str = OWNER
) -> Picture:  # fmt: skip
    return Picture(name or route, route, reverse(route, args=[tenant.slug, *more]) + query, who)


def _admin(cast: Cast) -> Iterator[Picture]:
    """The list of every model the admin knows, its form for a new row, and the newest row."""
    request = _request(cast.operator)
    for model, pages in admin.site._registry.items():
        name = _named(model)
        yield _operators(f"{name}_changelist")
        if pages.has_add_permission(request):
            yield _operators(f"{name}_add")
        rows: QuerySet[Any] = pages.get_queryset(request)
        newest = rows.order_by("-pk").first()
        if newest is not None:
            yield _operators(f"{name}_change", newest.pk)


def _admin_more(cast: Cast, checks: tuple[int, int]) -> Iterator[Picture]:
    """What else the admin shows: pages of its own, and rows that look otherwise than the newest."""
    yield _operators("index")
    yield _operators("app_list", "billing")
    yield _operators("portal_tenant_change", cast.postpaid.pk, name="tenant-busy")
    yield _operators("portal_tenant_calls", cast.postpaid.pk)
    yield _operators("portal_tenant_history", cast.postpaid.pk)
    yield _operators("billing_bookscheck_change", checks[0], name="books-green")
    yield _operators("billing_margins")
    for by in ("tenant", "upstream", "day"):
        yield _operators("billing_margins", name=f"margins-by-{by}", query=f"?by={by}")
    yield _operators("billing_margins", name="margins-nothing", query="?first=2020-01-01&last=2020-01-02")
    for look, invoice in _invoices(cast).items():
        yield _operators("billing_invoice_change", invoice.pk, name=f"invoice-{look}")
        if look in ("parked", "disputed"):
            yield _operators("billing_invoice_act", invoice.pk, name=f"invoice-act-{look}")
    report = ProviderReport.objects.latest("pk")
    row = report.rows.order_by("day", "model")[0]
    query = f"?day={row.day}&model={row.model}"
    yield _operators("billing_providerreport_change", report.pk, name="report-calls", query=query)
    for route in ("billing_price_markup", "billing_revenue"):
        yield _operators(route)
    yield _operators("billing_payment_refund", Payment.objects.filter(tenant=cast.postpaid).latest("pk").pk)
    yield _operators("billing_bankline_assign", BankLine.objects.get(payment=None).pk)
    yield _operators("proxy_credential_delete", Credential.objects.latest("pk").pk)


def _named(model: type[Model]) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


def _request(user: User) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def _operators(route: str, *more: object, name: str = "", query: str = "") -> Picture:
    address = reverse(ADMIN + route, args=more) + query
    return Picture(f"admin-{name or route}", ADMIN + route, address, OPERATOR)
