"""What the page of benchmarks is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measurement: who did what, and how long one message took."""

    home: str
    case: str
    who: str
    ns: float

    @property
    def ours(self) -> bool:
        return self.who.startswith("ferrymq")


@dataclass(frozen=True)
class Target:
    """A number to reach: a ratio to a peer, or a bound."""

    what: str
    wanted: str
    reached: str
    met: bool


def find(rows: list[Row], home: str, case: str, who: str) -> float:
    return next(
        row.ns
        for row in rows
        if row.home == home and row.case.startswith(case) and row.who.startswith(who)
    )
