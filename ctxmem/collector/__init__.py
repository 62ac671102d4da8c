"""Decide what a prompt keeps: when to collect (`levels`, `is_due`) and what to stub or drop (`plan`). Deletes nothing.

Reachability, in words, stands in docs/collector.md. An idea has a file: roots, mark, sweep, water, shorten;
plan joins them.
"""

from ctxmem.collector.decisions import Decision, Plan
from ctxmem.collector.plan import plan
from ctxmem.collector.water import Levels, is_due, levels

__all__ = ["Decision", "Levels", "Plan", "is_due", "levels", "plan"]
