"""The stores that the contract is run against: how each is opened, and how another process comes to have it open.

A new engine is one class here, and its name in `MAKERS`.
"""

import multiprocessing

from ctxmem.store.localstore import LocalStore
from tests.plainstore import PlainStore


class Peer:
    """Another process with the same store open: `run` calls a function of its store there."""

    def __init__(self, open_it, *arguments):
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, open_it, arguments))
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def run(self, function, *arguments):
        self._pipe.send((function, arguments))
        is_well, answer = self._pipe.recv()
        if not is_well:
            raise answer
        return answer

    def kill(self):
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def close(self):
        self._pipe.send(None)
        self._process.join()
        self._pipe.close()


def _serve(pipe, open_it, arguments):
    store = open_it(*arguments)
    pipe.send(None)
    while (order := pipe.recv()) is not None:
        function, given = order
        try:
            pipe.send((True, function(store, *given)))
        except Exception as exc:
            pipe.send((False, exc))
    store.close()


def open_local(path):
    return LocalStore.open(path, durability="unsafe")


class Local:
    """LMDB in a directory."""

    def __init__(self, folder):
        self._path = folder / "s"

    def open(self, *, readonly=False):
        return LocalStore.open(self._path, readonly=readonly, durability="unsafe")

    def restored(self, path):
        return LocalStore.open(path, readonly=True)

    def peer(self):
        return Peer(open_local, self._path)


class PlainPeer:
    """What stands for another process where there is none: another store on the same data."""

    def __init__(self, data):
        self._store = PlainStore(data)
        self.kill = self.close = self._store.close

    def run(self, function, *arguments):
        return function(self._store, *arguments)


class Plain:
    """Dicts in memory."""

    def __init__(self, _):
        self._data = None

    def open(self, *, readonly=False):
        opened = PlainStore(self._data, readonly=readonly)
        self._data = opened.data
        return opened

    def restored(self, path):
        return PlainStore.restored(path)

    def peer(self):
        return PlainPeer(self._data)


MAKERS = [Local, Plain]
