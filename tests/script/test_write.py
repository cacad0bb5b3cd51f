"""Whatever a person writes ends up in a script as data, never as code; names and files are safe."""

from __future__ import annotations

import ast
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.examples import ENVIRONMENT, answer_of, model_of, plan_of, setting_of

from hasten.answer import Answer
from hasten.errors import InputError, UnsupportedError
from hasten.files import save
from hasten.methods import METHODS, check_plan
from hasten.models.base import Model
from hasten.plan import Plan
from hasten.script.claim import read_claim
from hasten.script.literals import assignment, in_docstring, labelled, prose
from hasten.script.upstream import upstream_calls
from hasten.script.write import LONGEST_NAME, render_script, script_name
from hasten.task import Target, Task
from hasten.testing.pipelines import tiny_sd, tiny_sd3

NASTY = [
    '"""',
    "'''",
    '\\"""',
    "\\",
    "\n",
    "\r\n",
    "\0",
    "\x0c",
    "\u2028",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "# ///",
    "';import os;'",
    "%(prog)s",
    "\ud800",
    "草莓",
    "é",
    "🍓",
]
TEXT = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=30)), max_size=8).map(" ".join)


def rendered(
    request: str,
    command: str = "hasten run …",
    model: Model | None = None,
    methods: tuple[str, ...] = ("deepcache",),
) -> str:
    answer = answer_of(plan_of(*methods))
    model = model or model_of("emoji-sd")
    environment = {**ENVIRONMENT, "cpu": request}
    return render_script(
        answer, setting_of(model), model, command=command, environment=environment, request=request
    )


@given(request=TEXT, command=TEXT)
@settings(max_examples=150, deadline=None)
def test_any_text_comes_back_as_it_was(request: str, command: str) -> None:
    tree = ast.parse(rendered(request, command).encode())
    values = {n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign)}  # type: ignore[attr-defined]
    assert ast.literal_eval(values["REQUEST"]) == request
    assert ast.literal_eval(values["CLAIM"])["environment"]["cpu"] == request
    header = prose(ast.get_docstring(tree) or "")
    assert prose(request) in header
    assert prose(command) in header
    assert [type(node).__name__ for node in tree.body] == SHAPE


SHAPE = [type(node).__name__ for node in ast.parse(rendered("plain words")).body]


@given(st.lists(TEXT, min_size=20, max_size=20))
@settings(max_examples=5, deadline=None)
def test_literals_are_laid_out_as_ruff_would(texts: list[str]) -> None:
    lines = [f'"""Header.\n\n{in_docstring(labelled("Text", " ".join(texts)))}\n"""\n', "\n"]
    lines += [f"{assignment(f'NAME_{i}', text)}\n" for i, text in enumerate(texts)]
    lines += [assignment("ALL", {"first": texts[:3], "second": {"x": texts[3], "y": (1, None, True, 0.5)}}), "\n"]
    source = "".join(lines).encode()
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "-"],
        input=source,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == source.decode()


def test_local_model_folder_is_a_value_too(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "model"'
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}', encoding="utf-8")
    model = Model('"""evil"""', str(folder), 64, 5.0, "scorer", "general")
    tree = ast.parse(rendered("words", model=model))
    values = {n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign)}  # type: ignore[attr-defined]
    assert ast.literal_eval(values["MODEL"]) == str(folder)
    assert "StableDiffusionXLPipeline.from_pretrained(" in ast.unparse(tree)


def test_a_script_asks_for_the_variant_that_alone_lies_in_the_folder(tmp_path: Path) -> None:
    tiny_sd().save_pretrained(tmp_path / "tiny", variant="fp16")
    folder = str(tmp_path / "tiny")
    text = rendered("fast", model=Model(folder, folder, 64, 5.0, "emoji-clip", "general"))
    script = save(text, tmp_path / "script.py")
    loaded = runpy.run_path(str(script))["load_pipeline"](device="cpu")
    assert type(loaded).__name__ == "StableDiffusionPipeline"
    assert 'variant="fp16"' in text and "variant" not in rendered("fast")


def test_a_script_loads_sd3_that_was_saved_without_t5(tmp_path: Path) -> None:
    pipe = tiny_sd3()
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    pipe.save_pretrained(tmp_path / "tiny")
    folder = str(tmp_path / "tiny")
    text = rendered("fast", "", Model(folder, folder, 64, 5.0, "emoji-clip", "general"), ())
    script = save(text, tmp_path / "script.py")
    assert runpy.run_path(str(script))["load_pipeline"](device="cpu").text_encoder_3 is None
    assert "text_encoder_3=None" in text and "text_encoder_3" not in rendered("fast")


