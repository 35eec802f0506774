"""How numbers, amounts and days are written in each language. Written here, and not taken from a table of locales that
changes with its version: a document drawn again must be the same, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from billing.documents.words import DEFAULT
from billing.money import format_minor


@dataclass(frozen=True, slots=True)
class Convention:
    """Separators, the places of number and per cent sign, and the months."""

    group: str
    point: str
    percent: str
    day: str
    months: tuple[str, ...]
    first: str = ""
    capitals: tuple[tuple[str, str], ...] = ()

    def upper(self, text: str) -> str:
        """Capital letters; those of the Turkish i are its own."""
        for small, capital in self.capitals:
            text = text.replace(small, capital)
        return text.upper()

    def number(self, plain: str) -> str:
        """A plain decimal such as ``-1234.5`` in this convention."""
        sign, plain = ("−", plain[1:]) if plain.startswith("-") else ("", plain)
        whole, _point, rest = plain.partition(".")
        return sign + f"{int(whole):,}".replace(",", self.group) + (f"{self.point}{rest}" if rest else "")

    def money(self, minor: int, currency: str) -> str:
        """Minor units of a currency, without its name."""
        return self.number(format_minor(minor, currency))

    def rate(self, per_cent: str) -> str:
        """A rate in per cent: ``7.5`` → ``7,5 %`` in German."""
        return self.percent.format(self.number(per_cent))

    def date(self, value: date) -> str:
        """A day, the month in words so that nobody takes it for the day."""
        number = f"{value.day}{self.first}" if value.day == 1 else str(value.day)
        return self.day.format(day=number, month=self.months[value.month - 1], year=value.year)

    def month(self, label: str) -> str:
        """``2027-03`` → ``March 2027``. Any other label stays as it is."""
        year, _dash, month = label.partition("-")
        if not (year.isdecimal() and month.isdecimal() and 1 <= int(month) <= 12):
            return label
        return f"{self.months[int(month) - 1]} {year}"


CONVENTIONS = {
    "en": Convention(
        ",", ".", "{}%", "{day} {month} {year}",
        ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
         "December"),
    ),
    "de": Convention(
        ".", ",", "{}\u00a0%", "{day}. {month} {year}",
        ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
         "Dezember"),
    ),
    "fr": Convention(
        "\u202f", ",", "{}\u00a0%", "{day} {month} {year}",
        ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
         "décembre"),
        first="er",
    ),
    "tr": Convention(
        ".", ",", "%{}", "{day} {month} {year}",
        ("Ocak", "Şubat", "Mart", "Nisan", "Mayıs", "Haziran", "Temmuz", "Ağustos", "Eylül", "Ekim", "Kasım",
         "Aralık"),
        capitals=(("i", "İ"), ("ı", "I")),
    ),
}  # fmt: skip


def convention(language: str) -> Convention:
    """That of a language, the English one if it is none of ours."""
    return CONVENTIONS.get(language, CONVENTIONS[DEFAULT])
