"""Let every clock that Python reads run at half speed, in this process and its children: `make slow`.

A wait that the system counts (a lock's, a socket's) still takes as long as it says, so that to the slow clock it seems
to be over early. Whatever asks a clock again before it gives up is right under both.
"""

import time

SPEED = 0.5


def _slowed(clock, *, is_whole=False):
    start = clock()

    def slowed():
        passed = (clock() - start) * SPEED
        return start + (int(passed) if is_whole else passed)

    return slowed


for _name in ("time", "monotonic", "perf_counter"):
    setattr(time, f"{_name}_ns", _slowed(getattr(time, f"{_name}_ns"), is_whole=True))
    setattr(time, _name, _slowed(getattr(time, _name)))
