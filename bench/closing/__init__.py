"""``python -m bench.closing``: how fast a month is posted, closed and checked, on a PostgreSQL of its own."""
