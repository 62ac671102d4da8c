"""Times as they are written and shown."""

from datetime import datetime

import pytest

from ctxmem import moments
from ctxmem.errors import BadInput


def test_a_time_without_a_zone_is_local():
    assert moments.read("2026-11-21T10:00") == datetime(2026, 11, 21, 10).astimezone().timestamp()
    assert moments.read(" 2026-11-21 ") == datetime(2026, 11, 21).astimezone().timestamp()


@pytest.mark.parametrize(
    "text", ["soon", "", "nan", "inf", "-1e999", "1e300", "0001-01-01", "9999-12-31T23:59", "\ud800", "9" * 5_000]
)
def test_what_is_no_time_is_named(text):
    with pytest.raises(BadInput, match=r"^since="):
        moments.read(text, "since")


def test_a_time_of_no_calendar_is_shown_in_seconds():
    assert moments.shown(9.9e12) == "9900000000000 s"
    assert moments.read(moments.shown(1_700_000_000)) == 1_700_000_000
