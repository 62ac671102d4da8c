"""Moments as people and models write them, and as they are shown: local time where no zone is given. Pure."""

from datetime import datetime

from ctxmem import inputs
from ctxmem.errors import BadInput


def read(text: str, name: str = "at") -> float:
    """Return the seconds since the epoch of a text: ISO 8601, or the seconds themselves.

    Raises:
        BadInput: it is neither, or it is no time that a store holds.

    >>> read("2026-11-21T10:00:00Z"), read("1700000000")
    (1795255200.0, 1700000000.0)
    """
    try:
        at = float(text)
    except ValueError:
        at = _of_calendar(text, name)
    seconds = inputs.time_s(at, name)
    assert seconds is not None  # `at` is a number
    return seconds


def _of_calendar(text: str, name: str) -> float:
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise BadInput(
            f"{name}={inputs.shown(text)} is no time: give 2026-11-21, 2026-11-21T10:00 or seconds since the epoch"
        ) from error


def shown(at: float) -> str:
    """Show a moment: local, to the second; in seconds where no calendar reaches."""
    try:
        return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f} s"
