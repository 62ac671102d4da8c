"""Following a list of 10,000 messages that only grows, beside appending the same messages by hand.

same     the caller's own objects in a list that has one message more at each call: the walk and the append, with what a
         turn costs without them taken off; the whole call; and the same turn by `append` and `assemble`
new      the same messages as new objects at each call, as from JSON
resume   the first call of a process that knows nothing of the list yet
"""

import copy
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from unittest import mock

from measuring import Figure, arguments, clocked, figure, flush_ms, keep, machine, settle, show, timed

import ctxmem
from ctxmem.context import following
from ctxmem.context.session import Session

MODEL = "gpt-5.1"
N = 10_000


def messages(rng: random.Random) -> Iterator[dict]:
    """Yield a conversation without end: a question, a call with its result, an answer."""
    for number in count():
        call = {"name": "read", "arguments": f'{{"path": "src/{rng.randrange(200)}.py"}}'}
        said = {"id": f"call_{number}", "type": "function", "function": call}
        yield {"role": "user", "content": f"question {number} " + "why does this fail " * rng.randrange(1, 8)}
        yield {"role": "assistant", "content": None, "tool_calls": [said]}
        yield {"role": "tool", "tool_call_id": f"call_{number}", "content": f"line {number} of it " * rng.randrange(20)}
        yield {"role": "assistant", "content": f"answer {number} " + "and so on " * rng.randrange(1, 8)}


@contextmanager
def opened(folder: Path, name: str = "follow") -> Iterator[ctxmem.Memory]:
    """Open a store without a flush: the disk is not what is measured."""
    with ctxmem.open(folder / name, options=ctxmem.Options(durability="unsafe")) as memory:
        yield memory


class Turns:
    """Times what a turn takes, so that it can be taken off."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Time every turn begun and committed inside the `with`, on this thread's own clock."""
        begin, commit = following.begin, Session.commit_turn

        def timed_begin(*given):
            found = []
            self.seconds += clocked(lambda: found.append(begin(*given)))[1]
            return found[0]

        def timed_commit(session: Session) -> None:
            self.seconds += clocked(lambda: commit(session))[1]

        with (
            mock.patch.object(following, "begin", timed_begin),
            mock.patch.object(Session, "commit_turn", timed_commit),
        ):
            yield


def _calls(context: ctxmem.Context, given: Iterator[list[dict]]) -> tuple[list[float], list[float]]:
    """Follow each list; return the seconds on a core of each call, without its turn and with it."""
    without, whole, turns = [], [], Turns()
    with turns.taken():
        for each in given:
            before = turns.seconds
            whole.append(clocked(lambda each=each: context.follow(each))[1])
            without.append(whole[-1] - (turns.seconds - before))
    return without, whole


def same(folder: Path, *, n: int = N, turns: int = 200) -> list[Figure]:
    """Follow a list that grows by one message a call."""
    made = messages(random.Random(1))
    held = [next(made) for _ in range(n - turns // 2)]
    rest = [next(made) for _ in range(turns)]
    by_hand = []
    with opened(folder) as memory:
        context = memory.context("followed", model=MODEL, window=40_000)
        context.follow(held)
        other = memory.context("appended", model=MODEL, window=40_000)
        other.follow(held)
        settle()

        def growing() -> Iterator[list[dict]]:
            for message in rest:
                by_hand.append(clocked(lambda message=message: (other.append(message), other.assemble()))[1])
                held.append(message)
                yield held

        without, whole = _calls(context, growing())
    middle = [sorted(each)[len(each) // 2] for each in (whole, by_hand)]
    return [
        figure(f"follow, {n} messages and one more, its turn taken off", without, judged="p50", bound=2),
        figure(f"follow, {n} messages and one more", whole, note=f"{middle[0] / middle[1]:.2f} times by hand"),
        figure("the same by append and assemble", by_hand),
    ]


def new(folder: Path, *, n: int = N, turns: int = 20) -> list[Figure]:
    """Follow new objects that say the same, and one more."""
    made = messages(random.Random(2))
    held = [next(made) for _ in range(n)]
    with opened(folder, "new") as memory:
        context = memory.context("followed", model=MODEL, window=40_000)
        context.follow(held)
        settle()

        def growing() -> Iterator[list[dict]]:
            for _ in range(turns):
                held.append(next(made))
                yield copy.deepcopy(held)

        without, _ = _calls(context, growing())
    return [figure(f"follow, {n} messages as new objects, its turn taken off", without)]


def resume(folder: Path, *, n: int = N) -> list[Figure]:
    """Follow the list in a store that was opened anew."""
    made = messages(random.Random(3))
    held = [next(made) for _ in range(n)]
    seconds = []
    with opened(folder, "resumed") as memory:
        turn = memory.context("followed", model=MODEL, window=40_000).follow(held).turn
    for _ in range(5):
        with opened(folder, "resumed") as memory:
            context = memory.context("followed", model=MODEL, window=40_000)
            seconds.append(timed(lambda context=context: context.follow(held)))
            assert context.turn == turn
    return [figure(f"first follow after a reopening, {n} messages", seconds)]


WORKLOADS = {each.__name__: each for each in (same, new, resume)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all unless given")
    chosen = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        about = {**machine(), "flush_ms": flush_ms(Path(folder))}
        figures = [each for name in chosen.workloads or WORKLOADS for each in WORKLOADS[name](Path(folder))]
    show(figures, about)
    if chosen.json:
        keep("follow", figures, about, chosen.json)


if __name__ == "__main__":
    main()
