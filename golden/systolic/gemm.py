"""Golden model of the core `gemm`, matrix products in jobs: how a product is cut into them, what they give, and when.

A panel of A is the transfers of `rows` rows of results, a panel of W those of `cols` columns, all of K. The core keeps
some panels of each; a job names how many, and which of the two memories it fills anew.
"""

from dataclasses import dataclass

import numpy as np

from ..olive import ovp
from ..transfers import Transfers
from . import tile as systolic
from . import tiling

__all__ = [
    "Job",
    "Model",
    "Outcome",
    "cycles",
    "ends",
    "first_results",
    "job_fields",
    "job_values",
    "jobs",
    "latency",
    "results",
    "transfers",
]


@dataclass(frozen=True)
class Job:
    """One job of the core.

    Attributes
    ----------
    steps : int
        Transfers of a panel.
    a_panels, w_panels : int
        Panels.
    load_a, load_w : bool
        Whether they are sent with it.
    a, w : int
        Which panels of the product these are: their first ones. The core is not told.
    """

    steps: int
    a_panels: int
    w_panels: int
    load_a: bool = True
    load_w: bool = True
    a: int = 0
    w: int = 0

    @property
    def a_transfers(self):
        """Transfers of its panels of A."""
        return self.steps * self.a_panels

    @property
    def w_transfers(self):
        """Transfers of its panels of W."""
        return self.steps * self.w_panels


def job_fields(config):
    """Fields of a job's payload, the lowest first, and their bits."""
    depths = {"steps": max(config.a_depth, config.w_depth), "a_panels": config.a_depth, "w_panels": config.w_depth}
    return {name: (depth - 1).bit_length() for name, depth in depths.items()} | {"load_a": 1, "load_w": 1}


def job_values(job, config):
    """Values of the fields of a job's payload, by their names.

    Raises
    ------
    ValueError
        If the payload cannot hold a count.
    """
    for name, bits in job_fields(config).items():
        if not name.startswith("load_") and getattr(job, name) - 1 not in range(1 << bits):
            raise ValueError(f"{name} of a job must be 1 to {1 << bits}, not {getattr(job, name)}")
    counts = {name: getattr(job, name) - 1 for name in ("steps", "a_panels", "w_panels")}
    return counts | {"load_a": int(job.load_a), "load_w": int(job.load_w)}


