"""The number of CPU threads: what is the fastest, when it is looked for, and that it is found again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hasten.cli import checks
from hasten.measure import thread_choice, threads
from hasten.measure.environment import environment, environment_key
from hasten.measure.pipeline import Pipeline
from hasten.measure.setting import pipeline_of
from hasten.measure.thread_choice import Choice, chosen, fastest, remembered, threads_set, timed
from hasten.measure.threads import VARIABLES, for_script, using_threads
from hasten.plan import Plan
from hasten.testing.pipelines import tiny_sd

WORDS = ["a cat", "a dog", "a cup", "a car", "a hat", "a bed", "a key", "a bus"]


@pytest.fixture(autouse=True)
def _untold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch has two threads by its own choice, and no variable says otherwise."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    for module in (threads, thread_choice):
        monkeypatch.setattr(module, "own_choice", lambda: 2)
        monkeypatch.setattr(module, "physical_cores", lambda: 2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pipeline() -> Pipeline:
    return pipeline_of(tiny_sd(), steps=4, height=64, width=64, prompts=WORDS)


class Machine:
    """A clock and a call, which takes so many seconds with each number of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.now, self.seconds, self.calls = 0.0, seconds, list[int]()

    def clock(self) -> float:
        return self.now

    def call(self) -> None:
        number = torch.get_num_threads()
        self.calls.append(number)
        self.now += self.seconds[number]


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 2.0, 2: 1.0}, 2),
        ({1: 1.0, 2: 3.0}, 1),
        ({1: 1.04, 2: 1.0}, 1),
        ({1: 1.06, 2: 1.0}, 2),
        ({1: 4.0, 4: 1.02, 8: 1.0}, 4),
        ({1: 1.0}, 1),
    ],
)
def test_the_fewest_threads_of_those_that_are_about_the_fastest(seconds: dict[int, float], best: int) -> None:
    assert fastest(seconds) == best


def test_numbers_are_timed_in_turn_and_torch_is_as_before() -> None:
    machine = Machine({1: 0.25, 2: 0.5})
    assert timed(machine.call, [2, 1], clock=machine.clock) == {1: 0.25, 2: 0.5}
    assert machine.calls[:7] == [2, 2, 1, 2, 1, 1, 2]
    assert torch.get_num_threads() == 2


def test_of_slow_calls_few_are_made_and_what_is_hopeless_is_left_out() -> None:
    slow = Machine({1: 3.0, 2: 2.0})
    timed(slow.call, [2, 1], clock=slow.clock)
    hopeless = Machine({1: 20.0, 2: 2.0})
    assert timed(hopeless.call, [2, 1], clock=hopeless.clock) == {1: 20.0, 2: 2.0}
    assert hopeless.calls == [2, 2, 1] and len(slow.calls) == 3 + 2 * thread_choice.FEWEST_ROUNDS


def test_the_denoiser_alone_is_called_and_the_pipeline_stays_as_it_was(pipeline: Pipeline) -> None:
    with using_threads(1):
        before = pipeline.draw(Plan(), "search", [0])
        pipeline.pipe.vae.decode = _never
        call = thread_choice._denoiser_call(pipeline)
        assert torch.is_tensor(call()[0])  # type: ignore[index]
        del pipeline.pipe.vae.decode
        assert torch.equal(pipeline.draw(Plan(), "search", [0]), before)
    assert not pipeline.denoiser._forward_pre_hooks


def _never(*_: object, **__: object) -> None:
    raise AssertionError("The pictures are not needed.")


def _times(monkeypatch: pytest.MonkeyPatch, *found: dict[int, float]) -> None:
    left = iter(found)
    monkeypatch.setattr(thread_choice, "timed", lambda *_: next(left))


