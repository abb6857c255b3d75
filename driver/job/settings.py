"""Settings of the job: its ranks, and how long they wait for one another."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import COUNT, Choice, Either, ZeroOr
from ptyxrf.driver.data.setting import SettingsGroup, setting
from ptyxrf.driver.job.watchdog import DEFAULT_SECONDS, SHORTEST_SECONDS


@dataclass(frozen=True, kw_only=True)
class JobSettings(SettingsGroup):
    """Settings of a job of several ranks."""

    ranks: int | str = setting(
        1,
        Either((COUNT, Choice(("auto",))), "N|auto"),
        "start so many ranks on this machine with mpiexec; auto: one on each core",
        path=False,
    )
    watchdog_seconds: float = setting(
        DEFAULT_SECONDS,
        ZeroOr(minimum=SHORTEST_SECONDS),
        "end the job when a rank sends no heartbeat for so long; 0: never",
        unit="seconds",
        path=False,
    )
