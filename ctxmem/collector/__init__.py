"""Decide what a prompt keeps: when to collect (`marks`, `is_due`) and what to stub or drop (`plan`). Deletes nothing.

Reachability, in words, stands in docs/collector.md. An idea has a file: roots, mark, sweep, water, shorten;
plan joins them.
"""

from ctxmem.collector.decisions import Decision, Plan
from ctxmem.collector.plan import plan
from ctxmem.collector.water import Marks, is_due, marks

__all__ = ["Decision", "Marks", "Plan", "is_due", "marks", "plan"]
