"""Jobs on arrays against the encoder that they were made of."""

from dataclasses import replace

import pytest
from machine_toys import SENTENCES, check_sums, toy

from bitloom.golden.machine import compiler, jobs, program
from bitloom.golden.machine.executor import Executor
from bitloom.golden.machine.sizes import Sizes

SMALL = Sizes(lanes=4, tokens=16, channels=16, hidden=24, address_bits=12, entries=8)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    encoder = toy(tmp_path_factory.mktemp("toy") / "model", SMALL)
    return encoder, compiler.compile_encoder(encoder, SMALL)


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        (replace(SMALL, lanes=8, tokens=32), {"layers": 1, "heads": 2}),
        (replace(SMALL, lanes=8, tokens=24), {"layers": 2, "heads": 1}),
        (replace(SMALL, channels=8, hidden=8, tokens=12, entries=16), {"layers": 1, "heads": 1}),
        (replace(SMALL, logit_scale=5), {"layers": 3, "heads": 2}),
    ],
)
def test_sums_are_those_of_the_encoder(tmp_path, sizes, shape):
    check_sums(toy(tmp_path / "model", sizes, **shape), sizes)


def test_every_tensor_is_that_of_the_encoder(small):
    """Where it lies in the memories after the job that makes it."""
    encoder, made = small
    tensors, lanes, channels = {}, SMALL.lanes, SMALL.channels
    ids = SENTENCES[0]
    encoder(ids, tensors.__setitem__)

    def tokens(memory, base, width):
        words = memory[base : base + -(-len(ids) // lanes) * width].reshape(-1, width, lanes)
        return words.transpose(0, 2, 1).reshape(-1, width)[: len(ids)]

    queries = SMALL.groups * channels
    seen, layer, norms = [], -1, 0

    def watch(index, job, executor):
        nonlocal layer, norms
        wanted = {}
        if isinstance(job, jobs.Normalize):
            names = ["embeddings.norm"] if norms == 0 else [f"layer.{layer}.{part}.norm" for part in PARTS]
            name = names[0] if norms == 0 else names[(norms - 1) % 2]
            wanted[name] = tokens(executor.residual, 0, channels)
            after = ("attention", layer + 1) if norms % 2 == 0 else ("feed_forward", layer)
            if job.codes:
                wanted[f"layer.{after[1]}.{after[0]}.input"] = tokens(executor.a, 0, channels)
            layer, norms = layer + (norms % 2 == 0), norms + 1
        elif isinstance(job, jobs.Product) and job.to == "residual":
            wanted[f"layer.{layer}.{PARTS[job.steps != channels]}.sum"] = tokens(executor.residual, 0, channels)
        elif isinstance(job, jobs.Product) and job.to == "gelu":
            wanted[f"layer.{layer}.feed_forward.hidden"] = tokens(executor.b, 0, SMALL.hidden)
        elif isinstance(job, jobs.Product) and job.columns == "a" and job.to in ("a", "b"):
            memory, base = (executor.a, queries) if job.to == "a" else (executor.b, 0)
            name = "query" if job.to == "a" else "key"
            wanted[f"layer.{layer}.attention.{name}"] = tokens(memory, base, channels)
        for name, tensor in wanted.items():
            assert (tensor == tensors[name]).all(), name
            seen.append(name)

    Executor(made)([ids], watch)
    parts = ("attention.query", "attention.key", "attention.sum", "attention.norm", "feed_forward.input")
    parts += ("feed_forward.hidden", "feed_forward.sum", "feed_forward.norm", "attention.input")
    assert set(seen) == {"embeddings.norm", *(f"layer.{i}.{part}" for i in range(2) for part in parts)}


PARTS = ("attention", "feed_forward")


def test_sentences_that_do_not_fit_are_refused(small):
    executor = Executor(small[1])
    for sentences, message in (
        ([[]], "tokens of a sentence must be 1 to 16, not 0"),
        ([[1] * 17], "tokens of a sentence must be 1 to 16, not 17"),
        ([[1] * 9, [2] * 5], "sentences must have at most 4 groups of 4 tokens, not 5"),
        ([[1, 68]], "a token's id must be 0 to 67, not 68"),
    ):
        with pytest.raises(ValueError, match=message):
            executor(sentences)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 8}, "channels must be a multiple of 4 up to the machine's 8, not 16"),
        ({"hidden": 20}, "hidden must be a multiple of 4 up to the machine's 20, not 24"),
        ({"entries": 16}, "the tables must have the machine's 16 entries, not 8"),
        ({"channels": 1008}, "LayerNorm of 16 channels has another scale than the machine's of 1008"),
        ({"epsilon": 2}, "epsilon of each LayerNorm must be the machine's 2"),
        ({"logit_scale": 4}, "the scale of logits must be the machine's 4 in each layer"),
        ({"address_bits": 10}, "the image has 2,444 words, 1,420 more than the machine's memory"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(small, change, message):
    sizes = replace(SMALL, **change)
    with pytest.raises(ValueError, match=message):
        compiler.compile_encoder(small[0], sizes)


def test_a_head_has_whole_words(tmp_path):
    encoder = toy(tmp_path / "model", replace(SMALL, channels=24), heads=3)
    with pytest.raises(ValueError, match="a head's width must be a multiple of the machine's 8 lanes, not 12"):
        compiler.compile_encoder(replace(encoder, heads=2), replace(SMALL, lanes=8, channels=24))


def test_a_program_is_its_file(small):
    made = small[1]
    again, about = program.loads(program.dumps(made, {"model": "toy"}))
    assert about == {"model": "toy"} and again.jobs == made.jobs and again.sizes == made.sizes
    assert (again.words == made.words).all() and again.vocabulary == made.vocabulary
    assert program.dumps(again, about) == program.dumps(made, about)
    for data in (b"", program.dumps(made, {})[:-9]):
        with pytest.raises(ValueError, match="it is no program of the machine"):
            program.loads(data)


def test_a_table_for_the_wrong_requantizer_is_refused(small):
    """An entry of another place: the jobs and what is loaded do not belong together."""
    made = small[1]
    first = next(i for i, job in enumerate(made.jobs) if isinstance(job, jobs.Product) and job.to == "gelu")
    wrong = [*made.jobs]
    wrong[first] = replace(wrong[first], to="a")
    with pytest.raises(ValueError, match="an entry is for another requantizer"):
        Executor(replace(made, jobs=tuple(wrong)))([[1, 2]])
