"""What the process environment and the home folder say: where settings get both from.

The home (``TOLLGATE_HOME``, default ``.tollgate`` beside ``manage.py``) keeps secrets and, while the embedded
servers run, ``runtime.json`` with their addresses, so that every command finds the servers ``make up`` started.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECRET_NAMES = ("secret_key", "key_pepper", "master_key")


class EnvironmentProblem(Exception):
    """The environment cannot be used; the message says which variable and what to do."""


def home() -> Path:
    """The state folder, absolute."""
    return Path(os.environ.get("TOLLGATE_HOME") or ROOT / ".tollgate").expanduser().resolve()


def flag(name: str, *, default: bool = False) -> bool:
    """True for 1, true, yes or on; false for 0, false, no or off; anything else but empty or unset is refused."""
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in ("0", "false", "no", "off"):
        return False
    if value in ("1", "true", "yes", "on"):
        return True
    raise EnvironmentProblem(f"{name} must be 1 or 0, not {value[:20]!r}.")


def integer(name: str, default: int, *, least: int, most: int) -> int:
    """A bounded integer from the environment."""
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise EnvironmentProblem(f"{name} must be a whole number from {least} to {most}, not {text[:20]!r}.")
    return int(text)


def integers(name: str, default: tuple[int, ...], *, least: int, most: int) -> tuple[int, ...]:
    """Bounded integers from the environment, separated by commas, rising; ``none`` is none of them."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    found = () if text.lower() == "none" else tuple(part.strip() for part in text.split(","))
    if not all(part.isdecimal() and least <= int(part) <= most for part in found):
        raise EnvironmentProblem(f"{name} must be whole numbers from {least} to {most} such as 3,14,28, or none.")
    return tuple(sorted({int(part) for part in found}))


def runtime() -> dict[str, str]:
    """Addresses of the running embedded servers: ``database_url`` and ``redis_url``, or nothing."""
    path = home() / "runtime.json"
    return json.loads(path.read_text()) if path.exists() else {}


def database_url() -> str:
    """``DATABASE_URL``, else the embedded server's."""
    return os.environ.get("DATABASE_URL") or runtime().get("database_url", "")


def redis_url() -> str:
    """``REDIS_URL``, else the embedded server's."""
    return os.environ.get("REDIS_URL") or runtime().get("redis_url", "")


@dataclass(frozen=True, slots=True)
class Secrets:
    """``secret_key`` signs sessions, ``key_pepper`` hashes API keys, ``master_key`` encrypts upstream credentials."""

    secret_key: str
    key_pepper: str
    master_key: str


def load_secrets() -> Secrets:
    """Secrets from ``TOLLGATE_SECRET_KEY``, ``TOLLGATE_KEY_PEPPER`` and ``TOLLGATE_MASTER_KEY``, else from the home.

    The file is made once, mode 0600. A secret that is set but shorter than 32 characters stops the process: an
    empty secret would sign and encrypt with nothing.
    """
    path = home() / "secrets.json"
    stored = _stored_secrets(path)
    values = {}
    for name in SECRET_NAMES:
        variable = f"TOLLGATE_{name.upper()}"
        value = os.environ.get(variable, stored.get(name, ""))
        if len(value) < 32:
            raise EnvironmentProblem(f"{variable} (or {name} in {path}) must have at least 32 characters.")
        values[name] = value
    return Secrets(**values)


def _stored_secrets(path: Path) -> dict[str, str]:
    """The home's secrets file, made on first use unless every secret comes from the environment."""
    if all(os.environ.get(f"TOLLGATE_{name.upper()}") for name in SECRET_NAMES):
        return {}
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = json.dumps({name: secrets.token_hex(32) for name in SECRET_NAMES})
        temporary = path.with_name(f"secrets.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
        try:
            os.link(temporary, path)  # the first process wins; the others read what it wrote
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    stored: dict[str, str] = json.loads(path.read_text())
    return stored


def words(name: str) -> list[str]:
    """A comma-separated list from the environment, empty when unset."""
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def variable(name: str, default: str = "") -> str:
    """A text such as ``OPENAI_API_KEY``; the default when it is unset or blank."""
    return os.environ.get(name, "").strip() or default


@dataclass(frozen=True, slots=True)
class StripeKeys:
    """What card payments need: ``secret_key`` asks Stripe, ``webhook_secret`` proves what Stripe tells."""

    secret_key: str
    webhook_secret: str
    api_base: str

    @property
    def is_live(self) -> bool:
        """Whether real money moves."""
        return "_live_" in self.secret_key


STRIPE_API = "https://api.stripe.com"


def stripe() -> StripeKeys | None:
    """Keys of card payments; None where none are set. Half of them, or mixed up, stops the process."""
    secret, webhook = variable("TOLLGATE_STRIPE_SECRET_KEY"), variable("TOLLGATE_STRIPE_WEBHOOK_SECRET")
    base = variable("TOLLGATE_STRIPE_API_BASE", STRIPE_API).rstrip("/")
    if not secret and not webhook:
        if base != STRIPE_API:
            raise EnvironmentProblem("TOLLGATE_STRIPE_API_BASE is set, but TOLLGATE_STRIPE_SECRET_KEY is not.")
        return None
    if not secret:
        raise EnvironmentProblem(
            "TOLLGATE_STRIPE_WEBHOOK_SECRET is set, but TOLLGATE_STRIPE_SECRET_KEY is not: card payments need both. "
            "Set the secret key (sk_… or rk_…, Developers → API keys), or unset the other."
        )
    if not secret.startswith(("sk_test_", "sk_live_", "rk_test_", "rk_live_")):
        raise EnvironmentProblem(
            "TOLLGATE_STRIPE_SECRET_KEY is not a secret key: it begins with sk_test_, sk_live_, rk_test_ or rk_live_."
        )
    if not webhook:
        raise EnvironmentProblem(
            "TOLLGATE_STRIPE_SECRET_KEY is set, but TOLLGATE_STRIPE_WEBHOOK_SECRET is not: payments would be taken and "
            "never arrive. Set the signing secret of the webhook endpoint (whsec_…), or unset the other."
        )
    if not webhook.startswith("whsec_") or len(webhook) < 16:
        raise EnvironmentProblem("TOLLGATE_STRIPE_WEBHOOK_SECRET is not a signing secret: it begins with whsec_.")
    found = StripeKeys(secret, webhook, base)
    if found.is_live and base != STRIPE_API:
        raise EnvironmentProblem(
            "TOLLGATE_STRIPE_SECRET_KEY is a live key, but TOLLGATE_STRIPE_API_BASE is not Stripe's: use a "
            "test key there."
        )
    if not base.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise EnvironmentProblem("TOLLGATE_STRIPE_API_BASE must begin with https://, or be on this machine.")
    return found
