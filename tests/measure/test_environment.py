"""What a trial's figures depend on."""

from __future__ import annotations

import subprocess
import sys

import torch

from hasten.measure.environment import environment, environment_key


def test_names_hardware_and_libraries() -> None:
    found = environment("cpu", "float32")
    assert found["torch"] == torch.__version__
    assert found["threads"] == str(torch.get_num_threads())
    assert found["dtype"] == "float32"
    assert all(found[name] for name in ("cpu", "cores", "diffusers", "transformers", "python", "hasten", "os"))
    assert "gpu" not in found


def test_key_tells_environments_apart() -> None:
    found = environment("cpu")
    for name in ("cpu", "threads", "torch", "diffusers"):
        assert environment_key({**found, name: "another"}) != environment_key(found)
    assert environment_key({**found, "os": "another"}) == environment_key(found)
    assert environment_key(dict(reversed(found.items()))) == environment_key(found)


def test_importing_the_bench_imports_no_torch() -> None:
    check = (
        "import sys, hasten.measure.bench, hasten.metrics, hasten.models\n"
        "sys.exit(str({'torch', 'diffusers', 'transformers'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
