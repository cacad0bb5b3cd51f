"""Another package's method and metric: found by a real process, used, and proved with ``hasten.testing``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.packages import CONTRAST, HOUSE, MEASURING, installed

from hasten.testing import MethodContract, MetricContract

POINTS = "[hasten.methods]\nrest = house_rest\n[hasten.metrics]\ncontrast = house_contrast\n"
SUITE = """
from hasten.testing import MethodContract, MetricContract


class TestRest(MethodContract):
    effective = "rest(rest_interval=2)"
    illegal = ("rest(rest_interval=0)", "rest(rest_interval=9)")
    families = ("sd", "sdxl")


class TestContrast(MetricContract):
    metric = "contrast"
"""
USED = """
import json
import torch
import hasten
from hasten.language.parse import parse
from hasten.testing.generating import latents, shared

request = "SD1.5 with 20 DDIM steps, accelerated by resting steps with rest_interval 2, contrast loss under 0.1"
task = parse(request)
pipe = shared("sd")
plain = latents(pipe)
with hasten.accelerate(pipe, "rest(rest_interval=2)") as handle:
    fast = latents(pipe)
print(json.dumps({
    "methods": task.methods, "parameters": task.parameters, "max_loss": dict(task.max_loss),
    "reused": handle.stats["rest"].reused, "changed": not torch.equal(fast, plain),
}))
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, beside it the package's own test file and a broken package."""
    folder = installed(
        tmp_path_factory.mktemp("house"),
        "hasten-house",
        {"house_rest": MEASURING, "house_contrast": CONTRAST},
        POINTS,
    )
    installed(folder, "hasten-odd", {"odd": HOUSE}, "[hasten.methods]\nodd = nowhere_to_be_found\n")
    (folder / "test_house.py").write_text(SUITE, encoding="utf-8")
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


def test_it_is_listed_and_a_broken_package_is_a_warning(house: Path) -> None:
    done = run(house, "-m", "hasten", "list", "methods", "--json")
    listed = {row["name"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0 and listed["rest"]["what it does"] == "lets the whole denoiser rest at some steps"
    assert "tome" in listed and "odd" not in listed
    assert done.stderr.count("hasten-odd 1.2 is left out: ModuleNotFoundError") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.full  # it is listed above, and accelerates in its suite below
def test_a_request_names_it_and_it_accelerates_a_pipeline(house: Path) -> None:
    done = run(house, "-c", USED)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "methods": ["rest"],
        "parameters": {"rest": {"rest_interval": 2}},
        "max_loss": {"contrast": 0.1},
        "reused": 2,
        "changed": True,
    }


@pytest.mark.full  # what a fault fails is below
def test_it_passes_the_suites(house: Path) -> None:
    done = run(house, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_house.py")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and " skipped" not in done.stdout.splitlines()[-1], done.stdout


FAULTY = {
    "does nothing": (
        "self.rests = number % self.interval > 0",
        "self.rests = False",
        "effective_changes_the_image",
    ),
    "keeps its state": ("self.kept = None\n\n    def step", "pass\n\n    def step", "no_state_leaks"),
    "declares too little": (
        "rests = Step(blocks=dict.fromkeys(blocks_of(pipe.unet), 0.0))",
        "rests = Step()",
        "declared_work",
    ),
    "works on anything": ('return f"{type(pipe).__name__} has no unet"', "pass", "other_families_are_refused"),
    "sets the forward itself": (
        "current = patches.listen(self, lambda: Resting(interval))",
        "current = patches.listen(self, lambda: Resting(interval)); patches.denoiser.left = current",
        "effective_changes_the_image",
    ),
    "measures an illegal grid": ("map(int, ranked[:2])", "{0, 2}", "measured_grid"),
    "illegal is legal": ('Parameter("rest_interval", int, 1,', 'Parameter("rest_interval", int, 0,', "illegal"),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest says of the package with each fault: one process runs the test of each that finds it."""
    folder = tmp_path_factory.mktemp("faulty")
    suite = "from hasten.testing import MethodContract\n"
    for number, (old, new, _) in enumerate(FAULTY.values()):
        name = f"rest{'abcdefgh'[number]}"
        source = (
            MEASURING.replace('"rest"', f'"{name}"')
            .replace('"Rest"', f'"{name}"')
            .replace("resting steps", name * 2)
        )
        assert old in source
        installed(
            folder, f"hasten-{name}", {name: source.replace(old, new)}, f"[hasten.methods]\n{name} = {name}\n"
        )
        suite += f"class Test_{name}(MethodContract):\n    effective = '{name}(rest_interval=2)'\n"
        suite += f"    illegal = ('{name}(rest_interval=0)',)\n    families = ('sd',)\n"
    (folder / "test_faulty.py").write_text(suite, encoding="utf-8")
    wanted = " or ".join(f"(rest{'abcdefgh'[n]} and {part})" for n, (*_, part) in enumerate(FAULTY.values()))
    done = run(
        folder, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "--tb=no", "-k", wanted, "test_faulty.py"
    )
    return dict.fromkeys(FAULTY, done.stdout) if done.returncode == 1 else dict.fromkeys(FAULTY, "")


@pytest.mark.parametrize("case", FAULTY)
def test_a_fault_is_found(faulty: dict[str, str], case: str) -> None:
    name, part = f"rest{'abcdefgh'[list(FAULTY).index(case)]}", FAULTY[case][2]
    found = [line for line in faulty[case].splitlines() if f"Test_{name}::" in line]
    assert any(part in line for line in found), faulty[case]


@pytest.mark.full
class TestChannelsLast(MethodContract):
    """One of hasten's own, which leaves no work out, as another package would prove it."""

    effective = "channels_last(parts=both)"
    illegal = ("channels_last(parts=1)",)
    families = ("sd", "sdxl")


class TestSsim(MetricContract):
    metric = "ssim"


class TestClipScore(MetricContract):
    metric = "clip_score"
