"""What runs by itself in Dagster: a sensor that polls the site, a schedule, the job that both start, freshness.

The site is asked through the resource ``poller``, the refresh done by the resource ``refresher``: both are given.
Nothing here knows how a release is read.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from hcpcs.errors import HcpcsError
from sources.errors import SourceError
from sources.release.calendar import Freshness
from sources.site.polling import Poll, Poller

#: The name of the dynamic partitions, one per release.
RELEASES = "releases"
#: The asset check of ``published_version`` that states freshness by CMS's calendar.
FRESHNESS_CHECK = "newest_release_is_current"
_DAY = 24 * 3600
#: Failed polls in a row that are more than a bad day: the tick then fails where everybody sees it.
_ALERT_AFTER = 3
#: How often the same news is requested before it is left to a person.
_MOST_REQUESTS = 3
#: A run that began longer ago died with its machine and was never ended: it must not hold up the sensor for good.
_LONGEST_RUN = timedelta(hours=6)
#: What the job needs of a refresher: a refresh from the site, which returns what was done as JSON.
Refreshes = Callable[[Callable[[str], None]], dict[str, Any]]
#: What the freshness check needs: what is published, compared with CMS's calendar today.
StatesFreshness = Callable[[], Freshness]
_GOING_ON = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


class SiteUnreachable(HcpcsError):
    """The site could not be polled several times in a row."""


def build_refresh_from_site_job() -> dg.JobDefinition:
    """The job that sensor and schedule start: one step that does what ``hcpcs refresh`` does.

    It takes the lock, fetches, and runs the job ``refresh`` over the assets, whose run is beside it in the UI.
    """

    @dg.op(description="Fetch what is new on the site, rebuild, publish.")
    def refresh_from_the_site(context: dg.OpExecutionContext, refresher: dg.ResourceParam[Refreshes]) -> None:
        done = refresher(context.log.info)
        context.add_output_metadata({"done": dg.MetadataValue.json(done)})

    @dg.job(
        executor_def=dg.in_process_executor,
        description="What `hcpcs refresh` does: fetch what is new on the site, then run the job `refresh`.",
    )
    def refresh_from_site() -> None:
        refresh_from_the_site()

    return refresh_from_site


def build_site_sensor(
    job: dg.JobDefinition,
    *,
    seconds: int = _DAY,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
) -> dg.SensorDefinition:
    """A sensor that polls the site, adds the partitions of new releases and starts ``job``.

    Its cursor holds what it requested last, so that the same news starts no second run while one is going on or after
    one has succeeded; after three runs that did not help, it waits for other news. A failed poll is skipped with its
    reason, and from the third in a row on the tick fails.
    """

    @dg.sensor(
        name="site_sensor",
        job=job,
        minimum_interval_seconds=seconds,
        default_status=status,
        description="Polls CMS's page; starts a refresh when a release is new or was posted again.",
    )
    def site_sensor(context: dg.SensorEvaluationContext, poller: dg.ResourceParam[Poller]) -> dg.SensorResult:
        cursor = json.loads(context.cursor) if context.cursor else {}
        begun = datetime.now(UTC) - _LONGEST_RUN
        going_on = dg.RunsFilter(job_name=job.name, statuses=_GOING_ON, created_after=begun)
        if running := context.instance.get_run_records(going_on, limit=1):
            return dg.SensorResult(skip_reason=f"the run {running[0].dagster_run.run_id} is going on")
        try:
            found = poller.poll()
        except SourceError as error:
            failed = cursor.get("failed_polls", 0) + 1
            if failed >= _ALERT_AFTER:
                # Raising leaves the cursor as it is: every further failure raises too, and a good poll ends it.
                raise SiteUnreachable(f"{failed} polls in a row failed, at least; the last: {error}") from None
            reason = f"poll failed, {failed} in a row: {error}"
            return dg.SensorResult(skip_reason=reason, cursor=json.dumps(cursor | {"failed_polls": failed}))
        cursor["failed_polls"] = 0
        if not found.news:
            cursor |= {"news": None, "times": 0}
            return dg.SensorResult(skip_reason=f"nothing new{_unclear(found)}", cursor=json.dumps(cursor))
        times = cursor.get("times", 0) if cursor.get("news") == found.signature else 0
        if times >= _MOST_REQUESTS:
            reason = f"{_worded(found)} was requested {times} times and is not loaded: see the errors of the last runs"
            return dg.SensorResult(skip_reason=reason, cursor=json.dumps(cursor))
        cursor |= {"news": found.signature, "times": times + 1}
        known = set(context.instance.get_dynamic_partitions(RELEASES))
        fresh = [r for r in found.releases if r not in known]
        partitions = dg.DynamicPartitionsDefinition(name=RELEASES)
        return dg.SensorResult(
            run_requests=[
                # The moment makes the key new where the same news comes back later, or after a cursor was reset.
                dg.RunRequest(
                    run_key=f"{datetime.now(UTC).isoformat()}: {_worded(found)}",
                    tags={"hcpcs/news": _worded(found)[:200]},
                )
            ],
            dynamic_partitions_requests=[partitions.build_add_request(fresh)] if fresh else [],
            cursor=json.dumps(cursor),
        )

    return site_sensor


def build_site_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """A refresh a day at a fixed time, which ends after two requests when nothing is new."""
    return dg.ScheduleDefinition(
        name="daily_refresh",
        job=job,
        cron_schedule="17 6 * * *",
        execution_timezone="UTC",
        description="Refreshes from CMS's site once a day; use it or the sensor, not both.",
    )


def build_freshness_job() -> Any:
    """The job that evaluates freshness alone: seconds, no lock, no request to the site."""
    return dg.define_asset_job(
        "freshness",
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("published_version"), FRESHNESS_CHECK)),
        executor_def=dg.in_process_executor,
        description="Compare the newest published release with CMS's calendar.",
    )


def build_freshness_schedule(job: Any) -> dg.ScheduleDefinition:
    """Evaluates freshness once a day, on from the start: a refresh that never runs is what it reports."""
    return dg.ScheduleDefinition(
        name="daily_freshness",
        job=job,
        cron_schedule="47 6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Evaluates the check newest_release_is_current of published_version.",
    )


def _worded(found: Poll) -> str:
    return ", ".join(f"{n.link.release_id} {n.link.name} ({n.why})" for n in found.news[:5]) + (
        f" and {len(found.news) - 5} more" if len(found.news) > 5 else ""
    )


def _unclear(found: Poll) -> str:
    return f"; {len(found.unclear)} links of the page are unclear" if found.unclear else ""
