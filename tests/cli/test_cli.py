"""The command line as a user meets it: real processes, exit codes, one JSON document on standard output."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import Done, each
from typer.testing import CliRunner

from hasten.cli import app
from hasten.methods import METHODS

SMALL = "an emoji-sd pipeline using the DDIM sampler with 4 steps"
SIZE = ("--height", "32", "--width", "32")
QUICK = ("--num-samples", "8", "--pairs", "1", *SIZE)


@pytest.fixture
def surroundings(own_surroundings: None) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}


def hasten(surroundings: dict[str, str], *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hasten", *words]
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, cwd=cwd, check=False)


def test_help_and_parse_import_no_torch(surroundings: dict[str, str]) -> None:
    code = (
        "import sys, runpy; sys.argv = ['hasten', *sys.argv[1:]]\n"
        "try: runpy.run_module('hasten', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'optuna'} & set(sys.modules); assert not heavy, heavy"
    )
    for words in (
        ["--help"],
        ["run", "--help"],
        ["--version"],
        ["parse", f"Generate {SMALL}"],
        ["list", "models"],
        ["list", "methods", "--model", "FLUX"],
        ["list", "schedulers", "--model", "sdxl"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], check=False, capture_output=True, text=True, env=surroundings
        )
        assert done.returncode == 0, done.stderr


def test_parse_prints_one_json_document(surroundings: dict[str, str]) -> None:
    done = hasten(
        surroundings, "parse", "Take an SD1.5 pipeline (DDIM, 50 steps), and achieve a 10.5x speedup", "--json"
    )
    task = json.loads(done.stdout)
    assert (task["methods"], task["target"], task["steps"]) == (None, {"speedup": 10.5}, 50)


def test_a_request_need_not_be_put_in_quotes(surroundings: dict[str, str]) -> None:
    quoted = hasten(surroundings, "parse", "Make SDXL 2x faster with DeepCache", "--json")
    plain = hasten(surroundings, "parse", *["Make", "SDXL", "2x", "faster", "with", "DeepCache", "--json"])
    assert quoted.returncode == 0 and quoted.stdout == plain.stdout


@pytest.mark.full  # test_original_commands.py asks by flags
def test_a_request_by_flags_is_that_of_the_sentence(surroundings: dict[str, str], tmp_path: Path) -> None:
    """By the names of the original's search and by others; what is asked for is measured and delivered.

    The flag goes before the variable's number of threads, which would wait for each other beside other tests.
    """
    surroundings = {**surroundings, "OMP_NUM_THREADS": "2"}
    flags = ["--pipe", "emoji-sd", "--sched", "ddim", "--steps", "4", "--max_loss", "0.9", "--guidance", "1.5"]
    flags += ["--plan", "deepcache(cache_interval=2)", "--no-verify", "--threads", "1"]
    done = hasten(surroundings, "run", *flags, "--out", str(tmp_path / "out"), "--json", *QUICK)
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert answer["plan"] == "deepcache(cache_branch_id=0,cache_interval=2)"
    assert answer["task"]["max_loss"] == {"clip_score": 0.9} and not answer["task"]["assumptions"]
    context = json.loads((tmp_path / "out" / "context.json").read_text(encoding="utf-8"))
    assert {n: context["setting"][n] for n in ("height", "width", "guidance_scale")} == {
        "height": 32,
        "width": 32,
        "guidance_scale": 1.5,
    }
    assert context["environment"]["threads"] == "1"
    assert shlex.split(context["command"]) == [
        "hasten",
        "run",
        *flags,
        "--out",
        str(tmp_path / "out"),
        "--json",
        *QUICK,
    ]


@pytest.mark.parametrize("what", ["models", "schedulers", "methods", "metrics"])
def test_lists(surroundings: dict[str, str], what: str) -> None:
    rows = json.loads(hasten(surroundings, "list", what, "--json").stdout)
    table = hasten({**surroundings, "COLUMNS": "80"}, "list", what)
    assert rows and table.returncode == 0
    head, *lines = table.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]
    assert "paper" not in head


def test_the_models_that_ship_are_told_apart(surroundings: dict[str, str]) -> None:
    rows = {row["name"]: row for row in json.loads(hasten(surroundings, "list", "models", "--json").stdout)}
    embedded = {name: row["pipeline"] for name, row in rows.items() if row["source"] == "embedded"}
    assert embedded == {
        "emoji-sd": "StableDiffusionPipeline",
        "emoji-sdxl": "StableDiffusionXLPipeline",
        "emoji-pixart": "PixArtSigmaPipeline",
        "emoji-sd3": "StableDiffusion3Pipeline",
    }
    diffusion, flow = {"SD1.5", "SD2.1", "SDXL", "PixArt-alpha", "PixArt-sigma"}, {"SD3", "FLUX.1-dev"}
    assert diffusion | flow | {"SD3.5-medium", "SD3.5-large", "FLUX.1-schnell"} == rows.keys() - embedded.keys()
    assert rows["PixArt-sigma"]["source"] == "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"


def test_the_methods_of_a_model(surroundings: dict[str, str]) -> None:
    """Each with its ranges at the model's steps and what it does; those that cannot be used with the reason."""
    listed = hasten(surroundings, "list", "methods", "--model", "sdxl", "--json")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert set(rows) == set(METHODS.names())
    assert {rows[name]["fits"] for name in ("deepcache", "schedule", "tgate", "tome")} == {"yes"}
    assert "gate_step 1–50 (10)" in rows["tgate"]["parameters"] and rows["tgate"]["what it does"]
    listed = hasten(surroundings, "list", "methods", "--model", "FLUX", "--json")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["deepcache"]["fits"] == "no: it needs a unet, and FluxPipeline has a transformer"
    assert "FluxTransformer2DModel" in rows["tgate"]["fits"]


