"""Names: several cores, and several configurations of one, in one design; names and files that a user chooses."""

import itertools
import json
import re
import shlex
import subprocess

import pytest
from command_line import bitloom, printed

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import INTERFACES, default_name, files, generate, write
from bitloom.hdl.emission import identifiers
from bitloom.hdl.emission.verilog import emit_rtlil
from bitloom.tools import finding
from bitloom.tools.environment import environment

TOGETHER = [
    ("ovp-decoder", ()),
    ("ovp-decoder", ("normal=flint4", "pairs=2")),
    ("ovp-encoder", ()),
    ("systolic-tile", ("rows=2", "cols=2")),
    ("systolic-tile", ("rows=2", "cols=3")),
]


@pytest.fixture(scope="module")
def together():
    return [
        generate(lookup(name), lookup(name).config.parse(parameters), interface)
        for interface in INTERFACES
        for name, parameters in TOGETHER
    ]


@pytest.fixture
def sources(together, tmp_path):
    """One file of all designs, and a top module with an instance of each, as the templates have them."""
    (tmp_path / "all.v").write_text("\n".join(design.verilog for design in together))
    lines = ["module top;"]
    for design in together:
        text = design.manifest["template"]
        for port in design.ports:
            net = f"{design.top}_{port.name}"
            lines.append(f"  wire [{port.width - 1}:0] {net};")
            text = text.replace(f"({port.name})", f"({net})")
        for number, field in enumerate(field for stream in design.manifest["streams"] for field in stream["fields"]):
            # The last element of each array.
            last = {index: str(array["count"] - 1) for index, array in zip("ij", field["arrays"], strict=False)}
            chosen = re.sub(r"\b[ij]\b", lambda match: last[match[0]], field["bits"])  # noqa: B023
            lines.append(f"  wire [{field['width'] - 1}:0] {design.top}_field_{number} = {design.top}_{chosen};")
        lines += [f"  {line}" for line in text.splitlines()]
    (tmp_path / "top.v").write_text("\n".join([*lines, "endmodule\n"]))
    return tmp_path


