"""A tenant's calls, usage, ledger, invoices and costs as files: read page by page, written as CSV or Parquet."""
