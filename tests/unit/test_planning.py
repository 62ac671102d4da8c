"""`ctxmem plan` against the figures of the requirements (B1, B3), to the cent."""

import itertools
import json

import pytest

import ctxmem
from ctxmem import BadInput, prices
from ctxmem.cli import app
from ctxmem.cli.planning import CASES, parse, priced

OLD = prices.listed("2025-12")
CHAT, REASONER, CLAUDE = CASES


def run(*arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        app.main(["plan", *arguments])
    printed = capsys.readouterr()
    return ended.value.code, printed.out + printed.err


def total(*runs):
    return sum(priced(parse(one), OLD).dollars for one in runs)


@pytest.mark.parametrize(("model", "dollars"), [(CHAT, 0.00274), (REASONER, 0.03505), (CLAUDE, 0.03150)])
def test_a_response_costs_what_the_document_says(model, dollars):
    assert priced(parse(f"1x1@{model}"), OLD).dollars == pytest.approx(dollars, abs=1e-9)


@pytest.mark.parametrize(
    ("shape", "dollars", "said"),
    [
        ((500, 50, 50, 5, 25, 10), 85.1375, 85.14),
        ((500, 100, 200, 20, 100, 50), 434.70, 435),
        ((500, 200, 200, 30, 100, 100), 799.30, 799),
    ],
)
def test_a_scenario_costs_what_the_document_says(shape, dollars, said):
    a, b, c, d, e, f = shape
    found = total(f"{a}x{b}@{CHAT}", f"{c}x{d}@{REASONER}", f"{e}x{f}@{CLAUDE}")
    assert found == pytest.approx(dollars, abs=1e-6)
    assert round(found + 1e-9, 2 if said < 100 else 0) == said


def test_the_output_of_the_large_scenario_is_the_document_s():
    runs = [parse(f"500x200@{CHAT}"), parse(f"200x30@{REASONER}"), parse(f"100x100@{CLAUDE}")]
    assert sum(one.counts.output for one in runs) == 305_000_000
    assert sum(one.counts.input for one in runs) == 254_000_000


def test_the_cases_are_the_only_round_ones_that_give_all_of_the_document_s_figures():
    """In steps of 500 tokens, up to the output that each model had in the table."""

    def pairs(cents, price_in, price_out, most_out):
        steps = itertools.product(range(0, 64_001, 500), range(0, most_out + 1, 500))
        return [(i, o) for i, o in steps if round(i * price_in + o * price_out) == cents]

    chat = pairs(2_740, 0.27, 1.10, 8_000)
    reasoner = pairs(35_050, 0.55, 2.19, 64_000)
    claude = pairs(31_500, 3.0, 15.0, 64_000)
    fits = [
        each
        for each in itertools.product(chat, reasoner, claude)
        if 100_000 * each[0][1] + 6_000 * each[1][1] + 10_000 * each[2][1] == 305_000_000
    ]
    assert fits == [((2_000, 2_000), (4_000, 15_000), (3_000, 1_500))]
    assert fits[0] == tuple((one.input, one.output) for one in CASES.values())


def test_the_command_shows_the_scenario(capsys):
    runs = [f"500x50@{CHAT}", f"50x5@{REASONER}", f"25x10@{CLAUDE}"]
    code, shown = run(*runs, "--prices", "2025-12", "--budget", "100", capsys=capsys)
    assert code == 0
    for figure in ("0.00274", "0.03505", "0.03150", "85.14", "36,496", "2,853", "3,174", "1.17 times"):
        assert figure in shown


def test_today_s_prices_and_cached_reads_are_used(capsys):
    wanted = ["10x10@deepseek-chat:10000/1000", "--model", "claude-sonnet-5", "--json"]
    _, plain = run(*wanted, capsys=capsys)
    _, cached = run(*wanted, "--cached", "0.9", capsys=capsys)
    assert json.loads(plain)["dollars"] == pytest.approx(100 * (10_000 * 2 + 1_000 * 10) / 1e6)
    assert json.loads(cached)["dollars"] == pytest.approx(100 * (1_000 * 2 + 9_000 * 0.2 + 1_000 * 10) / 1e6)


def test_a_store_s_own_calls_are_priced_again(tmp_path, capsys):
    path = tmp_path / "a.ctxmem"
    with ctxmem.open(path) as memory:
        context = memory.context("a", model="gpt-4.1")
        for _ in range(4):
            context.append({"role": "user", "content": "Go on."})
            context.assemble()
            context.observe({"prompt_tokens": 1_000, "completion_tokens": 1_000})
    code, shown = run("--log", "--store", str(path), "--budget", "100", capsys=capsys)
    assert code == 0
    assert "10,000" in shown  # responses of a cent each
    _, shown = run("--log", "--store", str(path), "--model", "deepseek-v4-pro", "--json", capsys=capsys)
    assert json.loads(shown)["dollars"] == pytest.approx(4 * (1_000 * 1.32 + 1_000 * 3.96) / 1e6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["5x@gpt-4.1:1/1"], "is no run"),
        (["0x5@gpt-4.1:1/1"], "is no run"),
        (["-5x5@gpt-4.1:1/1"], ""),
        (["5x5@gpt-4.1"], "names no tokens"),
        (["5x5@no-such-model:10/10"], "prices of 'no-such-model'"),
        (["5x5@gpt-4.1:9999999/10"], "at most"),
        (["5x5@gpt-4.1:1/1", "--budget", "nan"], "--budget"),
        (["5x5@gpt-4.1:1/1", "--cached", "1.5"], "--cached"),
        ([], "Name a run"),
    ],
)
def test_what_cannot_be_priced_is_said_in_a_sentence(wrong, said, capsys):
    code, shown = run(*wrong, capsys=capsys)
    assert code in {1, 2}
    assert said in shown
    assert "Traceback" not in shown


def test_an_unknown_price_list_is_refused():
    with pytest.raises(BadInput, match="2025-12"):
        prices.listed("2019-01")
