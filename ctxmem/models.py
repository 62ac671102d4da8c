"""What is known of each model: windows, outputs, prices, capabilities, and how far o200k is from its tokenizer.

The table is litellm's, reduced to 373 first-party chat models (ctxmem/data/models.json.gz, MIT; see NOTICE), read at
first use. A name that is not in it never fails: see `lookup`.
"""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ctxmem import inputs
from ctxmem.errors import BadInput

UNKNOWN_WINDOW = 128_000  # tokens; of a model that no table describes
UNKNOWN_OUTPUT = 16_384
UNKNOWN_PRIOR = 1.20

_TABLE = Path(__file__).parent / "data" / "models.json.gz"
# Where max input and max output add up to one of these, max input excludes the output; elsewhere it is the window.
_WINDOWS_OF_SUMS = frozenset({400_000, 1_050_000})
_PREFIX_END = "-:@_/"
_DATE = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|latest)(-v\d+(:\d+)?)?$|-v\d+(:\d+)?$")
_REGIONS = ("us.", "eu.", "apac.", "jp.", "au.", "global.")
_CLAUDE = re.compile(r"claude-([a-z]+)-(\d)(?:-(\d{1,2}))?(?:-|$)")
_OLD_CLAUDE = re.compile(r"claude-(?:instant|v?\d)")
_CL100K = re.compile(r"^(ft:)?gpt-(3\.5|4)(-|$)")
# What an override may say of a model; sizes are whole numbers, prices and factors any numbers from 0.
_SIZES = frozenset({"max_input_tokens", "max_output_tokens", "prompt_cache_min_tokens", "window"})
_PRICES = frozenset(
    {
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
        "cache_creation_input_token_cost_above_1hr",
        "prior",
    }
)
_SWITCHES = frozenset(
    {
        "supports_prompt_cache_breakpoint",
        "supports_mid_conversation_system",
        "supports_assistant_prefill",
        "thinking_always_on",
        "exact",
        "thinking_bound",
    }
)
_NAMES = frozenset({"litellm_provider", "deprecation_date", "provider"})
_SINCE = "prices_since"
_FIELDS = _SIZES | _PRICES | _SWITCHES | _NAMES | {_SINCE}
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_MOST_PRICE = 1_000_000.0  # dollars a token, and the largest factor


@dataclass(frozen=True, slots=True)
class Model:
    """One model as the rest of ctxmem sees it; sizes in tokens, prices in dollars per token (None: unknown).

    `provider` is the wire shape that the model is usually called with; `family` the company of the table's row;
    `prior` multiplies an o200k count until usage was observed; `exact` says that o200k is the model's tokenizer.
    """

    name: str
    provider: str
    family: str
    max_input_tokens: int
    max_output_tokens: int
    window: int
    input_price: float | None
    output_price: float | None
    cache_read_price: float | None
    cache_write_price: float | None
    prior: float
    exact: bool
    mid_conversation_system: bool
    prefill: bool
    thinking_bound: bool
    thinking_always_on: bool
    cache_min_tokens: int
    known: bool


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """Read the bundled table, once; about 2 ms."""
    rows: dict[str, dict[str, Any]] = json.loads(gzip.decompress(_TABLE.read_bytes()))
    return rows


@cache
def _bare_names() -> Mapping[str, str]:
    """Map "gemini-3.8-flash" to the row "gemini/gemini-3.8-flash"; a row without a prefix wins."""
    rows = table()
    return {name.rpartition("/")[2]: name for name in sorted(rows, key=lambda name: "/" not in name)}


def lookup(name: str, overrides: Mapping[str, Mapping[str, Any]] | None = None, day: str = "") -> Model:
    """Find a model by name or alias; an unknown name gets the documented default.

    Tried in turn: the name as given; without a provider's prefix ("openai/", "us.anthropic."), without a date or
    version suffix; the longest known name that it starts with ("gpt-4o-mycompany"). Else: a window of 128,000 tokens,
    prior 1.20 (Claude, Gemini and DeepSeek by their names), `exact` and `known` False.

    `overrides` are laid over the row, field by field, under the name as given: the table's own field names, and
    `window`, `prior`, `exact`, `provider`, `thinking_bound`; `check_overrides` has seen them. Their `prices_since` maps
    a UTC day such as "2026-01-01" to the prices from that day on; with a `day` those in force are laid over the row.

    Raises:
        BadInput: a name that is not a str.

    >>> lookup("gpt-6.1-sol").window, lookup("openai/gpt-4o-2031-01-01").name, lookup("no-such-model").window
    (1050000, 'openai/gpt-4o-2031-01-01', 128000)
    """
    if not isinstance(name, str) or not name:
        raise BadInput(f"model must be a name such as 'gpt-6.1-sol', not {inputs.shown(name)}")
    own = (overrides or {}).get(name, {})
    dated = own.get(_SINCE) or {}
    begun = [since for since in dated if since <= day]
    if begun:
        own = {**own, **dated[max(begun)]}
    row = _row(name)
    return _model(name, {**(row or {}), **own}, known=row is not None or "max_input_tokens" in own or "window" in own)


def check_overrides(overrides: object, name: str) -> None:
    """Raise `BadInput`, which calls them `name`, for overrides that `lookup` could not follow."""
    if not isinstance(overrides, Mapping):
        raise BadInput(f"{name}={inputs.shown(overrides)} must be a mapping of model names to mappings of fields")
    for model, row in overrides.items():
        if not isinstance(model, str) or not isinstance(row, Mapping):
            shown = f"{inputs.shown(model)}: {inputs.shown(row)}"
            raise BadInput(f"{name} holds {shown}; give each model's name a mapping of fields")
        for field, value in row.items():
            _check_field(f"{name}[{inputs.shown(model)}][{inputs.shown(field)}]", field, value)


