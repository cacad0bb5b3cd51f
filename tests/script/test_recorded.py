"""The scripts of the recorded requests, byte for byte. ``pytest --refresh-recorded`` writes them anew."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from tests.support.examples import ENVIRONMENT, PARAMETERS, answer_of, model_of, plan_of, setting_of

from hasten.errors import UnsupportedError
from hasten.language.render import render
from hasten.models import find_model
from hasten.plan import Plan
from hasten.script.claim import read_claim
from hasten.script.write import render_script

RECORDED = Path(__file__).parent.parent / "recorded"
COMBINATIONS = [c for n in range(4) for c in combinations(PARAMETERS, n)]
TRANSFORMERS = {"hasten": {"tgate", "tome"}, "upstream": {"tgate"}}
"""By runtime, the methods that can be used on PixArt."""
SETTINGS = {
    "SD1.5": ("DDIM", 50),
    "SDXL": ("DPM-Solver++", 20),
    "PixArt-alpha": ("DPM-Solver++", 20),
    "PixArt-sigma": ("DPM-Solver++", 20),
    "SD3": ("FlowMatchEuler", 28),
    "SD3.5-medium": ("FlowMatchHeun", 40),
    "FLUX.1-dev": ("FlowMatchEuler", 50),
    "FLUX.1-schnell": ("FlowMatchEuler", 4),
    "emoji-sd": ("UniPC", 25),
    "emoji-sdxl": ("DDIM", 25),
    "emoji-pixart": ("DDIM", 25),
    "emoji-sd3": ("FlowMatchEuler", 25),
}


def pipeline(model: str) -> str:
    return find_model(model)[0].pipeline


def can(model: str, runtime: str, methods: tuple[str, ...]) -> bool:
    if SETTINGS[model][0].startswith("FlowMatch"):  # none of these methods knows its transformer
        return not methods
    return "PixArt" not in pipeline(model) or TRANSFORMERS[runtime] >= set(methods)


def plan_for(methods: tuple[str, ...], model: str) -> Plan:
    plan = plan_of(*methods)
    if "tome" in methods and "PixArt" in pipeline(model):  # whose tokens are on one grid
        plan = Plan.of({**plan.parameters, "tome": {**plan.parameters["tome"], "max_downsample": 1}})
    return plan


CASES = [
    (model, runtime, methods)
    for model in SETTINGS
    for runtime in ("hasten", "upstream")
    for methods in COMBINATIONS
    if (methods or runtime == "hasten") and can(model, runtime, methods)
]


def name_of(case: tuple[str, str, tuple[str, ...]]) -> str:
    model, runtime, methods = case
    return f"{model}_{runtime}_{'-'.join(methods) or 'plain'}.py"


def rendered(case: tuple[str, str, tuple[str, ...]]) -> str:
    model, runtime, methods = case
    scheduler, steps = SETTINGS[model]
    answer = answer_of(plan_for(methods, model), model, scheduler, steps)
    request = render(answer.task)
    return render_script(
        answer,
        setting_of(model_of(model), scheduler, steps),
        model_of(model),
        runtime=runtime,  # type: ignore[arg-type]
        command=f'hasten run "{request}" --runtime {runtime}',
        environment=ENVIRONMENT,
        request=request,
        allow_known_wrong={"tgate", "tome"} <= set(methods),
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_script_is_the_recorded_one(
    case: tuple[str, str, tuple[str, ...]], request: pytest.FixtureRequest
) -> None:
    path, source = RECORDED / name_of(case), rendered(case)
    compile(source, path, "exec")
    if request.config.getoption("--refresh-recorded"):
        path.write_text(source, encoding="utf-8", newline="\n")
    assert path.read_bytes() == source.encode(), "changed on purpose? pytest --refresh-recorded"
    assert read_claim(path).runtime == case[1]


def test_no_recorded_script_is_left_over() -> None:
    assert {path.name for path in RECORDED.glob("*.py")} == {name_of(case) for case in CASES}


def test_recorded_scripts_are_formatted_and_linted(tmp_path: Path) -> None:
    """In an empty folder, so that only the defaults apply."""
    ruff = [sys.executable, "-m", "ruff"]
    files = [str(path) for path in sorted(RECORDED.glob("*.py"))]
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
