"""The command line, one module a command; see `app` for the list.

app      the group, and how an error becomes one sentence and an exit code
shared   the options that several commands take, and how they open a store
output   tables, JSON, progress
meter    prompts measured from outside; `tables` prints what it found
demo/    the scripted agent
"""

from ctxmem.cli.app import main

__all__ = ["main"]
