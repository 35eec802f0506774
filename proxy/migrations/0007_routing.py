"""Health of routes, probes of them, and what operators should look at."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from billing.row_security import protect

SQL = Path(__file__).parent / "sql" / "0007_routing.sql"


class Migration(migrations.Migration):
    dependencies = [
        ("proxy", "0006_price_origin"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Finding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("credential", "credential refused"),
                            ("model", "reported model changed"),
                            ("tokens", "token counts changed"),
                            ("latency", "much slower than it was"),
                            ("failing", "probes fail"),
                        ],
                        max_length=12,
                    ),
                ),
                ("place", models.CharField(max_length=40)),
                ("subject", models.CharField(max_length=500)),
                ("before", models.CharField(blank=True, max_length=300)),
                ("after", models.CharField(blank=True, max_length=300)),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "open"), ("acknowledged", "acknowledged")], default="open", max_length=12
                    ),
                ),
                ("times", models.PositiveIntegerField(default=1)),
                ("found_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("seen_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="findings",
                        to="proxy.route",
                    ),
                ),
                (
                    "upstream",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="findings",
                        to="proxy.upstream",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "open")), fields=("kind", "place"), name="finding_open_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RouteHealth",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("model", models.CharField(max_length=200)),
                ("starts_at", models.DateTimeField()),
                ("successes", models.BigIntegerField(default=0)),
                ("refused", models.BigIntegerField(default=0)),
                ("timeouts", models.BigIntegerField(default=0)),
                ("server_errors", models.BigIntegerField(default=0)),
                ("overloaded", models.BigIntegerField(default=0)),
                ("auth", models.BigIntegerField(default=0)),
                ("unreachable", models.BigIntegerField(default=0)),
                ("broken", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("output_ms", models.BigIntegerField(default=0)),
                (
                    "first_token",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                ),
                ("whole", django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                (
                    "route",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="health", to="proxy.route"
                    ),
                ),
            ],
            options={
                "verbose_name": "route's health",
                "verbose_name_plural": "health of routes",
                "indexes": [
                    models.Index(models.F("model"), models.F("starts_at"), name="route_health_by_model"),
                    models.Index(models.F("starts_at"), name="route_health_by_time"),
                ],
                "constraints": [
                    models.UniqueConstraint(models.F("route"), models.F("starts_at"), name="route_health_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="RouteProbe",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("trouble", models.CharField(blank=True, max_length=300)),
                ("reported_model", models.CharField(blank=True, max_length=200)),
                ("fingerprint", models.CharField(blank=True, max_length=100)),
                (
                    "prompt_tokens",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "completion_tokens",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "latency_ms",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "route",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="probes", to="proxy.route"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["route", "-made_at"], name="probe_by_route")],
            },
        ),
        protect("proxy_routehealth", mine=""),
        protect("proxy_routeprobe", portal="", mine=""),
        protect("proxy_finding", portal="", mine=""),
        migrations.RunSQL(SQL.read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
