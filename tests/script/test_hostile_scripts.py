"""Scripts that cheat, hang, eat memory or look around: none is believed, none is left, nothing is told to it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.script.test_verify import PLAN, claimed, model, written
from tests.support.marks import rarely

from hasten.errors import MeasurementError
from hasten.files import save
from hasten.measure.lock import device_lock
from hasten.models.base import Model
from hasten.script._drawer import Drawer, Patience
from hasten.script.claim import read_claim
from hasten.script.surroundings import cleared
from hasten.script.verify import verify
from hasten.texts import LONGEST

__all__ = ["model"]
CLAIMED = 50.0

FORGED = """
import gc, glob, json, os, sys
for path in [*sys.argv, *glob.glob("/tmp/hasten-*/*")]:
    if path.endswith(".json"):
        open(path, "w").write(json.dumps({"found": {"speedup": 50.0}}))
print(json.dumps({"speedup": 50.0, "found": {"speedup": 50.0, "status": "ok"}}))
"""
"""Writes the result wherever one might be read: files, standard output."""
SLOW_CLOCK = """
import time
real = time.perf_counter
time.perf_counter = lambda: real() / 50
time.monotonic = time.perf_counter
"""
SLOW_BASELINE = """
import time
drawing, installing, installed = generate, accelerate, []


def accelerate(pipe):
    installed.append(True)
    return installing(pipe)


def generate(pipe, prompt, steps=STEPS, seed=SEED):
    if not installed:
        time.sleep(5)
    return drawing(pipe, prompt, steps, seed)
"""
ANSWERS_AHEAD = """
import gc
from hasten.script._frames import Frames
for one in gc.get_objects():
    if type(one) is Frames:
        for _ in range(3):
            one.send({"sizes": [[64, 64]]}, bytes(64 * 64 * 3))
"""
NOISE = '''
import random
from PIL import Image
drawing, installing, installed = generate, accelerate, []


def accelerate(pipe):
    installed.append(True)
    return installing(pipe)


def generate(pipe, prompt, steps=STEPS, seed=SEED):
    """No pipeline is quicker."""
    if not installed:
        return drawing(pipe, prompt, steps, seed)
    return Image.frombytes("RGB", (64, 64), random.randbytes(12288))
'''


def hostile(folder: Path, model: Model, *, at_import: str = "", at_end: str = "", limit: float = 1.0) -> Path:
    """A script of hasten that claims 50x, with something else in it."""
    answer = claimed(PLAN, speedup=CLAIMED, limit=limit)
    text = written(folder, model, answer).read_text(encoding="utf-8")
    main = 'if __name__ == "__main__":'
    assert main in text
    return save(
        text.replace("import argparse\n", f"import argparse\n{at_import}\n", 1).replace(
            main, f"{at_end}\n\n{main}"
        ),
        folder / "script.py",
    )


def left(script: Path) -> list[str]:
    """Processes that have to do with the script."""
    found = (p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"]))
    return [" ".join(words) for words in found if any(str(script) in word for word in words)]


def runs(pid: int) -> bool:
    """Whether the process is there and has not ended: one without parents may wait for long until it is reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def started(script: Path, limit_s: float = 300.0, memory_bytes: int = 8 << 30) -> Iterator[Drawer]:
    """The script's process as ``verify`` has it, without the one that it is held against; it leaves no other."""
    with Drawer("script", read_claim(script), str(script), str(script)) as drawer:
        drawer.start()
        drawer.limit(Patience(limit_s, limit_s, limit_s), memory_bytes)
        yield drawer
    assert not left(script)


@pytest.mark.full  # false claims are refuted in test_verify.py
def test_a_script_that_makes_its_result_up_is_refuted(model: Model, tmp_path: Path) -> None:
    """It writes a result wherever one might be read, turns the clock back, and slows its own baseline down."""
    script = hostile(tmp_path, model, at_import=FORGED + SLOW_CLOCK, at_end=SLOW_BASELINE)
    found = verify(script, samples=3, pairs=1)
    assert found.outcome == "refuted" and not found.holds
    assert found.measured_speedup is not None and found.measured_speedup < CLAIMED / 5
    assert "95% of the claimed 50.00x" in found.reasons[0]
    assert not left(script)


@pytest.mark.full  # test_images_of_something_else of test_verify.py judges such images
def test_images_out_of_nothing_are_refuted(model: Model, tmp_path: Path) -> None:
    found = verify(hostile(tmp_path, model, at_end=NOISE, limit=0.3), samples=3, pairs=1)
    assert found.outcome == "refuted" and any("the loss on ssim" in reason for reason in found.reasons)


@pytest.mark.full  # test_verify.py refutes false claims
def test_an_answer_before_the_question_is_none(model: Model, tmp_path: Path) -> None:
    with started(hostile(tmp_path, model, at_import=ANSWERS_AHEAD)) as drawer:
        drawer.open()
        time.sleep(1)
        with pytest.raises(MeasurementError, match="answers before it is asked"):
            drawer.draw("a cat", 1)


@pytest.mark.parametrize("hangs", ["sum(range(10**13))", pytest.param("while True: pass", marks=rarely())])
def test_a_script_that_hangs_is_ended(hangs: str, model: Model, tmp_path: Path) -> None:
    """Also where no handler of its interpreter runs any more."""
    with (
        started(hostile(tmp_path, model, at_import=hangs), limit_s=1) as drawer,
        pytest.raises(MeasurementError, match="loading its pipeline took longer than 1 s"),
    ):
        drawer.open()


