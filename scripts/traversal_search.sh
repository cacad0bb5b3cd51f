#!/usr/bin/env bash
# The original's searches for targets, one after the other; a failure does not stop the rest. See docs/howto/original.md.
#
#   PIPES="SD1.5" STEPS="20 50" SPEEDUPS="2.0 2.5" scripts/traversal_search.sh --num_samples 32
#
# Each list is separated by blanks and set by the variable of its name; arguments go to every search.
# Ends with 0 when each search was answered, infeasible and undecided included, 1 when one failed, 130 on Ctrl-C.
set -uf
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

: "${PYTHON:=python3}"
: "${PIPES:=SD1.5 SDXL}"
: "${SCHEDS:=DDIM DPM-Solver++ UniPCMultistepScheduler}"
: "${STEPS:=20 25 50}"
: "${TARGETS:=deepcache tgate tome deepcache,tome deepcache,tgate}"
: "${SPEEDUPS:=4.0 5.0 6.0 7.0 8.0 9.0}"

failed=0
search() {
    echo "== $*" >&2
    "$PYTHON" "$here/traversal_search.py" "$@"
    case $? in
        0 | 3 | 4) ;;
        130) exit 130 ;;
        *) failed=1 && echo "== failed: $*" >&2 ;;
    esac
}

for pipe in $PIPES; do
    for sched in $SCHEDS; do
        for steps in $STEPS; do
            for targets in $TARGETS; do
                for speedup in $SPEEDUPS; do
                    search --pipe "$pipe" --sched "$sched" --steps "$steps" --search_targets "$targets" \
                        --req_speedup "$speedup" "$@"
                done
            done
        done
    done
done
exit $failed
