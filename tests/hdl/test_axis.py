"""hdl.axis: the wrapper does in every cycle what the wrapped component does, under AXI4-Stream names."""

import random

import pytest
from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, Value, unsigned
from amaranth.hdl import Fragment
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from bitloom.cores.catalogue import CATALOGUE
from bitloom.cores.olive.ovp import OvpDecoder, OvpDecoderConfig, OvpEncoder, OvpEncoderConfig
from bitloom.hdl.emission.verilog import signature_ports
from bitloom.hdl.stream.axis import AxisWrapper
from bitloom.hdl.stream.stages import Stage

PAIRS = [
    pytest.param(lambda: OvpDecoder(OvpDecoderConfig(pairs=2)), id="decoder"),
    pytest.param(lambda: OvpDecoder(OvpDecoderConfig(normal="int8", bias_port=True)), id="decoder with a bias port"),
    pytest.param(lambda: OvpEncoder(OvpEncoderConfig(width=11, fraction=2)), id="encoder, padded input"),
    pytest.param(lambda: Stage(data.StructLayout({"level": 5, "last": 1})), id="padded both ways"),
    pytest.param(lambda: Stage(unsigned(9)), id="without last"),
]


def ports(wrapper):
    """Name to direction and width, of a wrapper that can be elaborated."""
    Fragment.get(wrapper, None)
    return {name: (direction.value, len(value)) for name, (value, direction) in signature_ports(wrapper).items()}


@pytest.mark.parametrize("make", PAIRS)
def test_wrapper_is_the_component(make):
    core, wrapper = make(), AxisWrapper(make())
    m = Module()
    m.domains.sync = domain = ClockDomain()
    m.submodules.core = core
    # The wrapper's clock is its port `aclk`: a domain of its own.
    m.submodules.wrapper = DomainRenamer("axis")(wrapper)
    m.d.comb += [wrapper.aclk.eq(ClockSignal()), wrapper.aresetn.eq(~domain.rst)]
    i, o = Value.cast(core.i.payload), Value.cast(core.o.payload)
    has_last = isinstance(core.i.payload, data.View)
    bits = len(i) - has_last
    plain = [name for name, member in core.signature.members.items() if member.is_port]
    generator = random.Random(3)
    counts = {"in": 0, "out": 0, "reset": 0}

    async def bench(ctx):
        held = False
        for name in plain:
            if core.signature.members[name].flow == In:
                ctx.set(getattr(core, name), 5)
                ctx.set(getattr(wrapper, name), 5)
        for _ in range(600):
            reset = generator.random() < 0.02
            ctx.set(domain.rst, reset)
            counts["reset"] += reset
            if not held:
                word = generator.getrandbits(len(i))
                ctx.set(i, word)
                # What pads the input is of no interest.
                noise = generator.getrandbits(len(wrapper.s_axis_tdata)) >> bits << bits
                ctx.set(wrapper.s_axis_tdata, noise | word & ((1 << bits) - 1))
                ctx.set(wrapper.s_axis_tlast, word >> bits if has_last else generator.getrandbits(1))
                valid = generator.random() < 0.7
                ctx.set(core.i.valid, valid)
                ctx.set(wrapper.s_axis_tvalid, valid)
            ready = generator.random() < 0.6
            ctx.set(core.o.ready, ready)
            ctx.set(wrapper.m_axis_tready, ready)
            assert ctx.get(wrapper.s_axis_tready) == ctx.get(core.i.ready)
            assert ctx.get(wrapper.m_axis_tvalid) == ctx.get(core.o.valid)
            if ctx.get(core.o.valid):
                last = ctx.get(wrapper.m_axis_tlast)
                # Of a payload without `last`, every transfer is the last one of its packet.
                assert last if not has_last else last == ctx.get(o) >> (len(o) - 1)
                assert ctx.get(wrapper.m_axis_tdata) == ctx.get(o) & ((1 << (len(o) - has_last)) - 1)
            for name in plain:
                assert ctx.get(getattr(wrapper, name)) == ctx.get(getattr(core, name))
            held = ctx.get(core.i.valid) and not ctx.get(core.i.ready) and not reset
            counts["in"] += ctx.get(core.i.valid) and ctx.get(core.i.ready)
            counts["out"] += ctx.get(core.o.valid) and ctx.get(core.o.ready)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert counts["in"] > 200 and counts["out"] > 200 and counts["reset"] > 3