@pytest.mark.parametrize("kind", ["Alpha", "Sigma"])
def test_pixart_draws_the_size_that_is_asked_for(kind: str, tmp_path: Path) -> None:
    """From a folder, too. What reading its tokenizer takes is required, but not for the embedded model."""
    index = {"_class_name": f"PixArt{kind}Pipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    source = plain(Model("mine", str(tmp_path), 64, 4.5, "scorer", "general"))
    values = {n.targets[0].id: n.value for n in ast.parse(source).body if isinstance(n, ast.Assign)}  # type: ignore[attr-defined]
    call = ast.literal_eval(values["CALL"])
    assert call["use_resolution_binning"] is False and "max_sequence_length" not in call
    assert '#     "sentencepiece>=0.2",\n' in source
    embedded = plain(model_of("emoji-pixart"))
    assert '"max_sequence_length": 32,\n' in embedded and "sentencepiece" not in embedded


def plain(model: Model) -> str:
    setting, answer = setting_of(model), answer_of(Plan(), model.name)
    return render_script(answer, setting, model, command="", environment=ENVIRONMENT, request="words")


@pytest.mark.parametrize("name", ["deepcache", "schedule"])
def test_a_method_that_the_family_cannot_take_gets_no_script(name: str) -> None:
    """Figures from a file may name such a plan, without a pipeline to ask."""
    model, plan = model_of("PixArt-sigma"), check_plan(Plan.of({name: {}}))
    reason = f"{METHODS.get(name).title} cannot be used on PixArt-Sigma: it needs a unet"
    with pytest.raises(UnsupportedError, match=reason):
        render_script(answer_of(plan), setting_of(model), model, command="", environment=ENVIRONMENT, request="r")


@pytest.mark.parametrize("content", [None, "[", '{"_class_name": "WanPipeline"}', "[]"])
def test_folder_without_a_known_pipeline_is_a_clear_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model_index.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        rendered("words", model=Model("mine", str(tmp_path), 64, 5.0, "scorer", "general"))


def test_claim_round_trips(tmp_path: Path) -> None:
    path = save(rendered("words"), tmp_path / "script.py")
    claim = read_claim(path)
    assert claim.plan == str(plan_of("deepcache"))
    assert claim.target is not None and claim.target.speedup == 2.0
    assert claim.losses["clip_score"] == pytest.approx(0.00333333)
    assert dict(claim.limits) == {"clip_score": 0.02}
    assert claim.environment["cpu"] == "words"


def test_answer_without_a_plan_gets_no_script() -> None:
    answer = Answer(status="failed", task=answer_of(plan_of("tome")).task, reason="out of memory")
    with pytest.raises(InputError, match="out of memory"):
        render_script(
            answer, setting_of(model_of("SD1.5")), model_of("SD1.5"), command="", environment=ENVIRONMENT
        )


def test_a_batch_is_drawn_in_one_call() -> None:
    model = model_of("SD1.5")
    source = render_script(
        answer_of(plan_of("tome")),
        setting_of(model, batch_size=4),
        model,
        command="hasten run …",
        environment=ENVIRONMENT,
        request="words",
    )
    assert '"num_images_per_prompt": 4' in source
    assert "return result.images\n" in source
    compile(source, "batch", "exec")


def test_unknown_runtime_is_a_clear_error() -> None:
    with pytest.raises(InputError, match=r"'rust'.*hasten, upstream"):
        render_script(
            answer_of(plan_of("tome")),
            setting_of(model_of("SD1.5")),
            model_of("SD1.5"),
            runtime="rust",  # type: ignore[arg-type]
            command="",
            environment=ENVIRONMENT,
        )


@pytest.mark.parametrize(
    ("plan", "family"),
    [("deepcache", "pixart_alpha"), ("tome", "pixart_sigma"), ("deepcache+tgate", "pixart_alpha"), ("later", "x")],
)
def test_no_upstream_call_is_refused_even_when_wrong_is_allowed(plan: str, family: str) -> None:
    with pytest.raises(UnsupportedError):
        upstream_calls(Plan.parse(plan), setting_of(model_of("SD1.5")), family, allow_known_wrong=True)


NAMES = {
    "emoji-sd": "emoji-sd",
    "a/b/My Model\\": "my-model",
    "../../etc/passwd": "passwd",
    "stabilityai/sdxl": "sdxl",
    "..": "model",
    "草莓": "model",
    "x" * 300: "x" * 40,
}


@pytest.mark.parametrize("model", NAMES, ids=NAMES.values())
def test_script_name_is_readable_and_safe_and_the_task_alone_s(model: str) -> None:
    task = answer_of(plan_of("deepcache", "tome"), model).task
    name = script_name(task)
    start = re.escape(f"{NAMES[model]}_ddim_25_deepcache-tome_2x_")
    assert re.fullmatch(start + r"[0-9a-f]{6}\.py", name)
    assert name == script_name(task.model_copy(update={"assumptions": ("loss limit 0.02: the default",)}))
    others = {script_name(task, "upstream"), script_name(task.model_copy(update={"max_loss": {"ssim": 0.1}}))}
    assert len(others | {name}) == 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": None}, "deepcache_bound"),
        ({"methods": None}, "any_2.25x"),
        ({"target": {"latency_s": 1.3}}, "deepcache_1.3s"),
        ({"target": None, "parameters": {"deepcache": {"cache_interval": 3}}}, "deepcache"),
    ],
)
def test_script_name_tells_what_was_asked(changes: dict[str, Any], told: str) -> None:
    known = {"model": "emoji-sd", "scheduler": "DDIM", "steps": 25, "methods": ("deepcache",)}
    task = Task(**{**known, "target": {"speedup": 2.25}, **changes})
    assert re.fullmatch(rf"emoji-sd_ddim_25_{re.escape(told)}_[0-9a-f]{{6}}\.py", script_name(task))


def test_script_name_of_a_plain_pipeline() -> None:
    task = answer_of(Plan(), "SDXL", "DPM-Solver++", 20).task
    assert re.fullmatch(r"sdxl_dpm-solver\+\+_20_plain_[0-9a-f]{6}\.py", script_name(task))


def test_names_fit_every_file_system() -> None:
    many = [method.name for method in METHODS.all()]
    task = Task(model="SD1.5", scheduler="DDIM", steps=50, methods=tuple(many), target=Target(speedup=2.0))
    name = script_name(task)
    assert len("-".join(many)) > LONGEST_NAME and len(name) < 255 and name != script_name(task, "upstream")
