"""What agents log: entries by entity, space and tick, and the small language in which they are asked for."""

from ctxmem.entries.logs import Logs

__all__ = ["Logs"]
