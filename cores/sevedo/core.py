"""The SeVeDo core (2025): a whole linear layer, low-rank path and residual in parallel, FP16 in and out.

The two paths are the paper's. That one of its cores has a low-rank vector core and a residual matrix core with HGQ
(Hierarchical Group Quantization) side by side is known from a review only. Ours has `lvc` and, behind a quantizer,
`hgq_tile`. Activations go to both: as they are to the low-rank path, smoothed and quantized to the residual's. The tile
works on `rows` tokens at a time, so their fine groups are kept and read again for each block of `cols` output channels,
and their low-rank terms wait for the residual. Both are kept in memories of two banks, so that the next tokens come in
while these are multiplied. Buffers, sizes, streams and the order of work are our choice; the arithmetic is that of
`golden.sevedo.layer.linear`.
"""

from dataclasses import dataclass

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.sevedo import hgq as golden
from ...hdl.floating.formats import FP16
from ..config import param
from .groups import GroupBuffer
from .hgq import GroupConfig
from .hgq_quantizer import HgqQuantizer, HgqQuantizerConfig
from .hgq_tile import HgqTile, HgqTileConfig
from .input import Input
from .lvc import LowRankVectorCore
from .lvc_layer import LvcConfig
from .merge import Merge

__all__ = ["SevedoCore", "SevedoCoreConfig"]


@dataclass(frozen=True)
class SevedoCoreConfig(GroupConfig):
    """Parameters of `SevedoCore`.

    Raises
    ------
    ValueError
        Also for what the configurations of the parts refuse, which have fields of the same names.
    """

    threshold: int = param(
        golden.THRESHOLD,
        "quarters of its range that a fine group of activations may take up; 4 never clips",
        low=golden.THRESHOLDS[0],
        high=golden.THRESHOLDS[-1],
    )
    rows: int = param(4, "tokens that the residual's tile takes at a time", low=1, high=64)
    cols: int = param(4, "output channels that it takes at a time", low=1, high=64)
    adder: int = param(3, "cycles of an FP32 addition in it", low=1, high=5)
    dot: int = param(1, "cycles of a dot product in it: 1, full adders; 2, carry chains", low=1, high=2)
    lanes: int = param(
        16,
        "activations in a transfer, a divisor of the fine group; channels, or ranks, that the low-rank path multiplies",
        choices=(2, 4, 8, 16, 32),
    )
    columns: int = param(4, "ranks, or outputs, that it computes at a time", choices=(2, 4, 8, 16))
    multiplier: str = param(
        "slices",
        "in it: digit products, twice for 16 bits; or a 16 x 8-bit product for a DSP block",
        choices=("slices", "blocks"),
    )
    max_channels: int = param(2048, "most input channels of a layer, a power of two", low=2, high=1 << 16)
    max_outputs: int = param(2048, "most output channels of a layer, a power of two", low=2, high=1 << 15)
    max_rank: int = param(32, "highest rank of a layer, a multiple of lanes and columns", low=2, high=256)

    def __post_init__(self):
        super().__post_init__()
        if self.max_outputs & (self.max_outputs - 1):
            raise ValueError(f"max_outputs must be a power of two, not {self.max_outputs}")
        # They refuse what is wrong.
        _ = self.quantizer, self.tile, self.lvc

    @property
    def quantizer(self):
        """Of the activations' quantizer."""
        return HgqQuantizerConfig(
            coarse=self.coarse,
            fine=self.fine,
            shift_bits=self.shift_bits,
            threshold=self.threshold,
            lanes=self.lanes,
        )

    @property
    def tile(self):
        """Of the residual's tile."""
        return HgqTileConfig(
            coarse=self.coarse,
            fine=self.fine,
            shift_bits=self.shift_bits,
            rows=self.rows,
            cols=self.cols,
            adder=self.adder,
            dot=self.dot,
        )

    @property
    def lvc(self):
        """Of the low-rank path."""
        return LvcConfig(
            lanes=self.lanes,
            columns=self.columns,
            max_channels=self.max_channels,
            max_rank=self.max_rank,
            multiplier=self.multiplier,
        )

    @property
    def layer_layout(self):
        """As of `LvcConfig.layer_layout`."""
        return self.lvc.layer_layout

    @property
    def x_layout(self):
        """Payload of the streams `x` and `smooth`: FP16 codes of `lanes` channels, the first one lowest."""
        return data.ArrayLayout(FP16.width, self.lanes)

    @property
    def w_layout(self):
        """Payload of the stream `w`: a fine group a column, column 0 lowest.

        In a group `codes`, the first one lowest; `shift`; `scale`, an FP16 code, that of its coarse group. A weight is
        ``code * scale * 2**(shift - (2**shift_bits - 1))``.
        """
        return data.ArrayLayout(self.group_layout, self.cols)

    @property
    def bias_layout(self):
        """Payload of the stream `bias`: an FP16 code a column, column 0 lowest."""
        return data.ArrayLayout(FP16.width, self.cols)

    @property
    def o_layout(self):
        """Payload of the stream `o`: `value`, an FP16 code; `last` result of the layer."""
        return data.StructLayout({"value": FP16.width, "last": 1})


