"""Every page there is, with a quarter of a year of data: accessible, quiet, and never wider than a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.gallery import pages
from tests.gallery.house import House, house
from tests.gallery.look import GRAVE, LIGHT, Eyes, too_wide, violations
from tests.gallery.picture import Picture
from tests.servers import TestServers

pytestmark = pytest.mark.timeout(600)

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def made(test_servers: TestServers) -> Iterator[House]:
    """The product with the demonstration in it."""
    with house(test_servers, test_servers.new_folder()) as one:
        yield one


@pytest.fixture(scope="module")
def eyes(chromium: Browser, made: House) -> Iterator[Eyes]:
    """Signs in once for all pages."""
    opened = Eyes(chromium, made, LIGHT)
    yield opened
    opened.close()


def test_every_address_for_people_has_a_picture(made: House) -> None:
    """A page nobody looks at is noticed: give it an address in tests/gallery/pages.py, or say why it needs none."""
    pictured = {picture.route for picture in made.pictures}
    assert {route for route in pages.routes() - pictured if not pages.without_picture(route)} == set()
    assert set(pages.WITHOUT_PICTURE) - pages.routes() == set()
    names = [picture.name for picture in made.pictures]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("part", range(4))
def test_every_page_is_accessible_quiet_and_fits_a_phone(eyes: Eyes, made: House, part: int) -> None:
    faults = {picture.name: found for picture in made.pictures[part::4] if (found := _faults(eyes, picture))}
    assert faults == {}


def test_it_would_notice_what_is_wrong(eyes: Eyes, made: House) -> None:
    """The measure itself: an unnamed button, a wide box and a script error are found."""
    picture = next(one for one in made.pictures if one.name == "account_login")
    page = eyes.open(picture)
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<button></button>')")
    page.evaluate("document.querySelector('h1').style.setProperty('width', '2000px')")
    page.evaluate("console.error('broken')")
    assert [found for found in violations(page, picture) if "button-name" in found]
    assert too_wide(page) > 0
    assert eyes.heard(picture) == ["error: broken"]


def _faults(eyes: Eyes, picture: Picture) -> list[str]:
    """What is wrong with one page; dark and the phone by turning the loaded page, which is faster than loading it."""
    page = eyes.open(picture)
    found = [one for one in violations(page, picture) if one.startswith(GRAVE)]
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {one}" for one in violations(page, picture, only=("color-contrast",))]
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    if wide := too_wide(page):
        found.append(f"{wide} px too wide")
    page.set_viewport_size(LIGHT["viewport"])
    page.emulate_media(color_scheme="light")
    return found + eyes.heard(picture)
