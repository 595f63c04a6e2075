"""The Python face does what the command line does, with the same checks and the same words."""

import doctest
import re
import subprocess
import sys

import numpy as np
import pytest
from amaranth.lib import wiring
from command_line import bitloom as command
from command_line import complaint

import bitloom
from bitloom import face
from bitloom.cores import interface
from bitloom.cores.catalogue import CATALOGUE, lookup

SMALL = {name: dict(text.split("=") for text in entry.small) for name, entry in CATALOGUE.items()}


def python(code):
    """Standard output of a Python of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- names -------------------------------------------------------------------------------------------------------------


def test_to_import_bitloom_imports_nothing_of_weight():
    heavy = "{'amaranth', 'numpy', 'click', 'rich', 'bitloom.cores', 'bitloom.golden', 'bitloom.face'}"
    assert python(f"import sys, bitloom; print({heavy} & {{*sys.modules}})") == "set()\n"


@pytest.mark.parametrize("name", bitloom.__all__)
def test_every_name_is_there(name):
    assert getattr(bitloom, name) is not None
    assert name in dir(bitloom)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'bitloom' has no attribute 'tile'$"):
        bitloom.tile  # noqa: B018


def test_the_examples():
    result = doctest.testmod(face)
    assert result.attempted and not result.failed


# -- parameters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {"rows": 2, "overflow": False, "a_format": "int4"},
        {"rows": "2", "overflow": "false", "a_format": "int4"},
        {"rows": np.int16(2), "overflow": np.bool_(False), "a_format": np.str_("int4")},
    ],
)
def test_parameters_are_values_or_texts(parameters):
    made = bitloom.core("systolic-tile", **parameters)
    assert made.config == CATALOGUE["systolic-tile"].config(rows=2, overflow=False, a_format="int4")
    assert made == bitloom.core("systolic-tile", **made.config.to_dict())
    assert repr(made) == "<bitloom core systolic-tile rows=2 a_format=int4 overflow=false>"


def test_none_is_a_value_where_it_is_legal():
    assert bitloom.core("ovp-encoder", bias=None) == bitloom.core("ovp-encoder", bias="none")
    with pytest.raises(TypeError, match=r"^rows must be 1 to 256, not None$"):
        bitloom.core("systolic-tile", rows=None)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("systolic", {}),
        ("systolic-tile", {"row": "8"}),
        ("systolic-tile", {"rows": "0"}),
        ("systolic-tile", {"rows": "eight"}),
        ("systolic-tile", {"rows": "8.0"}),
        ("systolic-tile", {"overflow": "maybe"}),
        ("systolic-tile", {"accumulator": "8"}),
        ("systolic-tile", {"target": "ecp6"}),
    ],
)
def test_a_wrong_request_is_the_command_lines_line(name, parameters):
    with pytest.raises(ValueError) as of_command:
        lookup(name).config.parse([f"{key}={value}" for key, value in parameters.items()])
    with pytest.raises(ValueError, match=f"^{re.escape(str(of_command.value))}$"):
        bitloom.core(name, **parameters)


def test_the_command_prints_the_exceptions_line():
    with pytest.raises(ValueError) as error:
        bitloom.core("systolic-tile", rows=0)
    assert complaint("generate", "systolic-tile", "-p", "rows=0") == f"bitloom: {error.value}"


@pytest.mark.parametrize("value", [8.0, True, [8], np.float32(8)])
def test_a_value_of_another_type_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^rows must be 1 to 256, not .*8|True"):
        bitloom.core("systolic-tile", rows=value)


# -- Verilog -----------------------------------------------------------------------------------------------------------


def test_generate_writes_what_the_command_writes(tmp_path):
    folder = tmp_path / "python"
    made = bitloom.core("ovp-decoder", pairs=2).generate(f"{folder}/", interface="axis")
    command("generate", "ovp-decoder", "-p", "pairs=2", "--interface", "axis", cwd=tmp_path)
    assert [file.parent for file in made.files] == [folder] * 3
    for file in made.files:
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()
    assert made.design.verilog == made.files[0].read_text()


def test_generate_takes_a_folder_a_file_or_nothing(tmp_path):
    decoder = bitloom.core("ovp-decoder")
    assert decoder.generate().files == ()
    assert decoder.generate(tmp_path).files[0] == tmp_path / "ovp_decoder.v"
    assert decoder.generate(tmp_path, name="mine").files[0] == tmp_path / "mine.v"
    assert decoder.generate(str(tmp_path / "new" / "dec.v")).files[0] == tmp_path / "new" / "dec.v"
    assert decoder.generate().design.manifest == decoder.manifest
    assert decoder.manifest["latency"] == decoder.latency == 1
    assert decoder.interval == 1


def test_generate_refuses_before_it_writes(tmp_path):
    decoder = bitloom.core("ovp-decoder")
    with pytest.raises(ValueError, match=r"^interface must be one of stream, axis, not 'wishbone'$"):
        decoder.generate(tmp_path, interface="wishbone")
    with pytest.raises(ValueError, match=r"^name must"):
        decoder.generate(tmp_path, name="0")
    with pytest.raises(ValueError, match=r"must not end in \.json"):
        decoder.generate(tmp_path / "a.json")
    (tmp_path / "dec.core").mkdir()
    with pytest.raises(IsADirectoryError):
        decoder.generate(tmp_path / "dec.v")
    assert [path.name for path in tmp_path.iterdir()] == ["dec.core"]


# -- simulation and synthesis ------------------------------------------------------------------------------------------


def test_simulate_is_the_commands_run():
    result = bitloom.core("ovp-decoder").simulate(vectors=50, seed=7)
    assert result.passed and result.vectors == 50
    assert f"{result.summary()}\n" == command("sim", "ovp-decoder", "--vectors", 50, "--seed", 7)[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vectors": 0}, "vectors must be 1 or more, not 0"),
        ({"vectors": 1.5}, "vectors must be 1 or more, not 1.5"),
        ({"seed": -1}, "seed must be 0 to 4294967295, not -1"),
        ({"seed": 1 << 32}, "seed must be 0 to 4294967295, not 4294967296"),
        ({"waves": "a.txt"}, "waves must be a file that ends in .vcd or .fst, not 'a.txt'"),
    ],
)
def test_simulate_refuses(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        bitloom.core("ovp-decoder").simulate(**given)


def test_synthesize_is_the_commands_report():
    report = bitloom.core("ovp-decoder").synthesize("ice40-up5k", freq=1)
    assert report.met
    printed = command("synth", "ovp-decoder", "--target", "ice40-up5k", "--freq", 1)[0]
    (luts,) = (use for use in report.uses if use.name == "LUT4")
    assert f"LUT4: {luts.used} of {luts.available:,}\n" in printed
    assert f"{report.fmax_mhz:.1f} MHz" in printed


def test_synthesize_refuses_before_it_generates():
    decoder = bitloom.core("ovp-decoder")
    for given in (
        {"part": "virtex"},
        {},
        {"part": "ice40-up5k", "liberty": "a.lib"},
        {"part": "ecp5-25k", "seed": 0.5},
    ):
        with pytest.raises(ValueError):
            decoder.synthesize(**given)


@pytest.mark.parametrize(
    ("package", "call", "extra"),
    [("cocotb_tools", "simulate(vectors=1)", "sim"), ("find_libpython", "simulate(vectors=1)", "sim")],
)
def test_a_missing_package_names_its_extra(package, call, extra):
    code = f"""
