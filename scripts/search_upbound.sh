#!/usr/bin/env bash
# The original's searches for upper bounds: the loops, variables and exit codes are those of traversal_search.sh.
SPEEDUPS=upbound_speedup exec bash "$(dirname "${BASH_SOURCE[0]}")/traversal_search.sh" "$@"