def test_the_schedulers_of_a_model(surroundings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    for model in ("flux.1 dev", str(tmp_path)):
        listed = hasten(surroundings, "list", "schedulers", "--model", model, "--json")
        fits = {row["name"]: row["fits"] for row in json.loads(listed.stdout)}
        assert fits["FlowMatchEuler"] == "yes, the usual one"
        assert "trained by flow matching" in fits["DDIM"] and fits["FlowMatchHeun"].startswith("no: FluxPipeline")
    listed = hasten(surroundings, "list", "schedulers", "--model", "sdxl", "--json")
    fits = {row["name"]: row["fits"] for row in json.loads(listed.stdout)}
    assert fits["DPM-Solver++-SDE"] == "yes" and fits["FlowMatchEuler"].startswith("no: its models")


@pytest.mark.parametrize(
    ("words", "told"), [(("methods", "SD9"), "Unknown model 'SD9'"), (("metrics", "sdxl"), "leave it out")]
)
def test_a_list_for_a_model_that_cannot_be(
    words: tuple[str, str], told: str, surroundings: dict[str, str]
) -> None:
    done = hasten(surroundings, "list", words[0], "--model", words[1])
    assert done.returncode == 2 and told in done.stderr


BAD = {
    "unknown method": (["run", f"{SMALL}, accelerated by DeepCahe"], "Did you mean 'deepcache'?"),
    "unknown model": (["run", "a SD9 pipeline with 20 steps"], "Unknown model 'SD9'"),
    "interval 0": (["run", f"{SMALL}, accelerated by DeepCache with cache_interval 0"], "cache_interval is 0"),
    "gate over steps": (["run", f"{SMALL}, accelerated by T-Gate with gate_step 60"], "gate_step is 60"),
    "ratio 1.2": (["run", f"{SMALL}, accelerated by ToMe with ratio 1.2"], "ratio is 1.2"),
    "negative speedup": (["search", "--pipe", "emoji-sd", "--req_speedup", "-2"], "speedup"),
    "nan speedup": (["search", "--pipe", "emoji-sd", "--req_speedup", "nan"], "speedup"),
    "no such runtime": (["run", SMALL, "--runtime", "magic"], "Unknown runtime 'magic'"),
    "no time": (["run", SMALL, "--max-time", "soon"], "'soon' is no time"),
    "no such folder": (["run", "a ./nowhere pipeline using DDIM with 5 steps"], "nowhere"),
    "no such script": (["verify", "nowhere.py"], "nowhere.py"),
    "no such answer": (["report", "nowhere"], "nowhere"),
    "unwritable": (["run", f"Generate {SMALL}", "--out", "/dev/null/x"], "cannot be written"),
    "no scheduler": (["search", "--pipe", "emoji-sd", "--sched", "DIMM"], "Did you mean 'DDIM'?"),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """One process tries every bad command."""
    own = {name: str(tmp_path_factory.mktemp(name.lower())) for name in ("XDG_STATE_HOME", "XDG_DATA_HOME")}
    return each({case: (tmp_path_factory.mktemp("here"), words) for case, (words, _) in BAD.items()}, **own)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(refused: dict[str, Done], case: str) -> None:
    done = refused[case]
    assert done.code == 2, done.errors
    assert BAD[case][1] in done.errors and "Traceback" not in done.errors
    assert done.output == "" and not done.after
    assert "Measuring" not in done.errors, "nothing is begun that cannot be done"


def test_an_error_with_json_is_a_document(surroundings: dict[str, str]) -> None:
    done = hasten(surroundings, "parse", "a SD9 pipeline", "--json")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert json.loads(done.stdout)["kind"] == "UnknownNameError"


def test_a_request_is_met_verified_and_reported_again(surroundings: dict[str, str], tmp_path: Path) -> None:
    text = f"{SMALL}, accelerated by DeepCache with cache_interval 2 and cache_branch_id 0 and loss below 0.9"
    done = hasten(surroundings, "run", text, "--out", str(tmp_path / "out"), "--json", *QUICK)
    answer = json.loads(done.stdout)
    assert answer["status"] in ("met", "likely") and answer["verified"] is not None
    assert done.returncode == (0 if answer["verified"] else 1), done.stderr  # a busy machine may refute it
    script, report = Path(answer["script"]), Path(answer["report"])
    assert script.is_file() and "deepcache" in report.read_text(encoding="utf-8")
    report.unlink()
    shown = CliRunner().invoke(app, ["report", str(tmp_path / "out")])
    assert shown.exit_code == 0 and report.is_file() and answer["plan"] in shown.stdout
    image = tmp_path / "image.png"
    prompt = ["--prompt", "a strawberry on a blue background", "--output", str(image), "--steps", "2"]
    drawn = subprocess.run(
        [sys.executable, script, *prompt], check=False, env=surroundings, capture_output=True, text=True
    )
    assert drawn.returncode == 0, drawn.stderr
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.full  # test_api.py has it without the command
def test_fifty_times_is_infeasible_with_the_best_that_was_measured(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    text = f"{SMALL}, accelerated by DeepCache with cache_branch_id 0, 50x speedup and loss not exceeding 0.9"
    done = hasten(surroundings, "run", text, "--out", str(tmp_path / "out"), "--json", *QUICK)
    answer = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr
    assert answer["status"] == "infeasible" and answer["script"] is None
    assert "50x" in answer["reason"] and answer["best"]["speedup"] > 0


def test_control_c_ends_with_130_and_the_same_command_goes_on(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    words = ["search", "--pipe", "emoji-sd", "--steps", "4", "--search_targets", "deepcache", *QUICK]
    words += ["--strategy", "traversal", "--storage", str(tmp_path / "trials.db")]
    code, errors = _interrupted([sys.executable, "-m", "hasten", *words], surroundings, tmp_path / "trials.db")
    assert code == 130, errors
    assert "the same command goes on from there" in errors and "Traceback" not in errors
    kept = _stored(tmp_path / "trials.db")
    again = hasten(surroundings, *words, "--max-trials", "2", "--json")
    assert json.loads(again.stdout)["trials"] == 2
    assert _stored(tmp_path / "trials.db") >= kept >= 2


CONVERTED = """
import sys, time
from hasten.cli import app, main
from hasten.errors import InputError

@app.command()
def load():
    try:
        print("under way", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:  # as a library in C may do
        raise InputError("The weights cannot be read.") from None

sys.argv = ["hasten", "load"]
main()
"""


def test_control_c_that_came_out_as_an_error_ends_with_130_too(surroundings: dict[str, str]) -> None:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", CONVERTED]
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, env=surroundings, preexec_fn=default, **pipes) as process:  # noqa: PLW1509
        assert process.stdout and process.stdout.readline() == "under way\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Interrupted." in errors and "cannot be read" not in errors


def _interrupted(command: list[str], surroundings: dict[str, str], database: Path) -> tuple[int, str]:
    """Exit code and errors of a search that gets Ctrl-C after two trials.

    A shell's background jobs ignore Ctrl-C, and so would all they start: the default is put back.
    """
    process = subprocess.Popen(
        command,
        env=surroundings,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + 120
        while _stored(database) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, errors


def _stored(database: Path) -> int:
    import sqlite3

    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return int(connection.execute("select count(*) from trials").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0


def test_doctor_finds_this_installation_fine(own_surroundings: None) -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.stdout
    assert {check["name"] for check in json.loads(done.stdout)} >= {"packages", "devices", "models", "store"}