class SevedoCore(wiring.Component):
    """A linear layer of any number of tokens, equal to `golden.sevedo.layer.linear` bit for bit.

    A transfer on `layer` says what the next `tokens` tokens are multiplied with; it is taken when the last result of
    those before has left for the output register. Input channels come in the order of the layer's tables, so the host
    permutes them. Tokens go through in blocks of `rows`, the last one of what is left; outputs in blocks of `cols`
    likewise. Results come token block by token block; in each, block of outputs by block of outputs; in each of these,
    token by token and output by output. What is behind the last channel, rank, output or token has no effect.

    A token takes ``ceil(K / lanes)`` transfers on `x` and on `smooth`; a block of tokens, for each block of outputs,
    ``ceil(K / fine)`` transfers on `w` and one on `bias`; on `low_rank` and `scales` a token takes what it
    takes on `w` and `scales` of `LowRankVectorCore`. A size of 0 is illegal but for rank 0 and for `tokens` 0, which
    has no effect; tables that `golden.sevedo.layer.SevedoLayer` refuses are illegal, too. What comes of anything
    illegal is undefined until reset.

    Latency as `golden.sevedo.core.latency`, from the last weights of a block of outputs to the first result, where the
    low-rank terms are there. One result a cycle at most; cycles of a layer are at least
    `golden.sevedo.core.least_cycles`. `x.ready` depends on `smooth.valid` and the other way round; no combinational
    path leads from `o.ready` to any ready.

    Parameters
    ----------
    config : SevedoCoreConfig

    Attributes
    ----------
    layer : in stream of `config.lvc.layer_layout`
        What the next tokens are multiplied with, one transfer a layer; the first rank is lowest in `rank_shifts`.
    x : in stream of `config.x_layout`
        Activations, `lanes` channels a transfer, token after token. Any FP16 codes: NaN counts as +0, Inf as 65504 of
        its sign, subnormal numbers and -0 as +0.
    smooth : in stream of `config.x_layout`
        What the residual's activations are multiplied by, in the same order, positive and normal; again for each token.
    w : in stream of `config.w_layout`
        The residual's weights: for each block of `cols` outputs its fine groups, one of each output a transfer, in the
        order of the channels; again for each block of `rows` tokens.
    low_rank : in stream of `config.lvc.w_layout`
        Tables of the low-rank path. L1, channels by ranks: for `columns` ranks a time all channels, `lanes` a transfer;
        then L2, ranks by outputs: for `columns` outputs a time all ranks, `lanes` a transfer. Again for each token.
    scales : in stream of FP16
        Scales of its outputs, one FP16 code a transfer; again for each token.
    bias : in stream of `config.bias_layout`
        +0, or normal and finite: a transfer for each block of `cols` outputs; again for each block of `rows` tokens.
    o : out stream of `config.o_layout`
        Results, one a transfer: for each block of tokens, block of outputs after block of outputs; in each of these,
        token after token, output after output.
    nonfinite : out 1
        High from the first Inf or NaN among the activations on, at the latest before the first result of its token,
        until reset.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(stream.Signature(config.layer_layout)),
                "x": In(stream.Signature(config.x_layout)),
                "smooth": In(stream.Signature(config.x_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "low_rank": In(stream.Signature(config.lvc.w_layout)),
                "scales": In(stream.Signature(FP16.width)),
                "bias": In(stream.Signature(config.bias_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.source = source = Input(config)
        m.submodules.low_rank = low_rank = LowRankVectorCore(config.lvc)
        m.submodules.quantizer = quantizer = HgqQuantizer(config.quantizer)
        m.submodules.groups = groups = GroupBuffer(config)
        m.submodules.tile = tile = HgqTile(config.tile)
        m.submodules.merge = merge = Merge(config)
        for port, part in (("x", source), ("smooth", source), ("scales", low_rank), ("bias", merge)):
            connect(m, flipped(getattr(self, port)), getattr(part, port))
        connect(m, flipped(self.low_rank), low_rank.w)
        connect(m, source.raw, low_rank.x)
        connect(m, source.smoothed, quantizer.i)
        connect(m, quantizer.o, groups.i)
        connect(m, groups.o, tile.x)
        connect(m, tile.o, merge.residuals)
        connect(m, low_rank.o, merge.terms)
        connect(m, merge.o, flipped(self.o))
        m.d.comb += [
            tile.w.valid.eq(self.w.valid),
            tile.w.payload.groups.eq(self.w.payload),
            self.w.ready.eq(tile.w.ready),
            self.nonfinite.eq(source.nonfinite),
        ]

        layer = Signal(config.layer_layout, reset_less=True)
        busy, start = Signal(), Signal()
        m.d.comb += [
            low_rank.layer.valid.eq(self.layer.valid & ~busy),
            low_rank.layer.payload.eq(self.layer.payload),
            self.layer.ready.eq(low_rank.layer.ready & ~busy),
            *(part.layer.eq(layer) for part in (source, groups, merge)),
            *(part.start.eq(start) for part in (source, groups, merge)),
        ]
        m.d.sync += start.eq(0)
        with m.If(self.layer.valid & self.layer.ready):
            m.d.sync += [
                layer.eq(self.layer.payload),
                busy.eq(self.layer.payload.tokens != 0),
                start.eq(self.layer.payload.tokens != 0),
            ]
        with m.Elif(merge.done):
            m.d.sync += busy.eq(0)
        return m
