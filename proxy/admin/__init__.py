"""The operators' pages about what is sold and where it comes from."""

from proxy.admin import credentials, estimates, models, price_imports, price_proposals, prices, routes_health, upstreams

__all__ = [
    "credentials",
    "estimates",
    "models",
    "price_imports",
    "price_proposals",
    "prices",
    "routes_health",
    "upstreams",
]
