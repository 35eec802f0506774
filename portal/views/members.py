"""Members: the list, inviting, changing a role, removing."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST

from portal import mail, tenancy
from portal.access import Permission, one
from portal.forms import InviteForm, RoleForm
from portal.models import Invitation, Membership, Role, Tenant
from portal.tenancy import TenancyProblem
from portal.views.page import TenantRequest, form_status, render_page, tenant_page


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.SEE_MEMBERS)
def members(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Members and open invitations; a form for a new one, whose answer shows the link once."""
    form = InviteForm(request.POST or None, by_owner=_is_owner(request))
    link = _invite(request, tenant, form) if request.method == "POST" else ""
    moment = now()
    waiting = Invitation.objects.filter(
        tenant=tenant, accepted_at=None, revoked_at=None, expires_at__gt=moment
    ).order_by("-created_at")
    context = {
        "memberships": Membership.objects.filter(tenant=tenant).select_related("user").order_by("created_at", "pk"),
        "invitations": waiting,
        "form": InviteForm(by_owner=_is_owner(request)) if link else form,
        "link": link,
        "invited": form.cleaned_data["email"] if link else "",
    }
    return render_page(request, "members.html", context, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_MEMBERS)
def member(request: TenantRequest, tenant: Tenant, member_id: int) -> HttpResponse:
    """Change a member's role."""
    shown = _member(tenant, member_id)
    form = RoleForm(request.POST or None, by_owner=_is_owner(request), initial={"role": shown.role})
    if request.method == "POST" and form.is_valid():
        try:
            tenancy.change_role(membership=shown, role=form.cleaned_data["role"], actor=request.user, now=now())
        except TenancyProblem as problem:
            form.add_error("role", str(problem))
        else:
            messages.success(request, f"{shown.user} is {form.cleaned_data['role']} now.")
            return redirect("members", tenant.slug)
    return render_page(request, "member.html", {"shown": shown, "form": form}, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.MANAGE_MEMBERS)
def remove_member(request: TenantRequest, tenant: Tenant, member_id: int) -> HttpResponse:
    """End a membership, after asking."""
    shown = _member(tenant, member_id)
    problem = ""
    if request.method == "POST":
        try:
            tenancy.remove_member(membership=shown, actor=request.user, now=now())
        except TenancyProblem as refused:
            problem = str(refused)
        else:
            messages.success(request, f"{shown.user} is no member any more.")
            return redirect("home" if shown.user_id == request.user.pk else _list_of(tenant))
    context = {"shown": shown, "problem": problem}
    return render_page(request, "member_remove.html", context, status=form_status(problem))


@require_POST
@tenant_page(Permission.MANAGE_MEMBERS)
def revoke_invitation(request: TenantRequest, tenant: Tenant, invitation_id: int) -> HttpResponse:
    """Take an invitation back."""
    shown = one(Invitation.objects.filter(tenant=tenant, pk=invitation_id))
    tenancy.revoke_invitation(invitation=shown, actor=request.user, now=now())
    messages.success(request, f"The invitation of {shown.email} is taken back.")
    return redirect("members", tenant.slug)


def _invite(request: TenantRequest, tenant: Tenant, form: InviteForm) -> str:
    """Invite and send the mail; the link, or nothing when the form has errors."""
    if Permission.MANAGE_MEMBERS not in request.permissions:
        raise PermissionDenied
    if not form.is_valid():
        return ""
    try:
        issued = tenancy.invite(
            tenant=tenant,
            email=form.cleaned_data["email"],
            role=form.cleaned_data["role"],
            actor=request.user,
            now=now(),
        )
    except TenancyProblem as problem:
        form.add_error("email", str(problem))
        return ""
    link = request.build_absolute_uri(reverse("invitation", args=[issued.token]))
    mail.send_invitation(issued.invitation, link=link)
    return link


def _member(tenant: Tenant, member_id: int) -> Membership:
    return one(Membership.objects.filter(tenant=tenant, pk=member_id).select_related("user", "tenant"))


def _is_owner(request: TenantRequest) -> bool:
    return request.membership.role == Role.OWNER


def _list_of(tenant: Tenant) -> str:
    return reverse("members", args=[tenant.slug])
