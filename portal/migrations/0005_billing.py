"""Country, VAT id, language and billing address of a tenant; the day its billing months begin."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portal", "0004_membership_rows"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="billing_anchor_day",
            field=models.PositiveSmallIntegerField(
                default=1,
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(31)],
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="billing_email",
            field=models.EmailField(blank=True, max_length=254),
        ),
        migrations.AddField(
            model_name="tenant",
            name="country",
            field=models.CharField(
                blank=True,
                max_length=2,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[A-Z]{2}\\Z", "Two capital letters of ISO 3166, such as DE."
                    )
                ],
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="language",
            field=models.CharField(
                choices=[("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("tr", "Türkçe")],
                default="en",
                max_length=2,
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="payment_days",
            field=models.PositiveSmallIntegerField(
                blank=True, null=True, validators=[django.core.validators.MaxValueValidator(365)]
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="tax_category",
            field=models.CharField(
                blank=True,
                choices=[("Z", "Z: zero-rated"), ("E", "E: exempt"), ("O", "O: outside the scope of VAT")],
                max_length=2,
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="vat_id",
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("billing_anchor_day__gte", 1), ("billing_anchor_day__lte", 31)),
                name="tenant_anchor_day",
            ),
        ),
    ]
