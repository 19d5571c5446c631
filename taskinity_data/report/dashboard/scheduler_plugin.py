"""Receive what drivers send, and add a page to the dashboard, as a plugin of the scheduler.

It runs in the scheduler's process. If that has no Bokeh, or its dashboard is off, it reports this
to the driver, and receives nothing.
"""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

from distributed.diagnostics.plugin import SchedulerPlugin

from taskinity_data.events import DASHBOARD_PAGE
from taskinity_data.report.run_columns import HANDLER, LiveRun

if TYPE_CHECKING:
    from distributed import Scheduler

__all__ = ["DashboardPlugin"]

_log = logging.getLogger(__name__)

MAX_RUNS = 8
"""Runs that are remembered, the newest."""


class DashboardPlugin(SchedulerPlugin):  # type: ignore[misc]  # Dask carries no types
    """Keeps the newest runs, and serves their page."""

    name: ClassVar[str] = "taskinity"
    idempotent = True

    def __init__(self) -> None:
        self.runs: OrderedDict[str, LiveRun] = OrderedDict()
        self.scheduler: Any = None
        self.missing: str | None = None

    async def start(self, scheduler: Scheduler) -> None:
        """Put the page on the dashboard; on the scheduler's loop."""
        self.scheduler = scheduler
        # Not Dask's log of events: that would hold all batches of long runs in memory.
        scheduler.handlers[HANDLER] = self.take
        self.missing = self._add_page()
        if self.missing:
            _log.warning("no page %s on the dashboard: %s", DASHBOARD_PAGE, self.missing)

    def take(self, run: str, driver: str, batch: list[tuple[Any, ...]]) -> str | None:
        """Receive a batch; return why there is no page (empty: no dashboard), else None."""
        if self.missing is not None:
            return self.missing
        live_run = self.runs.get(run)
        # A run that is resumed keeps its id, and begins again.
        if live_run is None or any(kind == "run" for kind, *_ in batch):
            self.runs.pop(run, None)
            live_run = self.runs[run] = LiveRun(run, driver)
            while len(self.runs) > MAX_RUNS:
                self.runs.popitem(last=False)
        live_run.add(batch)
        return None

    def remove_client(self, scheduler: Scheduler, client: str) -> None:  # noqa: ARG002 - as Dask's
        """End the runs of a driver that has gone, if they have not ended before."""
        for run in self.runs.values():
            if run.driver == client:
                run.lose()

    def _add_page(self) -> str | None:
        scheduler = self.scheduler
        application = scheduler.http_application
        dashboards = [
            candidate for candidate in application.applications if hasattr(candidate, "app_paths")
        ]
        try:
            from distributed.dashboard.core import BokehApplication
            from distributed.dashboard.scheduler import template_variables

            from taskinity_data.report.dashboard.page import page
        except ImportError as error:
            return f"the scheduler lacks what its dashboard needs, Bokeh ({error})"
        if not dashboards:
            return ""
        variables = template_variables(scheduler)
        name = DASHBOARD_PAGE.strip("/")
        if name not in variables["pages"]:
            # The list is the one that Dask's own pages show as their menu.
            variables["pages"].append(name)
        server = BokehApplication(
            {DASHBOARD_PAGE: functools.partial(page, self.runs)},
            scheduler,
            prefix=dashboards[0].prefix,
            template_variables=variables,
        )
        application.add_application(server)
        server.initialize(scheduler.loop)
        server.start()
        return None
