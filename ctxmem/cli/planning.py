"""What runs would cost: entities that answer so many times with a model; and how many responses a budget buys."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ctxmem import Cost, inputs, prices
from ctxmem.errors import BadInput
from ctxmem.models import Model, lookup
from ctxmem.prices import NANOS, Counts

_RUN = re.compile(r"(\d{1,9})x(\d{1,9})@([^\s:]+)(?::(\d{1,9})/(\d{1,9}))?")
# Tokens of a response where a run names none: from these the figures of the requirements follow, see docs/money.md.
CASES: Final[Mapping[str, Counts]] = {
    "deepseek-chat": Counts(input=2_000, output=2_000),
    "deepseek-reasoner": Counts(input=4_000, output=15_000),
    "claude-sonnet-4-5": Counts(input=3_000, output=1_500),
}


@dataclass(frozen=True, slots=True)
class Run:
    """Entities that give so many responses each with one model; `each` is what one response takes.

    `total` is what all of them took, where that was measured: then `each` is its mean, rounded, and only shown.
    """

    model: str
    entities: int
    responses: int
    each: Counts
    total: Counts | None = None

    @property
    def n_responses(self) -> int:
        """All responses."""
        return self.entities * self.responses

    @property
    def counts(self) -> Counts:
        """The tokens of all responses."""
        return self.total or Counts(*(self.n_responses * tokens for tokens in self.each))

    def with_model(self, model: str) -> "Run":
        """Return the same run with another model."""
        return Run(model, self.entities, self.responses, self.each, self.total)

    def cached(self, share: float) -> "Run":
        """Return the same run with a share of its input read from the cache."""
        each = self.each._replace(cached=round(self.each.input * share), cache_write=0)
        return Run(self.model, self.entities, self.responses, each)


@dataclass(frozen=True, slots=True)
class Priced:
    """A run with its price, in dollars."""

    run: Run
    dollars: float

    @property
    def each(self) -> float:
        """What one response costs."""
        return self.dollars / self.run.n_responses

    def responses_for(self, budget: float) -> int:
        """Return how many responses a budget pays for; -1 where they are free."""
        return int(budget / self.each + 1e-9) if self.dollars else -1


def parse(text: str) -> Run:
    """Read a run as it is written at the command line.

    Raises:
        BadInput: it is none, or names no tokens and no model whose tokens are known.

    >>> parse("500x50@deepseek-chat").counts.output, parse("2x3@gpt-4.1:900/100").counts.input
    (50000000, 5400)
    """
    found = _RUN.fullmatch(text)
    if found is None or not int(found[1]) * int(found[2]):
        raise BadInput(
            f"{inputs.shown(text)} is no run: give ENTITIESxRESPONSES@MODEL:IN/OUT, such as 500x50@gpt-4.1:2000/800"
        )
    model = found[3]
    each = CASES.get(model) if found[4] is None else Counts(input=int(found[4]), output=int(found[5]))
    if each is None:
        raise BadInput(f"{inputs.shown(text)} names no tokens: add those of one response, as in {model}:2000/800")
    return Run(model, int(found[1]), int(found[2]), each)


def of_log(found: Sequence[Cost]) -> list[Run]:
    """Return what a store's own calls were, as one run for each model, with their measured tokens."""
    runs = []
    for one in found:
        total = Counts(
            one.input_tokens, one.cached_tokens, one.cache_write_tokens, one.output_tokens, one.reasoning_tokens
        )
        each = Counts(*(round(tokens / one.calls) for tokens in total))
        runs.append(Run(one.model or "", 1, one.calls, each, total))
    return runs


def priced(run: Run, overrides: Mapping[str, Mapping[str, Any]]) -> Priced:
    """Price a run.

    Raises:
        BadInput: the prices of its model are not known.
    """
    model = lookup(run.model, overrides)
    found = prices.nanos(run.counts, model)
    if found is None:
        raise BadInput(f"The prices of {inputs.shown(run.model)} are not known: name a model of the table.")
    _check_window(run, model)
    return Priced(run, found / NANOS)


def _check_window(run: Run, model: Model) -> None:
    """Raise `BadInput` where a response could not be had from a model at all."""
    if run.total is None and run.each.input > model.max_input_tokens:
        raise BadInput(
            f"{run.model} takes at most {model.max_input_tokens:,} tokens of input, and the run has {run.each.input:,}."
        )
