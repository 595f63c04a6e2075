"""Proofs of the stream stages and of the outlier-victim-pair cores, and that every proof can fail."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Cover
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.olive.ovp import OvpDecoder, OvpDecoderConfig, OvpEncoder, OvpEncoderConfig
from bitloom.golden.olive import ovp as golden
from bitloom.hdl.stream.axis import AxisWrapper
from bitloom.hdl.stream.stages import PipelineRegister, SkidBuffer, Stage
from bitloom.testbench import formal
from bitloom.testbench.formal import ProofFailed, StreamContract, prove, prove_emission, prove_equivalent, prove_no_path
from bitloom.tools.flows import FLOWS
from bitloom.tools.running import ToolFailed

STAGES = {PipelineRegister: (1, 1), SkidBuffer: (1, 0), Stage: (2, 1)}  # capacity, latency


def contract(component, payload=3, **changes):
    capacity, latency = STAGES[component]
    return StreamContract(component(payload), **{"capacity": capacity, "latency": latency, **changes})


def same_last(i, o):
    return i.last == o.last


# --- stages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", STAGES)
def test_stage_keeps_the_contract(component):
    prove(contract(component), component.__name__)


@pytest.mark.parametrize("component", STAGES)
def test_stage_fills_and_flows(component):
    prove(contract(component), component.__name__, mode="cover", depth=12)


def test_k_induction_agrees():
    prove(contract(PipelineRegister), "PipelineRegister", engine="smtbmc", depth=3)


def test_capacity_is_not_larger_than_it_is():
    with pytest.raises(ProofFailed, match=r"as many items inside as the capacity .*log\.txt"):
        prove(contract(Stage, capacity=3), "Stage", mode="cover", depth=8)


# Paths that are there by design; all others are cut.
PATHS = {
    (PipelineRegister, "o__ready"): "i__ready",
    (SkidBuffer, "i__valid"): "o__valid",
    (SkidBuffer, "i__payload"): "o__payload",
}


@pytest.mark.parametrize("component", STAGES)
def test_stage_cuts_paths(component):
    targets = ["i__ready", "o__payload", "o__valid"]
    for source in ("o__ready", "i__valid", "i__payload"):
        there = PATHS.get((component, source))
        if there:
            with pytest.raises(ProofFailed, match=f"a combinational path leads from {source} to {there}$"):
                prove_no_path(component(3), source, targets, component.__name__)
        else:
            prove_no_path(component(3), source, targets, component.__name__)


class Wire(wiring.Component):
    """A stream that is only renamed."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(3)), "o": Out(stream.Signature(3))})

    def elaborate(self, platform):
        m = Module()
        connect(m, flipped(self.i), flipped(self.o))
        return m


def test_wires_are_paths():
    with pytest.raises(ProofFailed, match="from o__ready to i__ready"):
        prove_no_path(Wire(), "o__ready", ["i__ready", "o__valid"], "wire")
    with pytest.raises(ProofFailed, match="from i__valid to o__valid"):
        prove_no_path(Wire(), "i__valid", ["i__ready", "o__valid"], "wire")


class Broken(wiring.Component):
    """A register in a stream with one of the faults that the contract is there to find."""

    def __init__(self, fault):
        self.fault = fault
        super().__init__({"i": In(stream.Signature(3)), "o": Out(stream.Signature(3))})

    def elaborate(self, platform):
        m = Module()
        fault, payload, valid, late = self.fault, Signal(3), Signal(), Signal()
        room = self.o.ready | ~valid
        m.d.sync += late.eq(valid)
        m.d.comb += [self.o.payload.eq(payload), self.o.valid.eq(valid), self.i.ready.eq(room)]
        if fault == "halves the rate":
            m.d.comb += self.i.ready.eq(~valid)
        elif fault == "hesitates":
            m.d.comb += self.i.ready.eq(Mux(valid, self.o.ready, ~late))
        elif fault == "loses":
            m.d.comb += self.i.ready.eq(1)
        elif fault == "waits for ready":
            m.d.comb += self.o.valid.eq(valid & self.o.ready)
        elif fault == "swaps bits":
            m.d.comb += self.o.payload.eq(payload[::-1])
        with m.If(self.i.ready & room):
            m.d.sync += [payload.eq(self.i.payload), valid.eq(self.i.valid)]
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        with m.Else():
            if fault == "drops valid":
                m.d.sync += valid.eq(0)
            elif fault == "changes payload":
                m.d.sync += payload.eq(self.i.payload)
        if fault == "repeats":
            with m.If(valid & ~self.i.valid & (payload == 5)):
                m.d.sync += [payload.eq(payload), valid.eq(1)]
        return m