def _check_field(where: str, field: object, value: object) -> None:
    """Raise `BadInput` for a field that means nothing, or a value that it cannot have; None: not known."""
    if field not in _FIELDS:
        raise BadInput(f"{where} is no field of a model; known are {', '.join(sorted(_FIELDS))}")
    if field == _SINCE:
        _check_since(where, value)
    elif field in _SWITCHES:
        if not isinstance(value, bool):
            raise BadInput(f"{where}={inputs.shown(value)} must be True or False")
    elif value is None:
        return
    elif field in _SIZES:
        inputs.count(value, where, 1)
    elif field in _NAMES and not isinstance(value, str):
        raise BadInput(f"{where}={inputs.shown(value)} must be a str")
    elif field in _PRICES:
        inputs.number(value, where, _MOST_PRICE)


def _check_since(where: str, value: object) -> None:
    """Raise `BadInput` for what is no mapping of days to prices."""
    if not isinstance(value, Mapping):
        raise BadInput(f"{where}={inputs.shown(value)} must be a mapping of days to prices")
    for since, prices in value.items():
        if not isinstance(since, str) or not _DAY.fullmatch(since) or not isinstance(prices, Mapping):
            shown = f"{inputs.shown(since)}: {inputs.shown(prices)}"
            raise BadInput(f"{where} holds {shown}; give each day, such as '2026-01-01', a mapping of prices")
        for field, price in prices.items():
            if field not in _PRICES or field == "prior":
                raise BadInput(f"{where}[{since!r}] holds {inputs.shown(field)}, which is no price")
            _check_field(f"{where}[{since!r}][{field!r}]", field, price)


def _row(name: str) -> Mapping[str, Any] | None:
    rows, bare_names = table(), _bare_names()
    if name in rows:
        return rows[name]
    bare = _strip(name.lower())
    for candidate in (bare, _DATE.sub("", bare)):
        if candidate in bare_names:
            return rows[bare_names[candidate]]
    starts = [n for n in bare_names if bare.startswith(n) and bare[len(n) : len(n) + 1] in _PREFIX_END]
    return rows[bare_names[max(starts, key=len)]] if starts else None


def _strip(name: str) -> str:
    """Take off what gateways put before a model's name."""
    bare = name.rpartition("/")[2]
    for region in _REGIONS:
        bare = bare.removeprefix(region)
    return bare.removeprefix("anthropic.").removeprefix("google.")


def _provider(bare: str) -> str:
    return "anthropic" if "claude" in bare else "gemini" if bare.startswith("gemini") else "openai"


def _model(name: str, row: Mapping[str, Any], *, known: bool) -> Model:
    bare = _strip(name.lower())
    provider = row.get("provider") or _provider(bare)
    family = row.get("litellm_provider") or {"anthropic": "anthropic", "gemini": "gemini"}.get(provider, "unknown")
    max_output = row.get("max_output_tokens") or UNKNOWN_OUTPUT
    max_input = row.get("max_input_tokens") or row.get("window") or UNKNOWN_WINDOW
    both = max_input + max_output
    price = row.get("input_cost_per_token")
    return Model(
        name=name,
        provider=provider,
        family=family,
        max_input_tokens=max_input,
        max_output_tokens=max_output,
        window=row.get("window") or (both if both in _WINDOWS_OF_SUMS else max_input),
        input_price=price,
        output_price=row.get("output_cost_per_token"),
        cache_read_price=row.get("cache_read_input_token_cost"),
        cache_write_price=row.get("cache_creation_input_token_cost") or price,  # 0 or none: no surcharge, not free
        prior=row.get("prior") or _prior(bare, family),
        exact=row.get("exact", family == "openai" and not _CL100K.match(bare)),
        # Claude Sonnet 5: the table says yes, Anthropic's own skill of 2026-07 says no; no is the safe reading.
        mid_conversation_system=bool(row.get("supports_mid_conversation_system")) and bare != "claude-sonnet-5",
        prefill=bool(row.get("supports_assistant_prefill")),
        thinking_bound=row.get("thinking_bound", _is_thinking_bound(bare)),
        thinking_always_on=bool(row.get("thinking_always_on")),
        cache_min_tokens=row.get("prompt_cache_min_tokens") or (4_096 if provider == "anthropic" else 1_024),
        known=known,
    )


def _prior(bare: str, family: str) -> float:
    """Return the multiplier over o200k that holds until usage is observed; sources in docs/decisions."""
    if family == "openai":
        return 1.02 if _CL100K.match(bare) else 1.0  # cl100k against o200k, measured: 0.99-1.00
    if "claude" in bare:
        return 1.20 if _OLD_CLAUDE.search(bare) or (0, 0) < _claude_version(bare)[1:] <= (4, 6) else 1.45
    if bare.startswith(("gemini", "deepseek")):
        return 1.10
    return UNKNOWN_PRIOR


def _claude_version(bare: str) -> tuple[str, int, int]:
    """Read ("opus", 5, 5) from "claude-opus-5-5-20261001"; ("", 0, 0) for what is not named so."""
    found = _CLAUDE.search(bare)
    return (found[1], int(found[2]), int(found[3] or 0)) if found else ("", 0, 0)


def _is_thinking_bound(bare: str) -> bool:
    """Say whether a thinking block's signature holds only for the exact messages before it (integration 0.1)."""
    line, *version = _claude_version(bare)
    return bool(line) and tuple(version) >= ((5, 1) if line in {"fable", "mythos"} else (5, 5))
