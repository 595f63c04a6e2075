"""Every rule of the SDRAM, at its limit: what is just allowed, and what is just not."""

import pytest
from sdram_parts import TOY, play

from bitloom.hdl.memory_port.sdram.pins import ALL_BANKS, Command, mode
from bitloom.testbench.memory_port.sdram_model import SdramModel
from bitloom.testbench.memory_port.sdram_rules import OWED, Rule

ALL, MODE = 1 << ALL_BANKS, mode(TOY)
PALL = (12, Command.PRECHARGE, 0, ALL)
START = [PALL, (4, Command.REFRESH), (8, Command.REFRESH), (8, Command.MODE_REGISTER_SET, 0, MODE)]
OPEN = [*START, (2, Command.ACTIVATE, 0, 1)]

# A sequence that is legal, and which of its gaps is one cycle too short for which rule.
LIMITS = {
    Rule.T_MRD: (OPEN, -1),
    Rule.T_RP: ([*OPEN, (20, Command.PRECHARGE, 0), (4, Command.ACTIVATE, 0, 2)], -1),
    Rule.T_RC: ([*OPEN, (7, Command.PRECHARGE, 0), (4, Command.ACTIVATE, 0, 2)], -2),
    Rule.T_RRD: ([*OPEN, (5, Command.ACTIVATE, 1, 1)], -1),
    Rule.T_RFC: ([*START, (2, Command.REFRESH), (8, Command.ACTIVATE, 0, 1)], -1),
    Rule.T_RCD: ([*OPEN, (3, Command.READ, 0, 0)], -1),
    Rule.T_RAS: ([*OPEN, (6, Command.PRECHARGE, 0)], -1),
    Rule.T_WR: ([*OPEN, (9, Command.WRITE, 0, 0), (2, Command.PRECHARGE, 0)], -1),
    Rule.POWER_UP: (START, 0),
    # The last column comes a cycle before the pins must be free for a cycle.
    Rule.CONTENTION: ([*OPEN, (3, Command.READ, 0, 0), (2, Command.BURST_TERMINATE), (3, Command.WRITE, 0, 0)], -1),
    Rule.STARVED: ([*START, (100 * (OWED + 1) + 1, Command.ACTIVATE, 0, 1)], None),
}


@pytest.mark.parametrize("rule", LIMITS)
def test_time_is_kept_to_the_cycle(rule):
    steps, short = LIMITS[rule]
    if short is None:
        assert play(SdramModel(TOY), steps)[1] == rule
        steps = [*steps[:-1], (steps[-1][0] - 101, *steps[-1][1:])]
        assert play(SdramModel(TOY), steps)[1] == Rule.KEPT
    else:
        assert play(SdramModel(TOY), steps)[1] == Rule.KEPT
        steps = [*steps]
        steps[short] = (steps[short][0] - 1, *steps[short][1:])
        assert play(SdramModel(TOY), steps)[1] == rule


def mode_set(value, bank=0):
    return [*START[:-1], (8, Command.MODE_REGISTER_SET, bank, value)]