def test_cores_and_configurations_in_one_design(together, sources, icarus):
    modules = [name for design in together for name in re.findall(r"^module (\w+)", design.verilog, flags=re.M)]
    assert len(set(modules)) == len(modules) and any("__shared_" in name for name in modules)
    command = [*finding.find("verilator").command, "--lint-only", "--top-module", "top", "top.v", "all.v"]
    done = subprocess.run(command, cwd=sources, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    command = [*icarus, "-Wall", "-s", "top", "-o", "design.vvp", "top.v", "all.v"]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_design_has_its_own_files_and_its_own_name_in_fusesoc(together, tmp_path):
    written = [path for design in together for path in write(design, tmp_path / f"{design.top}.v")]
    assert len(set(written)) == len(written) == 3 * len(together)
    names = [path.read_text().splitlines()[1] for path in written if path.suffix == ".core"]
    assert len(set(names)) == len(together)
    assert "name: bitloom:cores:ovp_decoder_normal_flint4_pairs_2_axis:" in " ".join(names)


def test_inner_modules_begin_with_the_name(together):
    for design in together:
        first, *inner = re.findall(r"^module (\w+)", design.verilog, flags=re.M)
        assert first == design.top and all(name.startswith(f"{design.top}__") for name in inner)


@pytest.mark.parametrize("name", CATALOGUE)
def test_default_names_are_legal_and_all_different(name):
    """Of the default, of every field that is changed alone, and of every two."""
    core = lookup(name)
    values = {field["name"]: [*_other_values(core, field)] for field in core.config.describe()}
    found = {default_name(core, core.config()): core.config()}
    changes = [{field: value} for field in values for value in values[field]]
    changes += [one | two for one, two in itertools.combinations(changes, 2) if one.keys() != two.keys()]
    for change in changes:
        try:
            config = core.config(**change)
        except ValueError:
            continue
        name = default_name(core, config)
        identifiers.check(name)
        assert found.setdefault(name, config) == config
        assert default_name(core, config, "axis") == f"{name}_axis"
    assert len(found) > 3


def _other_values(core, field):
    kind = core.config.__dataclass_fields__[field["name"]].metadata
    if kind["choices"]:
        yield from kind["choices"]
    elif field["type"] == "bool":
        yield not field["default"]
    else:
        low, high = (kind[end] for end in ("low", "high"))
        yield from {low, low + 1, (low + high) // 2, high} - {field["default"]}


def test_no_core_has_a_name_that_another_ones_begins_with():
    for one, other in itertools.permutations(CATALOGUE, 2):
        assert not other.startswith(f"{one}-")


def test_a_long_list_of_parameters_becomes_a_digest():
    core = lookup("sevedo-core")
    name = default_name(core, core.config.parse(core.small))
    assert re.fullmatch(r"sevedo_core_[0-9a-f]{8}", name)
    assert default_name(core, core.config.parse(core.small[:2])) == "sevedo_core_rows_2_cols_2"


def test_a_name_that_is_given(tmp_path):
    bitloom("generate", "ovp-decoder", "--name", "dec", "--interface", "axis", cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"dec.v", "dec.json", "dec.core"}
    verilog = (tmp_path / "dec.v").read_text()
    assert set(re.findall(r"^module (\w+)", verilog, flags=re.M)) >= {"dec", "dec__core"}
    assert json.loads((tmp_path / "dec.json").read_text())["top"] == "dec"
    assert "name: bitloom:cores:dec:" in (tmp_path / "dec.core").read_text()
    # The command in the header writes it again.
    program, *words = shlex.split(verilog.splitlines()[2].removeprefix("//"))
    assert (program, printed(*words, "-o", "-")) == ("bitloom", verilog)


def test_the_default_name_may_be_given_too():
    core = lookup("ovp-decoder")
    assert generate(core, core.config(), name="ovp_decoder") == generate(core, core.config())


@pytest.mark.parametrize(
    "name, message",
    [
        ("", "not ''"),
        ("1st", "not '1st'"),
        ("a-b", "not 'a-b'"),
        ("a b", "not 'a b'"),
        ("a$b", r"not 'a\$b'"),
        ("a\n", r"not 'a\\n'"),
        ("a__b", "single underscores, none at its end, not 'a__b'"),
        ("a_", "single underscores, none at its end, not 'a_'"),
        ("ä", "not 'ä'"),
        ("x" * 129, "at most 128"),
        ("module", "no reserved word of Verilog or SystemVerilog, not 'module'"),
        ("logic", "no reserved word"),
        ("clk", "must not be that of anything inside the core, as 'clk' is"),
        ("skid", "anything inside"),
        ("i__valid", "single underscores"),
    ],
)
def test_names_that_are_refused(name, message):
    core = lookup("ovp-decoder")
    with pytest.raises(ValueError, match=message) as error:
        generate(core, core.config(), name=name)
    assert "\n" not in str(error.value)


def test_longest_and_shortest_names():
    core = lookup("ovp-decoder")
    for name in ("x", "_x", "x" * 128, "Decoder_2"):
        assert generate(core, core.config(), name=name).top == name


def test_reserved_words():
    assert len(identifiers.KEYWORDS) == 248  # IEEE 1800-2017, Table B.1, has so many.
    assert {"reg", "logic", "pulsestyle_ondetect", "s_until_with", "global"} < identifiers.KEYWORDS


@pytest.mark.parametrize(
    "name, beside",
    [
        ("x.v", ["x.json", "x.core"]),
        ("x", ["x.json", "x.core"]),
        ("dec_v1.0", ["dec_v1.0.json", "dec_v1.0.core"]),
        ("dec_v1.0.v", ["dec_v1.0.json", "dec_v1.0.core"]),
        ("x.sv", ["x.sv.json", "x.sv.core"]),
        (".v", [".v.json", ".v.core"]),
    ],
)
def test_what_is_beside_has_the_whole_name(name, beside, tmp_path):
    assert [path.name for path in files(tmp_path / name)] == [name, *beside]


def test_versions_do_not_overwrite_each_other(together, tmp_path):
    for version, design in zip(("1.0", "1.1"), together, strict=False):
        write(design, tmp_path / f"dec_v{version}")
    tops = [json.loads((tmp_path / f"dec_v{version}.json").read_text())["top"] for version in ("1.0", "1.1")]
    assert tops == [together[0].top, together[1].top]
    assert '"dec_v1.1"' in (tmp_path / "dec_v1.1.core").read_text()


@pytest.mark.parametrize("name", CATALOGUE)
def test_instances_have_the_names_that_they_were_given(name):
    """Amaranth adds a counter to the name of an instance that a signal has too; it moves with every other signal."""
    core = CATALOGUE[name]
    text = emit_rtlil(core.component(core.config.parse(core.small)), "core")
    instances = re.findall(r"^  cell \\\S+ \\(\S+)$", text, flags=re.M)
    assert [instance for instance in instances if "$" in instance] == []
