# amaranth: UnusedElaboratable=no
"""One object for what is there: on rtl, in a twin, behind a port, in a bitstream."""

import dataclasses

import numpy as np
import pytest

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.fpga.bitstream import readback
from bitloom.fpga.session import held_core, twin
from bitloom.fpga.session.host import LinkError, open_port
from bitloom.fpga.session.session import Session, product_core
from bitloom.golden.workloads.product import prepare
from bitloom.testbench import verilator

DECODER = lookup("ovp-decoder")
ROWS = {"i": np.array([[0xF3, 0], [0x18, 1], [0x21, 0]], np.uint8)}
TILE = CATALOGUE["systolic-tile"].small


@pytest.fixture(scope="module")
def board():
    """A board with the decoder, behind a port."""
    program = twin.build(*held_core.twin_top(DECODER, DECODER.config()), held_core.TWIN_DIVISOR)
    with twin.start(program) as running:
        yield running


def at(board, *words, **options):
    return Session(board.path, *words, baud=held_core.TWIN_BAUD, **options)


def test_the_same_data_gives_the_same_everywhere(board):
    found = []
    for session in (Session("rtl", "ovp-decoder"), Session("twin", DECODER), at(board), at(board, "ovp-decoder")):
        with session:
            assert (session.core, session.config) == (DECODER, DECODER.config())
            found.append(session.run(ROWS))
            assert (session.repeated is None) == (session.where == "rtl") == (session.name == "rtl")
            # Again, in the same session.
            assert session.run(ROWS).outputs == found[-1].outputs
    assert [(result.passed, result.checked) for result in found] == [(True, "golden model")] * 4
    assert len({result.outputs["o"] for result in found}) == 1


def test_what_is_known_before_it_is_opened(board):
    assert (at(board).core, at(board).channels) == (None, None)
    expected = held_core.expected(DECODER, DECODER.config.parse(["pairs=2"]))
    for session in (at(board, DECODER, ["pairs=2"]), Session("twin", DECODER, ["pairs=2"])):
        assert (session.config, session.identity) == (expected.config, expected.identity)
        assert session.channels.inputs.keys() == {"i"}
    assert Session("rtl").core is DECODER and Session("twin").core is DECODER


@pytest.mark.parametrize(
    ("where", "core", "parameters", "message"),
    [
        ("rtl", "toaster", [], "unknown core 'toaster'"),
        ("/dev/ttyNONE", "ovp-decoder", ["pairs=33"], "pairs must be 1 to 32, not 33"),
        ("twin", "gemm", ["target=ecp5"], "target must be generic to run in Verilator, not 'ecp5'"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_opened(where, core, parameters, message):
    with pytest.raises(ValueError, match=message):
        Session(where, core, parameters)


def test_another_core_or_other_parameters_are_refused_and_the_port_is_free_again(board):
    for words, message in (
        (["ovp-encoder"], "holds ovp-decoder, not ovp-encoder"),
        ([DECODER, ["pairs=2"]], "holds ovp-decoder with its default parameters, not with pairs=2"),
        ([None, ["pairs=2"]], "holds ovp-decoder with its default parameters, not with pairs=2"),
    ):
        with pytest.raises(LinkError, match=message):
            at(board, *words).open()
    with at(board) as session:
        assert session.run(ROWS).passed
        with pytest.raises(LinkError, match="is in use by another program"):
            at(board).open()


def test_a_twin_is_compiled_at_its_first_use_and_ends_with_the_session(monkeypatch):
    started = []
    build, start = twin.build, twin.start
    monkeypatch.setattr(twin, "build", lambda *design: started.append("built") or build(*design))
    monkeypatch.setattr(twin, "start", lambda program: started.append(start(program)) or started[-1])
    texts = []
    with Session("twin") as session:
        with pytest.raises(ValueError, match="a matrix product on twin needs the core gemm, not ovp-decoder"):
            session.multiply(None)
        assert started == []
        session.run(ROWS, progress=lambda done, total, text=None: texts.append(text))
        assert started[0] == "built" and texts[0] == "compiling the twin"
        session.run(ROWS)
        assert len(started) == 2
        path = session._link.name
    with pytest.raises(LinkError, match="there is no port"):
        open_port(path)


def test_a_product_that_does_not_fit_is_refused_before_the_twin_is_compiled(monkeypatch):
    monkeypatch.setattr(twin, "build", lambda *design: pytest.fail("the work has begun"))
    session = Session("twin", "gemm", [*TILE, "w_depth=4"])
    ones = np.ones((2, 6), int)
    with session, pytest.raises(ValueError, match="K must be 4 or less"):
        session.multiply(prepare(ones, ones.T, session.config))


def test_a_product_on_rtl():
    assert (product_core("rtl"), product_core("twin"), product_core("/dev/ttyUSB0")) == (
        "systolic-tile",
        "gemm",
        "gemm",
    )
    a = np.arange(-6, 6).reshape(3, 4)
    with Session("rtl", product_core("rtl"), TILE) as session:
        problem = prepare(a, a.T, session.config)
        result, unchecked = session.multiply(problem), session.multiply(problem, check=False)
    assert (result.passed, result.checked, unchecked.passed, unchecked.checked) == (True, "golden model", True, None)
    for found in (result, unchecked):
        assert (problem.restored(found.product) == a @ a.T).all()


def test_a_layer_is_for_its_core_and_for_rtl():
    with pytest.raises(ValueError, match="a layer on rtl needs the core sevedo-core, not ovp-decoder"):
        Session("rtl").linear(None, None)
    with pytest.raises(ValueError, match="a layer must run on rtl, not on twin"):
        Session("twin", "sevedo-core").linear(None, None)


def test_a_self_test_tells_its_seed(board):
    with at(board) as session:
        first, again, other = (session.selftest(10, seed) for seed in (3, 3, None))
        assert session.identity["build"] in session.name
    assert first.passed and again.passed and other.passed
    assert (first.seed, again.seed) == (3, 3) and 0 <= other.seed < 1 << 32
    told = [{**result.to_dict(), "seconds": 0} for result in (first, again)]
    assert told[0] == told[1]
    with pytest.raises(ValueError, match="not on rtl: use `bitloom sim`"):
        Session("rtl").selftest(10)


def test_a_bitstream_is_read_back_when_it_is_opened(monkeypatch):
    """Without the tools that read one: the twin's design stands for what they give."""
    there = held_core.expected(DECODER, DECODER.config())
    verilog, top = held_core.twin_top(DECODER, DECODER.config())
    monkeypatch.setattr(readback, "TOP", top)
    held = readback.ReadBack(
        verilog, held_core.TWIN_DIVISOR, None, held_core.TWIN_BAUD, there.identity, "what was found"
    )
    stages = []

    def read_back(name, progress):
        progress(f"reading {name} back")
        return held

    monkeypatch.setattr(readback, "read_back", read_back)
    session = Session("x.bin")
    session.open(stages.append)
    try:
        assert stages == ["reading x.bin back", "compiling it"] and session.summary == "what was found"
        assert (session.core, session.config) == (DECODER, DECODER.config()) and session.run(ROWS).passed
    finally:
        session.close()
    # It must say of itself what its description says.
    held = dataclasses.replace(held, identity=there.identity | {"build": "0" * 16})
    with pytest.raises(LinkError, match="a build of ovp-decoder that is not this one's"):
        Session("x.bin").open()


def test_check_target_is_what_refuses(monkeypatch):
    monkeypatch.setattr(verilator, "check_target", lambda target: None)
    assert Session("twin", "gemm", ["target=ecp5"]).config.target == "ecp5"
