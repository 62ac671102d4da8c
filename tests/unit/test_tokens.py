"""Exact counts offline, and the calibration of other models."""

import base64
import hashlib
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxmem import tokens
from ctxmem.tokens import Calibration, count

OFFICIAL = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def test_the_vocabulary_rebuilds_the_official_file():
    lines = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens.vocabulary()))
    assert hashlib.sha256(lines).hexdigest() == OFFICIAL


def test_known_counts():
    assert count("") == 0
    assert count("hello world") == 2
    assert count("The quick brown fox jumps over the lazy dog.") == 10
    assert count("def f(x):\n    return x + 1\n") == 11


def test_counting_opens_no_socket_and_reads_no_environment():
    script = (
        "import os, socket\n"
        "def refuse(*a, **k): raise AssertionError('a socket')\n"
        "socket.socket.connect = socket.socket.__init__ = socket.create_connection = socket.getaddrinfo = refuse\n"
        "os.environ['TIKTOKEN_CACHE_DIR'] = '/nonexistent'\n"
        "from ctxmem.tokens import count\n"
        "print(count('hello world'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_nothing_is_loaded_before_the_first_count():
    script = (
        "import sys, ctxmem.tokens, ctxmem.providers\n"
        "assert 'tiktoken' not in sys.modules and not ctxmem.tokens.is_loaded()\n"
        "assert ctxmem.tokens.count('a') == 1 and ctxmem.tokens.is_loaded()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_threads_load_it_once(monkeypatch):
    monkeypatch.setattr(tokens, "_encoding", None)
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(tokens._load())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(encoding) for encoding in seen}) == 1


@pytest.mark.parametrize(
    "text",
    ["<|endoftext|>", "\ud800 half", "\udfff", "a\ud83d", "\x00", " " * 1_100_000, "a" * 450_000, "\t" * 300_000],
    ids=lambda text: repr(text[:8]),
)
def test_any_text_is_counted(text):
    assert count(text) > 0


@given(st.text(max_size=400))
def test_pieces_never_count_less(text):
    half = len(text) // 2
    assert count(text) <= count(text[:half]) + count(text[half:]) + 1


def test_pieces_of_a_long_text_are_nearly_exact():
    text = "The quick brown fox jumps over the lazy dog. " * 10_000
    assert abs(count(text) - 100_001) <= 3


# ---- calibration


def test_calibration_rises_at_once_and_falls_slowly():
    calibration = Calibration(scale=1.2)
    calibration.observe(10_000, 15_000)
    assert calibration.estimate(10_000) == 15_000
    calibration.observe(10_000, 10_000)
    assert calibration.estimate(10_000) == 14_500
    for _ in range(100):
        calibration.observe(10_000, 10_000)
    assert 10_000 <= calibration.estimate(10_000) <= 10_010


@given(st.lists(st.tuples(st.integers(-5, 10**7), st.integers(-5, 10**7)), max_size=20))
def test_calibration_stays_in_bounds(pairs):
    calibration = Calibration(scale=1.45)
    for counted, actual in pairs:
        calibration.observe(counted, actual)
        assert 0.7 <= calibration.scale <= 2.5
        assert 0 <= calibration.base <= 4_000
    assert Calibration.from_dict(calibration.to_dict()) == calibration


def test_small_prompts_teach_the_base():
    calibration = Calibration()
    calibration.observe(100, 450)
    assert calibration.base == 350
    assert calibration.scale == 1.0
    assert calibration.estimate(10_000) == 10_350


@given(st.integers(1_000, 10**6), st.floats(0.8, 2.4))
def test_an_observation_is_never_under_estimated_again(counted, ratio):
    calibration = Calibration(scale=1.0)
    actual = int(counted * ratio)
    calibration.observe(counted, actual)
    assert calibration.estimate(counted) >= actual
