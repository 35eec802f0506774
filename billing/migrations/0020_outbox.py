"""Messages to tenants' own systems."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from billing.row_security import protect

SQL = """
CREATE TRIGGER never_changed BEFORE UPDATE ON billing_outboxmessage FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_changed BEFORE UPDATE ON billing_webhookattempt FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0019_payments"),
    ]

    operations = [
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("budget.threshold_reached", "Budget threshold reached"),
                            ("wallet.balance_low", "Balance low"),
                            ("wallet.top_up_stopped", "Automatic top-up stopped"),
                            ("invoice.finalised", "Invoice finalised"),
                            ("invoice.paid", "Invoice paid"),
                            ("invoice.overdue", "Invoice overdue"),
                            ("key.expiring", "API key expiring"),
                            ("key.expired", "API key expired"),
                            ("test", "Test"),
                        ],
                        max_length=32,
                    ),
                ),
                ("subject", models.CharField(max_length=120)),
                ("once_key", models.CharField(blank=True, max_length=120, null=True)),
                ("body", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("keep_until_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="portal.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("delivered", "Delivered"), ("failed", "Failed")],
                        default="waiting",
                        max_length=9,
                    ),
                ),
                ("due_at", models.DateTimeField()),
                ("step", models.PositiveSmallIntegerField(default=0)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("lease", models.UUIDField(blank=True, null=True)),
                ("leased_until_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="billing.outboxmessage",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebhookAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                ("status_code", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("duration_ms", models.PositiveIntegerField()),
                ("error", models.CharField(blank=True, max_length=300)),
                ("response", models.CharField(blank=True, max_length=1000)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempts",
                        to="billing.webhookdelivery",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=500)),
                ("name", models.CharField(blank=True, max_length=100)),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("budget.threshold_reached", "Budget threshold reached"),
                                ("wallet.balance_low", "Balance low"),
                                ("wallet.top_up_stopped", "Automatic top-up stopped"),
                                ("invoice.finalised", "Invoice finalised"),
                                ("invoice.paid", "Invoice paid"),
                                ("invoice.overdue", "Invoice overdue"),
                                ("key.expiring", "API key expiring"),
                                ("key.expired", "API key expired"),
                                ("test", "Test"),
                            ],
                            max_length=32,
                        ),
                        size=None,
                    ),
                ),
                ("sealed_secret", models.BinaryField()),
                ("sealed_previous", models.BinaryField(blank=True, null=True)),
                ("previous_until_at", models.DateTimeField(blank=True, null=True)),
                ("is_active", models.BooleanField(default=True)),
                ("disabled_reason", models.CharField(blank=True, max_length=200)),
                ("failing_since_at", models.DateTimeField(blank=True, null=True)),
                ("is_slow", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portal.tenant"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="endpoint",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="deliveries", to="billing.webhookendpoint"
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                models.F("tenant"),
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="outbox_message_latest",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(models.F("created_at"), name="outbox_message_age"),
        ),
        migrations.AddConstraint(
            model_name="outboxmessage",
            constraint=models.UniqueConstraint(
                models.F("tenant"),
                models.F("kind"),
                models.F("subject"),
                models.F("once_key"),
                name="outbox_message_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookattempt",
            constraint=models.UniqueConstraint(models.F("delivery"), models.F("number"), name="webhook_attempt_once"),
        ),
        migrations.AddConstraint(
            model_name="webhookattempt",
            constraint=models.CheckConstraint(condition=models.Q(("number__gte", 1)), name="webhook_attempt_number"),
        ),
        migrations.AddIndex(
            model_name="webhookendpoint",
            index=models.Index(
                models.F("tenant"), condition=models.Q(("is_active", True)), name="endpoint_active_by_tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("removed_at", None), ("is_active", False), _connector="OR"),
                name="endpoint_removed_is_off",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("previous_until_at", None), ("sealed_previous", None)),
                    models.Q(("previous_until_at__isnull", False), ("sealed_previous__isnull", False)),
                    _connector="OR",
                ),
                name="endpoint_previous_secret_ends",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                models.F("endpoint"),
                models.F("due_at"),
                condition=models.Q(("status", "waiting")),
                name="webhook_delivery_due",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                models.F("endpoint"),
                models.F("finished_at"),
                condition=models.Q(("status", "failed")),
                name="webhook_delivery_failed",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(models.F("message"), models.F("endpoint"), name="webhook_delivery_once"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lease", None), ("leased_until_at", None)),
                    models.Q(("lease__isnull", False), ("leased_until_at__isnull", False), ("status", "waiting")),
                    _connector="OR",
                ),
                name="webhook_delivery_lease",
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at", None), ("status", "waiting")),
                    models.Q(models.Q(("status", "waiting"), _negated=True), ("finished_at__isnull", False)),
                    _connector="OR",
                ),
                name="webhook_delivery_finished",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                models.F("endpoint"), condition=models.Q(("lease__isnull", False)), name="webhook_delivery_leased"
            ),
        ),
        protect("billing_webhookendpoint"),
        protect("billing_outboxmessage", operator="SELECT, INSERT, DELETE"),
        protect("billing_webhookdelivery"),
        protect("billing_webhookattempt", operator="SELECT, INSERT, DELETE"),
        migrations.RunSQL(SQL, reverse_sql=migrations.RunSQL.noop),
    ]
