"""Contracts of tenants: agreed, replaced and ended, after seeing what months come to under them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timezone import now
from unfold.admin import TabularInline

from billing import contract_months, contract_preview, terms, tier_texts
from billing.admin import ReadOnlyInline
from billing.contract_sums import Contract
from billing.models import FreeTokens, Terms, TierRule
from billing.money import usd
from billing.terms import TermsProblem
from portal import audit
from portal.admin.audited import AuditedAdmin, actor_of
from portal.admin.contract_forms import EndForm, FreeTokensForm, TermsForm, TierRuleForm, said_tiers
from portal.models import Tenant

ASKED = ("tenant", "effective_from", "effective_to", "minimum_usd", "free_usd", "note")
CONFIRMED = "_confirmed"


class Unconfirmed(Exception):
    """What was typed makes sense and is not agreed yet: it is shown what it comes to first."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What a form asks for."""

    tenant: Tenant
    contract: Contract
    effective_from: datetime
    effective_to: datetime | None


class TierRuleInline(TabularInline):  # type: ignore[misc]
    """Tiers, in the order in which they are asked: the first that match some usage price it."""

    model = TierRule
    form = TierRuleForm
    extra = 0
    ordering = ("position",)
    fields = ("pattern", "token_class", "mode", "unit", "tiers")


class FreeTokensInline(TabularInline):  # type: ignore[misc]
    """Free tokens."""

    model = FreeTokens
    form = FreeTokensForm
    extra = 0
    ordering = ("position",)
    fields = ("pattern", "token_class", "amount")


class AgreedTiers(ReadOnlyInline):
    """Tiers that stay."""

    model = TierRule
    ordering = ("position",)
    fields = ("pattern", "token_class", "mode", "unit", "tiers")
    readonly_fields = fields

    @admin.display(description="Tiers")
    def tiers(self, rule: TierRule) -> str:
        """A line each."""
        return said_tiers(rule)


class AgreedFreeTokens(ReadOnlyInline):
    """Free tokens that stay."""

    model = FreeTokens
    ordering = ("position",)
    fields = ("pattern", "token_class", "tokens")
    readonly_fields = fields


