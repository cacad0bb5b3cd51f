"""The scripts of the recorded requests, byte for byte. ``pytest --refresh-recorded`` writes them anew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.examples import ENVIRONMENT, answer_of, model_of, plan_of, setting_of
from tests.support.scripts import CASES, RECORDED, Case, rendered

from hasten.errors import UnsupportedError
from hasten.plan import Plan
from hasten.script import write
from hasten.script.claim import read_claim
from hasten.script.write import render_script

FOLDER = Path(__file__).parent.parent / "recorded"
SKELETONS = Path(write.__file__).parent / "skeletons"


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.file)
def test_script_is_the_recorded_one(case: Case, request: pytest.FixtureRequest) -> None:
    path, source = FOLDER / case.file, rendered(case)
    if request.config.getoption("--refresh-recorded"):
        path.write_text(source, encoding="utf-8", newline="\n")
    assert path.read_bytes() == source.encode(), "changed on purpose? pytest --refresh-recorded"
    assert read_claim(path).runtime == case.runtime


def test_no_recorded_script_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {case.file for case in RECORDED}


def test_every_script_is_python(tmp_path: Path) -> None:
    """Every model with every set of methods, of which the recorded ones are few."""
    for case in CASES:
        path, source = tmp_path / case.file, rendered(case)
        compile(source, path, "exec")
        path.write_text(source, encoding="utf-8")
        assert read_claim(path).runtime == case.runtime


NOT_RECORDED = ("variant={{ variant }},",)
"""Where the model's folder has the variant alone: tests/script/test_write.py runs such a script."""


@pytest.mark.parametrize("skeleton", sorted(path.name for path in SKELETONS.iterdir()))
def test_every_branch_of_a_skeleton_is_recorded(skeleton: str) -> None:
    """Every line that a skeleton can write stands in a recorded script."""
    written = {line.strip() for path in FOLDER.glob("*.py") for line in path.read_text("utf-8").splitlines()}
    lines = {line.strip() for line in (SKELETONS / skeleton).read_text("utf-8").splitlines()} - {"", *NOT_RECORDED}
    for line in (line for line in lines if not line.startswith("{")):
        parts = re.split(r"\{[{%].*?[%}]\}", line)
        pattern = re.compile(".+".join(map(re.escape, parts)))
        assert line in written or any(map(pattern.fullmatch, written)), f"no recorded script has: {line}"


def test_recorded_scripts_are_formatted_and_linted(tmp_path: Path) -> None:
    """In an empty folder, so that only the defaults apply."""
    ruff = [sys.executable, "-m", "ruff"]
    files = [str(path) for path in sorted(FOLDER.glob("*.py"))]
    for arguments in (["format", "--check"], ["check", "--select", "E,F,I,UP,B", "--ignore", "E501"]):
        command = [*ruff, *arguments, "--isolated", "--no-cache", *files]
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


WRONG = [
    (plan_of("tgate", "tome"), "SD1.5", "DDIM", 7.5, "un-merged"),
    (plan_of("tgate"), "SD1.5", "DDIM", 1.0, "guidance 1"),
    (plan_of("tgate"), "SD1.5", "Heun", 7.5, "Heun"),
    (Plan.parse("tome(max_downsample=1,ratio=0.5)"), "SDXL", "DDIM", 5.0, "max_downsample=1"),
]


@pytest.mark.parametrize(("plan", "model", "scheduler", "guidance", "reason"), WRONG, ids=str)
def test_upstream_refuses_what_is_known_wrong(
    plan: Plan, model: str, scheduler: str, guidance: float, reason: str
) -> None:
    def script(allow: bool) -> str:
        return render_script(
            answer_of(plan, model, scheduler),
            setting_of(model_of(model), scheduler, guidance_scale=guidance),
            model_of(model),
            runtime="upstream",
            command="hasten run",
            environment=ENVIRONMENT,
            request="r",
            allow_known_wrong=allow,
        )

    with pytest.raises(UnsupportedError, match=reason):
        script(allow=False)
    assert "# WARNING: " in script(allow=True)
