"""Figure 2 of the PBT paper with trials in the shell: no Python, no library, only files.

Two members, neither of which can succeed alone: with h = (1, 0) or (0, 1), fixed, each gets stuck
at q = 0.39. By inheriting weights and exploring h, the population comes near 1.2 (Jaderberg et al.
2017, arXiv 1711.09846, figure 2). The score is the JSON line that `trial.sh` prints.

    python examples/command_shell/study.py
"""

from pathlib import Path

import heredity as hd


def study(name, algorithm, storage="runs"):
    """Two members, ready to exploit every 10 of 200 steps; h moves by ±0.2 within [0, 1]."""
    move = hd.Shift(0.2)
    return hd.Study(
        hd.Command("sh trial.sh {h0} {h1} {steps} {save} [{restore}]", cwd=Path(__file__).parent),
        hd.Space(h0=hd.Uniform(0, 1, move=move), h1=hd.Uniform(0, 1, move=move)),
        objective=hd.maximize("q"),
        population=2,
        interval=10,
        budget=hd.Steps(200),
        algorithm=algorithm,
        initial=[{"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0}],
        name=name,
        storage=storage,
    )


def main():
    panels = {
        "shell-alone": hd.PBT(exploit=None, explore=None, mode="sync"),
        "shell-pbt": hd.PBT(mode="sync"),
    }
    for name, algorithm in panels.items():
        result = study(name, algorithm).run(hd.Processes(2))
        print(f"{name:>12}: best q = {result.best.score:.3f} of 1.2")


if __name__ == "__main__":
    main()
