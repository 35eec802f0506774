"""The developers' guide: Markdown of docs/guide as pages of the product, with a search."""
