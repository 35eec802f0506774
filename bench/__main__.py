"""``python -m bench`` measures the gateway, prints one table, and appends its rows to ``bench/results.jsonl``."""

from __future__ import annotations

import sys

from bench.run import main

sys.exit(main(sys.argv[1:]))
