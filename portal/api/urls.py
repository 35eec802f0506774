"""The addresses of the management API, under ``/manage/api/v1/``."""

from __future__ import annotations

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from portal.api import (
    contract,
    export_jobs,
    exports,
    invoice_files,
    invoices,
    keys,
    payments,
    spend,
    usage,
    wallet,
    webhooks,
)
from portal.api.missing import Missing

app_name = "api"
urlpatterns = [
    path("keys", keys.Keys.as_view(), name="keys"),
    path("keys/<str:public_id>", keys.Key.as_view(), name="key"),
    path("keys/<str:public_id>/revoke", keys.KeyRevocation.as_view(), name="revoke_key"),
    path("keys/<str:public_id>/rotate", keys.KeyRotation.as_view(), name="rotate_key"),
    path("usage", usage.UsageSummary.as_view(), name="usage"),
    path("usage/calls", usage.Calls.as_view(), name="calls"),
    path("usage/calls/<str:call_id>", usage.Call.as_view(), name="call"),
    path("wallet", wallet.Wallet.as_view(), name="wallet"),
    path("wallet/movements", wallet.WalletMovements.as_view(), name="wallet_movements"),
    path("wallet/voucher", wallet.VoucherRedemption.as_view(), name="redeem_voucher"),
    path("wallet/top-up-rule", wallet.WalletRule.as_view(), name="top_up_rule"),
    path("wallet/alerts", wallet.WalletAlerts.as_view(), name="balance_alerts"),
    path("contract", contract.Contract.as_view(), name="contract"),
    path("payments", payments.Payments.as_view(), name="payments"),
    path("payments/checkout", payments.PaymentCheckout.as_view(), name="start_checkout"),
    path("payments/<int:payment_id>", payments.OnePayment.as_view(), name="payment"),
    path("spend", spend.SpendByMonth.as_view(), name="spend"),
    path("invoices", invoices.Invoices.as_view(), name="invoices"),
    path("invoices/<int:invoice_id>", invoices.Invoice.as_view(), name="invoice"),
    path("invoices/<int:invoice_id>/pdf", invoices.InvoiceDocument.as_view(), name="invoice_pdf"),
    path("invoices/<int:invoice_id>/ubl", invoice_files.InvoiceUbl.as_view(), name="invoice_ubl"),
    path("invoices/<int:invoice_id>/evidence.csv", invoice_files.InvoiceCsv.as_view(), name="invoice_csv"),
    path("invoices/<int:invoice_id>/evidence.parquet", invoice_files.InvoiceParquet.as_view(), name="invoice_parquet"),
    path("exports/jobs", export_jobs.ExportJobs.as_view(), name="export_jobs"),
    path("exports/jobs/<int:export_id>", export_jobs.OneExportJob.as_view(), name="export_job"),
    path("exports/jobs/<int:export_id>/file", export_jobs.ExportJobFile.as_view(), name="export_job_file"),
    path("exports/calls", exports.CallsExport.as_view(), name="export_calls"),
    path("exports/usage", exports.UsageExport.as_view(), name="export_usage"),
    path("exports/ledger", exports.LedgerExport.as_view(), name="export_ledger"),
    path("exports/invoices", exports.InvoicesExport.as_view(), name="export_invoices"),
    path("exports/documents", exports.DocumentsExport.as_view(), name="export_documents"),
    path("exports/focus", exports.FocusExport.as_view(), name="export_focus"),
    path("exports/focus-hourly", exports.HourlyFocusExport.as_view(), name="export_focus_hourly"),
    path("webhooks", webhooks.Webhooks.as_view(), name="webhooks"),
    path("webhooks/messages", webhooks.Messages.as_view(), name="webhook_messages"),
    path("webhooks/messages/<int:delivery_id>", webhooks.Message.as_view(), name="webhook_message"),
    path("webhooks/messages/<int:delivery_id>/resend", webhooks.MessageResend.as_view(), name="resend_message"),
    path("webhooks/<slug:endpoint_id>", webhooks.Webhook.as_view(), name="webhook"),
    path("webhooks/<slug:endpoint_id>/secret", webhooks.WebhookSecret.as_view(), name="rotate_webhook"),
    path("webhooks/<slug:endpoint_id>/test", webhooks.WebhookTest.as_view(), name="test_webhook"),
    path("webhooks/<slug:endpoint_id>/resend", webhooks.WebhookResend.as_view(), name="resend_failed"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    re_path("", Missing.as_view(), name="missing"),
]
