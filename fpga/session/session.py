"""One object for a core that is there to be used: Verilated, on a board, in the twin of one, or in a bitstream.

>>> with Session("rtl", "ovp-decoder") as session:  # doctest: +SKIP
...     result = session.run({"i": rows})
"""

import contextlib

from ...cores.catalogue import lookup
from ...golden.systolic import gemm
from ...testbench import verilator
from . import held_core, linked

# What only some of them need is imported where it is used: a Verilated core needs no serial port.

__all__ = ["Session", "product_core"]

_RTL, _TWIN = "rtl", "twin"
_DEFAULT = "ovp-decoder"  # the core of a Verilated core or a twin that nobody named
_MARGIN = 2.0  # seconds of `host.Link`: what is Verilated is not as fast as a board


def product_core(where):
    """Name of the core that matrix products run on.

    A Verilated tile takes operands as fast as it can, "systolic-tile"; behind a link memories keep them, "gemm".
    """
    return "systolic-tile" if where == _RTL else "gemm"


class Session:
    """A core that is there, from the moment it is opened until it is closed.

    As a context manager it is opened and closed by itself. Wrong parameters are refused before it is opened. A twin is
    compiled and started at its first use, so that payloads that do not fit are refused before.

    Parameters
    ----------
    where : str
        ``rtl``, the Verilated core; ``twin``, a board with its serial pins, Verilated; a serial port, such as
        ``/dev/ttyUSB0``, of a board that `bitloom flash` programmed; or the file of a bitstream, its description
        beside it.
    core : Core or str, optional
        Entry of the catalogue, or its name. Without it the one that a board or a bitstream tells, else ovp-decoder.
    parameters : sequence of str
        ``NAME=VALUE`` texts, as after ``-p``. Without any they are those that a board or a bitstream tells, else the
        core's default.
    baud : int, optional
        Bits a second of a serial port; `host.BAUD` by default.

    Attributes
    ----------
    where : str
    core : Core
    config : Config
    channels : LinkMap
        Streams, settings and flags of the core.
    identity : dict
        What the board says of itself, or would. Until a board or a bitstream is opened, these four are what the request
        alone tells, and None where it names no core.
    summary : str or None
        One line on a bitstream that was read back: what was found, and what is not covered.

    Raises
    ------
    ValueError
        For an unknown core, wrong parameters, a core that cannot be behind the link, and a twin of a core that names a
        family's primitives.
    """

    def __init__(self, where, core=None, parameters=(), *, baud=None):
        self.where, self.summary = where, None
        self.core = self.config = self.channels = self.identity = None
        self._parameters, self._baud = tuple(parameters), baud
        self._link, self._stack = None, contextlib.ExitStack()
        self._verilated = where in (_RTL, _TWIN)
        if core is None and self._verilated:
            core = _DEFAULT
        if core is not None:
            core = lookup(core) if isinstance(core, str) else core
            config = core.config.parse(self._parameters)
            if where == _TWIN:
                verilator.check_target(getattr(config, "target", "generic"))
            self._hold(held_core.expected(core, config))

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *exception):
        self.close()

    def open(self, progress=None):
        """Connect to a board, or read a bitstream back and start it; Verilated cores and twins wait for their use.

        Parameters
        ----------
        progress : callable, optional
            Called with what begins.

        Raises
        ------
        LinkError, FileNotFoundError
            If nobody answers, something else is there than was asked for, or there is no such bitstream.
        ValueError
            If a bitstream cannot be read back.
        ToolMissing, ToolFailed
            If it cannot be compiled.
        """
        if self._verilated:
            return
        with contextlib.ExitStack() as stack:
            link, expected = self._connect(stack, progress or (lambda text: None))
            identity = link.hello(expected)
            self._check(identity)
            self._hold(held_core.described(identity))
            link.channels = self.channels
            self._link, self._stack = link, stack.pop_all()

    def close(self):
        """End what was started, and give the port back."""
        self._link = None
        self._stack.close()

    @property
    def repeated(self):
        """Requests that had to be repeated on the line so far; None where there is no line."""
        return self._link.repeated if self._link else None

    @property
    def name(self):
        """What a report calls it: where it is, and which build is there."""
        return self.where if self.where == _RTL else f"{self.where}, build {self.identity['build']}"

    def run(self, inputs, settings=None, *, check=True, progress=None):
        """Run payloads through the core.

        Parameters
        ----------
        inputs : dict of str to ndarray of uint8, shape (N, bytes)
            Payloads of every input stream, the lowest byte first.
        settings : dict of str to int, optional
            Inputs that are no streams; 0 by default.
        check : bool
            Whether to compare with the golden model where that takes any payloads, or else, where the core is not
            Verilated itself, with the Verilated core.
        progress : callable, optional
            Called with (done, total), and before it with a text too; what is not known is None.

        Returns
        -------
        LinkedResult

        Raises
        ------
        ValueError
            For payloads and settings that do not fit.
        LinkError, ToolMissing, ToolFailed
        """
        if self.where == _RTL:
            return linked.run_rtl(self.core, self.config, inputs, settings, check=check, progress=progress)
        link = self._started(progress)
        return linked.run_on(
            link, self.identity, self.core, self.config, inputs, settings, check=check, progress=progress
        )

    def multiply(self, problem, *, check=True, progress=None):
        """Run a matrix product; the core must be that of `product_core`.

        Parameters
        ----------
        problem : golden.workloads.product.Problem
            As from `prepare`, with the formats of `config`.
        check : bool
            Whether to compare with the golden model.
        progress : callable, optional
            As for `run`.

        Returns
        -------
        GemmResult or LinkedResult
            Of the Verilated tile, or of what is behind a link: both have `product`, `passed`, `failure`, `checked`,
            `seconds` and `to_dict`.

        Raises
        ------
        ValueError
            For another core, and operands that do not fit.
        LinkError, ToolMissing, ToolFailed
        """
        self._require(product_core(self.where), "a matrix product")
        if self.where == _RTL:
            from ...testbench.systolic import product

            k = problem.shape[1]
            return product.run(problem.a, problem.w, self.config, k=k, check=check, progress=progress)
        # Refused before a twin is compiled.
        gemm.jobs(problem.shape, self.config)
        link = self._started(progress)
        return linked.multiply(link, self.identity, problem.a, problem.w, self.config, check=check, progress=progress)

    def linear(self, layer, x, *, progress=None):
        """Run a linear layer of SeVeDo through the Verilated core ``sevedo-core``, and compare with the golden model.

        Parameters
        ----------
        layer : SevedoLayer
            What the core must share with it is told by `testbench.sevedo.layer.parameters_of`.
        x : ndarray of float16, shape (M, K)
            Activations.
        progress : callable, optional
            As for `run`.

        Returns
        -------
        LayerResult

        Raises
        ------
        ValueError
            For another core, one that is not on ``rtl``, and a layer that does not fit.
        ToolMissing, ToolFailed
        """
        from ...testbench.sevedo import layer as layers

        self._require("sevedo-core", "a layer")
        if self.where != _RTL:
            raise ValueError(f"a layer must run on rtl, not on {self.where}")
        return layers.run(layer, x, self.config, progress=progress)

    def machine(self, program, *, progress=None):
        """Load a program into the core ``machine`` behind a link, but for what its memory has already.

        Parameters
        ----------
        program : golden.machine.compiler.Program
        progress : callable, optional
            As for `run`.

        Returns
        -------
        LinkedMachine
            Passes can be sent through it.

        Raises
        ------
        ValueError
            For another core, a machine that the program was not made for, and on ``rtl``, where
            `testbench.machine.simulated.run` has no link in between.
        LinkError, ToolMissing, ToolFailed
        """
        from . import machine as machines

        self._require("machine", "a program")
        if self.where == _RTL:
            raise ValueError("a program must run on twin or a serial port here, not on rtl")
        machines.check_program(self.config, program, self.where)
        linked_machine = machines.LinkedMachine(self._started(progress), self.config, self.identity)
        if progress:
            progress(None, None, "checking what the memory has")
        linked_machine.begin()
        linked_machine.load(program.words, progress and (lambda *step: progress(*step, "loading the image, bytes")))
        return linked_machine

    def selftest(self, vectors, seed=None, *, progress=None):
        """Run every vector set of the core's bench, and compare all outputs with the golden model.

        Parameters
        ----------
        vectors : int
            Random vectors beside the directed ones, 1 or more.
        seed : int, optional
            0 to 2**32 - 1; decides the vectors. Drawn by default: the result tells it.
        progress : callable, optional
            As for `run`.

        Returns
        -------
        SelftestResult

        Raises
        ------
        ValueError
            On ``rtl``, which `testbench.runner.simulate` tests in every cycle; if the bench cannot test this
            configuration, or a number is out of range.
        LinkError, ToolMissing, ToolFailed
        """
        from . import selftest

        if self.where == _RTL:
            raise ValueError(
                "a self-test must run on twin, a serial port or a bitstream, not on rtl: use `bitloom sim`"
            )
        if progress:
            progress(None, None, f"recording what {self.core.name} must give")
        recorded = selftest.record(self.core, self.config, vectors, seed)
        return selftest.replay(self._started(progress), recorded, self.identity, progress)

    def _hold(self, held):
        self.core, self.config = held.core, held.config
        self.channels, self.identity = held.channels, held.identity

    def _require(self, name, job):
        if self.core.name != name:
            raise ValueError(f"{job} on {self.where} needs the core {name}, not {self.core.name}")

    def _connect(self, stack, begin):
        """A link to a port or to a bitstream that runs, and the identity that is expected there, if one is."""
        from ..bitstream import readback
        from . import host

        if not readback.is_bitstream(self.where):
            port = host.open_port(self.where, self._baud or host.BAUD)
            return stack.enter_context(host.Link(port)), None
        design = readback.read_back(self.where, begin)
        begin("compiling it")
        self.summary = design.summary
        link = self._start(stack, (design.verilog, readback.TOP, design.divisor, design.power_on), design.baud)
        return link, design.identity

    def _check(self, identity):
        """Refuse a board with another core or other parameters than were asked for."""
        from . import host

        if self.core:
            host.check_identity(identity, {"core": self.core.name}, self.where)
        if self._parameters:
            wanted = lookup(identity["core"]).config.parse(self._parameters).assignments()
            host.check_identity(identity, {"parameters": wanted}, self.where)

    def _started(self, progress):
        """The link; a twin's is made here."""
        if self._link is None:
            if progress:
                progress(None, None, "compiling the twin")
            top = (*held_core.twin_top(self.core, self.config), held_core.TWIN_DIVISOR)
            storage = held_core.twin_storage(self.config)
            self._link = self._start(self._stack, (*top, None, storage), held_core.TWIN_BAUD)
            self._link.channels = self.channels
        return self._link

    @staticmethod
    def _start(stack, design, baud):
        """A link to a board top that is Verilated and started; `design` as for `twin.build`."""
        from . import host, twin

        board = stack.enter_context(twin.start(twin.build(*design)))
        return stack.enter_context(host.Link(host.open_port(board.path, baud), margin=_MARGIN))