def jobs(shape, config):
    """Cut a product into jobs that send each operand as seldom as the memories allow.

    One operand's blocks, as large as its memory, are sent once each; the other's go past each of them, forth and back,
    so that the block at the turn is sent once for both. Which of the two it is, is what sends fewer bytes; the smaller
    block of an operand, if there is one, is not where the turns are.

    Parameters
    ----------
    shape : (int, int, int)
        M, K and N, each 1 or more.
    config : GemmConfig

    Returns
    -------
    list of Job

    Raises
    ------
    ValueError
        If a panel does not fit.
    """
    m, k, n = shape
    operands = systolic.check_formats(config.a_format, config.w_format)
    steps, depth = -(-k // operands[0].steps), min(config.a_depth, config.w_depth)
    if steps > depth:
        raise ValueError(
            f"K must be {depth * operands[0].steps:,} or less for memories of {config.a_depth:,} and "
            f"{config.w_depth:,} transfers, not {k:,}"
        )
    blocks = {
        "a": _blocks(-(-m // config.rows), config.a_depth // steps),
        "w": _blocks(-(-n // config.cols), config.w_depth // steps),
    }
    sizes = _sizes(config)
    plans = []
    for kept, passing in (("a", "w"), ("w", "a")):
        plan = []
        for turn, (start, count) in enumerate(blocks[kept]):
            order = blocks[passing][:: -1 if turn % 2 else 1]
            for index, (other, others) in enumerate(order):
                first = {f"load_{kept}": index == 0, f"load_{passing}": index > 0 or turn == 0}
                panels = {f"{kept}_panels": count, f"{passing}_panels": others}
                plan.append(Job(steps, **panels, **first, **{kept: start, passing: other}))
        plans.append(plan)
    return min(
        plans,
        key=lambda plan: sum(
            sizes["a"] * job.a_transfers * job.load_a + sizes["w"] * job.w_transfers * job.load_w for job in plan
        ),
    )


def _blocks(panels, most):
    """First panel and number of panels of each block; a smaller one comes first of two, else in the middle."""
    count = -(-panels // most)
    sizes = [most] * count
    sizes[(count - 1) // 2] -= count * most - panels
    return list(zip(np.cumsum([0, *sizes[:-1]]).tolist(), sizes, strict=True))


def _sizes(config):
    """Bytes of a transfer of each operand."""
    lanes = zip("aw", systolic.check_formats(config.a_format, config.w_format), (config.rows, config.cols), strict=True)
    return {name: -(-operand.lane_bits * count // 8) for name, operand, count in lanes}


def transfers(a, w, plan, config):
    """What goes through the core's streams for a matrix product.

    Parameters
    ----------
    a : ndarray, shape (M, K), or (M, bytes) for packed pairs
        Codes of the activations.
    w : ndarray, shape (N, K), or (N, bytes) for packed pairs
        Codes of the weights.
    plan : list of Job
        As `jobs` gives them.
    config : GemmConfig

    Returns
    -------
    dict of str to Transfers
        The fields of `job_fields` of the stream `job`, and `lanes` of `a` and `w`.
    """
    told = [job_values(job, config) for job in plan]
    jobs = {name: np.array([[values[name] for values in told]]) for name in job_fields(config)}
    streams = {"job": Transfers(jobs, np.zeros(1, int))}
    operands = systolic.check_formats(config.a_format, config.w_format)
    for name, codes, operand, lanes in zip("aw", (a, w), operands, (config.rows, config.cols), strict=True):
        sent = [np.arange(getattr(job, f"{name}_panels")) + getattr(job, name) for job in plan if _loads(job, name)]
        streams[name] = Transfers({"lanes": tiling.panels(codes, operand, lanes)}, np.concatenate(sent))
    return streams


def _loads(job, name):
    return getattr(job, f"load_{name}")


def results(fields, plan, m, n, config):
    """The product that the core's results make, as from `tiling.results`; `plan` as `jobs` gives it."""
    columns = -(-n // config.cols)
    tiles = [(job.a + i) * columns + job.w + j for job in plan for i, j in np.ndindex(job.a_panels, job.w_panels)]

    def ordered(lanes):
        arranged = np.empty_like(lanes).reshape(len(tiles), config.rows, -1)
        arranged[tiles] = lanes.reshape(arranged.shape)
        return arranged.reshape(lanes.shape)

    return tiling.results({name: ordered(lanes) for name, lanes in fields.items()}, m, n, config)


@dataclass(frozen=True)
class Outcome:
    """What a job gives.

    Attributes
    ----------
    product, overflow : ndarray, shape (a_panels, w_panels, rows, cols)
        Results and their flags, in order.
    illegal : ndarray of bool, shape (a_panels, w_panels)
        Whether an illegal pair went into the tile.
    overrun : bool
        Whether the panels did not fit.
    """

    product: np.ndarray
    overflow: np.ndarray
    illegal: np.ndarray
    overrun: bool


class Model:
    """The core: two memories, which only jobs change, and what jobs make of them.

    Parameters
    ----------
    config : GemmConfig

    Attributes
    ----------
    memories : dict of str to ndarray of int64, shape (depth, lanes)
        Operands, as unsigned words, in the order of their addresses; zeros at power-on.
    """

    def __init__(self, config):
        self.config = config
        shapes = {"a": (config.a_depth, config.rows), "w": (config.w_depth, config.cols)}
        self.memories = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}

    def run(self, job, a=None, w=None):
        """Run a job.

        Parameters
        ----------
        job : Job
        a, w : ndarray, shape (transfers, lanes)
            Where it loads them: operands or packed pairs as words of which the low bits count.

        Returns
        -------
        Outcome
        """
        config = self.config
        operands = systolic.check_formats(config.a_format, config.w_format)
        codes, illegal, overrun = [], [], False
        for name, words, operand in zip("aw", (a, w), operands, strict=True):
            memory, panels = self.memories[name], getattr(job, f"{name}_panels")
            at = np.arange(job.steps * panels) % len(memory)
            overrun |= len(at) > len(memory)
            if _loads(job, name):
                # If several words have one address, the last one stays.
                memory[at] = np.asarray(words) & ((1 << operand.lane_bits) - 1)
            lanes = memory[at].reshape(panels, job.steps, -1).transpose(0, 2, 1)
            lane_codes = _codes(lanes.reshape(-1, job.steps), operand)
            codes.append(lane_codes)
            wrong = ovp.illegal(lane_codes, operand.pairs) if operand.pairs else np.zeros(lane_codes.shape, bool)
            illegal.append(wrong.reshape(panels, -1).any(axis=1))
        product, overflow = (
            x.reshape(job.a_panels, config.rows, job.w_panels, config.cols).swapaxes(1, 2)
            for x in systolic.matmul(*codes, config)
        )
        return Outcome(product, overflow, illegal[0][:, None] | illegal[1], overrun)


def _codes(words, operand):
    """Codes as `systolic.matmul` takes them, of words, shape (rows, transfers)."""
    if operand.pairs:
        return np.ascontiguousarray(words.astype(f"<u{operand.lane_bits // 8}")).view(np.uint8)
    return words - ((words >> (operand.bits - 1)) << operand.bits)


def latency(config):
    """Cycles from a job of one step, or the last transfer that it loads, to its first result, without stalls.

    A word is read and one goes into the tile; the rest is the tile's.
    """
    return 2 + systolic.latency(config)


def first_results(plan, config):
    """When each reduction's first result is valid.

    Parameters
    ----------
    plan : sequence of Job
        One after the other, nothing stalls.
    config : GemmConfig

    Returns
    -------
    list of list of int
        For each job and each of its reductions in order, cycles after the first job is taken.
    """
    steps = systolic.check_formats(config.a_format, config.w_format)[0].steps
    # From the step that ends a reduction: a packed pair makes two, in the two cycles after it was taken.
    after = systolic.latency(config) - (steps if steps > 1 else 0)
    arrivals = []
    # When the next job can be taken, the last transfer went into the tile, the last step was made and the last
    # reduction ended.
    free, taken, stepped, ended = 0, -1, -1, -config.rows
    for job in plan:
        load = max(job.a_transfers * job.load_a, job.w_transfers * job.load_w)
        read = max(free + 1 + load, taken)
        times = []
        for _ in range(job.a_panels * job.w_panels):
            first = max(read + 1, taken + 1, stepped)
            if steps == 1:
                # The last transfer of a reduction waits until the drain is free.
                stepped = taken = max(first + job.steps - 1, ended + config.rows)
                before = first + job.steps - 2
            else:
                taken = first + 2 * (job.steps - 1)
                stepped = max(taken + 2, ended + config.rows)
                before = taken - 2
            # A transfer is read when the one before it goes into the tile.
            free = 1 + (before if job.steps > 1 else read)
            read = taken
            ended = stepped
            times.append(stepped + after)
        arrivals.append(times)
    return arrivals


def cycles(plan, config):
    """Cycles from the first job to the last result, both included, without stalls."""
    return first_results(plan, config)[-1][-1] + config.rows


def ends(plan, config):
    """Which results are a reduction's last row, as the field `last` must say: bool, shape (transfers,)."""
    reductions = sum(job.a_panels * job.w_panels for job in plan)
    return np.tile(np.arange(config.rows) == config.rows - 1, reductions)
