"""The original's search_params.json: every form of it read, answered from, and written back as it was."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.landscape import latency, loss, trial

from hasten.answer import Answer
from hasten.errors import InputError
from hasten.store.seeds.keys import Key
from hasten.store.seeds.search_params import SearchParams
from hasten.task import Target, Task

SPAWN = multiprocessing.get_context("spawn")
OLD = "('StableDiffusionPipeline', 'DDIMScheduler', '50', {}, 0.02, {})"
NEW = "('SDXL', 'DPMSolverMultistepScheduler', '20', {}, 0.05)"

# As the original wrote it, through several of its versions.
ORIGINAL: dict[str, Any] = {
    # Each search stands under the requested and under the measured speedup; every parameter is a list of one.
    OLD.format(2.0, ["deepcache"]): {
        "cache_interval": [3],
        "cache_branch_id": [0],
        "speedup": 2.3125,
        "score_loss": 0.0125,
        "time": 1.75,
        "search_targets": ["deepcache"],
    },
    OLD.format(2.3125, ["deepcache"]): {
        "cache_interval": [3],
        "cache_branch_id": [0],
        "speedup": 2.3125,
        "score_loss": 0.0125,
        "time": 1.75,
        "search_targets": ["deepcache"],
    },
    OLD.format(4.0, ["deepcache", "tome"]): {
        "cache_interval": 5,
        "cache_branch_id": 0,
        "ratio": 0.9,
        "max_downsample": 3,
        "speedup": [4.125],
        "score_loss": [-0.0015],
        "time": [0.875],
        "search_targets": ["deepcache", "tome"],
    },
    OLD.format("'upbound_speedup'", ["deepcache"]): {
        "cache_interval": 5,
        "cache_branch_id": 0,
        "speedup": 2.75,
        "score_loss": 0.0175,
        "time": 1.5,
    },
    # The newer form: the model's name, the methods in the value.
    NEW.format(3.0): {
        "gate_step": 10,
        "sp_interval": 5,
        "fi_interval": 1,
        "warm_up": 2,
        "speedup": 3.25,
        "score_loss": 0.031,
        "time": 2.0,
        "search_targets": ["tgate"],
    },
    NEW.format("'upbound_speedup'"): {
        "cache_interval": 4,
        "gate_step": 8,
        "speedup": 3.5,
        "score_loss": 0.04,
        "search_targets": ["T-Gate", "DeepCache"],
        "note": {"Σ": [1, None, True]},
    },
    # Fields that are missing: the methods (the parameters tell), the measured speedup, the loss, the time.
    "('SD2.1', 'UniPCMultistepScheduler', '25', 1.5, 0.02)": {"ratio": 0.5, "max_downsample": 1},
}
DEEPCACHE = Task(model="SD1.5", scheduler="DDIM", steps=50, methods=("deepcache",), target=Target(speedup=2.0))


def original(folder: Path, content: Any = None, **how: Any) -> Path:
    path = folder / "search_params.json"
    path.write_text(json.dumps(ORIGINAL if content is None else content, **how), encoding="utf-8")
    return path


def asking(speedup: float | None = None, **changes: Any) -> Task:
    target = None if speedup is None else Target(speedup=speedup)
    return DEEPCACHE.model_copy(update={"target": target, **changes})


def answer(
    task: Task,
    plan: str = "deepcache(cache_branch_id=0,cache_interval=2)",
    speedup: float = 2.125,
    **changes: Any,
) -> Answer:
    timed = latency(speedup, baseline_s=0.5 * speedup)
    confirmed = trial(plan, latency=timed, losses={"clip_score": loss(0.01)})
    return Answer(**{"task": task, "status": "met", "confirmed": confirmed, **changes})


@pytest.mark.parametrize("how", [{}, {"indent": 4}, {"ensure_ascii": False, "indent": 1}])
def test_the_original_comes_in_and_goes_out_as_it_was(tmp_path: Path, how: dict[str, Any]) -> None:
    params = SearchParams.read(original(tmp_path, **how))
    assert params.faults == ()
    assert len(params.entries) == len(ORIGINAL)
    params.merge_into(tmp_path / "exported.json")
    exported = json.loads((tmp_path / "exported.json").read_text())
    assert exported == ORIGINAL
    assert json.dumps(exported) == json.dumps(ORIGINAL), "the order and the kinds of the numbers too"


def test_parameters_are_legal_whatever_form_they_have(tmp_path: Path) -> None:
    entries = {str(e.key): e for e in SearchParams.read(original(tmp_path)).entries}
    one_element_lists = entries[OLD.format(2.0, ["deepcache"])]
    assert str(one_element_lists.plan) == "deepcache(cache_branch_id=0,cache_interval=3)"
    assert (one_element_lists.speedup, one_element_lists.score_loss, one_element_lists.time) == (
        2.3125,
        0.0125,
        1.75,
    )
    beyond = entries[OLD.format(4.0, ["deepcache", "tome"])]
    assert beyond.parameters["tome"] == {"ratio": 0.75, "max_downsample": 2, "sx": 2, "sy": 2}
    assert (beyond.speedup, beyond.score_loss) == (4.125, -0.0015)
    newer = entries[NEW.format("'upbound_speedup'")]
    assert newer.methods == ("deepcache", "tgate") and newer.parameters["deepcache"]["cache_branch_id"] == 0
    bare = entries["('SD2.1', 'UniPCMultistepScheduler', '25', 1.5, 0.02)"]
    assert bare.methods == ("tome",)
    assert (bare.speedup, bare.score_loss, bare.time) == (1.5, None, None)
    assert bare.task == Task(
        model="SD2.1", scheduler="UniPC", steps=25, methods=("tome",), target=Target(speedup=1.5)
    )


@pytest.mark.parametrize(
    ("task", "speedup"),
    [
        (asking(1.9), 2.3125),
        (asking(2.3125), 2.3125),
        (asking(2.4), 2.75),
        (asking(2.8), None),
        (asking(2.4, max_loss={"clip_score": 0.0175}), None),
        (asking(2.4, max_loss={"clip_score": 0.0176}), 2.75),
        (asking(1.9, max_loss={"clip_score": 0.5}), 2.3125),
        (asking(1.9, max_loss={"ssim": 0.5}), None),
        (asking(1.9, max_loss={}), 2.3125),
        (asking(1.9, steps=25), None),
        (asking(1.9, model="SD2.1"), None),
        (asking(1.9, scheduler="UniPC"), None),
        (asking(1.9, methods=("deepcache", "tome")), 4.125),
        (asking(3.0, methods=None), 4.125),
        (asking(1.9, methods=None), 2.3125),
        (asking(1.9, parameters={"deepcache": {"cache_interval": 5}}), 2.75),
        (asking(1.9, parameters={"deepcache": {"cache_interval": 4}}), None),
        (asking(), 2.75),
        (asking(max_loss={"clip_score": 0.03}), None),
        (asking(methods=None), None),
        (asking(methods=()), None),
        (asking(target=Target(latency_s=9.0)), None),
        (asking(parameters={"deepcache": {"cache_interval": 5}}), None),
        (Task(model="SD2.1", scheduler="UniPC", steps=25, methods=("tome",), target=Target(speedup=1.4)), 1.5),
        (
            Task(model="SDXL", scheduler="DPM-Solver++", steps=20, methods=("tgate",), target=Target(speedup=3)),
            None,
        ),
        (
            Task(
                model="SDXL",
                scheduler="DPM-Solver++",
                steps=20,
                methods=("tgate",),
                target=Target(speedup=3),
                max_loss={"clip_score": 0.05},
            ),
            3.25,
        ),
    ],
    ids=str,
)
def test_an_answer_is_at_least_as_fast_and_within_the_limit(
    tmp_path: Path, task: Task, speedup: float | None
) -> None:
    found = SearchParams.read(original(tmp_path)).find(task)
    assert (found.speedup if found else None) == speedup


def test_a_met_answer_stands_under_the_requested_and_the_measured_speedup(tmp_path: Path) -> None:
    path = original(tmp_path)
    params = SearchParams.read(path)
    keys = params.add(answer(asking(2.0)))
    assert {key.speedup for key in keys} == {2.0, 2.125}
    assert params.merge_into(path) == ()
    written = json.loads(path.read_text())
    assert {**written, **ORIGINAL}.keys() == written.keys()
    assert written.keys() - ORIGINAL.keys() == {"('SD1.5', 'DDIMScheduler', '50', 2.125, 0.02, ['deepcache'])"}
    replaced = OLD.format(2.0, ["deepcache"])
    assert written[replaced] == {
        "cache_branch_id": 0,
        "cache_interval": 2,
        "speedup": 2.125,
        "score_loss": pytest.approx(0.01),
        "time": 0.5,
        "search_targets": ["deepcache"],
        "status": "met",
    }
    assert {k: v for k, v in written.items() if k in ORIGINAL and k != replaced} == {
        k: v for k, v in ORIGINAL.items() if k != replaced
    }
    found = SearchParams.read(path).find(asking(2.0))
    assert found and found.speedup == 2.125


@pytest.mark.parametrize(
    ("named", "model"),
    [
        ("StableDiffusionPipeline", "SD1.5"),
        ("StableDiffusionXLPipeline", "SDXL"),
        ("PixArtAlphaPipeline", "PixArt-alpha"),
        ("PixArt-α", "PixArt-alpha"),
        ("PixArtSigmaPipeline", "PixArt-sigma"),
        ("PixArtΣ", "PixArt-sigma"),
        ("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArt-sigma"),
        ("emoji-pixart", "emoji-pixart"),
    ],
)
def test_a_key_names_the_pipelines_class_or_the_model(named: str, model: str) -> None:
    assert Key.parse(f"('{named}', 'DDIM', '20', 2.0, 0.02)").model == model


def test_an_answer_takes_the_place_of_a_key_without_methods(tmp_path: Path) -> None:
    path = original(tmp_path)
    params = SearchParams.read(path)
    task = Task(
        model="SDXL",
        scheduler="DPM-Solver++",
        steps=20,
        methods=("tgate",),
        target=Target(speedup=3.0),
        max_loss={"clip_score": 0.05},
    )
    params.add(answer(task, "tgate(fi_interval=1,gate_step=9,sp_interval=5,warm_up=2)", speedup=3.0))
    params.merge_into(path)
    written = json.loads(path.read_text())
    assert written.keys() == ORIGINAL.keys() and written[NEW.format(3.0)]["gate_step"] == 9


@pytest.mark.parametrize(
    ("given", "speedups"),
    [
        (answer(asking()), {None, 2.125}),
        (answer(asking(), status="likely"), {None, 2.125}),
        (answer(asking(target=Target(latency_s=1.0))), {2.125}),
        (answer(asking(2.0), verified=False, status="likely"), set()),
        (Answer(status="failed", task=asking(2.0), reason="out of memory"), set()),
        (Answer(status="infeasible", task=asking(9.0), reason="why", best=answer(asking(9.0))), {2.125}),
        (Answer(status="infeasible", task=asking(9.0), reason="why"), set()),
        (answer(asking(methods=()), "baseline"), set()),
    ],
)
def test_what_is_kept_of_an_answer(given: Answer, speedups: set[float | None]) -> None:
    params = SearchParams()
    assert {key.speedup for key in params.add(given)} == speedups
    assert {e.key.speedup for e in params.entries} == speedups


def test_an_answer_with_any_method_answers_both_questions(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    params = SearchParams()
    params.add(answer(asking(methods=None)))
    params.merge_into(path)
    read = SearchParams.read(path)
    assert read.faults == ()
    for task in (asking(methods=None), asking(2.0, methods=None), asking(2.0)):
        found = read.find(task)
        assert found and found.speedup == 2.125
    assert read.find(asking()) is None, "the best of any method is not the bound of this one"


@pytest.mark.parametrize(
    ("value", "plan"),
    [
        ({"cache_interval": 3, "cache_branch_id": 0}, "deepcache(cache_branch_id=0,cache_interval=3)"),
        ({"cache_interval": [3]}, "deepcache(cache_branch_id=0,cache_interval=3)"),
        ({"threshold": 0.1, "cache_interval": 3}, "deepcache(cache_branch_id=0,cache_interval=3)"),
        (
            {"cache_interval": 3, "ratio": 0.5, "gate_step": 20, "first_step": 2},
            "deepcache(cache_branch_id=0,cache_interval=3)+tgate(fi_interval=1,gate_step=20,sp_interval=5,warm_up=2)"
            "+tome(max_downsample=1,ratio=0.5,sx=2,sy=2)",
        ),
    ],
)
def test_values_that_name_no_methods_are_of_those_that_there_were(
    tmp_path: Path, value: dict[str, Any], plan: str
) -> None:
    """Later methods have parameters of the same names."""
    text = "('SD1.5', 'DDIM', '50', 2.0, 0.02)"
    (entry,) = SearchParams.read(original(tmp_path, {text: value})).entries
    assert str(entry.plan) == plan


def test_methods_that_share_the_name_of_a_parameter_keep_their_own_values(tmp_path: Path) -> None:
    plan = (
        "magcache(first_step=2,max_skip_steps=3,threshold=0.06)"
        "+pyramid_attention(cross_interval=3,first_step=4,last_step=49,self_interval=2)"
    )
    params = SearchParams()
    params.add(answer(asking(2.0, methods=("magcache", "pyramid_attention")), plan))
    params.merge_into(tmp_path / "params.json")
    assert {str(e.plan) for e in SearchParams.read(tmp_path / "params.json").entries} == {plan}


def test_limits_on_other_metrics_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    task = asking(2.0, max_loss={"ssim": 0.1, "clip_score": 0.02})
    params = SearchParams()
    params.add(answer(task))
    params.merge_into(path)
    read = SearchParams.read(path)
    assert read.find(task) and read.find(asking(2.0, max_loss={"ssim": 0.2}))
    assert read.find(asking(2.0)), "within 0.02 on the CLIP score, whatever else"
    assert read.find(asking(2.0, max_loss={"ssim": 0.05})) is None


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("('SD1.5', 'DDIM', '50', 2.0)", {"cache_interval": 3}, "no key"),
        ("(SD1.5, 'DDIM', '50', 2.0, 0.02)", {"cache_interval": 3}, "no key"),
        ("(" * 500, {"cache_interval": 3}, "no key"),
        *((text, {"cache_interval": 3}, "no key") for text in ("{[]:1}", "{[]}", "{{}}", "{(1, []): 2}")),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02, {[]: 1})", {"cache_interval": 3}, "no key"),
        ("('SD1.5', 'DDIM', 'many', 2.0, 0.02)", {"cache_interval": 3}, "number of steps"),
        ("('SD1.5', 'DDIM', '50', inf, 0.02)", {"cache_interval": 3}, "speedup is inf"),
        ("('SD1.5', 'DDIM', '50', 0.0, 0.02)", {"cache_interval": 3}, "speedup is 0.0"),
        ("('SD1.5', 'DDIM', '50', 2.0, nan)", {"cache_interval": 3}, "loss limit is nan"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02, ['teacache'])", {"speedup": 2.0}, "Unknown method 'teacache'"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02, ['tome'])", {"speedup": 2.0}, "no parameter of ToMe"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02)", {"speedup": 2.0}, "names a method"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02)", {"cache_interval": "fast"}, "cache_interval is 'fast'"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02)", {"cache_interval": 0}, "cache_interval is 0"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02)", {"cache_interval": 3, "speedup": float("inf")}, "speedup is inf"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02)", {"cache_interval": 3, "score_loss": float("nan")}, "nan"),
        ("('SD1.5', 'DDIM', '50', 'upbound_speedup', 0.02)", {"cache_interval": 3}, "no speedup"),
        ("('SD1.5', 'DDIM', '50', 2.0, 0.02)", [1, 2], "an object"),
    ],
)
def test_an_entry_that_makes_no_sense_is_named_and_written_back(
    tmp_path: Path, text: str, value: Any, why: str
) -> None:
    path = original(tmp_path, {**ORIGINAL, text: value}, indent=2)
    params = SearchParams.read(path)
    assert len(params.entries) == len(ORIGINAL)
    (fault,) = params.faults
    line = next(n for n, words in enumerate(path.read_text().splitlines(), 1) if text in words)
    assert fault.startswith(f"{path} line {line}, entry ") and text[:50] in fault and why in fault
    params.add(answer(asking(2.0)))
    params.merge_into(path)
    written = json.loads(path.read_text())
    assert json.dumps(written[text]) == json.dumps(value)
    assert not list(tmp_path.glob("*.damaged"))


@pytest.mark.parametrize("steps", ["50", 50, "50.0"])
@pytest.mark.parametrize("speedup", ["2.5", "'2.5'", "np.float64(2.5)"])
def test_figures_of_keys_in_any_form(steps: object, speedup: str) -> None:
    key = Key.parse(f"('SD1.5', 'DDIM', {steps!r}, {speedup}, '0.02', ['T-GATE', 'deepcache'])")
    assert key == Key("SD1.5", "DDIM", 50, 2.5, 0.02, ("deepcache", "tgate"))


def test_nonsense_is_refused_without_a_warning_of_python(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(InputError, match="no key"):
        Key.parse("('SD1.5', 'DDIM', 50in, 2.0, 0.02)")
    assert not recwarn.list


@pytest.mark.parametrize(
    "task",
    [
        asking(),
        asking(2.5),
        asking(1 / 3, methods=None),
        asking(methods=None, max_loss={"ssim": 0.1}),
        asking(2.0, max_loss={}),
        asking(2.0, model="./my 'models'/sd15", scheduler="DEISMultistepScheduler"),
        asking(2.0, model="C:\\models\\Σ"),
    ],
)
def test_the_key_of_a_task_is_that_of_its_text(task: Task) -> None:
    speedup = task.target.speedup if task.target else None
    key = Key.of(task, speedup)
    assert Key.parse(str(key)) == key
    assert key.task() == task


def test_a_damaged_entry_costs_no_other_and_the_file_is_kept(tmp_path: Path) -> None:
    path = original(tmp_path, indent=4)
    lines = path.read_text().splitlines()
    broken = next(n for n, line in enumerate(lines) if '"ratio": 0.9' in line)
    lines[broken] = '        "ratio": 0.9 "oops",'
    path.write_text("\n".join(lines))
    before = path.read_bytes()
    params = SearchParams.read(path)
    assert len(params.entries) == len(ORIGINAL) - 1
    (fault,) = params.faults
    start = next(n for n, line in enumerate(lines, 1) if "4.0" in line)
    assert f"{path} line {start}, entry " in fault and "4.0" in fault and f"line {broken + 1}" in fault
    params.add(answer(asking(1.25)))
    assert params.merge_into(path) == (fault,)
    assert (tmp_path / "search_params.json.damaged").read_bytes() == before
    again = SearchParams.read(path)
    assert again.faults == () and again.find(asking(1.25))
    path.write_bytes(before)
    assert SearchParams().merge_into(path) == (fault,)
    assert (tmp_path / "search_params.json.damaged2").read_bytes() == before


@pytest.mark.parametrize("indent", [None, 4])
def test_a_truncated_file_gives_what_is_whole(tmp_path: Path, indent: int | None) -> None:
    whole = original(tmp_path, indent=indent).read_bytes()
    path = tmp_path / "cut.json"
    counts = []
    for end in (*range(2, len(whole) - 1, 7), len(whole) - 1):
        path.write_bytes(whole[:end])
        try:
            params = SearchParams.read(path)
        except InputError as error:
            assert str(path) in str(error) and ("line 1" in str(error) or "line 2" in str(error))
            continue
        assert params.faults and all(str(path) in fault for fault in params.faults)
        full = SearchParams.read(tmp_path / "search_params.json").entries
        assert [e.raw for e in params.entries] == [e.raw for e in full[: len(params.entries)]]
        counts.append(len(params.entries))
    assert counts == sorted(counts) and counts[-1] == len(ORIGINAL)


def test_two_writes_of_the_original_into_one_another(tmp_path: Path) -> None:
    path = original(tmp_path)
    path.write_text(path.read_text() + '0, "search_targets": ["tome"]}}')
    params = SearchParams.read(path)
    assert len(params.entries) == len(ORIGINAL)
    assert params.faults == (f"{path} line 1: text after the closing }}, left out",)


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    key = OLD.format(2.0, ["deepcache"])
    path.write_text(f'{{"{key}": {{"cache_interval": 2}},\n"{key}": {{"cache_interval": 3}}}}')
    params = SearchParams.read(path)
    assert [e.parameters["deepcache"]["cache_interval"] for e in params.entries] == [3]
    assert "line 2" in params.faults[0] and "second time" in params.faults[0]
    params.merge_into(path)
    assert '"cache_interval": 2' in (tmp_path / "params.json.damaged").read_text()


@pytest.mark.parametrize("content", [b"", b" \n", b"[]", b"speedup", b"\x00\xff\xfe", b'{"a', b"{" * 5000])
def test_a_file_that_cannot_be_read_is_a_clear_error_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"params\.json"):
        SearchParams.read(path)
    if content.strip():
        with pytest.raises(InputError, match=r"params\.json"):
            SearchParams().merge_into(path)
        assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", None])
def test_an_empty_or_missing_file_is_begun(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "new" / "params.json"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    params = SearchParams()
    params.add(answer(asking(2.0)))
    params.merge_into(path)
    assert len(json.loads(path.read_text())) == 2


def test_missing_files_and_folders_are_clear_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            SearchParams.read(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "params.json"
    path.write_bytes(json.dumps(ORIGINAL, ensure_ascii=False).encode(encoding))
    params = SearchParams.read(path)
    assert params.faults == () and len(params.entries) == len(ORIGINAL)


def test_what_others_wrote_meanwhile_stays(tmp_path: Path) -> None:
    path = original(tmp_path)
    one, two = SearchParams.read(path), SearchParams.read(path)
    one.add(answer(asking(2.0), speedup=2.125))
    two.add(answer(asking(5.0), speedup=5.5))
    one.merge_into(path)
    two.merge_into(path)
    found = SearchParams.read(path).find(asking(2.0))
    assert found and found.speedup == 2.125, "what the second had read before is no news"
    both = two.find(asking(2.0))
    assert both and both.speedup == 2.125, "the second knows it now"


def keep(path: Path, own: int) -> None:
    params = SearchParams()
    for number in range(20):
        params.add(answer(asking(own + number / 100), speedup=own + number / 100 + 0.005))
        params.merge_into(path)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = original(tmp_path)
    workers = [SPAWN.Process(target=keep, args=(path, own)) for own in (10, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    params = SearchParams.read(path)
    assert params.faults == () and len(params.entries) == len(ORIGINAL) + 2 * 20 * 2


def keep_on(path: Path) -> None:
    while True:
        keep(path, 10)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 there")
def test_killed_while_writing_the_file_is_whole(tmp_path: Path) -> None:
    path = original(tmp_path)
    for _ in range(3):
        before = path.stat().st_mtime_ns
        worker = SPAWN.Process(target=keep_on, args=(path,))
        worker.start()
        while path.stat().st_mtime_ns == before:
            assert worker.is_alive()
            time.sleep(0.001)
        os.kill(worker.pid, signal.SIGKILL)  # type: ignore[arg-type]
        worker.join()
        params = SearchParams.read(path)
        assert params.faults == () and len(params.entries) > len(ORIGINAL)
        params.add(answer(asking(50.0)))
        params.merge_into(path)
    assert {k: v for k, v in json.loads(path.read_text()).items() if k in ORIGINAL} == ORIGINAL


def test_reading_needs_neither_torch_nor_optuna() -> None:
    code = (
        "import sys, hasten.store.seeds.search_params, hasten.store.seeds.bounds, hasten.store.seeds.tasks_file\n"
        "from hasten.store.seeds.keys import Key\n"
        "Key.parse(\"('StableDiffusionPipeline', 'DDIMScheduler', '50', 4.0, 0.02, ['deepcache'])\").task()\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'optuna'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
