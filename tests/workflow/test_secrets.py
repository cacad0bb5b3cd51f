"""The password of a database stands in nothing that is written or shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.support.examples import ENVIRONMENT, answer_of, model_of, plan_of, setting_of, trial_of

from hasten.cli.app import _command
from hasten.errors import InputError
from hasten.files import save_json
from hasten.report import ReportImages
from hasten.workflow.delivery import Delivery, command_of
from hasten.workflow.folder import Context, conclude, keep, rewrite_report

SECRET = "geheim"
STORAGE = f"postgresql://me:{SECRET}@host/db"
SENTENCE = f"Make https://{SECRET}@host/model 2x faster"


def everything_in(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def test_no_file_of_an_answer_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script's "Made by", context.json, report.html."""
    monkeypatch.setattr(sys, "argv", ["hasten", "run", SENTENCE, "--storage", STORAGE])
    delivery = Delivery(tmp_path, "hasten", _command(), request=SENTENCE)
    plan, model = plan_of("deepcache"), model_of("emoji-sd")
    answer = answer_of(plan)
    script = delivery.script(answer, setting_of(model), model, ENVIRONMENT)
    context = Context(setting_of(model), ENVIRONMENT, delivery.command, delivery.request)
    keep(tmp_path, (trial_of(plan),), context, ReportImages())
    conclude(tmp_path, answer.model_copy(update={"script": str(script)}))
    assert SECRET not in everything_in(tmp_path)
    assert "postgresql://me:***@host/db" in script.read_text(encoding="utf-8")


def test_a_command_that_a_program_gives_is_no_exception(tmp_path: Path) -> None:
    delivery = Delivery(tmp_path, "hasten", f"my-tool --db {STORAGE}", request=SENTENCE)
    assert SECRET not in f"{delivery.command} {delivery.request} {command_of(SENTENCE)}"


def test_a_report_of_before_is_written_anew_without_it(tmp_path: Path) -> None:
    plan, model = plan_of("deepcache"), model_of("emoji-sd")
    keep(tmp_path, (trial_of(plan),), Context(setting_of(model), ENVIRONMENT, "", None), ReportImages())
    conclude(tmp_path, answer_of(plan))
    context = json.loads((tmp_path / "context.json").read_text())
    save_json({**context, "command": f"hasten run --storage {STORAGE}"}, tmp_path / "context.json")
    rewrite_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert SECRET not in page and "postgresql://me:***@host/db" in page


def test_no_error_tells_it() -> None:
    assert SECRET not in str(InputError(f"{STORAGE} cannot be reached: connection to {STORAGE} failed"))
