"""Price changes that wait for a second operator: looking at one, approving it, rejecting it with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.timezone import now

from billing import proposals
from billing.admin import ReadOnlyAdmin
from billing.catalog import PriceProblem
from billing.models import PriceProposal
from billing.price_sheets import own_numbers
from billing.proposals import ProposalProblem
from portal import audit
from portal.admin.audited import actor_of
from proxy.admin import price_changes

MAY_DECIDE = ("billing.change_priceproposal", "billing.add_price")


@admin.register(PriceProposal)
class PriceProposalAdmin(ReadOnlyAdmin):
    """The proposals, those that wait first."""

    list_display = ("__str__", "what", "book", "starts", "origin", "state", "proposed_by", "decided_by", "created_at")
    list_filter = ("state", "origin")
    list_select_related = ("book", "proposed_by", "decided_by")
    ordering = ("-state", "-id")

    @admin.display(description="Models")
    def what(self, proposal: PriceProposal) -> str:
        """The first of them."""
        names = [row["model"] for row in proposal.rows]
        more = len(names) - 3
        return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")

    @admin.display(description="Starts (UTC)", ordering="effective_from")
    def starts(self, proposal: PriceProposal) -> str:
        """When the prices begin."""
        return f"{proposal.effective_from:%Y-%m-%d %H:%M}" if proposal.effective_from else "when approved"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One proposal with what it would do; a POST decides it."""
        found = PriceProposal.objects.select_related("book__tenant", "proposed_by", "decided_by")
        proposal = found.filter(pk=int(object_id)).first() if object_id.isdecimal() else None
        if proposal is None or not self.has_view_permission(request, proposal):
            raise Http404
        if request.method == "POST":
            return self._decide(request, proposal)
        change, moment = proposals.change_of(proposal), now()
        waits = proposal.state == PriceProposal.State.WAITING
        context: dict[str, Any] = {"obstacle": ""}
        if waits:
            context |= price_changes.described(change, moment)
            try:
                proposals.check(change, now=moment)
            except PriceProblem as problem:
                context["obstacle"] = str(problem)
        else:
            sheets = change.sheets[: price_changes.MOST_ROWS]
            prices = [{"model": sheet.model, "numbers": own_numbers(sheet)} for sheet in sheets]
            context |= {"prices": prices, "models": len(change.sheets), "change": change}
            context |= {"book_name": price_changes.name_of(change.book)}
        context |= {
            "title": f"Price proposal {proposal.pk}", "proposal": proposal, "waits": waits,
            "is_own": request.user.pk == proposal.proposed_by_id, "opts": self.model._meta, "show_back_button": True,
            "may_decide": request.user.has_perms(MAY_DECIDE),
        }  # fmt: skip
        context = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, "admin/billing/price/proposal.html", context)

    def _decide(self, request: HttpRequest, proposal: PriceProposal) -> HttpResponse:
        actor, moment = actor_of(request), now()
        if actor is None or not request.user.has_perms(MAY_DECIDE):
            raise PermissionDenied
        approve, reason = "approve" in request.POST, request.POST.get("reason", "")
        try:
            if approve:
                proposals.approve(proposal_id=proposal.pk, actor_id=actor.pk, now=moment)
            else:
                proposals.reject(proposal_id=proposal.pk, actor_id=actor.pk, reason=reason, now=moment)
        except (PriceProblem, ProposalProblem) as problem:
            messages.error(request, str(problem))
        else:
            audit.record(
                tenant=None, actor=actor, action="price.approve" if approve else "price.reject", subject=str(proposal),
                now=moment, detail={"models": [row["model"] for row in proposal.rows][:100], "reason": reason[:200]},
            )  # fmt: skip
            messages.success(request, "Approved: the prices are published." if approve else "Rejected.")
        return HttpResponseRedirect(request.path)
