"""Runs a fake Stripe until it is interrupted, and says how to point Tollgate at it."""

from __future__ import annotations

import argparse

from tests.fake_stripe.server import KEY, SECRET, FakeStripe

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8222)
    parser.add_argument("--webhook", default="http://127.0.0.1:8000/webhooks/stripe")
    parser.add_argument("--doubled", type=int, default=2, help="how often each message is sent")
    asked = parser.parse_args()
    fake = FakeStripe(asked.webhook, port=asked.port, doubled=asked.doubled)
    print("Start Tollgate with")
    for name, value in (("SECRET_KEY", KEY), ("WEBHOOK_SECRET", SECRET), ("API_BASE", fake.base)):
        print(f"  TOLLGATE_STRIPE_{name}={value}")
    print(
        "Cards: 4242 4242 4242 4242 pays, 4000 0000 0000 0002 is declined, 4000 0000 0000 6789 takes days.", flush=True
    )
    try:
        fake.server.serve_forever()
    except KeyboardInterrupt:
        fake.stop()