FAULTS = {
    "changes payload": "payload holds still until ready",
    "drops valid": "valid stays high until ready",
    "halves the rate": "items (enter|leave) at the interval",
    "hesitates": "ready in time while there is room",
    "loses": "no more items inside than the capacity",
    "repeats": "valid only with an item inside",
    "swaps bits": "the output is that of the oldest item inside",
    "waits for ready": "output after the latency, whatever ready was",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_contract_finds(fault):
    with pytest.raises(ProofFailed, match=rf"assert failed: .*{FAULTS[fault]}.*trace\.vcd"):
        prove(StreamContract(Broken(fault), capacity=1, latency=1), "broken")


class Queue(wiring.Component):
    """Three places; an item that finds two others inside overtakes one of them where `overtakes` is true."""

    def __init__(self, overtakes):
        self.overtakes = overtakes
        super().__init__({"i": In(stream.Signature(3)), "o": Out(stream.Signature(3))})

    def elaborate(self, platform):
        m = Module()
        places, level = [Signal(3, name=f"place{index}") for index in range(3)], Signal(2)
        taken, given = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        m.d.comb += [self.i.ready.eq(level < 3), self.o.valid.eq(level > 0), self.o.payload.eq(places[0])]
        m.d.sync += level.eq(level + taken - given)
        moved = [Mux(given, after, place) for place, after in zip(places, [*places[1:], Const(0, 3)], strict=True)]
        m.d.sync += [place.eq(value) for place, value in zip(places, moved, strict=True)]
        for index in range(3):
            with m.If(taken & (level - given == index)):
                m.d.sync += places[index].eq(self.i.payload)
                if self.overtakes and index == 2:
                    m.d.sync += [places[1].eq(self.i.payload), places[2].eq(moved[1])]
        return m


def test_contract_knows_the_order():
    prove(StreamContract(Queue(False), capacity=3, latency=1), "queue")
    with pytest.raises(ProofFailed, match="the output is that of the oldest item inside"):
        prove(StreamContract(Queue(True), capacity=3, latency=1), "queue")


class Slow(wiring.Component):
    """One item at a time, three cycles long, and one cycle to rest."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(3)), "o": Out(stream.Signature(3))})

    def elaborate(self, platform):
        m = Module()
        busy, step = Signal(), Signal(2)
        m.d.comb += [self.i.ready.eq(~busy), self.o.valid.eq(busy & (step == 2))]
        with m.If(~busy):
            m.d.sync += [busy.eq(self.i.valid), step.eq(0), self.o.payload.eq(self.i.payload)]
        with m.Elif(step != 2):
            m.d.sync += step.eq(step + 1)
        with m.Elif(self.o.ready):
            m.d.sync += busy.eq(0)
        return m


def test_contract_knows_the_interval():
    prove(StreamContract(Slow(), capacity=1, latency=3, interval=4), "slow")
    with pytest.raises(ProofFailed, match=r"items (enter|leave) at the interval"):
        prove(StreamContract(Slow(), capacity=1, latency=3, interval=3), "slow")


# --- the mechanics --------------------------------------------------------------------------------------------------


class Statement(wiring.Component):
    """A counter to five and one statement about it."""

    def __init__(self, statement=None):
        self.statement = statement
        super().__init__({"step": In(1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(3)
        with m.If(self.step):
            m.d.sync += count.eq(Mux(count == 5, 0, count + 1))
        if self.statement is not None:
            m.d.comb += self.statement(count)
        return m


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path))
    return tmp_path / "formal"


def test_result_is_kept(cache, monkeypatch):
    def spec(limit=5):
        return Statement(lambda count: Assert(count <= limit, "small"))

    with pytest.raises(ProofFailed, match=r"^count: assert failed: small \(trace: .*trace\.vcd\)$") as first:
        prove(spec(4), "count")
    done = prove(spec(), "count")
    calls = []
    monkeypatch.setattr(formal.running, "run", lambda *arguments: calls.append(arguments))
    assert prove(spec(), "count") == done
    with pytest.raises(ProofFailed) as second:
        prove(spec(4), "count")
    assert str(second.value) == str(first.value)
    assert not calls
    assert len(list(cache.iterdir())) == 2


def test_interrupted_work_is_no_result(cache, monkeypatch):
    def interrupt(command, work, *rest):
        status = work / "proof" / "status"
        status.parent.mkdir()
        status.write_text("PASS 0 0")
        raise KeyboardInterrupt

    spec = Statement(lambda count: Assert(count != 5, "never five"))
    with monkeypatch.context() as patch:
        patch.setattr(formal.running, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prove(spec, "count")
    assert not list(cache.iterdir())
    with pytest.raises(ProofFailed, match="never five"):
        prove(spec, "count")


@pytest.mark.parametrize("statement", [None, lambda count: Cover(count == 5, "five")])
def test_nothing_to_prove_is_an_error(cache, statement):
    with pytest.raises(ToolFailed, match=r"^count: ERROR: .*selection contains 0 elements.*\(log: .*-broken.*\)$"):
        prove(Statement(statement), "count")
    assert [path.name for path in cache.iterdir()] == ["count-broken"]


def test_a_broken_flow_is_an_error(cache, monkeypatch):
    with pytest.raises(ToolFailed, match=r"ERROR: .*syntax error"):
        prove("module top(input a); assert property (a ==; endmodule", "broken")
    monkeypatch.setitem(formal._ENGINES, "smtbmc", "smtbmc nosolver")
    with pytest.raises(ToolFailed, match="failed with status"):
        prove(Statement(lambda count: Assert(count <= 5, "small")), "count", mode="bmc", depth=2)
    with pytest.raises(ToolFailed, match="selection contains 0 elements"):
        prove_no_path(Stage(3), "no_such_port", ["i__ready"], "paths")


def test_undecided_is_a_failure(cache):
    # True of every reachable state, but an induction of two cycles cannot know that 6 and 7 are not reachable.
    with pytest.raises(ProofFailed, match=r"^count: not decided; assert failed: never seven .*trace_induct\.vcd"):
        prove(Statement(lambda count: Assert(count != 7, "never seven")), "count", engine="smtbmc", depth=2)


def test_bounded_and_verilog(cache):
    text = """
    module top(input clk);
        reg [3:0] count = 0;
        always @(posedge clk) begin
            count <= count + 1;
            assert (count != 9);
        end
    endmodule
    """
    prove(text, "text", mode="bmc", depth=9)
    with pytest.raises(ProofFailed, match="text: assert failed"):
        prove(text, "text", mode="bmc", depth=11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "guess"}, "mode must be one of prove, bmc, cover, not 'guess'"),
        ({"engine": "yices"}, "engine must be smtbmc, or pdr in the mode prove, not 'yices' in the mode prove"),
        ({"engine": "pdr", "mode": "bmc"}, "engine must be smtbmc, .* not 'pdr' in the mode bmc"),
        ({"depth": 0}, "depth must be 1 or more, not 0"),
        ({"name": "a b"}, "the name of a proof must be of letters, digits, .* not 'a b'"),
    ],
)
def test_wrong_request(arguments, message):
    with pytest.raises(ValueError, match=message):
        prove(**{"spec": "module top; endmodule", "name": "wrong", **arguments})


# --- the decoder ----------------------------------------------------------------------------------------------------


def decoder(**parameters):
    return OvpDecoder(OvpDecoderConfig(**parameters))


def decoder_contract(core, **arguments):
    return StreamContract(core, capacity=2, latency=1, **arguments)


def words(fmt):
    """Decoded pairs of all 256 bytes, by the golden model, as the bits of the decoder's output."""
    integers, exponents = golden.decode(np.arange(256, dtype=np.uint8)[:, np.newaxis], fmt)
    values = (integers & 15) << 4 | exponents
    return [int(low | high << 8) for low, high in values]


def byte_table(fmt):
    """Relation of the decoder's payloads: each pair's byte looked up in a table."""
    table = Array(Const(word, 16) for word in words(fmt))

    def relation(i, o):
        decoded = Value.cast(o.values)
        pairs = len(decoded) // 16
        fits = [table[i.codes[pair]] == decoded.word_select(pair, 16) for pair in range(pairs)]
        return Cat(fits, same_last(i, o)).all()

    return relation


def read_word(word, bias):
    """Two (exponent, integer) and the illegal flag of a 16-bit pair, as the text of the specification says them."""
    first, second = word[:8], word[8:]
    identifier = 0x80
    outlier = Mux(first == identifier, second, first)
    field, magnitude = outlier[3:7], Mux(outlier[:7] == 0, 0, 8 + outlier[:3])
    shared = ((field + bias)[:4], Mux(outlier[7], 256 - magnitude, magnitude)[:8])
    values = []
    for code, partner in ((first, second), (second, first)):
        for outlier_part, normal_part in zip(shared, (Const(0, 4), code), strict=True):
            values.append(Mux(partner == identifier, outlier_part, Mux(code == identifier, 0, normal_part)))
    banned = (outlier[:7] == 0) | (field >= 8)
    return Cat(values), ((first == identifier) | (second == identifier)) & banned


def word_expression(bias):
    def relation(i, o):
        return (read_word(i.codes.as_value(), bias)[0] == Value.cast(o.values)) & same_last(i, o)

    return relation


def test_expression_is_the_golden_model():
    m = Module()
    word, result = Signal(16), Signal(25)
    m.d.comb += result.eq(Cat(read_word(word, golden.INT8.bias)))
    codes = np.arange(1 << 16, dtype="<u2").view(np.uint8).reshape(-1, 2)
    integers, exponents = golden.decode(codes, golden.INT8)
    values = (integers & 255) << 4 | exponents
    expected = values[:, 0] | values[:, 1] << 12 | golden.illegal(codes, golden.INT8)[:, 0].astype(np.int64) << 24

    async def bench(ctx):
        for index, value in enumerate(expected.tolist()):
            ctx.set(word, index)
            assert ctx.get(result) == value, f"word {index:#06x}"

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("name", ["int4", "flint4"])
def test_decoder_is_the_table(name):
    prove(decoder_contract(decoder(normal=name), relation=byte_table(golden.FORMATS[name])), f"decoder-{name}")


def test_decoder_of_two_pairs_is_the_table():
    core = decoder(normal="int4", pairs=2, bias=5)
    prove(decoder_contract(core, relation=byte_table(golden.INT4.with_bias(5))), "decoder-pairs")


def test_decoder_is_the_expression():
    prove(decoder_contract(decoder(normal="int8"), relation=word_expression(4)), "decoder-int8")


def test_decoder_is_the_expression_of_the_bias_port():
    core = decoder(normal="int8", bias_port=True)
    prove(decoder_contract(core, relation=word_expression(core.bias)), "decoder-bias")


def test_decoder_of_another_table_is_refused():
    core = decoder(normal="int4", bias=3)
    with pytest.raises(ProofFailed, match="the output is that of the oldest item inside"):
        prove(decoder_contract(core, relation=byte_table(golden.INT4)), "decoder-wrong")
    core = decoder(normal="int8", bias=5)
    with pytest.raises(ProofFailed, match="the output is that of the oldest item inside"):
        prove(decoder_contract(core, relation=word_expression(4)), "decoder-wrong")


def test_decoder_fills_and_flows():
    prove(decoder_contract(decoder(), relation=same_last), "decoder", mode="cover", depth=12)


def test_decoder_cuts_paths():
    prove_no_path(decoder(), "o__ready", ["i__ready", "o__valid", "o__payload", "illegal"], "decoder")
    prove_no_path(decoder(), "i__valid", ["i__ready", "o__valid", "o__payload", "illegal"], "decoder")


class IllegalSpec(wiring.Component):
    """`illegal` is high from the transfer of the first illegal pair at the output on, and not before, until reset."""

    def __init__(self, core, illegal):
        self.core, self.illegal = core, illegal
        super().__init__({"i_valid": In(1), "i_codes": In(len(core.i.payload.codes.as_value())), "o_ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        m.d.comb += [
            core.i.valid.eq(self.i_valid),
            core.i.payload.codes.as_value().eq(self.i_codes),
            core.o.ready.eq(self.o_ready),
        ]
        taken, given = core.i.valid & core.i.ready, core.o.valid & core.o.ready
        # Flags of the items inside, the oldest lowest.
        level, flags, seen = Signal(2), Signal(4), Signal()
        left = level - given
        m.d.sync += [level.eq(left + taken), flags.eq(flags >> given)]
        with m.If(taken):
            m.d.sync += flags.eq((flags >> given) | (self.illegal(self.i_codes) << left[:2]))
        now = seen | (core.o.valid & flags[0])
        m.d.sync += seen.eq(now)
        m.d.comb += [Assert(core.illegal == now, "illegal"), Cover(now & (level == 2), "illegal in a full decoder")]
        return m


def illegal_byte(fmt):
    flags = golden.illegal(np.arange(256, dtype=np.uint8)[:, np.newaxis], fmt)[:, 0]
    mask = Const(sum(1 << int(byte) for byte in np.flatnonzero(flags)), 256)
    return lambda codes: mask.bit_select(codes, 1)


@pytest.mark.parametrize("name", golden.FORMATS)
def test_illegal_is_sticky_and_exact(name):
    fmt = golden.FORMATS[name]
    illegal = illegal_byte(fmt) if fmt.bits == 4 else lambda codes: read_word(codes, fmt.bias)[1]
    prove(IllegalSpec(decoder(normal=name), illegal), f"illegal-{name}")


def test_illegal_can_happen():
    prove(IllegalSpec(decoder(), illegal_byte(golden.INT4)), "illegal", mode="cover", depth=8)


class Forgetful(wiring.Component):
    """A decoder whose `illegal` is low while nothing is at its output."""

    def __init__(self):
        self.core = decoder()
        super().__init__(self.core.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        connect(m, flipped(self.i), core.i)
        connect(m, core.o, flipped(self.o))
        m.d.comb += self.illegal.eq(core.illegal & core.o.valid)
        return m


def test_illegal_that_is_forgotten_is_found():
    with pytest.raises(ProofFailed, match="assert failed: illegal"):
        prove(IllegalSpec(Forgetful(), illegal_byte(golden.INT4)), "illegal-wrong")
    with pytest.raises(ProofFailed, match="assert failed: illegal"):
        prove(IllegalSpec(decoder(), lambda codes: codes == 0x88), "illegal-wrong")


# --- the encoder ----------------------------------------------------------------------------------------------------


def encoder(**parameters):
    return OvpEncoder(OvpEncoderConfig(**parameters))


def test_encoder_keeps_the_contract():
    prove(StreamContract(encoder(), capacity=4, latency=3, relation=same_last), "encoder")
    prove(StreamContract(encoder(normal="int8"), capacity=5, latency=4, relation=same_last), "encoder-int8")


def test_encoder_fills_and_flows():
    prove(StreamContract(encoder(width=6), capacity=4, latency=3, relation=same_last), "encoder", mode="cover")


def test_encoder_of_another_latency_is_refused():
    with pytest.raises(ProofFailed, match="latency"):
        prove(StreamContract(encoder(width=6), capacity=4, latency=2, relation=same_last), "encoder-wrong")


def test_encoder_cuts_paths():
    prove_no_path(encoder(width=6), "o__ready", ["i__ready", "o__valid", "o__payload"], "encoder")
    prove_no_path(encoder(width=6), "i__valid", ["i__ready", "o__valid", "o__payload"], "encoder")


# Thresholds of the specification, as it prints them, in scale steps: the least outlier; the normal codes and where each
# begins; where the outlier codes 2, 3, ... begin.
THRESHOLDS = {
    "int4": (9.5, {1: 0.5, 2: 1.5, 3: 2.5, 4: 3.5, 5: 4.5, 6: 5.5, 7: 6.5}, (14, 20, 28, 40, 56, 80)),
    "flint4": (20, {1: 0.5, 2: 1.5, 3: 2.5, 6: 3.5, 7: 5, 5: 7, 4: 12}, (28, 40, 56, 80, 112, 160)),
}


def thermometer(name, fraction):
    """Relation of the encoder's payloads, one pair: comparators of full width, one a threshold."""
    least, normal, outliers = THRESHOLDS[name]

    def reaches(magnitude, threshold):
        return magnitude >= int(threshold * (1 << fraction))

    def relation(i, o):
        negative = [i.values[side] < 0 for side in range(2)]
        magnitudes = [Mux(negative[side], -i.values[side], i.values[side]) for side in range(2)]
        first = reaches(magnitudes[0], least) & (magnitudes[0] > magnitudes[1])
        second = reaches(magnitudes[1], least) & ~first
        codes = []
        for sign, magnitude, kept, victim in zip(negative, magnitudes, (first, second), (second, first), strict=True):
            code, outlier = Const(0, 3), Const(1, 3)
            for value, threshold in normal.items():
                code = Mux(reaches(magnitude, threshold), Const(value, 3), code)
            for value, threshold in enumerate(outliers, start=2):
                outlier = Mux(reaches(magnitude, threshold), Const(value, 3), outlier)
            minus = (16 - code)[:4] if name == "int4" else Mux(code == 0, 0, Cat(code, 1))
            codes.append(Mux(kept, Cat(outlier, sign), Mux(victim, 0b1000, Mux(sign, minus, code)))[:4])
        return (o.codes.as_value() == Cat(codes)) & same_last(i, o)

    return relation


@pytest.mark.parametrize("name", THRESHOLDS)
def test_encoder_is_the_thermometer(name):
    core = encoder(normal=name, width=16)
    spec = StreamContract(core, capacity=4, latency=3, relation=thermometer(name, 4))
    # What enters in the first cycle is out in the fourth: every pair of values is tried.
    prove(spec, f"encoder-{name}", mode="bmc", depth=4)


def test_encoder_of_another_threshold_is_refused(monkeypatch):
    monkeypatch.setitem(THRESHOLDS, "int4", (9.5625, *THRESHOLDS["int4"][1:]))
    spec = StreamContract(encoder(width=10), capacity=4, latency=3, relation=thermometer("int4", 4))
    with pytest.raises(ProofFailed, match="the output is that of the oldest item inside"):
        prove(spec, "encoder-wrong", mode="bmc", depth=4)


# --- netlists -------------------------------------------------------------------------------------------------------


def design_of(core, interface="stream", **parameters):
    core = lookup(core)
    return generate(core, core.config(**parameters), interface)


NETLISTS = [("int4", "ice40"), ("int4", "ecp5"), ("int4", "gowin"), ("flint4", "ice40"), ("int8", "ecp5")]


@pytest.mark.parametrize(("name", "family"), NETLISTS)
def test_netlist_of_the_decoder_is_its_source(name, family):
    prove_equivalent(design_of("ovp-decoder", normal=name), family)


def test_netlist_of_the_encoder_is_its_source():
    prove_equivalent(design_of("ovp-encoder", width=12), "ice40")


def test_netlist_with_a_fault_is_refused(monkeypatch):
    fault = "mutate -list 1 -seed 1 -o fault.ys; script fault.ys"
    faulty = replace(FLOWS["ice40"], synthesis=f"synth_ice40 -top ovp_decoder; {fault}; hierarchy -check")
    monkeypatch.setitem(FLOWS, "ice40", faulty)
    with pytest.raises(ProofFailed, match=r"ovp_decoder-ice40: assert failed: .*trace\.vcd"):
        prove_equivalent(design_of("ovp-decoder"), "ice40")


def test_netlist_for_no_family():
    with pytest.raises(ValueError, match="family must be one of ice40, ecp5, gowin, not 'xc7'"):
        prove_equivalent(design_of("ovp-decoder"), "xc7")


EMITTED = [("ovp-decoder", "stream", {}), ("ovp-decoder", "axis", {}), ("ovp-encoder", "stream", {})]


@pytest.mark.parametrize(("name", "interface", "parameters"), [*EMITTED, ("ovp-encoder", "axis", {"width": 8})])
def test_verilog_is_what_amaranth_gives(name, interface, parameters):
    core = lookup(name)
    component = core.component(core.config(**parameters))
    design = design_of(name, interface, **parameters)
    prove_emission(design, AxisWrapper(component) if interface == "axis" else component)


def test_verilog_of_another_component_is_refused():
    with pytest.raises(ProofFailed, match=r"ovp_decoder-verilog: assert failed: .*trace\.vcd"):
        prove_emission(design_of("ovp-decoder"), decoder(bias=3))
