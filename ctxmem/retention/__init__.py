"""How long what is kept: standing rules, and their application a little at a time."""

from ctxmem.retention.retention import Retention
from ctxmem.retention.rule import Rule

__all__ = ["Retention", "Rule"]