KILLS_ITS_GUARDIAN = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    with open({note!r}, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
while not os.path.exists({note!r}) or not open({note!r}).read():
    time.sleep(0.01)
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(600)
"""


def test_a_script_that_kills_its_guardian_ends_the_measurement_and_leaves_no_one(
    model: Model, tmp_path: Path
) -> None:
    """The process that it leaves has a session of its own and holds the pipes to hasten."""
    note = tmp_path / "pid"
    script = hostile(tmp_path, model, at_import=KILLS_ITS_GUARDIAN.format(note=str(note)))
    with pytest.raises(MeasurementError, match=r"script\.py died \(something ended the guardian"):
        verify(script, samples=3, pairs=1, time_limit_s=60)
    assert not runs(int(note.read_text())) and not left(script)
    with device_lock("cpu", wait=False):
        pass


@pytest.mark.full  # one that hangs is ended above
def test_a_script_that_eats_memory_is_ended(model: Model, tmp_path: Path) -> None:
    eats = "held = []\nwhile True: held.append(bytearray(1 << 26))"
    with (
        started(hostile(tmp_path, model, at_import=eats), memory_bytes=2 << 30) as drawer,
        pytest.raises(MeasurementError, match=r"MemoryError|of memory, more than the 2\.0 GiB"),
    ):
        drawer.open()


def test_no_secret_is_in_its_environment_and_nothing_raw_in_its_errors(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it raises is cleaned and cut; what it prints, however much, reaches no one. A process that it starts in
    a session of its own ends with it."""
    for name in ("PLANTED", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"):
        monkeypatch.setenv(name, "geheim")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    note = tmp_path / "pid"
    looks = (
        "import os, subprocess, sys\nfrom pathlib import Path\nprint('x' * 10_000_000)\n"
        "own = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        f"Path({str(note)!r}).write_text(str(own.pid))\n"
        "seen = sorted(k for k, v in os.environ.items() if 'geheim' in v), os.environ['OMP_NUM_THREADS']\n"
        "raise ValueError(f'{seen} \\x1b]0;owned\\x07' + 'y' * 100_000)"
    )
    with (
        started(hostile(tmp_path, model, at_import=looks)) as drawer,
        pytest.raises(MeasurementError) as raised,
    ):
        drawer.open()
    said = str(raised.value)
    assert "ValueError: ([], '1') yyy" in said
    assert len(said) < LONGEST + 100 and "\x1b" not in said and "owned" not in said
    assert not psutil.pid_exists(int(note.read_text()))
    assert os.environ.get("HF_HUB_OFFLINE") is None


FAILS = """
def generate(pipe, prompt, steps=STEPS, seed=SEED):
    import os
    if prompt == "raises":
        raise ValueError("broken")
    return 7 if prompt == "a number" else os._exit(7)
"""


@pytest.mark.full  # one that fails as it is loaded is below
def test_a_script_that_fails_is_a_clear_error(model: Model, tmp_path: Path) -> None:
    with started(hostile(tmp_path, model, at_end=FAILS)) as drawer:
        drawer.open()
        for prompt, words in (
            ("raises", "script.py fails: ValueError: broken."),
            ("a number", "script.py fails: generate() gave a int, not an image."),
            ("dies", r"script.py died (its process ended with code 7): "),
        ):
            with pytest.raises(MeasurementError) as raised:
                drawer.draw(prompt, 1)
            assert words in str(raised.value)


def test_what_is_kept_of_the_environment() -> None:
    kept = {"PATH": "/bin", "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "1", "HF_HOME": "/hf", "LC_ALL": "C"}
    left_out = {
        **{
            "HF_TOKEN": "x",
            "HUGGINGFACE_HUB_TOKEN": "x",
            "HTTPS_PROXY": "http://me:x@proxy",
            "SSH_AUTH_SOCK": "x",
        },
        **{"OPENAI_API_KEY": "x", "HF_ENDPOINT": "https://me:x@mirror", "PGPASSWORD": "x", "ANYTHING": "x"},
    }
    assert cleared({**kept, **left_out}) == {**kept, "HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"}


@pytest.mark.parametrize(
    "name",
    [
        *("HF_KEY", "HUGGINGFACE_PAT", "HASTEN_PW", "TORCH_LOGIN", "PYTHON_KEYRING", "XDG_WANDB_CRED", "LC_MINE"),
        *("CUDA_KEY", "NVIDIA_PAT", "NVIDIA_API_KEY", "MKL_PW", "PYTORCH_LOGIN", "TRITON_CREDS", "NCCL_AUTH"),
        *("TORCHINDUCTOR_PWD", "HSA_PINS", "ZE_USER", "omp_key"),
    ],
)
def test_no_name_of_a_secret_passes_by_its_beginning(name: str) -> None:
    assert name not in cleared({name: "geheim"})


@pytest.mark.parametrize(
    "name",
    ["HF_HOME", "XDG_CACHE_HOME", "PYTHONPATH", "PYTORCH_CUDA_ALLOC_CONF", "TORCHINDUCTOR_CACHE_DIR", "CUDA_PATH"],
)
def test_what_the_times_and_the_files_depend_on_passes(name: str) -> None:
    assert cleared({name: "value"})[name] == "value"


@pytest.mark.full  # what it starts has, as above
def test_the_guardian_of_a_script_has_a_cleared_environment_too(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "geheim")
    looks = (
        "import os\nfrom pathlib import Path\n"
        "raise ValueError(str(b'geheim' in Path(f'/proc/{os.getppid()}/environ').read_bytes()))"
    )
    with (
        started(hostile(tmp_path, model, at_import=looks)) as drawer,
        pytest.raises(MeasurementError, match="ValueError: False"),
    ):
        drawer.open()
