"""What calibration sees is the same on every processor."""

import os
import subprocess
import sys

import numpy as np

from bitloom.golden.workloads.calibration import observed
from bitloom.golden.workloads.transformer import Ops

# Of each calibration that the embeddings of MiniLM, or what is written to files, hang on.
SCRIPT = """
import hashlib
import numpy as np
from bitloom.golden.workloads import evaluate, integer_model, machine_steps, sentences, sevedo_model, transformer
from bitloom.golden.workloads.comparison import apply, rows, sentence_subject
from bitloom.golden.workloads.quantize import FORMATS

def show(name, values):
    data = b"".join(np.asarray(values[key]).tobytes() for key in sorted(values))
    print(name, hashlib.sha256(data).hexdigest())

encoder, texts = transformer.Encoder.load(), sentences.CALIBRATION[:2]
show("machine", machine_steps.calibrate(encoder, texts))
show("activation steps", evaluate.activation_steps(encoder, texts, FORMATS["int8"]))
show("SeVeDo", sevedo_model.activations(encoder, texts))
print(sorted(integer_model.calibrate(encoder, texts).items()))
seen = apply._seen(sentence_subject.Sentences(encoder, texts, texts, rated=False), rows.lookup("int8").scheme())
show("comparison", {f"{place} {i}": side for place, sides in seen.items() for i, side in enumerate(sides)})
"""


def test_minilm_is_calibrated_alike_on_every_processor():
    """OpenBLAS adds in another order on each; in float32 that decides hundreds of steps."""
    outputs = {}
    for kernel in ("Prescott", "Haswell", "SkylakeX"):
        environment = os.environ | {"OPENBLAS_CORETYPE": kernel}
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs[kernel] = done.stdout
    assert len(set(outputs.values())) == 1, outputs


def test_the_pass_is_in_float64_and_what_is_seen_in_float32():
    seen = []
    ops = observed(Ops(), lambda name, *arrays: seen.append((name, [x.dtype for x in arrays])))
    x = np.full((1, 2, 3), 1 / 3, np.float32)
    assert ops.linear("one", x, x[0], None).dtype == np.float64
    assert ops.matmul("two", x, x.transpose(0, 2, 1).astype(np.float64)).dtype == np.float64
    assert seen == [("one", [np.float32]), ("two", [np.float32, np.float32])]
