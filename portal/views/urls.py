"""The addresses of the pages. Everything of a tenant lives under ``/t/<slug>/``."""

from __future__ import annotations

from django.urls import path

from portal.views import (
    audit,
    calls,
    home,
    invoice_files,
    invoices,
    keys,
    limits,
    members,
    overview,
    projects,
    settings,
    tokens,
    usage,
)

urlpatterns = [
    path("", home.home, name="home"),
    path("new/", home.new_tenant, name="new_tenant"),
    path("invitations/<str:token>/", home.invitation, name="invitation"),
    path("account/", home.account_settings, name="account_settings"),
    path("t/<slug:slug>/", overview.overview, name="overview"),
    path("t/<slug:slug>/keys/", keys.keys, name="keys"),
    path("t/<slug:slug>/keys/new/", keys.new_key, name="new_key"),
    path("t/<slug:slug>/keys/<str:public_id>/", keys.key, name="key"),
    path("t/<slug:slug>/keys/<str:public_id>/rotate/", keys.rotate_key, name="rotate_key"),
    path("t/<slug:slug>/keys/<str:public_id>/revoke/", keys.revoke_key, name="revoke_key"),
    path("t/<slug:slug>/usage/", usage.usage, name="usage"),
    path("t/<slug:slug>/calls/", calls.calls, name="calls"),
    path("t/<slug:slug>/calls/<str:shown_id>/", calls.call, name="call"),
    path("t/<slug:slug>/projects/", projects.projects, name="projects"),
    path("t/<slug:slug>/projects/<slug:project_slug>/", projects.project, name="project"),
    path("t/<slug:slug>/projects/<slug:project_slug>/name/", projects.rename_project, name="rename_project"),
    path("t/<slug:slug>/limits/", limits.limits, name="limits"),
    path("t/<slug:slug>/limits/change/", limits.tenant_limits, name="tenant_limits"),
    path("t/<slug:slug>/invoices/", invoices.invoices, name="invoices"),
    path("t/<slug:slug>/invoices/draft/", invoices.draft_invoice, name="draft_invoice"),
    path("t/<slug:slug>/invoices/<int:invoice_id>/", invoices.invoice, name="invoice"),
    path("t/<slug:slug>/invoices/<int:invoice_id>/finalise/", invoices.finalise_invoice, name="finalise_invoice"),
    path("t/<slug:slug>/invoices/<int:invoice_id>/discard/", invoices.discard_invoice, name="discard_invoice"),
    path("t/<slug:slug>/invoices/<int:invoice_id>/pdf/", invoices.invoice_document, name="invoice_document"),
    path("t/<slug:slug>/invoices/<int:invoice_id>/ubl/", invoice_files.invoice_ubl, name="invoice_ubl"),
    path("t/<slug:slug>/invoices/<int:invoice_id>/evidence.csv", invoice_files.invoice_csv, name="invoice_csv"),
    path(
        "t/<slug:slug>/invoices/<int:invoice_id>/evidence.parquet",
        invoice_files.invoice_parquet,
        name="invoice_parquet",
    ),
    path("t/<slug:slug>/members/", members.members, name="members"),
    path("t/<slug:slug>/members/<int:member_id>/", members.member, name="member"),
    path("t/<slug:slug>/members/<int:member_id>/remove/", members.remove_member, name="remove_member"),
    path("t/<slug:slug>/invitations/<int:invitation_id>/revoke/", members.revoke_invitation, name="revoke_invitation"),
    path("t/<slug:slug>/tokens/", tokens.tokens, name="tokens"),
    path("t/<slug:slug>/tokens/<int:token_id>/revoke/", tokens.revoke_token, name="revoke_token"),
    path("t/<slug:slug>/audit/", audit.audit, name="audit"),
    path("t/<slug:slug>/settings/", settings.settings, name="settings"),
]
