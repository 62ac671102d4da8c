"""A store's log as files that other programs read."""

from ctxmem.exchange.export import export_log
from ctxmem.exchange.stash import export_stash

__all__ = ["export_log", "export_stash"]
