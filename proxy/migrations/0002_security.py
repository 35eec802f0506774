"""Roles and change notices of what is sold. These tables belong to no tenant, so they have no row-level security."""

from django.db import migrations

from billing.row_security import notify, protect

TABLES = ("proxy_upstream", "proxy_credential", "proxy_model", "proxy_modelalias", "proxy_route")


class Migration(migrations.Migration):
    dependencies = [("proxy", "0001_initial"), ("portal", "0002_security")]

    operations = [
        protect("proxy_upstream", portal="", gateway="SELECT", mine=""),
        protect("proxy_credential", portal="", gateway="SELECT", mine=""),
        protect("proxy_model", gateway="SELECT", mine=""),
        protect("proxy_modelalias", gateway="SELECT", mine=""),
        protect("proxy_route", portal="", gateway="SELECT", mine=""),
        *(notify(table, "'catalog'") for table in TABLES),
    ]
