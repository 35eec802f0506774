"""The developers' guide: pages, links, examples that are the reader's own, search."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from proxy.guide import contents, pages, search
from proxy.guide.reader import Reader
from tests.portal.cast import Cast, signed_in

SLUGS = list(contents.WRITTEN)
READER = Reader("https://llm.acme.test", model="acme/chat", image="acme/draw", key="sk-tg-abc…wxyz")


def anchors_of(page: str) -> list[str]:
    return re.findall(r' id="([^"]+)"', page)


@pytest.mark.parametrize("slug", SLUGS)
def test_it_has_a_page_for_every_entry_and_says_when_it_changed(slug: str) -> None:
    """Days are noted by ``manage.py date_guide``: run it when this fails."""
    assert pages.dated(pages.changed(), today="later")[slug] == pages.changed()[slug]
    source = pages.source_of(slug)
    assert source.title
    anchors = anchors_of(pages.html_of(slug, READER))
    assert len(anchors) == len(set(anchors))
    assert {heading.anchor for heading in source.headings} <= set(anchors)


def test_every_file_is_in_the_contents() -> None:
    assert {file.stem for file in pages.FOLDER.glob("*.md")} == set(SLUGS)


@pytest.mark.django_db
def test_every_link_leads_somewhere(client: Client) -> None:
    shown = {entry.slug: client.get(f"/docs/{entry.slug}").content.decode() for entry in contents.ENTRIES}
    for slug, page in shown.items():
        for address, anchor in re.findall(r'href="/docs/([a-z-]*)(?:#([^"]+))?"', page):
            assert address in shown or address in ("", "search"), (slug, address)
            assert not anchor or anchor in anchors_of(shown[address]), (slug, address, anchor)
        assert "style=" not in page, slug
        main = page.split('id="main"', 1)[1]
        assert not re.findall(r'href="[^"]+\.md', main), slug


@pytest.mark.django_db
def test_it_turns_from_page_to_page(client: Client) -> None:
    page, seen = "/docs/", []
    while page:
        answer = client.get(page, follow=True)
        assert answer.status_code == 200
        seen.append(answer.request["PATH_INFO"].rsplit("/", 1)[1])
        following = re.search(r'href="([^"]+)" rel="next"', answer.content.decode())
        page = following[1] if following else ""
    assert seen == [entry.slug for entry in contents.ENTRIES]


def test_it_fills_examples_in() -> None:
    shown = unescape(re.sub(r"<[^>]+>", "", pages.html_of("quick-start", READER)))
    assert "export TOLLGATE=https://llm.acme.test KEY=sk-tg-abc…wxyz" in shown
    assert '"model": "acme/chat"' in shown
    assert "sandbox/" not in shown
    assert "127.0.0.1" not in shown
    assert 'model="acme/draw"' in unescape(re.sub(r"<[^>]+>", "", pages.html_of("images-and-embeddings", READER)))


def test_it_leaves_examples_alone_where_nothing_is_known() -> None:
    assert "sandbox/echo" in pages.html_of("quick-start", Reader("http://127.0.0.1:8000"))


def test_what_a_reader_brings_is_escaped() -> None:
    page = pages.html_of("quick-start", Reader("https://x", model='"><script>alert(1)</script>'))
    assert "<script" not in page


@pytest.mark.django_db
def test_only_a_model_on_sale_can_be_chosen(client: Client) -> None:
    page = client.get("/docs/quick-start", {"model": "not/sold"}).content.decode()
    assert "not/sold" not in page


def test_a_member_sees_the_beginning_of_the_own_key_and_a_stranger_does_not(cast: Cast) -> None:
    shown = {
        person: signed_in(person).get("/docs/quick-start").content.decode() for person in (cast.alice, cast.charlie)
    }
    assert str(cast.acme.key) in shown[cast.alice]
    assert cast.acme.key_text not in shown[cast.alice]
    assert cast.acme.key.public_id not in shown[cast.charlie]


@pytest.mark.parametrize(
    ("question", "address"),
    [
        ("idempotency key", "/docs/idempotency"),
        ("claude code", "/docs/ide-integration#claude-code"),
        ("prompt cache", "/docs/caching-and-cost"),
        ("insufficient_quota", "/docs/errors"),
        ("reasoning_effort", "/docs/api#reasoning_effort"),
        ("retri", "/docs/quality-of-service#retries"),
    ],
)
def test_search_finds(question: str, address: str) -> None:
    assert any(found.address.startswith(address) for found in search.find(question)[:5])


@pytest.mark.parametrize("question", ["", "  ", "%%%", "zyxwv", "retry zyxwv"])
def test_search_finds_nothing_where_there_is_nothing(question: str) -> None:
    assert search.find(question) == []


@pytest.mark.django_db
def test_a_search_is_a_page_and_to_htmx_a_part(client: Client) -> None:
    page = client.get("/docs/search", {"q": 'wallet "><script>'}).content.decode()
    assert "<script>" not in page.split('id="main"')[1]
    part = client.get("/docs/search", {"q": "wallet"}, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "/docs/" in part
