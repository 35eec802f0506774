"""A member's own tokens of the management API."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST

from portal import api_tokens
from portal.access import Permission, one
from portal.api_tokens import TokenProblem
from portal.forms import TokenForm
from portal.models import ApiToken, Tenant
from portal.views.page import TenantRequest, form_status, render_page, tenant_page


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_OWN_TOKENS)
def tokens(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """The member's tokens in this organisation; a form for a new one, whose answer shows it once."""
    moment = now()
    form = TokenForm(request.POST or None)
    text = ""
    if request.method == "POST" and form.is_valid():
        try:
            text = api_tokens.make_token(
                membership=request.membership,
                name=form.cleaned_data["name"],
                expires_at=form.cleaned_data["expires_on"],
                now=moment,
            ).text
        except TokenProblem as problem:
            form.add_error("name", str(problem))
    rows = ApiToken.objects.filter(api_tokens.usable(moment), tenant=tenant, membership=request.membership)
    context = {
        "tokens": rows.order_by("-created_at", "-pk"),
        "form": TokenForm() if text else form,
        "text": text,
        "api_url": request.build_absolute_uri("/manage/api/v1/"),
    }
    return render_page(request, "tokens.html", context, status=form_status(form.errors))


@require_POST
@tenant_page(Permission.MANAGE_OWN_TOKENS)
def revoke_token(request: TenantRequest, tenant: Tenant, token_id: int) -> HttpResponse:
    """Refuse one of the member's tokens from the next request on."""
    token = one(ApiToken.objects.filter(tenant=tenant, membership=request.membership, pk=token_id))
    api_tokens.revoke_token(token=token, actor=request.user, now=now())
    messages.success(request, f"“{token.name}” is revoked.")
    return redirect("tokens", tenant.slug)
