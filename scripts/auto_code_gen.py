"""The original's scripts: tasks.json and search_params.json to generated/scripts. See docs/howto/original.md.

Parameters and figures are those of search_params.json, and nothing is measured. With --measure they are measured
and verified here, and what the file does not answer is searched for, unless it is out of reach of the bounds in
speedup_bounds.json. Other flags are those of `hasten generate`.
"""

import sys
from pathlib import Path

from hasten.cli import main

if __name__ == "__main__":
    words = ["generate", "tasks.json", "--params", "search_params.json", "--out", "generated"]
    if Path("speedup_bounds.json").exists():
        words += ["--bounds", "speedup_bounds.json"]
    if "--measure" not in sys.argv:
        words.append("--as-is")
    sys.argv[1:] = [*words, *(word for word in sys.argv[1:] if word != "--measure")]
    main()