WRONG = [
    (Rule.POWER_UP, [(12, Command.REFRESH)]),
    (Rule.POWER_UP, [PALL, (4, Command.REFRESH), (8, Command.MODE_REGISTER_SET, 0, MODE)]),
    (Rule.POWER_UP, [*START[:-1], (8, Command.ACTIVATE, 0, 1)]),
    (Rule.UNKNOWN, [*OPEN, (3, Command.READ, 0, ALL)]),
    (Rule.UNKNOWN, [*OPEN, (3, Command.WRITE, 0, ALL)]),
    (Rule.UNKNOWN, [*OPEN, (3, Command.WRITE, 0, 0, {"dqm": 1})]),
    (Rule.UNKNOWN, [*OPEN, (3, Command.NOP, 0, 0, {"cke": 0})]),
    (Rule.MODE_OPEN, [*OPEN, (20, Command.MODE_REGISTER_SET, 0, MODE)]),
    (Rule.MODE_VALUE, mode_set(MODE ^ 0x10)),
    (Rule.MODE_VALUE, mode_set(MODE ^ 0x4)),
    (Rule.MODE_VALUE, mode_set(MODE ^ 0x8)),
    (Rule.MODE_VALUE, mode_set(MODE ^ 0x200)),
    (Rule.MODE_VALUE, mode_set(MODE, 1)),
    (Rule.OPEN, [*OPEN, (20, Command.ACTIVATE, 0, 1)]),
    (Rule.CLOSED, [*START, (2, Command.READ, 0, 0)]),
    (Rule.CLOSED, [*OPEN, (3, Command.WRITE, 1, 0)]),
    (Rule.CLOSED, [*OPEN, (20, Command.PRECHARGE, 0), (4, Command.READ, 0, 0)]),
    (Rule.CLOSED, [*OPEN, (20, Command.PRECHARGE, 1, ALL), (4, Command.READ, 0, 0)]),
    (Rule.T_RP, [*OPEN, (20, Command.PRECHARGE, 0), (3, Command.REFRESH)]),
    (Rule.T_RFC, [*START, (2, Command.REFRESH), (7, Command.REFRESH)]),
    (Rule.REFRESH_OPEN, [*OPEN, (20, Command.REFRESH)]),
    (Rule.CONTENTION, [*OPEN, (3, Command.READ, 0, 0), (3, Command.WRITE, 0, 0)]),
    (Rule.DRIVEN, [*OPEN, (3, Command.NOP, 0, 0, {"oe": 1})]),
    (Rule.UNDRIVEN, [*OPEN, (3, Command.WRITE, 0, 0, {"oe": 0})]),
]


@pytest.mark.parametrize("rule, steps", WRONG)
def test_rule_is_told(rule, steps):
    assert play(SdramModel(TOY), steps)[1] == rule


def test_every_rule_is_tested():
    assert {*LIMITS, *(rule for rule, _ in WRONG), Rule.KEPT} == {*Rule}


def test_first_rule_stays():
    assert play(SdramModel(TOY), [*OPEN, (20, Command.ACTIVATE, 0, 1), (20, Command.REFRESH)])[1] == Rule.OPEN


def test_not_selected_is_no_command():
    assert play(SdramModel(TOY), [*OPEN, (1, Command.REFRESH, 0, 0, {"cs_n": 1})])[1] == Rule.KEPT


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("latency", [2, 3])
def test_columns_come_after_the_latency_until_the_burst_is_cut_off(latency, delay):
    from dataclasses import replace

    timing = replace(TOY, cas_latency=latency)
    start = [*START[:-1], (8, Command.MODE_REGISTER_SET, 0, mode(timing)), (2, Command.ACTIVATE, 1, 2)]
    # Row 2, bank 1, from column 6 on, over the end of the page; then another burst; then an end.
    steps = [*start, (3, Command.READ, 1, 6), (4, Command.READ, 1, 3), (2, Command.BURST_TERMINATE)]
    place = (2 * 2 + 1) * 8
    cells = [number % 15 for number in range(64)]
    seen, broken = play(SdramModel(timing, delay, init=cells), steps)
    first = sum(gap for gap, *_ in steps[:-2]) + latency + delay
    columns = [cells[place + column] for column in (6, 7, 0, 1, 3, 4)]
    assert seen[first - 1 : first + 7] == [15, *columns, 15]
    assert broken == Rule.KEPT


def test_what_is_written_is_read():
    steps = [*OPEN, (3, Command.WRITE, 0, 5, {"dq": 9}), (1, Command.WRITE, 0, 2, {"dq": 6}), (1, Command.READ, 0, 5)]
    steps += [(1, Command.READ, 0, 2), (1, Command.BURST_TERMINATE)]
    seen, broken = play(SdramModel(TOY), steps)
    first = sum(gap for gap, *_ in steps[:-2]) + 2
    assert (seen[first : first + 2], broken) == ([9, 6], Rule.KEPT)
