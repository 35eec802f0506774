"""Every kind of export, by name."""

from __future__ import annotations

from billing.exports.focus.dataset import DATASETS
from billing.exports.pages import TABLES
from billing.exports.span import Export

EXPORTS: dict[str, Export] = {export.name: export for export in (*TABLES, *DATASETS)}
