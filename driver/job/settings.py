"""Settings of the job: how long ranks wait for one another."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import ZeroOr
from ptyxrf.driver.data.setting import SettingsGroup, setting
from ptyxrf.driver.job.watchdog import DEFAULT_SECONDS, SHORTEST_SECONDS


@dataclass(frozen=True, kw_only=True)
class JobSettings(SettingsGroup):
    """Settings of a job of several ranks."""

    watchdog_seconds: float = setting(
        DEFAULT_SECONDS,
        ZeroOr(minimum=SHORTEST_SECONDS),
        "end the job when a rank sends no heartbeat for so long; 0: never",
        unit="seconds",
        path=False,
    )