@admin.register(Terms)
class TermsAdmin(AuditedAdmin):
    """Contracts. Until a month under one is closed it can be replaced or withdrawn; then it can be ended."""

    list_display = ("tenant", "effective_from", "effective_to", "minimum_said", "free_said", "note")
    search_fields = ("tenant__slug", "tenant__name", "note")
    list_select_related = ("tenant",)
    ordering = ("-effective_from",)

    @admin.display(description="Minimum (USD)", ordering="minimum")
    def minimum_said(self, row: Terms) -> str:
        """A month."""
        return usd(int(row.minimum)) if row.minimum else "–"

    @admin.display(description="Free (USD)", ordering="free_amount")
    def free_said(self, row: Terms) -> str:
        """A month."""
        return usd(int(row.free_amount)) if row.free_amount else "–"

    @admin.display(description="Why it stays")
    def why_it_stays(self, row: Terms) -> str:
        """What keeps it from being replaced."""
        return terms.why_it_stays(row)

    def get_form(self, request: HttpRequest, obj: Terms | None = None, change: bool = False, **kw: Any) -> Any:
        """Everything, or the end alone."""
        kw["form"] = EndForm if obj and terms.why_it_stays(obj) else TermsForm
        return super().get_form(request, obj, change=change, **kw)

    def get_fieldsets(self, request: HttpRequest, obj: Terms | None = None) -> Any:
        """What is asked, and what is shown."""
        if obj and terms.why_it_stays(obj):
            shown = ("tenant", "effective_from", "effective_to", "minimum_said", "free_said", "note", "why_it_stays")
            return ((None, {"fields": shown}),)
        return ((None, {"fields": ASKED}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Terms | None = None) -> tuple[str, ...]:
        """A contract stays with its tenant, and once a month is closed as it was."""
        if obj and terms.why_it_stays(obj):
            return ("tenant", "effective_from", "minimum_said", "free_said", "note", "why_it_stays")
        return ("tenant",) if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Terms | None) -> Any:
        """Rules to fill in, or those that stay."""
        if obj and terms.why_it_stays(obj):
            return (AgreedTiers, AgreedFreeTokens)
        return (TierRuleInline, FreeTokensInline)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """What no month is closed under can be withdrawn."""
        may = bool(super(AuditedAdmin, self).has_delete_permission(request, obj))
        return may and isinstance(obj, Terms) and not terms.why_it_stays(obj)

    def delete_model(self, request: HttpRequest, obj: Terms) -> None:
        """By its verb."""
        self._record(request, "terms.withdraw", obj.tenant, terms_said(obj))
        terms.withdraw(terms=obj, now=now())

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The form; then what it comes to, until that is confirmed."""
        try:
            with transaction.atomic():
                return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        except Unconfirmed as asked:
            return self._ask(request, asked.args[0])
        except TermsProblem as problem:
            return self._refuse(request, str(problem))

    def save_model(self, request: HttpRequest, obj: Terms, form: forms.ModelForm[Any], change: bool) -> None:
        """Everything is stored at once, with the rules."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """By the verbs, with an audit row; only shown and rolled back until it is confirmed."""
        moment, obj = now(), form.instance
        if isinstance(form, EndForm):
            self._end(request, obj, form.cleaned_data["effective_to"], moment)
            return
        typed = _typed(form, formsets, obj)
        if change:
            stored = Terms.objects.select_related("tenant").get(pk=obj.pk)
            before = terms_said(stored)
            made = terms.revise(
                terms=stored, contract=typed.contract, effective_from=typed.effective_from,
                effective_to=typed.effective_to, now=moment,
            )  # fmt: skip
        else:
            before = {}
            made = terms.agree(
                tenant=typed.tenant, contract=typed.contract, effective_from=typed.effective_from,
                effective_to=typed.effective_to, now=moment,
            )  # fmt: skip
        if CONFIRMED not in request.POST:
            raise Unconfirmed(typed)
        obj.pk, obj._state.adding = made.pk, False
        detail: dict[str, object] = {**terms_said(made), **({"before": before} if before else {})}
        self._record(request, "terms.revise" if change else "terms.agree", typed.tenant, detail)

    def response_change(self, request: HttpRequest, obj: Terms) -> HttpResponse:
        """Terms that were replaced have another number."""
        messages.success(request, f"The contract of {obj.tenant} is as shown here.")
        return HttpResponseRedirect(reverse("admin:billing_terms_change", args=[obj.pk]))

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> list[Any]:
        """The audit log has it."""
        return []

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit log has it."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit log has it."""

    def _end(self, request: HttpRequest, obj: Terms, moment: datetime | None, current: datetime) -> None:
        if moment is None:
            raise TermsProblem("Say when these terms end.")
        terms.end(terms=obj, at=moment, now=current)
        self._record(request, "terms.end", obj.tenant, {"terms": obj.pk, "at": moment.isoformat()})

    def _record(self, request: HttpRequest, action: str, tenant: Any, detail: dict[str, object]) -> None:
        audit.record(
            tenant=tenant, actor=actor_of(request), action=action, subject=tenant.slug, now=now(), detail=detail
        )

    def _ask(self, request: HttpRequest, typed: Typed) -> HttpResponse:
        """What the last month and this one come to, and the form once more, hidden."""
        months = contract_preview.months(tenant=typed.tenant, contract=typed.contract, now=now())
        warnings = contract_preview.warnings(typed.contract)
        return self._page(request, {"typed": typed, "months": months, "warnings": warnings})

    def _refuse(self, request: HttpRequest, problem: str) -> HttpResponse:
        answer = self._page(request, {"problem": problem})
        answer.status_code = 422
        return answer

    def _page(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        hidden = [(name, value) for name in request.POST for value in request.POST.getlist(name)]
        found = {
            **self.admin_site.each_context(request),
            "title": "Agree these terms?",
            "opts": self.model._meta,
            "hidden": [pair for pair in hidden if pair[0] not in ("csrfmiddlewaretoken", CONFIRMED)],
            "confirmed": CONFIRMED,
            **context,
        }
        return TemplateResponse(request, "admin/billing/terms/agree.html", found)


def _typed(form: Any, formsets: Any, obj: Terms) -> Typed:
    values, rules = form.cleaned_data, [_rules(formset) for formset in formsets]
    contract = Contract(
        minimum=values["minimum_usd"] or 0,
        free_amount=values["free_usd"] or 0,
        tiers=tuple(rules[0]),
        free_tokens=tuple(rules[1]),
        note=values["note"],
    )
    tenant = values.get("tenant") or Tenant.objects.get(pk=obj.tenant_id)
    return Typed(tenant, contract, values["effective_from"], values["effective_to"])


def _rules(formset: Any) -> list[Any]:
    """The rules of rows that are filled in and not crossed out, in the order of the page."""
    rows = [row.cleaned_data for row in formset.forms if row not in formset.deleted_forms]
    return [values["rule"] for values in rows if "rule" in values]


def terms_said(row: Terms) -> dict[str, object]:
    """Terms for the audit log."""
    contract = contract_months.contract_of(row)
    return {
        "terms": row.pk,
        "from": row.effective_from.isoformat(),
        "to": row.effective_to.isoformat() if row.effective_to else None,
        "minimum": usd(contract.minimum),
        "free_amount": usd(contract.free_amount),
        "tiers": [
            [rule.pattern, rule.token_class, rule.unit, rule.tiers.mode, tier_texts.said(rule.tiers, rule.unit)]
            for rule in contract.tiers
        ],
        "free_tokens": [[free.pattern, free.token_class, str(free.tokens)] for free in contract.free_tokens],
        "note": contract.note,
    }
