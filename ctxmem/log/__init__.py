"""The durable log of a store: what was appended, in order, for ever."""

from ctxmem.log.lease import Lease
from ctxmem.log.log import Log

__all__ = ["Lease", "Log"]
