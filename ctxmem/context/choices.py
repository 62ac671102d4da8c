"""Validate what callers choose for a context and a turn, before anything happens."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ctxmem import inputs
from ctxmem.context.appending import Given
from ctxmem.context.assembly import TurnRequest
from ctxmem.context.standing import Standing
from ctxmem.errors import BadInput
from ctxmem.options import Options, Policy
from ctxmem.prompt.target import Target
from ctxmem.providers.plain import plain


def given(
    key: str | None,
    at: float | datetime | None,
    facets: Mapping[str, Any],
    *,
    refs: Sequence[int] = (),
    pinned: bool = False,
    error: bool = False,
    kind: str | None = None,
) -> Given:
    """Check what a caller says beside a message."""
    if kind is not None and kind != "tool":
        raise BadInput(f'kind={inputs.shown(kind)} must be "tool" (a user message that brings a result), or None')
    return Given(
        key=None if key is None else inputs.short(key, "key"),
        refs=inputs.refs(refs),
        pinned=inputs.flag(pinned, "pinned"),
        at=inputs.time_s(at),
        facets=inputs.facets(facets),
        error=inputs.flag(error, "error"),
        is_tool=kind == "tool",
    )


def target(options: Options, policy: Policy, *, model: str, **chosen: Any) -> Target:
    """Check the model and sizes that a caller chose; see `Target.of`."""
    wanted = {"provider": None, "window": None, "reserve": None, "tools": (), **chosen}
    if not isinstance(policy, Policy):
        raise BadInput(f"policy must be a ctxmem.Policy, not {type(policy).__name__}")
    found = Target.of(model, policy=policy, overrides=options.models, **wanted)
    if policy.budget_usd is not None and None in {found.model.input_price, found.model.output_price}:
        raise BadInput(
            f"Policy.budget_usd needs the prices of {inputs.shown(model)}, which no table holds: "
            "give Options.models its input_cost_per_token and output_cost_per_token"
        )
    return found


def reads(names: Sequence[str] | str) -> tuple[str, ...] | str:
    """Check the sessions that a context may reach besides its own."""
    if isinstance(names, str):
        if names != "*":
            raise BadInput(f"reads must be a list of session names, or '*' for all, not {names!r:.80}")
        return names
    if not isinstance(names, Iterable):
        raise BadInput(f"reads must be a list of session names, or '*' for all, not {type(names).__name__}")
    return tuple(inputs.short(name, "reads") for name in names)


def goal(now: Standing, target: int | None) -> int:
    """Return the `Standing.load_tokens` to collect down to."""
    if target is None:
        return now.water.low_tokens
    inputs.count(target, "target", 1)
    counted = int((target - now.calibration.base) / now.calibration.scale)
    return max(0, min(counted - now.fixed_tokens, now.room_tokens))


def turn(recall: str | None, recall_tokens: int | None, extra: Sequence[Any]) -> TurnRequest:
    """Check what a caller wants of one turn."""
    if recall is not None and not isinstance(recall, str):
        raise BadInput(f"recall must be a text to search for, not {type(recall).__name__}")
    if recall_tokens is not None:
        inputs.count(recall_tokens, "recall_tokens", 0)
    if isinstance(extra, str | bytes | Mapping) or not isinstance(extra, Iterable):
        raise BadInput("extra must be a list of messages")
    return TurnRequest(recall, recall_tokens, plain(list(extra), "extra"))
