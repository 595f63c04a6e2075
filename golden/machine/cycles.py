"""How long the machine takes for a program: a model of its units side by side, panel by panel.

An estimate that is held against the simulated machine; what memories do to single words is left out.
"""

from collections import deque
from dataclasses import dataclass

from . import jobs

__all__ = ["Step", "Timeline", "parts", "timeline"]

#: Cycles from the last operands of a product to its results in the memories, beside `lanes` for skew and drain; of
#: GELU's way, beside `lanes` for those of the last word, one after the other.
_DRAIN, _GELU = 27, 27
#: Of a machine of pairs beside that: behind the decoders, and in the encoders.
_PAIRS = 4
#: Between two jobs of the multiplying unit; of the unit of rows.
_BETWEEN, _ROW_JOB = 3, 5
#: Of a row beside its elements; from its last element to the first one that is written.
_ROW, _NORM, _SOFTMAX = 4, 60, 43
#: Of a token's two rows of embeddings beside their elements: the second one begins when the first one is written.
_TOKEN = 21


@dataclass(frozen=True)
class Step:
    """A job of the multiplying unit or of the unit of rows.

    Attributes
    ----------
    index : int
        Of the job.
    job : object
    start, end : float
        Cycles from the beginning of the pass; the end is that of its operands, in the multiplying unit.
    waited : float
        Cycles of them in which it waited for words of the memory.
    """

    index: int
    job: object
    start: float
    end: float
    waited: float = 0.0


@dataclass(frozen=True)
class Timeline:
    """A pass.

    Attributes
    ----------
    cycles : float
        From the last token to the last sum.
    words : int
        That the memory gives.
    operands : int
        Steps of sums: cycles in which the array takes operands.
    macs : int
        Products that the program asks for; those of lanes without a token are none.
    steps : list of Step
    """

    cycles: float
    words: int
    operands: int
    macs: int
    steps: list


def timeline(program, counts, word=1.0):
    """The pass of some sentences.

    Parameters
    ----------
    program : Program
    counts : sequence of int
        Tokens of each sentence.
    word : float
        Cycles that the memory takes for a word.

    Returns
    -------
    Timeline

    Raises
    ------
    ValueError
        For sentences that the machine does not take.
    """
    return _Pass(program, counts, word).run()


def parts(time):
    """What a pass consists of, all layers together.

    Parameters
    ----------
    time : Timeline

    Returns
    -------
    list of dict
        `part`; `jobs`; `cycles`, of its unit; `waited`, for weights; `bound`, by what.
    """
    made = {}
    for step in time.steps:
        row = made.setdefault(_part(step.job), {"jobs": 0, "cycles": 0.0, "waited": 0.0})
        row["jobs"] += 1
        row["cycles"] += step.end - step.start
        row["waited"] += step.waited
    return [{"part": name, **row, "bound": _bound(name, row)} for name, row in made.items()]


def _part(job):
    if not isinstance(job, jobs.Product):
        return {"Embed": "embedding", "Normalize": "LayerNorm", "Softmax": "softmax", "Sum": "sum"}[type(job).__name__]
    if job.single:
        return "logits" if job.to == "logits" else "context"
    if job.to in ("a", "b"):
        return "query, key, value"
    return "up" if job.to == "gelu" else "output" if job.columns == "a" else "down"


def _bound(name, row):
    if row["waited"] > row["cycles"] / 10:
        return "memory"
    return "rows" if name in ("embedding", "LayerNorm", "softmax", "sum") else "array"


