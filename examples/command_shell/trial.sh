#!/bin/sh
# Some steps of figure 2's toy, in awk: sh trial.sh H0 H1 STEPS SAVE [RESTORE]
#
# Ascends h0·θ0² + h1·θ1² below 1.2 at rate 0.01, from θ = (0.9, 0.9) or from the file in RESTORE;
# writes θ to a file in SAVE, and prints q = 1.2 − θ0² − θ1².
set -eu

if [ $# -ge 5 ]; then
    read -r theta0 theta1 <"$5/theta"
else
    theta0=0.9 theta1=0.9
fi

awk -v h0="$1" -v h1="$2" -v steps="$3" -v t0="$theta0" -v t1="$theta1" 'BEGIN {
    for (i = 0; i < steps; i++) {
        t0 -= 0.01 * 2 * h0 * t0
        t1 -= 0.01 * 2 * h1 * t1
    }
    printf "%.17g %.17g\n", t0, t1
}' >"$4/theta"

awk '{ printf "{\"q\": %.17g}\n", 1.2 - $1 * $1 - $2 * $2 }' "$4/theta"
