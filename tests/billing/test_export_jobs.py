"""Exports in the background: whole and from one snapshot, stopped and begun anew, seen by their tenant alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils.timezone import now

from billing.exports import files, jobs, pages
from billing.exports.jobs import ExportProblem
from billing.exports.kinds import EXPORTS
from billing.exports.span import Row, Span
from billing.meters import Usage
from billing.models import ExportJob, ExportPart
from billing.periods import month
from portal.tenancy import as_operator, as_tenant
from tests.billing.world import World, run

MARCH = month("2027-03", "Europe/Paris")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    """Connections of this test are those of a worker, which are the operator's from the start."""
    options = connection.settings_dict["OPTIONS"]
    before = dict(options)
    options["options"] = "-c role=tollgate_operator"
    connection.close()
    yield
    options.clear()
    options.update(before)
    connection.close()


@pytest.fixture
def busy(worker: None, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(pages, "PAGE", 3)
    world = World()
    for number in range(10):
        world.use(Usage(input=1000 + number), at=world.clock + timedelta(minutes=number))
    world.post()
    return world


def asked(world: World, kind: str = "calls", file: str = "csv") -> ExportJob:
    with as_operator():
        return jobs.request(
            tenant=world.tenant, actor_id=None, kind=kind, file=file, span=(MARCH, MARCH), now=world.clock
        )


def made(job: ExportJob) -> ExportJob:
    jobs.make_waiting()
    return ExportJob.objects.get(pk=job.pk)


class Watched:
    """An export that calls back after each page."""

    def __init__(self, inner: Any, then: Any) -> None:
        self.name, self.about, self.columns, self.count = inner.name, inner.about, inner.columns, inner.count
        self._inner, self._then = inner, then

    def pages(self, span: Span) -> Iterator[list[Row]]:
        for page in self._inner.pages(span):
            yield page
            self._then()


def beside(act: Callable[[], object]) -> None:
    """Done by somebody else, over a connection of its own, while the export is made."""

    def run_and_close() -> None:
        act()
        connection.close()

    thread = threading.Thread(target=run_and_close)
    thread.start()
    thread.join()


def watch(monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    monkeypatch.setitem(EXPORTS, "calls", Watched(EXPORTS["calls"], then))


@pytest.mark.parametrize("file", ["csv", "parquet"])
def test_it_makes_the_file_that_a_download_would_be(busy: World, file: str) -> None:
    job = made(asked(busy, file=file))
    assert (job.state, job.rows_total, job.rows_done, job.error) == ("done", 10, 10, "")
    whole = b"".join(jobs.content(job))
    assert (len(whole), hashlib.sha256(whole).hexdigest()) == (job.size, job.sha256)
    if file == "csv":
        export = EXPORTS["calls"]
        assert whole == b"".join(files.csv_parts(export.columns, export.pages(Span.of(busy.tenant, MARCH, MARCH))))


def test_it_reads_one_snapshot(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that ends while the file is written is in none of it, or the rows would not add up to its sums."""

    def settle_another() -> None:
        beside(lambda: busy.use(Usage(input=5)))

    watch(monkeypatch, settle_another)
    assert made(asked(busy)).rows_done == 10
    assert made(asked(busy)).rows_done > 10


def test_its_progress_is_seen_while_it_runs(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int, int | None]] = []

    def look() -> None:
        beside(lambda: seen.extend(ExportJob.objects.values_list("state", "rows_done", "rows_total")))

    watch(monkeypatch, look)
    made(asked(busy))
    assert [done for _state, done, _total in seen] == [3, 6, 9, 10]
    assert {(state, total) for state, _done, total in seen} == {("running", 10)}


def test_a_cancelled_export_stops_and_leaves_nothing(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = asked(busy)

    def stop() -> None:
        beside(lambda: jobs.cancel(job=job, now=now()))

    watch(monkeypatch, stop)
    assert made(job).state == "cancelled"
    assert not ExportPart.objects.exists()
    assert not jobs.cancel(job=job, now=now())


def test_a_worker_that_died_is_followed_by_another(busy: World) -> None:
    job = asked(busy)
    run("UPDATE billing_exportjob SET state = 'running', attempt = 1, leased_until_at = now() - interval '1 second'")
    with as_operator():
        ExportPart.objects.create(tenant_id=busy.tenant.pk, job=job, position=0, content=b"half of it")
    job = made(job)
    assert (job.state, job.attempt) == ("done", 2)
    assert hashlib.sha256(b"".join(jobs.content(job))).hexdigest() == job.sha256


def test_a_worker_that_is_alive_is_left_alone_and_one_that_dies_often_is_given_up(busy: World) -> None:
    job = asked(busy)
    run("UPDATE billing_exportjob SET state = 'running', leased_until_at = now() + interval '1 minute'")
    assert made(job).state == "running"
    run("UPDATE billing_exportjob SET attempt = 3, leased_until_at = now() - interval '1 minute'")
    job = made(job)
    assert (job.state, "several times" in job.error) == ("failed", True)


def test_a_failure_is_told_and_the_next_export_is_made(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("disk")

    watch(monkeypatch, fail)
    first, second = asked(busy), asked(busy, kind="usage")
    assert "broke off" in made(first).error
    assert made(second).state == "done"
    assert not ExportPart.objects.filter(job=first).exists()


def test_too_large_a_file_is_refused_in_words(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_BYTES", 10)
    assert "fewer months" in made(asked(busy)).error


def test_three_at_once_are_enough(busy: World) -> None:
    for _ in range(3):
        asked(busy)
    with pytest.raises(ExportProblem, match="3 exports"):
        asked(busy)


@pytest.mark.parametrize(("kind", "file"), [("secrets", "csv"), ("calls", "exe")])
def test_what_there_is_not_is_refused(busy: World, kind: str, file: str) -> None:
    with pytest.raises(ExportProblem):
        asked(busy, kind=kind, file=file)


def test_it_is_kept_a_week(busy: World) -> None:
    job = made(asked(busy))
    failed = asked(busy)
    run(
        "UPDATE billing_exportjob SET state = 'failed', created_at = now() - interval '8 days' WHERE id = %s", failed.pk
    )
    assert jobs.forget(now=now()) == 1
    assert job.expires_at
    assert jobs.forget(now=job.expires_at - timedelta(seconds=1)) == 0
    run("UPDATE billing_exportjob SET created_at = now() - interval '8 days'")
    assert jobs.forget(now=job.expires_at + timedelta(seconds=1)) == 1
    assert not ExportPart.objects.exists()


def test_invariant_32_a_tenant_sees_its_own_exports(busy: World) -> None:
    job = made(asked(busy))
    other = World()
    with as_tenant(busy.tenant.pk):
        assert ExportJob.objects.filter(pk=job.pk).exists()
        assert ExportPart.objects.exists()
    with as_tenant(other.tenant.pk):
        assert not ExportJob.objects.exists()
        assert not ExportPart.objects.exists()
