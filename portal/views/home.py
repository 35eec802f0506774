"""Where people land: their organisation, the form that makes one, an invitation, their own account."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import Wallet
from portal import organisation, tenancy
from portal.access import memberships_of
from portal.forms import PersonForm, TenantForm
from portal.models import Tenant
from portal.tenancy import TenancyProblem
from portal.views.page import PersonRequest, form_status

LAST_TENANT = "last_tenant"


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The organisation opened last, else the first, else the form that makes one."""
    slugs = [membership.tenant.slug for membership in memberships_of(request)]
    if not slugs:
        return redirect("new_tenant")
    last = request.session.get(LAST_TENANT)
    return redirect("overview", last if last in slugs else slugs[0])


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new_tenant(request: HttpRequest) -> HttpResponse:
    """Name an organisation and choose its time zone; its maker becomes the owner."""
    form = TenantForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        tenant = _create(cast(PersonRequest, request), form, now())
        if tenant:
            return redirect("overview", tenant.slug)
    context = {"form": form, "first": not memberships_of(request).exists()}
    return render(request, "pages/new_tenant.html", context, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Join an organisation by the link of an invitation."""
    if request.method != "POST":
        return render(request, "pages/invitation.html", {})
    person = cast(PersonRequest, request).user
    try:
        with transaction.atomic():
            membership = tenancy.accept_invitation(token=token, user=person, now=now())
    except TenancyProblem as problem:
        return render(request, "pages/invitation.html", {"problem": str(problem)}, status=422)
    messages.success(request, "Welcome. You are a member now.")
    return redirect("overview", membership.tenant.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def account_settings(request: HttpRequest) -> HttpResponse:
    """A person's own name and organisations."""
    person = cast(PersonRequest, request).user
    form = PersonForm(request.POST or None, initial={"name": person.name})
    if request.method == "POST" and form.is_valid():
        try:
            organisation.change_person(user=person, name=form.cleaned_data["name"])
        except TenancyProblem as problem:
            form.add_error("name", str(problem))
        else:
            messages.success(request, "Saved.")
            return redirect(reverse("account_settings"))
    context = {"form": form, "memberships": memberships_of(request)}
    return render(request, "pages/account.html", context, status=form_status(form.errors))


def _create(request: PersonRequest, form: TenantForm, moment: datetime) -> Tenant | None:
    typed = form.cleaned_data
    try:
        with transaction.atomic():
            return tenancy.create_tenant(
                slug=tenancy.free_slug(typed["name"]),
                name=typed["name"],
                timezone=typed["timezone"],
                owner=request.user,
                mode=Wallet.Mode.PREPAID,
                credit_limit=0,
                now=moment,
            )
    except TenancyProblem as problem:
        form.add_error("name", str(problem))
        return None
