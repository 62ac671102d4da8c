"""The durable log of a store: what was appended, in order, for ever."""

from ctxmem.log.log import Lease, Log

__all__ = ["Lease", "Log"]
