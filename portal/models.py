"""Who may do what: people, tenants, their projects and API keys, and what was done with privilege."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    PermissionsMixin,
)
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.timezone import now

from portal.zones import valid_zone

SLUG = RegexValidator(r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", "Use a–z, 0–9 and hyphens, at most 63 characters.")

COUNTRY = RegexValidator(r"^[A-Z]{2}\Z", "Two capital letters of ISO 3166, such as DE.")


class Role(models.TextChoices):
    """What a member may do; see portal/access.py for the table of permissions."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    FINANCE = "finance"


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> User:
        """A user; without a password they can only sign in after setting one."""
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        """An operator with every permission in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)


class User(AbstractBaseUser, PermissionsMixin):
    """A person, known by e-mail address. Staff are operators of the installation."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    joined_at = models.DateTimeField(default=now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = (models.UniqueConstraint(Lower("email"), name="user_email_any_case"),)

    def __str__(self) -> str:
        return self.name or self.email


class Tenant(models.Model):
    """The paying organisation."""

    class DisconnectPolicy(models.TextChoices):
        DRAIN = "drain"
        CANCEL = "cancel"

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        GERMAN = "de", "Deutsch"
        FRENCH = "fr", "Français"
        TURKISH = "tr", "Türkçe"

    class TaxCategory(models.TextChoices):
        """Where the law treats a tenant otherwise than the rule of billing/taxes.py; empty is by the rule."""

        ZERO = "Z", "Z: zero-rated"
        EXEMPT = "E", "E: exempt"
        OUTSIDE = "O", "O: outside the scope of VAT"

    slug = models.CharField(max_length=63, unique=True, validators=[SLUG])
    name = models.CharField(max_length=200)
    timezone = models.CharField(max_length=64, default="UTC", validators=[valid_zone])
    currency = models.CharField(max_length=3, default="USD")
    address = models.TextField(blank=True)
    country = models.CharField(max_length=2, blank=True, validators=[COUNTRY])
    vat_id = models.CharField(max_length=20, blank=True)
    tax_category = models.CharField(max_length=2, blank=True, choices=TaxCategory)
    language = models.CharField(max_length=2, choices=Language, default=Language.ENGLISH)
    billing_email = models.EmailField(blank=True)
    billing_anchor_day = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(31)]
    )
    payment_days = models.PositiveSmallIntegerField(null=True, blank=True, validators=[MaxValueValidator(365)])
    disconnect_policy = models.CharField(max_length=6, choices=DisconnectPolicy, default=DisconnectPolicy.DRAIN)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(billing_anchor_day__gte=1, billing_anchor_day__lte=31), name="tenant_anchor_day"
            ),
        )

    if TYPE_CHECKING:
        id: int

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user in a tenant, in one role."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "user", name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        )

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Invitation(models.Model):
    """An offer to join a tenant in a role; the link carries a secret of which only the digest is kept."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role)
    digest = models.BinaryField(max_length=32, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.email} ({self.role})"


class Project(models.Model):
    """A group of keys with budgets and quotas of its own."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="projects")
    slug = models.CharField(max_length=63, validators=[SLUG])
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "slug", name="project_slug_once"),
            models.UniqueConstraint("tenant", "id", name="project_in_tenant"),
        )

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A credential of a project. The secret is shown once; only its HMAC is kept."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="api_keys")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(max_length=32, unique=True)
    pepper_version = models.PositiveSmallIntegerField(default=1)
    last_four = models.CharField(max_length=4)
    allowed_models = ArrayField(models.CharField(max_length=200), null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    cut_streams = models.BooleanField(default=False)
    last_used_at = models.DateTimeField(null=True, blank=True)
    replaces = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint("tenant", "id", name="api_key_in_tenant"),)

    def __str__(self) -> str:
        return f"sk-tg-{self.public_id}…{self.last_four}"


class Quota(models.Model):
    """Rates of a tenant, a project or a key: requests and tokens per minute, calls at once. Null is no limit."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="quotas")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="quotas")
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True, blank=True, related_name="quotas")
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    concurrency = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])

    class Meta:
        constraints = (
            models.UniqueConstraint("tenant", "project", "api_key", name="quota_once", nulls_distinct=False),
            models.CheckConstraint(
                condition=Q(project__isnull=True) | Q(api_key__isnull=True), name="quota_of_one_scope"
            ),
        )

    def __str__(self) -> str:
        return f"quota of {self.api_key or self.project or self.tenant}"


class ApiToken(models.Model):
    """A member's credential for the management API, good for one tenant in the member's role. Only its HMAC is kept.

    It ends with the membership.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.BinaryField(max_length=32, unique=True)
    last_four = models.CharField(max_length=4)
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} …{self.last_four}"


class AuditEntry(models.Model):
    """Who did what with privilege, written in the transaction of the act. Never changed."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    actor = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField(default=now)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = (models.Index(F("tenant"), F("at").desc(), name="audit_by_tenant"),)

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"
