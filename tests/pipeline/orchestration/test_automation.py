"""The sensor starts one run for one piece of news, says why when it does not, and fails where people see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pipeline.orchestration.sensors import (
    SiteUnreachable,
    build_refresh_from_site_job,
    build_site_schedule,
    build_site_sensor,
)
from sources.site.client import FetchFailed
from sources.site.page import SiteLink
from sources.site.polling import News, Poll

JOB = build_refresh_from_site_job()
SENSOR = build_site_sensor(JOB)
OCTOBER = SiteLink("https://x/october-2026.zip", "october-2026.zip", "October 2026", "release", "2026-10")
JULY = SiteLink("https://x/july-2026.zip", "july-2026.zip", "July 2026", "release", "2026-07")


def found(*links: SiteLink, why: str = "new on the page", unclear: dict[str, str] | None = None) -> Poll:
    return Poll(links, tuple(News(link, why) for link in links), {}, unclear or {}, 1)


class ScriptedPoller:
    """Answers polls as told, one by one; the last answer stays."""

    def __init__(self, *answers: Poll | Exception) -> None:
        self.answers = list(answers)
        self.polls = 0

    def poll(self) -> Poll:
        self.polls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Ticker:
    """Evaluates the sensor tick by tick, keeping the cursor as the daemon does."""

    def __init__(self, *answers: Poll | Exception) -> None:
        self.poller = ScriptedPoller(*answers)
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None

    def tick(self) -> Any:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"poller": self.poller}, sensor_name="site_sensor"
        )
        result = SENSOR.evaluate_tick(context)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests:
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return result


def test_news_adds_the_partition_and_starts_the_job_once():
    ticker = Ticker(found(OCTOBER), found())
    first = ticker.tick()
    assert len(first.run_requests) == 1 and "2026-10" in first.run_requests[0].run_key
    assert ticker.instance.get_dynamic_partitions("releases") == ["2026-10"]
    second = ticker.tick()
    assert not second.run_requests and second.skip_message == "nothing new"


def test_a_partition_that_is_there_is_not_added_again():
    ticker = Ticker(found(JULY, why="posted again under the same name"))
    ticker.instance.add_dynamic_partitions("releases", ["2026-07"])
    result = ticker.tick()
    assert len(result.run_requests) == 1 and not result.dynamic_partitions_requests


def test_while_a_run_is_going_on_the_site_is_not_asked():
    ticker = Ticker(found(OCTOBER))
    ticker.instance.create_run_for_job(JOB, status=dg.DagsterRunStatus.STARTED)
    result = ticker.tick()
    assert not result.run_requests and "is going on" in result.skip_message and ticker.poller.polls == 0


def test_news_that_runs_do_not_take_in_is_left_to_a_person():
    ticker = Ticker(found(OCTOBER))
    results = [ticker.tick() for _ in range(5)]
    assert [len(r.run_requests) for r in results] == [1, 1, 1, 0, 0]
    keys = [r.run_requests[0].run_key for r in results[:3]]
    assert len(set(keys)) == 3, "Dagster starts no second run for a key it has seen"
    assert "requested 3 times" in results[3].skip_message and "october-2026.zip" in results[3].skip_message


def test_news_whose_runs_fail_each_in_another_way_is_the_same_news():
    whys = ["new on the page", *(f"failed before: {n} bytes arrived" for n in (12, 345, 6_789, 10))]
    ticker = Ticker(*(found(OCTOBER, why=why) for why in whys))
    assert [len(ticker.tick().run_requests) for _ in whys] == [1, 1, 1, 0, 0]


def test_a_cursor_that_is_reset_starts_a_run_each_time():
    ticker, keys = Ticker(found(OCTOBER)), []
    for _ in range(3):
        ticker.cursor = None
        keys += [request.run_key for request in ticker.tick().run_requests]
    assert len(set(keys)) == 3


def test_other_news_is_asked_for_again():
    ticker = Ticker(*[found(OCTOBER)] * 4, found(OCTOBER, JULY))
    assert [len(ticker.tick().run_requests) for _ in range(5)] == [1, 1, 1, 0, 1]


def test_the_same_news_that_comes_back_later_gets_a_new_run():
    ticker = Ticker(found(OCTOBER), found(), found(OCTOBER))
    keys = [r.run_requests[0].run_key for r in (ticker.tick(), ticker.tick(), ticker.tick()) if r.run_requests]
    assert len(keys) == len(set(keys)) == 2


def test_a_failed_poll_is_skipped_and_three_in_a_row_fail_the_tick():
    failure = FetchFailed("quarterly-update: HTTP 503, after 4 attempts")
    ticker = Ticker(failure, failure, failure, failure, found(), failure)
    for number in (1, 2):
        result = ticker.tick()
        assert not result.run_requests and f"{number} in a row: quarterly-update: HTTP 503" in result.skip_message
    for _ in range(2):
        with pytest.raises(SiteUnreachable, match=r"3 polls in a row failed.*HTTP 503"):
            ticker.tick()
    assert ticker.tick().skip_message == "nothing new"
    assert "1 in a row" in ticker.tick().skip_message, "a good poll ends the row"


def test_links_that_are_unclear_are_said():
    assert Ticker(found(unclear={"a": "b", "c": "d"})).tick().skip_message.endswith("2 links of the page are unclear")


def test_the_sensor_polls_daily_and_waits_to_be_switched_on():
    assert SENSOR.minimum_interval_seconds == 24 * 3600
    assert SENSOR.default_status == dg.DefaultSensorStatus.STOPPED
    assert build_site_sensor(JOB, seconds=30, status=dg.DefaultSensorStatus.RUNNING).minimum_interval_seconds == 30


def test_the_job_hands_the_work_to_the_refresher():
    told = []

    def refresher(tell: Callable[[str], None]) -> dict[str, Any]:
        tell("asking the site what is new")
        told.append(tell)
        return {"version": "2026.10.1", "refused": {}, "requests": 2, "notes": None}

    instance = dg.DagsterInstance.ephemeral()
    result = JOB.execute_in_process(instance=instance, resources={"refresher": refresher})
    assert result.success and told


def test_a_refresh_that_is_refused_fails_the_run():
    def refresher(tell: Callable[[str], None]) -> dict[str, Any]:
        raise FetchFailed("the site is down")

    with pytest.raises(FetchFailed, match="the site is down"):
        JOB.execute_in_process(instance=dg.DagsterInstance.ephemeral(), resources={"refresher": refresher})


def test_definitions_with_sensor_and_schedule_resolve():
    definitions = dg.Definitions(
        jobs=[JOB],
        sensors=[SENSOR],
        schedules=[build_site_schedule(JOB)],
        resources={"poller": ScriptedPoller(found()), "refresher": lambda tell: {}},
    )
    dg.Definitions.validate_loadable(definitions)
    assert definitions.get_schedule_def("daily_refresh").cron_schedule == "17 6 * * *"


def test_the_schedule_starts_one_run():
    schedule = build_site_schedule(JOB)
    ticked = schedule.evaluate_tick(dg.build_schedule_context(instance=dg.DagsterInstance.ephemeral()))
    assert len(ticked.run_requests) == 1


def test_the_cursor_is_small_and_readable():
    ticker = Ticker(found(OCTOBER))
    ticker.tick()
    assert json.loads(ticker.cursor or "")["times"] == 1
