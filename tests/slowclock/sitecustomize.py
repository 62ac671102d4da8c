"""Let every clock that Python reads run at half speed, in this process and its children: `make slow`.

A wait that the system counts (a lock's, a socket's) still takes as long as it says, so that to the slow clock it seems
to be over early. Whatever asks a clock again before it gives up is right under both. All processes slow down from one
moment, which the first hands on in its environment: times that two of them note can be compared.
"""

import json
import os
import time

SPEED = 0.5
SINCE = "CTXMEM_SLOW_SINCE_NS"
CLOCKS = ("time", "monotonic", "perf_counter")


def _slowed(clock, since, *, is_whole=False):
    def slowed():
        passed = (clock() - since) * SPEED
        return since + (int(passed) if is_whole else passed)

    return slowed


if SINCE not in os.environ:
    os.environ[SINCE] = json.dumps({name: getattr(time, f"{name}_ns")() for name in CLOCKS})
for _name, _since in json.loads(os.environ[SINCE]).items():
    setattr(time, f"{_name}_ns", _slowed(getattr(time, f"{_name}_ns"), _since, is_whole=True))
    setattr(time, _name, _slowed(getattr(time, _name), _since / 1e9))
