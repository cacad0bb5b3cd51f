"""The original's tasks: speedup_bounds.json to tasks.json, at 0.8, 0.9 and 0.95; see docs/howto/original.md."""

import sys

from hasten.cli import main

if __name__ == "__main__":
    if not {"--bounds", "--params"} & {word.partition("=")[0] for word in sys.argv}:
        sys.argv[1:1] = ["--bounds", "speedup_bounds.json"]
    sys.argv[1:1] = ["tasks", "--plain", "--out", "tasks.json"]
    main()