import sys, bitloom
sys.modules[{package!r}] = None
try: bitloom.core("ovp-decoder").{call}
except ModuleNotFoundError as error: print(error)
"""
    top = package.partition(".")[0]
    line = f"the package {top} is not installed; install it with: pip install 'bitloom-rtl[{extra}]'"
    assert python(code) == f"{line}\n"


# -- components and payloads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CATALOGUE)
def test_component_is_the_cores_and_a_new_one_each_time(name):
    made = bitloom.core(name, **SMALL[name])
    first, second = face.unwarned(made.component()), face.unwarned(made.component())
    assert isinstance(first, wiring.Component) and first is not second
    assert type(first) is CATALOGUE[name].component
    assert first.config == made.config


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_unpacked_from_any_stream_packs_to_the_same_bytes(name):
    made = bitloom.core(name, **SMALL[name])
    described = interface.streams(face.unwarned(made.component()), made.config, "stream", {})
    assert [*made.streams] == [stream["name"] for stream in described]
    rng = np.random.default_rng(1)
    for stream in made.streams:
        # Payloads of fields that hold anything: from zeros, the values of every field drawn within its limits.
        fields = made.unpack(stream, [0, 0, 0])
        known = face.codec.named(made.streams[stream])
        drawn = {key: _draw(rng, known[key], fields[key].shape) for key in fields}
        payloads = made.pack(stream, **drawn)
        again = made.unpack(stream, payloads)
        assert all(np.array_equal(again[key], drawn[key]) for key in drawn)
        assert np.array_equal(made.pack(stream, **again), payloads)


def _draw(rng, field, shape):
    if field.values is not None:
        return rng.choice([*field.values.values()], shape)
    low, high = field.limits
    if low >= -(1 << 63) and high < 1 << 63:
        return rng.integers(low, high, shape, endpoint=True)
    words = [
        int.from_bytes(rng.bytes(-(-field.width // 8)), "little") % (high - low + 1) + low
        for _ in range(np.prod(shape))
    ]
    return np.array(words, object).reshape(shape)


def test_pack_and_unpack_refuse_what_is_no_stream_or_field():
    tile = bitloom.core("systolic-tile", rows=2, cols=2)
    with pytest.raises(ValueError, match=r"^unknown stream 'x': systolic-tile has a, w, o$"):
        tile.pack("x", lanes=0, last=0)
    with pytest.raises(ValueError, match=r"^unknown stream 'x'"):
        tile.unpack("x", [0])
    with pytest.raises(ValueError, match=r"lanes.*-128 to 127"):
        tile.pack("a", lanes=[[1, 128]], last=0)
