"""What must be true after every measurement: each call that was answered is one settled row, and the books balance."""

from __future__ import annotations

from typing import Any

from bench.calls import settle
from bench.product import BenchProblem, Product

COUNTS = "SELECT count(*) FILTER (WHERE state = 'settled' AND status = 200), count(*) FROM billing_usageevent"


def compare(product: Product) -> int:
    """The number of settled rows, which is that of the answers the upstream gave; raises BenchProblem if it is not.

    The upstream counts what it answered, calls that wrk dropped at its end among them; the client's own count lacks
    those, so it can be less by one per connection.
    """
    settle(product)
    settled, rows = product.query(COUNTS)
    if not settled == rows == product.served() - product.direct:
        answered = product.served() - product.direct
        raise BenchProblem(f"{rows} rows, {settled} of them settled with 200, but the upstream answered {answered}")
    return int(settled)


def balance(product: Product) -> dict[str, Any]:
    """``manage.py check_books``, after what is settled was posted; raises BenchProblem if they do not balance."""
    product.post()
    product.manage("check_books")
    return {"rows": compare(product)}
