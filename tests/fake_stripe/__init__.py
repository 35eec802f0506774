"""A Stripe to test with: a real HTTP server with what Tollgate uses of the API, a page to pay on, and signed webhooks.

``python -m tests.fake_stripe --webhook http://127.0.0.1:8000/webhooks/stripe`` runs one to try payments by hand.
"""
