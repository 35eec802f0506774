"""What was learned of models' tokens. Gateways are told when a factor changes, not when a call was counted."""

import django.db.models.deletion
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from billing.row_security import notify, protect

PUBLISHED = ("input_factor", "output_factor", "low_factor", "usual_output")


def whole_numbers() -> ArrayField:
    return ArrayField(models.IntegerField(), default=list)


class Migration(migrations.Migration):
    dependencies = [("proxy", "0007_routing")]

    operations = [
        migrations.CreateModel(
            "ModelEstimate",
            [
                (
                    "model",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="estimate",
                        serialize=False,
                        to="proxy.model",
                    ),
                ),
                ("learned_until", models.DateTimeField()),
                *((name, models.PositiveIntegerField(default=0)) for name in PUBLISHED),
                ("input_samples", models.BigIntegerField(default=0)),
                ("output_samples", models.BigIntegerField(default=0)),
                ("sums", models.JSONField(default=dict)),
                ("input_ratios", whole_numbers()),
                ("output_ratios", whole_numbers()),
                ("input_errors", whole_numbers()),
                ("output_errors", whole_numbers()),
                ("estimated", models.JSONField(default=dict)),
            ],
        ),
        protect("proxy_modelestimate", portal="", gateway="SELECT", mine=""),
        notify("proxy_modelestimate", "'catalog'", events="INSERT OR DELETE"),
        migrations.RunSQL(
            f"""
            CREATE TRIGGER notify_gateways_moved AFTER UPDATE ON proxy_modelestimate FOR EACH ROW
            WHEN (({", ".join(f"OLD.{name}" for name in PUBLISHED)})
                IS DISTINCT FROM ({", ".join(f"NEW.{name}" for name in PUBLISHED)}))
            EXECUTE FUNCTION notify_proxy_modelestimate();
            """,
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
