"""The ladder that a group goes down: images labelled, results cut, calls left out, dropped.

Of each step it says what that frees, and how much what it takes is worth.

Invariants:
    I1. A harder step frees more than a milder one; one that would not is not there.
    I2. What is garbage goes first, what goes last goes last, whatever it is worth; ties are the oldest first.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ctxmem.collector.fitting import Kept
from ctxmem.collector.growable import Array
from ctxmem.collector.item import ASSISTANT, RECALL, USER
from ctxmem.collector.keepvalue import (
    HALF_LIFE_TURNS,
    IMAGE_WEIGHT,
    RESULT_WEIGHT,
    SIZE_EXPONENT,
    USER_WEIGHT,
    keep_values,
)
from ctxmem.collector.lasting import SMALL_USER_TOKENS, needed_next, words_last
from ctxmem.collector.mark import Marked
from ctxmem.collector.roots import offers
from ctxmem.collector.sweep import Step
from ctxmem.collector.working import FULL, GONE, STUB, WorkingSet

STUB_TOKENS: Final = 100  # of a stub with the framing of its result, at most
CUT_SHARE: Final = 0.60  # the least share of a group that its results must be: elided arguments teach a model to elide
LEAST_SAVING_TOKENS: Final = 30  # a cut that frees less is not worth an edit
LAST: Final = 1 << 40  # beyond any value: subtracted for what goes first, added for what goes last


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps by group, the mildest first; the groups' own values; which are garbage, and which go last."""

    label: Step
    cut: Step
    words: Step
    drop: Step
    scores: Array
    is_garbage: Array
    is_last: Array

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps, the mildest first."""
        return self.label, self.cut, self.words, self.drop


def ladder(working: WorkingSet, kept: Kept, marked: Marked, budget_tokens: int) -> Ladder:
    """Weigh every step of every group. O(groups) in numpy."""
    groups, tokens, is_root = working.groups, kept.tokens, kept.roots.is_root
    weight = np.where((groups["kind"] == USER) & (groups["tokens"] <= SMALL_USER_TOKENS), USER_WEIGHT, 1.0)
    importance = 1.0 + 3.0 * marked.strength

    def values(share: float, size: Array) -> Array:
        turn, hits = groups["turn"], groups["hits"]
        chosen = {"half_life_turns": HALF_LIFE_TURNS, "size_exponent": SIZE_EXPONENT}
        return keep_values(weight * share, importance, hits, turn, size, **chosen)

    labels, (cuts, is_garbage), words = _labels(working), _cuts(working), _words(working, tokens)
    text = groups["text_tokens"].astype(np.int64)
    label = values(IMAGE_WEIGHT, labels + 1) if labels.any() else labels.copy()
    cut = values(RESULT_WEIGHT, cuts - labels + STUB_TOKENS)
    word = values(1.0, np.maximum(words - cuts, 1))
    scores = values(1.0, np.where(words > 0, text, tokens - np.maximum(cuts, labels)))
    drop = scores.copy()
    is_needed = needed_next(working, is_root, budget_tokens)
    is_last = words_last(working, is_root, budget_tokens)
    label[is_garbage] -= LAST
    cut[is_garbage] -= LAST
    for answer, offer in offers(working).items():  # an agreement does not outlast what was agreed to
        drop[offer] = max(drop[offer], drop[answer]) + LAST * bool(is_root[answer])
        drop[answer] = drop[offer] - 1
    drop[groups["kind"] == RECALL] -= LAST  # it was brought back for one turn
    drop[is_last] += LAST
    for value in (label, cut, word, drop):
        value[is_needed] += 2 * LAST  # after what goes last: a step that fails for want of it is run again
    saved = np.where(cuts > labels, cuts, 0)  # I1: of a result that is an image alone a stub would save no more
    words = np.where(words > np.maximum(saved, labels), words, 0)
    steps = Step(label, labels), Step(cut, saved), Step(word, words), Step(drop, tokens)
    return Ladder(*steps, scores, is_garbage, is_last)


def _labels(working: WorkingSet) -> Array:
    """Return what labels in the place of the images in a group's results save."""
    segments = working.segments
    has_images = (segments["is_result"] > 0) & (segments["form"] == FULL)
    saving = np.where(has_images, segments["image_tokens"], 0)
    return np.bincount(segments["group"], weights=saving, minlength=len(working.groups)).astype(np.int64)


def _cuts(working: WorkingSet) -> tuple[Array, Array]:
    """Return what cutting a group's results saves, 0 where they may not be cut; and whether all are superseded."""
    groups, segments = working.groups, working.segments
    n = len(groups)
    owner = segments["group"]
    is_whole = (segments["is_result"] > 0) & (segments["form"] != STUB) & (segments["form"] != GONE)
    saving = np.where(is_whole, np.maximum(segments["shown_tokens"].astype(np.int64) - STUB_TOKENS, 0), 0)
    by = segments["superseded_by"]
    is_stale = (by >= 0) & working.shows_text()[by]
    saved = np.bincount(owner, weights=saving, minlength=n).astype(np.int64)
    stale = np.bincount(owner, weights=np.where(is_stale, saving, 0), minlength=n).astype(np.int64)
    is_garbage = (saved > 0) & (stale == saved)
    may_cut = is_garbage | (groups["result_tokens"] >= CUT_SHARE * groups["full_tokens"])
    return np.where(may_cut & (saved >= LEAST_SAVING_TOKENS), saved, 0), is_garbage


def _words(working: WorkingSet, tokens: Array) -> Array:
    """Return what leaving out all but the assistant's own text saves, 0 where it has none or that is nearly all."""
    groups = working.groups
    text = groups["text_tokens"].astype(np.int64)
    saved = np.where((groups["kind"] == ASSISTANT) & (text > 0), tokens - text, 0)
    found: Array = np.where(saved >= LEAST_SAVING_TOKENS, saved, 0)
    return found