class _Pass:
    """Units as the times at which they are free."""

    def __init__(self, program, counts, word):
        self.program, self.sizes, self.counts, self.word = program, program.sizes, counts, word
        self.lanes = self.sizes.lanes
        self.groups = program.groups(counts)
        #: What is loaded, in the order of use: (for whom, words of tables, of a panel); when all before it is there.
        self.loads, self.loaded, self.words = deque(), 0.0, 0
        #: Words of panels in the ring: (words, when they are let go), the oldest first.
        self.ring, self.held = deque(), 0
        self.product, self.drained, self.row = 0.0, 0.0, 0.0
        self.to_row, self.to_product = deque(), deque()
        self.steps, self.operands, self.macs = [], 0, 0

    def run(self):
        # The jobs are read first.
        self.loaded = self.product = self.row = self.word * 2
        index = sentence = 0
        while not isinstance(job := self.program.jobs[index], jobs.End):
            if isinstance(job, jobs.Loop):
                sentence += 1
                if sentence < len(self.counts):
                    index -= job.jobs
                    continue
                sentence = 0
            elif isinstance(job, jobs.Product):
                self._product(index, job, sentence)
            elif isinstance(job, jobs.Load):
                for _ in range(len(self.counts) if job.each else 1):
                    for _ in range(job.panels):
                        self.loads.append(("panel" if job.body else job.table, job.head, job.body))
            elif isinstance(job, jobs.Fetch):
                rows = 3 * job.channels // self.lanes
                self.loads.extend([("rows", rows, 0)] * sum(self.counts))
            else:
                self._row(index, job, sentence)
            index += 1
        return Timeline(max(self.row, self.drained), self.words, self.operands, self.macs, self.steps)

    def _load(self, wanted):
        """Load up to the next part of a kind: when its tables and its panel are there, and words of the panel."""
        while (part := self.loads.popleft())[0] != wanted:
            self._part(*part[1:])
        return self._part(*part[1:])

    def _part(self, head, body):
        self.words += head + body
        # A panel waits for room; the oldest ones make it.
        while self.ring and self.held + body > self.sizes.panels:
            words, gone = self.ring.popleft()
            self.held -= words
            self.loaded = max(self.loaded, gone)
        begins = self.loaded + head * self.word
        self.loaded = begins + body * self.word
        self.held += body
        return begins, self.loaded, body

    def _product(self, index, job, sentence):
        tokens = self.counts[sentence] if job.single else sum(self.counts)
        groups = self.groups[sentence] if job.single else sum(self.groups)
        rows, columns = job.row_panels or groups, job.column_panels or groups
        steps = (job.steps or tokens) * (self.sizes.packed if job.weighted else 1)
        outer, inner = (rows, columns) if job.outer == "rows" else (columns, rows)
        start = self.product + _BETWEEN
        if job.wait:
            start = max(start, self.to_product.popleft())
        if job.drained:
            start = max(start, self.drained)
        time, waited = start, 0.0
        # A table's entries come one a cycle for each lane, while the one before is in use.
        entries = self.lanes * self.lanes if job.by_row else self.lanes
        for _ in range(outer):
            least = max(steps, self.lanes) * inner
            if job.weighted:
                begins, ends, body = self._load("panel")
                first = max(time, begins, ends - steps)
                waited += first - time
                time = first + least
                self.ring.append((body, time))
            else:
                time += max(least, entries) if job.per_panel else least
        self.product = time
        latency = _DRAIN + self.lanes + (_PAIRS if self.sizes.pairs else 0)
        latency += _GELU + 2 * self.lanes if job.to == "gelu" else 0
        self.drained = max(self.drained, time) + latency
        if job.signal:
            self.to_row.append(self.drained)
        valid = {"row": job.row_panels, "column": job.column_panels}
        sides = [self.lanes * panels if panels else tokens for panels in valid.values()]
        self.macs += sides[0] * sides[1] * steps
        self.operands += rows * columns * steps
        self.steps.append(Step(index, job, start, time, waited))

    def _row(self, index, job, sentence):
        start = self.row + _ROW_JOB
        if getattr(job, "wait", False):
            start = max(start, self.to_row.popleft())
        total, tokens, waited = sum(self.counts), self.counts[sentence], 0.0
        if isinstance(job, jobs.Embed):
            end = start
            for _ in range(total):
                begins, _, _ = self._load("rows")
                before, end = end, max(end + 2 * job.channels + _TOKEN, begins)
                waited += end - before - 2 * job.channels - _TOKEN
        elif isinstance(job, jobs.Normalize):
            begins, _, _ = self._load("norm")
            end = max(start, begins) + total * (job.channels + _ROW) + job.channels + _NORM
        elif isinstance(job, jobs.Softmax):
            # The row is gone through twice before its first probability.
            end = start + tokens * (tokens + _ROW) + tokens + _SOFTMAX
        else:
            end = start + job.channels * self.groups[sentence] + 4
        self.row = end
        if getattr(job, "signal", False):
            self.to_product.append(end)
        self.steps.append(Step(index, job, start, end, waited))
