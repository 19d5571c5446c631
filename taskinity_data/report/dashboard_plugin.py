"""What the scheduler gets: it takes what drivers send, and puts a page on its own dashboard.

It runs in the scheduler's process. Where that has no Bokeh, or its dashboard is off, it says so in
one line, and drivers are none the wiser.
"""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

from distributed.diagnostics.plugin import SchedulerPlugin

from taskinity_data.report.dashboard import PAGE, TOPIC
from taskinity_data.report.live import LiveRun

if TYPE_CHECKING:
    from distributed import Scheduler

__all__ = ["DashboardPlugin"]

_log = logging.getLogger(__name__)

MOST_RUNS = 8
"""Runs that are remembered, the newest."""


class DashboardPlugin(SchedulerPlugin):  # type: ignore[misc]  # Dask carries no types
    """Keeps the newest runs, and serves their page."""

    name: ClassVar[str] = "taskinity"
    idempotent = True

    def __init__(self) -> None:
        self.runs: OrderedDict[str, LiveRun] = OrderedDict()
        self.scheduler: Any = None

    async def start(self, scheduler: Scheduler) -> None:
        """Put the page on the dashboard; on the scheduler's loop."""
        self.scheduler = scheduler
        self._add_page()

    def log_event(self, topic: str, msg: Any) -> None:
        """Take in a batch."""
        if topic != TOPIC or not isinstance(msg, dict):
            return
        run_id = msg["run"]
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = LiveRun(run_id)
            while len(self.runs) > MOST_RUNS:
                self.runs.popitem(last=False)
        run.add(msg["batch"])

    def _add_page(self) -> None:
        scheduler = self.scheduler
        application = scheduler.http_application
        dashboards = [one for one in application.applications if hasattr(one, "app_paths")]
        if not dashboards:
            return
        try:
            from distributed.dashboard.core import BokehApplication
            from distributed.dashboard.scheduler import template_variables

            from taskinity_data.report.dashboard_page import page
        except ImportError as error:
            _log.warning("no page %s on the dashboard: %s", PAGE, error)
            return
        variables = template_variables(scheduler)
        name = PAGE.strip("/")
        if name not in variables["pages"]:
            # The list is the one that Dask's own pages show as their menu.
            variables["pages"].append(name)
        server = BokehApplication(
            {PAGE: functools.partial(page, self)},
            scheduler,
            prefix=dashboards[0].prefix,
            template_variables=variables,
        )
        application.add_application(server)
        server.initialize(scheduler.loop)
        server.start()
