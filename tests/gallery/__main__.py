"""``make screenshots``: pictures of every page in light, dark and on a phone, and what axe says of each."""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from playwright.sync_api import Browser

from portal.environment import ROOT
from tests.gallery.browser import NoBrowser, chromium
from tests.gallery.house import House, house
from tests.gallery.look import LOOKS, Eyes, take, too_wide, violations
from tests.gallery.picture import Picture
from tests.servers import TestServers


def main(arguments: list[str]) -> int:
    """Exit status 1 if a page had violations or console problems or did not fit the phone; 2 without a browser."""
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="pictures such as 'wallet*'")
    parser.add_argument("--looks", default=",".join(LOOKS), help="some of light,dark,phone")
    parser.add_argument("--into", type=Path, default=ROOT / "screenshots")
    chosen = parser.parse_args(arguments)
    servers = TestServers()
    try:
        with chromium() as browser:
            print("Starting the product and making a quarter of a year of data, about a minute …", flush=True)
            servers.start()
            with house(servers, servers.folder / "gallery") as made:
                return _photograph(browser, made, chosen)
    except NoBrowser as missing:
        print(missing, file=sys.stderr)
        return 2
    finally:
        servers.stop()


def _photograph(browser: Browser, made: House, chosen: argparse.Namespace) -> int:
    pictures = [one for one in made.pictures if fnmatchcase(one.name, chosen.only)]
    looks = [name for name in LOOKS if name in chosen.looks.split(",")]
    faults = 0
    for number, look in enumerate(looks):
        folder = chosen.into / look
        folder.mkdir(parents=True, exist_ok=True)
        eyes = Eyes(browser, made, LOOKS[look])
        for place, picture in enumerate(pictures, 1):
            found = _one(eyes, picture, folder / f"{picture.name}.png", look)
            faults += len(found)
            print(f"[{number * len(pictures) + place}/{len(looks) * len(pictures)}] {look}/{picture.name}", flush=True)
            for fault in found:
                print(f"    {fault}", flush=True)
        eyes.close()
    print(f"{len(pictures) * len(looks)} pictures in {chosen.into}, {faults} faults")
    return 1 if faults else 0


def _one(eyes: Eyes, picture: Picture, path: Path, look: str) -> list[str]:
    page = eyes.open(picture)
    take(page, path)
    wide = too_wide(page)
    return [
        *([f"{wide} px too wide"] if wide else []),
        *([] if look == "phone" else violations(page, picture)),
        *eyes.heard(picture),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
