"""Projects: the list, making one, its page with name and limits."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST

from portal import organisation, tenancy
from portal.access import Permission, project_for
from portal.api_keys import usable
from portal.forms import LimitsForm, ProjectForm
from portal.limits import Scope
from portal.models import ApiKey, Project, Tenant
from portal.readings import gauges, spent_this_month
from portal.tenancy import TenancyProblem
from portal.views.limits import change_limits, initial_of
from portal.views.page import TenantRequest, form_status, render_page, tenant_page


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.VIEW)
def projects(request: TenantRequest, tenant: Tenant) -> HttpResponse:
    """Every project with its keys and what it spent this month; a form for a new one."""
    form = ProjectForm(request.POST or None)
    if request.method == "POST":
        made = _made(request, tenant, form)
        if made:
            messages.success(request, f"Project “{made.name}” is there.")
            return redirect("project", tenant.slug, made.slug)
    moment = now()
    in_use = Q(api_keys__revoked_at=None) & (Q(api_keys__expires_at=None) | Q(api_keys__expires_at__gt=moment))
    rows = Project.objects.filter(tenant=tenant).annotate(keys=Count("api_keys", filter=in_use)).order_by("name", "pk")
    spent = spent_this_month(tenant, "project", now=moment)
    context = {"projects": [{"project": row, "spent": spent.get(row.pk, 0)} for row in rows], "form": form}
    return render_page(request, "projects.html", context, status=form_status(form.errors))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.VIEW)
def project(request: TenantRequest, tenant: Tenant, project_slug: str) -> HttpResponse:
    """One project: its keys, limits and name."""
    shown = project_for(tenant, project_slug)
    scope = Scope(tenant, project=shown)
    form = LimitsForm(request.POST or None, initial=initial_of(scope))
    if change_limits(request, form, scope, Permission.MANAGE_LIMITS):
        return redirect("project", tenant.slug, shown.slug)
    moment = now()
    context = {
        "project": shown,
        "keys": ApiKey.objects.filter(usable(moment), tenant=tenant, project=shown).order_by("-created_at", "-pk"),
        "gauges": gauges(tenant, now=moment, scope=scope.kind, scope_id=scope.id),
        "spent": spent_this_month(tenant, "project", now=moment).get(shown.pk, 0),
        "form": form,
        "name_form": ProjectForm(initial={"name": shown.name}, prefix="rename"),
    }
    return render_page(request, "project.html", context, status=form_status(form.errors))


@require_POST
@tenant_page(Permission.MANAGE_PROJECTS)
def rename_project(request: TenantRequest, tenant: Tenant, project_slug: str) -> HttpResponse:
    """Another name for a project."""
    shown = project_for(tenant, project_slug)
    form = ProjectForm(request.POST, prefix="rename")
    if form.is_valid():
        try:
            organisation.rename_project(project=shown, name=form.cleaned_data["name"], actor=request.user, now=now())
        except TenancyProblem as problem:
            form.add_error("name", str(problem))
        else:
            messages.success(request, "Saved.")
            return redirect("project", tenant.slug, shown.slug)
    return render_page(request, "project_rename.html", {"project": shown, "form": form}, status=422)


def _made(request: TenantRequest, tenant: Tenant, form: ProjectForm) -> Project | None:
    if Permission.MANAGE_PROJECTS not in request.permissions:
        raise PermissionDenied
    if not form.is_valid():
        return None
    name = form.cleaned_data["name"]
    try:
        slug = organisation.free_project_slug(tenant, name)
        return tenancy.create_project(tenant=tenant, slug=slug, name=name, actor=request.user, now=now())
    except TenancyProblem as problem:
        form.add_error("name", str(problem))
        return None
