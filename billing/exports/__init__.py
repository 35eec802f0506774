"""A tenant's calls, usage, ledger and invoices as files: read page by page, written as CSV or Parquet."""