def test_reset_is_active_low():
    wrapper = AxisWrapper(Stage(8))

    async def bench(ctx):
        async def edge():
            for level in (0, 1):
                ctx.set(wrapper.aclk, level)
                await ctx.delay(1e-6)

        ctx.set(wrapper.s_axis_tvalid, 1)
        ctx.set(wrapper.aresetn, 1)
        await edge()
        assert ctx.get(wrapper.m_axis_tvalid)
        ctx.set(wrapper.aresetn, 0)
        assert ctx.get(wrapper.m_axis_tvalid), "the reset is synchronous"
        await edge()
        assert not ctx.get(wrapper.m_axis_tvalid)

    simulator = Simulator(wrapper)
    simulator.add_testbench(bench)
    simulator.run()


def test_port_names_of_the_decoder():
    wrapper = AxisWrapper(OvpDecoder(OvpDecoderConfig(pairs=1, bias_port=True)))
    assert ports(wrapper) == {
        "aclk": ("input", 1),
        "aresetn": ("input", 1),
        "s_axis_tdata": ("input", 8),
        "s_axis_tvalid": ("input", 1),
        "s_axis_tready": ("output", 1),
        "s_axis_tlast": ("input", 1),
        "m_axis_tdata": ("output", 16),
        "m_axis_tvalid": ("output", 1),
        "m_axis_tready": ("input", 1),
        "m_axis_tlast": ("output", 1),
        "illegal": ("output", 1),
        "bias": ("input", 4),
    }


class TwoInputs(wiring.Component):
    """Streams that are not called `i` or `o`, and one payload that is not a layout."""

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(3)),
                "weights": In(stream.Signature(data.StructLayout({"code": 12, "last": 1}))),
                "sums": Out(stream.Signature(data.ArrayLayout(unsigned(4), 3))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.sums.valid.eq(self.i.valid & self.weights.valid),
            self.i.ready.eq(self.sums.ready & self.weights.valid),
            self.weights.ready.eq(self.sums.ready & self.i.valid),
            Value.cast(self.sums.payload).eq(self.weights.payload.code + self.i.payload),
            self.busy.eq(self.i.valid),
        ]
        return m


def test_port_names_of_other_streams():
    assert ports(AxisWrapper(TwoInputs())) == {
        "aclk": ("input", 1),
        "aresetn": ("input", 1),
        "s_axis_tdata": ("input", 8),
        "s_axis_tvalid": ("input", 1),
        "s_axis_tready": ("output", 1),
        "s_axis_tlast": ("input", 1),
        "s_axis_weights_tdata": ("input", 16),
        "s_axis_weights_tvalid": ("input", 1),
        "s_axis_weights_tready": ("output", 1),
        "s_axis_weights_tlast": ("input", 1),
        "m_axis_sums_tdata": ("output", 16),
        "m_axis_sums_tvalid": ("output", 1),
        "m_axis_sums_tready": ("input", 1),
        "m_axis_sums_tlast": ("output", 1),
        "busy": ("output", 1),
    }


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_core_can_be_wrapped(name):
    core = CATALOGUE[name]
    component = core.component(core.config())
    names = ports(AxisWrapper(component))
    assert any(port.startswith("m_axis") for port in names)
    for stream_name in (port.removesuffix("_tvalid") for port in names if port.endswith("_tvalid")):
        forward, backward = ("input", "output") if stream_name.startswith("s_") else ("output", "input")
        directions = {kind: names[f"{stream_name}_{kind}"][0] for kind in ("tdata", "tvalid", "tlast", "tready")}
        assert directions == {"tdata": forward, "tvalid": forward, "tlast": forward, "tready": backward}


# The wrapper that refuses is an object that Amaranth sees created and never elaborated.
@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_last_must_be_on_top():
    stage = Stage(data.StructLayout({"last": 1, "codes": 4}))
    message = r"^the field 'last' must be the top bit of the payload, bit 4, not bit 0$"
    with pytest.raises(ValueError, match=message):
        AxisWrapper(stage)
    Fragment.get(stage, None)
