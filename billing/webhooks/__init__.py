"""Webhooks: a tenant's endpoints, what they are told, how it is signed and sent, and the log of it."""