def test_a_number_is_found_once_and_is_the_same_again(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    _times(monkeypatch, {1: 1.0, 2: 1.4}, {1: 1.0, 2: 0.5})
    first, again = chosen(pipeline), chosen(pipeline)
    assert (first.threads, first.remembered) == (1, False) and (again.threads, again.remembered) == (1, True)
    assert str(first) == "1 of 2 CPU threads: 1.4x as fast as 2 here (--threads 2 for torch's own choice)"
    assert str(again).startswith("1 of 2 CPU threads, as found here before: 1.4x as fast as 2 here")
    larger = pipeline_of(pipeline.pipe, steps=4, height=128, width=128, prompts=WORDS)
    other = chosen(larger)
    assert (other.threads, str(other)) == (2, "2 CPU threads, torch's own choice: 2.0x as fast as 1 here")
    assert [threads for _, threads in remembered()] == [1, 2]


def test_several_threads_are_given_up_for_good_where_they_have_become_far_slower_than_one(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program beside them does that; what is a little slower for a while does not change the number."""
    _times(monkeypatch, {1: 1.0, 2: 0.5}, {1: 1.0, 2: 1.9}, {1: 1.0, 2: 30.0})
    found = [chosen(pipeline) for _ in range(4)]
    assert [(one.threads, one.remembered) for one in found] == [(2, False), (2, True), (1, False), (1, True)]
    told = (
        "1 of 2 CPU threads, no longer 2 as before: 30.0x as fast as 2 here (--threads 2 for torch's own choice)"
    )
    assert str(found[2]) == told


def test_the_number_is_that_of_all_steps_and_schedulers(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, {1: 1.0, 2: 1.4})
    chosen(pipeline)
    assert chosen(pipeline_of(pipeline.pipe, steps=9, height=64, width=64, prompts=WORDS, seed=3)).remembered


@pytest.mark.parametrize("broken", ["", "[]", '{"threads": "many", "seconds": {}, "key": {"model": "m"}}'])
def test_a_file_that_cannot_be_read_is_found_anew(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    _times(monkeypatch, {1: 1.0, 2: 1.4}, {1: 1.0, 2: 0.5})
    chosen(pipeline)
    (kept,) = thread_choice.folder().iterdir()
    kept.write_text(broken)
    assert remembered() == []
    assert chosen(pipeline).threads == 2 and json.loads(kept.read_text())["threads"] == 2


def test_a_cache_that_cannot_be_written_is_told_and_fails_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _times(monkeypatch, {1: 1.0, 2: 1.4})
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(thread_choice, "folder", lambda: tmp_path / "file" / "threads")
    assert chosen(pipeline).threads == 1
    assert "The number of threads is not kept for later" in caplog.text


def test_of_one_thread_there_is_nothing_to_choose(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_choice, "own_choice", lambda: 1)
    monkeypatch.setattr(thread_choice, "timed", _never)
    assert chosen(pipeline) == Choice(1, 1)


def _with(pipeline: Pipeline, asked: int | str | None) -> int:
    with threads_set(asked, pipeline):
        return torch.get_num_threads()


def test_auto_takes_the_fastest_says_so_and_gives_the_own_number_back(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _times(monkeypatch, {1: 1.0, 2: 1.4})
    assert _with(pipeline, "auto") == 1 and torch.get_num_threads() == 2
    assert caplog.messages == ["1 of 2 CPU threads: 1.4x as fast as 2 here (--threads 2 for torch's own choice)."]


@pytest.mark.parametrize("name", VARIABLES)
def test_what_a_variable_says_is_not_looked_for(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "2")
    monkeypatch.setattr(thread_choice, "timed", _never)
    assert _with(pipeline, "auto") == 2
    assert _with(pipeline, 1) == 1, "a flag says more than a variable"


def test_nothing_is_looked_for_on_a_gpu_or_where_nothing_is_asked(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_choice, "timed", _never)
    gpu = SimpleNamespace(setting=SimpleNamespace(device="cuda:0"))
    assert _with(gpu, "auto") == 2 and _with(pipeline, None) == 2  # type: ignore[arg-type]


def test_a_pipeline_that_cannot_be_called_is_left_to_its_trial(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "generate", _raises(RuntimeError("no such layer")))
    assert _with(pipeline, "auto") == 2
    assert not caplog.records and not thread_choice.folder().exists()


def _raises(error: Exception) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("number", "variable", "own", "cores", "sets"),
    [
        (1, None, 2, 2, 1),
        (2, None, 2, 2, None),
        (1, "1", 1, 2, 1),  # elsewhere the variable may be missing
        (2, "1", 1, 2, 2),  # here the variable says another number
        (1, "1", 1, 1, None),
    ],
)
def test_a_script_sets_what_torch_would_not_choose_itself(
    number: int, variable: str | None, own: int, cores: int, sets: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(threads, "own_choice", lambda: own)
    monkeypatch.setattr(threads, "physical_cores", lambda: cores)
    with using_threads(number):
        here = environment("cpu")
    assert here["threads"] == str(number) and for_script(here) == sets
    assert for_script({**here, "device": "cuda"}) is None and for_script({}) is None


def test_trials_of_other_threads_are_not_compared() -> None:
    with using_threads(1):
        one = environment("cpu")
    two = environment("cpu")
    assert one["torch_threads"] == "2" and "torch_threads" not in two
    assert environment_key(one) != environment_key(two)
    assert environment_key({**two, "torch_threads": "4"}) == environment_key(two)


def test_the_doctor_tells_the_threads(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "own_choice", lambda: 2)
    assert checks._threads() == "torch's own choice on the CPU is 2; commands take what is fastest, or --threads"
    _times(monkeypatch, {1: 1.0, 2: 1.4})
    chosen(pipeline)
    assert checks._threads().endswith(f"found before, in {thread_choice.folder()}: 1 for {pipeline.setting.model}")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert checks._threads() == "2 on the CPU, as OMP_NUM_THREADS or MKL_NUM_THREADS says"
