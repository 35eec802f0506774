"""Django settings: working defaults, everything that differs between places comes from portal/environment.py."""

from __future__ import annotations

import contextlib
from urllib.parse import parse_qsl, unquote, urlsplit

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from portal import environment

BASE_DIR = environment.ROOT
_secrets = environment.load_secrets()
SECRET_KEY = _secrets.secret_key
KEY_PEPPER = _secrets.key_pepper
MASTER_KEY = _secrets.master_key

DEBUG = environment.flag("TOLLGATE_DEBUG")
ALLOWED_HOSTS = environment.words("TOLLGATE_HOSTS") or ["127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = environment.words("TOLLGATE_ORIGINS")
HTTPS = environment.flag("TOLLGATE_HTTPS")
ALLOW_PRIVATE_UPSTREAMS = environment.flag("TOLLGATE_ALLOW_PRIVATE_UPSTREAMS")
ALLOW_PRIVATE_WEBHOOKS = environment.flag("TOLLGATE_ALLOW_PRIVATE_WEBHOOKS")
GATEWAY_PROCESSES = environment.integer("TOLLGATE_WORKERS", 1, least=1, most=256)
MOST_BODY_BYTES = environment.integer("TOLLGATE_MAX_BODY_MB", 50, least=1, most=1024) * 1024 * 1024
BODY_SECONDS = environment.integer("TOLLGATE_BODY_S", 60, least=1, most=3600)
ANSWER_ID_PREFIX = environment.variable("TOLLGATE_ID_PREFIX", "chatcmpl-")
PROBE_HOURS = environment.integer("TOLLGATE_PROBE_HOURS", 6, least=0, most=168)
SHOW_COST = environment.flag("TOLLGATE_SHOW_COST", default=True)
SELLER = {
    "name": environment.variable("TOLLGATE_SELLER_NAME", "Tollgate"),
    "address": environment.variable("TOLLGATE_SELLER_ADDRESS").replace("\\n", "\n"),
    "country": environment.variable("TOLLGATE_SELLER_COUNTRY").upper(),
    "vat_id": environment.variable("TOLLGATE_SELLER_VAT_ID"),
    "tax_id": environment.variable("TOLLGATE_SELLER_TAX_ID"),
    "register_id": environment.variable("TOLLGATE_SELLER_REGISTER_ID"),
    "email": environment.variable("TOLLGATE_SELLER_EMAIL"),
    "iban": environment.variable("TOLLGATE_SELLER_IBAN").replace(" ", ""),
    "bic": environment.variable("TOLLGATE_SELLER_BIC"),
}
STRIPE = environment.stripe()
FONTS = environment.variable("TOLLGATE_FONTS")  # a directory of fonts for invoices, beside those that come with typst
PAYMENT_DAYS = environment.integer("TOLLGATE_PAYMENT_DAYS", 14, least=0, most=365)
REMINDER_DAYS = environment.integers("TOLLGATE_REMINDER_DAYS", (3, 14, 28), least=0, most=365)
PARK_FACTOR = environment.integer("TOLLGATE_PARK_FACTOR", 5, least=0, most=1000)
"""An invoice above this many times the average of the last ones waits for a person; 0 lets every one through."""
PARK_ABOVE_USD = environment.integer("TOLLGATE_PARK_ABOVE_USD", 10, least=0, most=10**9)
VIES = environment.flag("TOLLGATE_VIES")
VIES_URL = environment.variable("TOLLGATE_VIES_URL", "https://ec.europa.eu/taxation_customs/vies/rest-api")
FOUR_EYES = environment.flag("TOLLGATE_FOUR_EYES")
"""Price changes and re-ratings wait until a second operator approves them."""
SANDBOX_URL = environment.variable("TOLLGATE_SANDBOX_URL") or environment.runtime().get("sandbox_url", "")
REDIS_URL = environment.redis_url()

ROLES = {"owner": "", "operator": "tollgate_operator", "portal": "tollgate_portal", "gateway": "tollgate_gateway"}
ROLE = environment.variable("TOLLGATE_ROLE", "portal")


def _database(url: str) -> dict[str, object]:
    """A Django database from a URL, connecting as the role this process acts in."""
    parts = urlsplit(url)
    options: dict[str, object] = dict(parse_qsl(parts.query))
    host = options.pop("host", None) or unquote(parts.hostname or "")
    if ROLES[ROLE]:
        options["options"] = f"-c role={ROLES[ROLE]}"
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "tollgate",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        # Under ASGI each request has a thread of its own, and a kept connection would be left behind in it.
        "CONN_MAX_AGE": 0 if ROLE == "portal" else 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": True,
        "OPTIONS": options,
    }


DATABASE_URL = environment.database_url()
DATABASES = {"default": _database(DATABASE_URL or "postgresql:///tollgate")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "billing",
    "portal",
    "proxy",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "portal.middleware.AdminPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.middleware.RowSecurityMiddleware",
]

ADMIN_PATH = "/admin/"
PAGE_MODULES = ("proxy.model_pages", "proxy.pages", "portal.views.urls")  # by name: the portal knows no room above it
STATEMENT_TIMEOUT_MS = 30_000
PATHS_WITHOUT_DATABASE = ("/healthz",)
ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "proxy.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "portal.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_GET = False
MFA_ADAPTER = "portal.mfa.MFAAdapter"
EMAIL_BACKEND = environment.variable("TOLLGATE_EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL or "redis://127.0.0.1:6379/0",
        "KEY_PREFIX": "portal",
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "portal" / "static"]
STATIC_ROOT = environment.home() / "static"
with contextlib.suppress(OSError):
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns of a missing folder, though it uses the finders
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if HTTPS else 0  # sign-ins are throttled by address: by the client's, not the proxy's
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Unfold's pages run Alpine.js, which compiles expressions, and carry inline styles: for ADMIN_PATH alone.
ADMIN_CONTENT_SECURITY_POLICY = {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}
UNFOLD = {
    "SITE_TITLE": "Tollgate",
    "SITE_HEADER": "Tollgate",
    "SITE_URL": "/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: STATIC_URL + "tollgate/mark.svg"}
    ],
    "STYLES": [lambda _request: STATIC_URL + "tollgate/admin.css"],
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PARSER_CLASSES": ["portal.api.strict.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tollgate management API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": environment.variable("TOLLGATE_LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}},  # it logs whole addresses, with the secrets people put in them
}
