"""What there is to say of every core before any of it is imported: a list of names is there at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["ENTRIES", "Cycles", "Entry"]

#: A number of cycles; or `module:name` below `golden`, of such a number or of a function of the configuration; or that
#: function.
Cycles = int | str | Callable[[Any], int]


@dataclass(frozen=True)
class Entry:
    """A core, by the names of its parts; `catalogue.Core` has the parts themselves.

    Attributes
    ----------
    name, summary, paper, bench, small
        As of `catalogue.Core`.
    config, component : str
        `module:class` below `cores`.
    latency, interval : Cycles
    """

    name: str
    summary: str
    paper: str
    config: str
    component: str
    bench: str
    latency: Cycles
    interval: Cycles
    small: tuple[str, ...]


ENTRIES = (
    Entry(
        name="ovp-decoder",
        summary="packed outlier-victim pairs to exponent-integer pairs",
        paper="OliVe, ISCA 2023, Figures 6b, 7; flint4's bits: derived; 8-bit mode, order, bias port: our choice",
        config="olive.ovp:OvpDecoderConfig",
        component="olive.ovp:OvpDecoder",
        bench="olive.ovp:decoder",
        latency=1,
        interval=1,
        small=("normal=flint4", "pairs=2"),
    ),
    Entry(
        name="ovp-encoder",
        summary="signed fixed point to packed outlier-victim pairs",
        paper="OliVe, ISCA 2023, Algorithms 1, 2; flint4's bits: derived; thresholds, ties, hardware: our choice",
        config="olive.ovp:OvpEncoderConfig",
        component="olive.ovp:OvpEncoder",
        bench="olive.ovp:encoder",
        latency=lambda config: config.latency,
        interval=1,
        small=("normal=flint4", "pairs=2"),
    ),
    Entry(
        name="systolic-tile",
        summary="matrix products of plain integers and outlier-victim pairs, results or weights stationary",
        paper="OliVe, ISCA 2023, Section 4; one format at run time, drain, flags, weight-stationary: our choice",
        config="systolic.tile:SystolicConfig",
        component="systolic.tile:SystolicTile",
        bench="systolic.tile:tile",
        latency="systolic.tile:latency",
        interval=lambda config: 1 if config.weight_stationary else config.operands[0].steps,
        small=("rows=2", "cols=3", "block=2", "accumulator=18"),
    ),
    Entry(
        name="gemm",
        summary="matrix products whose operands are sent once: a systolic tile behind two memories",
        paper="OliVe, ISCA 2023, Section 4, for the tile; memories and jobs: our choice",
        config="systolic.gemm:GemmConfig",
        component="systolic.gemm:Gemm",
        bench="systolic.gemm:core",
        latency="systolic.gemm:latency",
        # That of operands on their way into a memory.
        interval=1,
        small=("rows=2", "cols=3", "block=2", "accumulator=18", "a_depth=8", "w_depth=16"),
    ),
    Entry(
        name="anda-compressor",
        summary="FP16 values to groups with one exponent and bit planes of a length that is set at run time",
        paper="Anda, HPCA 2025, Section IV-C, Figure 12; axis of groups, one count a lane, rounding: our choice",
        config="anda.compressor:AndaCompressorConfig",
        component="anda.compressor:AndaCompressor",
        bench="anda.compressor:compressor",
        latency="anda.cycles:compressor_latency",
        interval=1,
        small=("lanes=2", "group=16", "max_mantissa=4"),
    ),
    Entry(
        name="anda-decompressor",
        summary="bit planes of groups with one exponent back to FP16 values",
        paper="Anda, HPCA 2025, Section III-A, Figure 4; the hardware: our choice",
        config="anda.decompressor:AndaDecompressorConfig",
        component="anda.decompressor:AndaDecompressor",
        bench="anda.decompressor:decompressor",
        latency="anda.cycles:decompressor_latency",
        interval=1,
        small=("lanes=2", "group=16", "max_mantissa=4"),
    ),
    Entry(
        name="anda-buffer",
        summary="memory of bit planes in which a group takes one word more than its mantissa has bits",
        paper="Anda, HPCA 2025, Section IV-B, Figure 10; commands and order in the memory: our choice",
        config="anda.buffer:AndaBufferConfig",
        component="anda.buffer:AndaBuffer",
        bench="anda.buffer:buffer",
        latency="anda.cycles:buffer_latency",
        # That of commands, for one set with one plane.
        interval=3,
        small=("lanes=2", "group=16", "depth=16", "max_mantissa=4"),
    ),
    Entry(
        name="anda-tile",
        summary="matrix products of grouped activations and INT4 weights, bit-serial; two baselines",
        paper="Anda, HPCA 2025, III, IV; FIGNA, HPCA 2024; groups along K, symmetric weights, FP32: our choice",
        config="anda.tile:AndaTileConfig",
        component="anda.tile:AndaTile",
        bench="anda.tile:tile",
        latency="anda.tile:latency",
        interval="anda.tile:interval",
        small=("rows=2", "cols=2", "group=16", "max_mantissa=5", "share=2"),
    ),
    Entry(
        name="hgq-quantizer",
        summary="FP16 values to INT4 codes with a shift for each fine group and a scale for each coarse one",
        paper="SeVeDo, 2025, HGQ (Hierarchical Group Quantization); sizes, shifts, roundings, hardware: our choice",
        config="sevedo.hgq_quantizer:HgqQuantizerConfig",
        component="sevedo.hgq_quantizer:HgqQuantizer",
        bench="sevedo.hgq_quantizer:quantizer",
        latency=lambda config: config.latency,
        interval=1,
        small=("coarse=8", "fine=4", "lanes=2"),
    ),
    Entry(
        name="hgq-dequantizer",
        summary="integer dot products of fine groups to FP32 sums, one floating-point unit for several lanes",
        paper="SeVeDo, 2025, HGQ (Hierarchical Group Quantization); widths, order, hardware: our choice",
        config="sevedo.hgq_dequantizer:DequantizerConfig",
        component="sevedo.hgq_dequantizer:HgqDequantizer",
        bench="sevedo.hgq_dequantizer:dequantizer",
        latency=lambda config: config.schedule.latency,
        interval=1,
        small=("coarse=8", "fine=4", "adder=1"),
    ),
    Entry(
        name="hgq-tile",
        summary="matrix products of INT4 activations and weights in fine and coarse groups; two baselines",
        paper="SeVeDo, 2025, HGQ (Hierarchical Group Quantization); sizes, dataflow, baselines: our choice",
        config="sevedo.hgq_tile:HgqTileConfig",
        component="sevedo.hgq_tile:HgqTile",
        bench="sevedo.hgq_tile:tile",
        latency=lambda config: config.schedule.latency,
        interval=1,
        small=("rows=2", "cols=2", "coarse=8", "fine=4", "adder=1"),
    ),
    Entry(
        name="nm-selector",
        summary="streams of weights to the N largest of every M, with their indices, N set at run time",
        paper="SAT/BDWP, TCAD 2023: top-N lanes, known from a note; ranks, ties, order, streams: our choice",
        config="sat.selector:NmSelectorConfig",
        component="sat.selector:NmSelector",
        bench="sat.selector:selector",
        latency="sat.selector:LATENCY",
        interval=1,
        small=("lanes=1", "group=4", "format=int4"),
    ),
    Entry(
        name="nm-tile",
        summary="matrix products of N:M sparse and dense weights, N set at run time, one multiplier a place",
        paper="SAT/BDWP, TCAD 2023: the pattern; processing element, streams, schedule: our reconstruction",
        config="sat.tile:NmTileConfig",
        component="sat.tile:NmTile",
        bench="sat.tile:tile",
        latency="sat.tile:latency",
        # That of slots.
        interval=1,
        small=("rows=2", "cols=2", "block=2", "group=4", "w_format=int4", "accumulator=14"),
    ),
    Entry(
        name="lvc",
        summary="low-rank term of a layer: two integer products of 8 and 16-bit operands in slices, FP32 outputs",
        paper="SeVeDo, 2025, SVD-MP; bit slices: known from a review; formats, sizes, hardware: our choice",
        config="sevedo.lvc:LvcConfig",
        component="sevedo.lvc:LowRankVectorCore",
        bench="sevedo.lvc:core",
        latency="sevedo.lvc_cycles:latency",
        # That of the weights of one block of ranks: a group of outputs, one a cycle.
        interval=lambda config: config.columns,
        small=("lanes=4", "columns=2", "max_channels=16", "max_rank=8"),
    ),
    Entry(
        name="sevedo-core",
        summary="linear layers, low-rank path and INT4 residual in parallel and merged, FP16 in and out",
        paper="SeVeDo, 2025: the two paths, HGQ (Hierarchical Group Quantization), SVD-MP; all else: our choice",
        config="sevedo.core:SevedoCoreConfig",
        component="sevedo.core:SevedoCore",
        bench="sevedo.core:core",
        latency="sevedo.core:latency",
        # That of the residual's weights.
        interval=1,
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
    Entry(
        name="pwl-unit",
        summary="piecewise-linear function of INT8 codes, one a cycle; a ROM, INT32 and FP32 to compare with",
        paper="GQA-LUT, DAC 2024, by its code and summaries; wide ranges: derived; loading, ROM: our choice",
        config="gqa_lut.pwl_unit:PwlUnitConfig",
        component="gqa_lut.pwl_unit:PwlUnit",
        bench="gqa_lut.pwl_unit:unit",
        latency="gqa_lut.pwl_unit:latency",
        interval=1,
        small=("table=gelu-8",),
    ),
    Entry(
        name="softmax-unit",
        summary="integer softmax of rows of INT8 logits of any length, one a cycle",
        paper="GQA-LUT, DAC 2024, for exp and 1/x; the composition and the hardware: our choice",
        config="gqa_lut.softmax_unit:SoftmaxUnitConfig",
        component="gqa_lut.softmax_unit:SoftmaxUnit",
        bench="gqa_lut.softmax_unit:unit",
        latency="gqa_lut.softmax_unit:latency",
        interval=1,
        small=("max_length=8", "mask=true"),
    ),
    Entry(
        name="layernorm-unit",
        summary="integer LayerNorm of rows of 8 to 16-bit codes of any length, one a cycle",
        paper="GQA-LUT, DAC 2024, for 1/sqrt(x); the composition and the hardware: our choice",
        config="gqa_lut.layernorm_unit:LayernormUnitConfig",
        component="gqa_lut.layernorm_unit:LayernormUnit",
        bench="gqa_lut.layernorm_unit:unit",
        latency="gqa_lut.layernorm_unit:latency",
        interval=1,
        small=("max_length=8",),
    ),
    Entry(
        name="mx-quantizer",
        summary="FP16 values to blocks of 32 in MXFP4, MXFP6 or MXINT8, each with a power of two as its scale",
        paper="OCP Microscaling Formats (MX) v1.0, 6.3, for scales and roundings; NaN, the hardware: our choice",
        config="mx.quantizer:MxQuantizerConfig",
        component="mx.quantizer:MxQuantizer",
        bench="mx.quantizer:quantizer",
        latency=lambda config: config.latency,
        interval=1,
        small=("format=mxfp6-e3m2", "lanes=4"),
    ),
    Entry(
        name="mx-tile",
        summary="matrix products of MXFP4, MXFP6, MXINT8 or NVFP4, with FP32 sums of blocks",
        paper="OCP Microscaling Formats (MX) v1.0, 6.2, and NVFP4, for formats and sums; the hardware: our choice",
        config="mx.tile:MxTileConfig",
        component="mx.tile:MxTile",
        bench="mx.tile:tile",
        latency=lambda config: config.schedule.latency,
        interval=1,
        small=("rows=2", "cols=1", "lanes=8", "adder=2", "dot=2"),
    ),
    Entry(
        name="requantizer",
        summary="32-bit sums to codes of 8 to 16 bits, with a bias and a dyadic scale for each channel",
        paper="dyadic scales as of I-BERT, ICML 2021; tables, ranges, residual sum, the hardware: our choice",
        config="machine.requantizer:RequantizerConfig",
        component="machine.requantizer:Requantizer",
        bench="machine.requantizer:core",
        latency="machine.requantizer:LATENCY",
        interval=1,
        small=("lanes=2", "depth=4", "residual=true"),
    ),
    Entry(
        name="machine",
        summary="whole encoders in integers, from token ids to sums of hidden states, behind one memory port",
        paper="the pieces are those of I-BERT, SmoothQuant, GQA-LUT and VTA; jobs, memories, hardware: our choice",
        config="machine.core:MachineCoreConfig",
        component="machine.core:MachineCore",
        bench="machine.core:core",
        latency="machine.pass_cycles:latency",
        interval="machine.pass_cycles:interval",
        small=("tokens=8", "channels=8", "hidden=8", "panels=16", "jobs=64", "address_bits=10", "id_bits=4"),
    ),
)
