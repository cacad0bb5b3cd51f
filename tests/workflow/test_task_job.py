"""When an answer that a batch's folder keeps is taken, and when it is found anew."""

from __future__ import annotations

import os
from pathlib import Path

from hasten.task import Task
from hasten.workflow.place import Place
from hasten.workflow.task_job import _key


def test_an_answer_is_found_anew_when_the_files_that_it_came_from_have_changed(tmp_path: Path) -> None:
    """A model that was trained on lies in the same folder; prompts are edited in their file."""
    weights, prompts = tmp_path / "model" / "unet" / "weights.safetensors", tmp_path / "prompts.txt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    prompts.write_text("a cat\na dog\n")
    task = Task(model=str(tmp_path / "model"), scheduler="DDIM", steps=4).model_dump_json()

    def key() -> str:
        return _key(task, {}, Place(device="cpu", prompts=str(prompts)), None, "")

    keys = [key(), key()]
    weights.write_bytes(b"two")
    os.utime(weights, ns=(1, 1))
    keys += [key(), key()]
    prompts.write_text("a cat\na bird\n")
    keys += [key(), key()]
    assert keys[::2] == keys[1::2] and len(set(keys)) == 3
