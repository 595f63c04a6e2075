"""The catalogue: every core that the command line, the test suite and the reports know."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.lib import wiring

from ..golden.anda import cycles as anda_cycles
from ..golden.gqa_lut import layernorm_unit as layernorm_cycles
from ..golden.gqa_lut import pwl_unit as pwl_cycles
from ..golden.gqa_lut import softmax_unit as softmax_cycles
from ..golden.machine import pass_cycles as machine_cycles
from ..golden.machine import requantizer as requantizer_cycles
from ..golden.sevedo import core as sevedo_cycles
from ..golden.sevedo import lvc_cycles
from ..golden.systolic import gemm as gemm_jobs
from .anda import buffer as anda_buffer
from .anda import compressor as anda_compressor
from .anda import decompressor as anda_decompressor
from .anda import tile as anda_tile
from .config import Config
from .gqa_lut import layernorm_unit, pwl_unit, softmax_unit
from .machine import core as machine_core
from .machine import requantizer
from .mx import quantizer as mx_quantizer
from .mx import tile as mx_tile
from .olive import ovp
from .sat import selector as nm_selector
from .sat import tile as nm_tile
from .sevedo import core as sevedo_core
from .sevedo import hgq_dequantizer, hgq_quantizer, hgq_tile, lvc
from .systolic import gemm
from .systolic import tile as systolic

__all__ = ["CATALOGUE", "Core", "lookup"]


@dataclass(frozen=True)
class Core:
    """One entry of the catalogue.

    Attributes
    ----------
    name : str
        Name on the command line.
    summary : str
        One line.
    paper : str
        The paper it comes from, and which parts are our choice.
    config : type
        Its `Config`.
    component : callable
        Takes the config, gives the component.
    bench : str
        `module:coroutine` below `testbench`, the cocotb test that compares it with the golden model.
    latency : callable
        Takes the config, gives the cycles from an input transfer to its output's valid, without stalls.
    interval : callable
        Takes the config, gives the initiation interval: cycles from one input transfer to the next, without stalls.
    small : tuple of str
        `NAME=VALUE` texts of a small configuration other than the default one, for proofs and mutants.
    """

    name: str
    summary: str
    paper: str
    config: type[Config]
    component: "Callable[[Config], wiring.Component[Any]]"
    bench: str
    latency: Callable[[Config], int]
    interval: Callable[[Config], int]
    small: tuple[str, ...]


CATALOGUE = {
    core.name: core
    for core in (
        Core(
            name="ovp-decoder",
            summary="packed outlier-victim pairs to exponent-integer pairs",
            paper="OliVe, ISCA 2023, Figures 6b, 7; flint4's bits: derived; 8-bit mode, order, bias port: our choice",
            config=ovp.OvpDecoderConfig,
            component=ovp.OvpDecoder,
            bench="olive.ovp:decoder",
            latency=lambda config: 1,
            interval=lambda config: 1,
            small=("normal=flint4", "pairs=2"),
        ),
        Core(
            name="ovp-encoder",
            summary="signed fixed point to packed outlier-victim pairs",
            paper="OliVe, ISCA 2023, Algorithms 1, 2; flint4's bits: derived; thresholds, ties, hardware: our choice",
            config=ovp.OvpEncoderConfig,
            component=ovp.OvpEncoder,
            bench="olive.ovp:encoder",
            latency=lambda config: 3,
            interval=lambda config: 1,
            small=("normal=flint4", "pairs=2"),
        ),
        Core(
            name="systolic-tile",
            summary="matrix products of plain integers and outlier-victim pairs, results or weights stationary",
            paper="OliVe, ISCA 2023, Section 4; one format at run time, drain, flags, weight-stationary: our choice",
            config=systolic.SystolicConfig,
            component=systolic.SystolicTile,
            bench="systolic.tile:tile",
            latency=systolic.golden.latency,
            interval=lambda config: 1 if config.weight_stationary else config.operands[0].steps,
            small=("rows=2", "cols=3", "block=2", "accumulator=18"),
        ),
        Core(
            name="gemm",
            summary="matrix products whose operands are sent once: a systolic tile behind two memories",
            paper="OliVe, ISCA 2023, Section 4, for the tile; memories and jobs: our choice",
            config=gemm.GemmConfig,
            component=gemm.Gemm,
            bench="systolic.gemm:core",
            latency=gemm_jobs.latency,
            # That of operands on their way into a memory.
            interval=lambda config: 1,
            small=("rows=2", "cols=3", "block=2", "accumulator=18", "a_depth=8", "w_depth=16"),
        ),
        Core(
            name="anda-compressor",
            summary="FP16 values to groups with one exponent and bit planes of a length that is set at run time",
            paper="Anda, HPCA 2025, Section IV-C, Figure 12; axis of groups, one count a lane, rounding: our choice",
            config=anda_compressor.AndaCompressorConfig,
            component=anda_compressor.AndaCompressor,
            bench="anda.compressor:compressor",
            latency=anda_cycles.compressor_latency,
            interval=lambda config: 1,
            small=("lanes=2", "group=16", "max_mantissa=4"),
        ),
        Core(
            name="anda-decompressor",
            summary="bit planes of groups with one exponent back to FP16 values",
            paper="Anda, HPCA 2025, Section III-A, Figure 4; the hardware: our choice",
            config=anda_decompressor.AndaDecompressorConfig,
            component=anda_decompressor.AndaDecompressor,
            bench="anda.decompressor:decompressor",
            latency=anda_cycles.decompressor_latency,
            interval=lambda config: 1,
            small=("lanes=2", "group=16", "max_mantissa=4"),
        ),
        Core(
            name="anda-buffer",
            summary="memory of bit planes in which a group takes one word more than its mantissa has bits",
            paper="Anda, HPCA 2025, Section IV-B, Figure 10; commands and order in the memory: our choice",
            config=anda_buffer.AndaBufferConfig,
            component=anda_buffer.AndaBuffer,
            bench="anda.buffer:buffer",
            latency=anda_cycles.buffer_latency,
            # That of commands, for one set with one plane.
            interval=lambda config: 3,
            small=("lanes=2", "group=16", "depth=16", "max_mantissa=4"),
        ),
        Core(
            name="anda-tile",
            summary="matrix products of grouped activations and INT4 weights, bit-serial; two baselines",
            paper="Anda, HPCA 2025, III, IV; FIGNA, HPCA 2024; groups along K, symmetric weights, FP32: our choice",
            config=anda_tile.AndaTileConfig,
            component=anda_tile.AndaTile,
            bench="anda.tile:tile",
            latency=anda_tile.golden.latency,
            interval=anda_tile.golden.interval,
            small=("rows=2", "cols=2", "group=16", "max_mantissa=5", "share=2"),
        ),
        Core(
            name="hgq-quantizer",
            summary="FP16 values to INT4 codes with a shift for each fine group and a scale for each coarse one",
            paper="SeVeDo, 2025, HGQ (Hierarchical Group Quantization); sizes, shifts, roundings, hardware: our choice",
            config=hgq_quantizer.HgqQuantizerConfig,
            component=hgq_quantizer.HgqQuantizer,
            bench="sevedo.hgq_quantizer:quantizer",
            latency=lambda config: config.latency,
            interval=lambda config: 1,
            small=("coarse=8", "fine=4", "lanes=2"),
        ),
        Core(
            name="hgq-dequantizer",
            summary="integer dot products of fine groups to FP32 sums, one floating-point unit for several lanes",
            paper="SeVeDo, 2025, HGQ (Hierarchical Group Quantization); widths, order, hardware: our choice",
            config=hgq_dequantizer.DequantizerConfig,
            component=hgq_dequantizer.HgqDequantizer,
            bench="sevedo.hgq_dequantizer:dequantizer",
            latency=lambda config: config.schedule.latency,
            interval=lambda config: 1,
            small=("coarse=8", "fine=4", "adder=1"),
        ),
        Core(
            name="hgq-tile",
            summary="matrix products of INT4 activations and weights in fine and coarse groups; two baselines",
            paper="SeVeDo, 2025, HGQ (Hierarchical Group Quantization); sizes, dataflow, baselines: our choice",
            config=hgq_tile.HgqTileConfig,
            component=hgq_tile.HgqTile,
            bench="sevedo.hgq_tile:tile",
            latency=lambda config: config.schedule.latency,
            interval=lambda config: 1,
            small=("rows=2", "cols=2", "coarse=8", "fine=4", "adder=1"),
        ),
        Core(
            name="nm-selector",
            summary="streams of weights to the N largest of every M, with their indices, N set at run time",
            paper="SAT/BDWP, TCAD 2023: top-N lanes, known from a note; ranks, ties, order, streams: our choice",
            config=nm_selector.NmSelectorConfig,
            component=nm_selector.NmSelector,
            bench="sat.selector:selector",
            latency=lambda config: nm_selector.golden.LATENCY,
            interval=lambda config: 1,
            small=("lanes=1", "group=4", "format=int4"),
        ),
        Core(
            name="nm-tile",
            summary="matrix products of N:M sparse and dense weights, N set at run time, one multiplier a place",
            paper="SAT/BDWP, TCAD 2023: the pattern; processing element, streams, schedule: our reconstruction",
            config=nm_tile.NmTileConfig,
            component=nm_tile.NmTile,
            bench="sat.tile:tile",
            latency=nm_tile.golden.latency,
            # That of slots.
            interval=lambda config: 1,
            small=("rows=2", "cols=2", "block=2", "group=4", "w_format=int4", "accumulator=14"),
        ),
        Core(
            name="lvc",
            summary="low-rank term of a layer: two integer products of 8 and 16-bit operands in slices, FP32 outputs",
            paper="SeVeDo, 2025, SVD-MP; bit slices: known from a review; formats, sizes, hardware: our choice",
            config=lvc.LvcConfig,
            component=lvc.LowRankVectorCore,
            bench="sevedo.lvc:core",
            latency=lvc_cycles.latency,
            # That of the weights of one block of ranks: a group of outputs, one a cycle.
            interval=lambda config: config.columns,
            small=("lanes=4", "columns=2", "max_channels=16", "max_rank=8"),
        ),
        Core(
            name="sevedo-core",
            summary="linear layers, low-rank path and INT4 residual in parallel and merged, FP16 in and out",
            paper="SeVeDo, 2025: the two paths, HGQ (Hierarchical Group Quantization), SVD-MP; all else: our choice",
            config=sevedo_core.SevedoCoreConfig,
            component=sevedo_core.SevedoCore,
            bench="sevedo.core:core",
            latency=sevedo_cycles.latency,
            # That of the residual's weights.
            interval=lambda config: 1,
            small=(
                "rows=2",
                "cols=2",
                "coarse=8",
                "fine=4",
                "adder=1",
                "dot=2",
                "lanes=2",
                "columns=2",
                "max_channels=32",
                "max_outputs=16",
                "max_rank=4",
            ),
        ),
        Core(
            name="pwl-unit",
            summary="piecewise-linear function of INT8 codes, one a cycle; a ROM, INT32 and FP32 to compare with",
            paper="GQA-LUT, DAC 2024, by its code and summaries; wide ranges: derived; loading, ROM: our choice",
            config=pwl_unit.PwlUnitConfig,
            component=pwl_unit.PwlUnit,
            bench="gqa_lut.pwl_unit:unit",
            latency=pwl_cycles.latency,
            interval=lambda config: 1,
            small=("table=gelu-8",),
        ),
        Core(
            name="softmax-unit",
            summary="integer softmax of rows of INT8 logits of any length, one a cycle",
            paper="GQA-LUT, DAC 2024, for exp and 1/x; the composition and the hardware: our choice",
            config=softmax_unit.SoftmaxUnitConfig,
            component=softmax_unit.SoftmaxUnit,
            bench="gqa_lut.softmax_unit:unit",
            latency=softmax_cycles.latency,
            interval=lambda config: 1,
            small=("max_length=8", "mask=true"),
        ),
        Core(
            name="layernorm-unit",
            summary="integer LayerNorm of rows of 8 to 16-bit codes of any length, one a cycle",
            paper="GQA-LUT, DAC 2024, for 1/sqrt(x); the composition and the hardware: our choice",
            config=layernorm_unit.LayernormUnitConfig,
            component=layernorm_unit.LayernormUnit,
            bench="gqa_lut.layernorm_unit:unit",
            latency=layernorm_cycles.latency,
            interval=lambda config: 1,
            small=("max_length=8",),
        ),
        Core(
            name="mx-quantizer",
            summary="FP16 values to blocks of 32 in MXFP4, MXFP6 or MXINT8, each with a power of two as its scale",
            paper="OCP Microscaling Formats (MX) v1.0, 6.3, for scales and roundings; NaN, the hardware: our choice",
            config=mx_quantizer.MxQuantizerConfig,
            component=mx_quantizer.MxQuantizer,
            bench="mx.quantizer:quantizer",
            latency=lambda config: config.latency,
            interval=lambda config: 1,
            small=("format=mxfp6-e3m2", "lanes=4"),
        ),
        Core(
            name="mx-tile",
            summary="matrix products of MXFP4, MXFP6, MXINT8 or NVFP4, with FP32 sums of blocks",
            paper="OCP Microscaling Formats (MX) v1.0, 6.2, and NVFP4, for formats and sums; the hardware: our choice",
            config=mx_tile.MxTileConfig,
            component=mx_tile.MxTile,
            bench="mx.tile:tile",
            latency=lambda config: config.schedule.latency,
            interval=lambda config: 1,
            small=("rows=2", "cols=1", "lanes=8", "adder=2", "dot=2"),
        ),
        Core(
            name="requantizer",
            summary="32-bit sums to codes of 8 to 16 bits, with a bias and a dyadic scale for each channel",
            paper="dyadic scales as of I-BERT, ICML 2021; tables, ranges, residual sum, the hardware: our choice",
            config=requantizer.RequantizerConfig,
            component=requantizer.Requantizer,
            bench="machine.requantizer:core",
            latency=lambda config: requantizer_cycles.LATENCY,
            interval=lambda config: 1,
            small=("lanes=2", "depth=4", "residual=true"),
        ),
        Core(
            name="machine",
            summary="whole encoders in integers, from token ids to sums of hidden states, behind one memory port",
            paper="the pieces are those of I-BERT, SmoothQuant, GQA-LUT and VTA; jobs, memories, hardware: our choice",
            config=machine_core.MachineCoreConfig,
            component=machine_core.MachineCore,
            bench="machine.core:core",
            latency=machine_cycles.latency,
            interval=machine_cycles.interval,
            small=("tokens=8", "channels=8", "hidden=8", "panels=16", "jobs=64", "address_bits=10", "id_bits=4"),
        ),
    )
}


def lookup(name: str) -> Core:
    """The core of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        raise ValueError(f"unknown core {name!r}: there are {', '.join(CATALOGUE)}") from None
