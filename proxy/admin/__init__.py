"""The operators' pages about what is sold and where it comes from."""

from proxy.admin import models, prices, upstreams

__all__ = ["models", "prices", "upstreams"]
