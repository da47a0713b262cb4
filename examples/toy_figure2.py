"""Figure 2 of the PBT paper: two members, neither of which can succeed alone.

Maximise q = 1.2 − θ0² − θ1², but train on a surrogate that sees only h0·θ0² + h1·θ1². With
h = (1, 0) or (0, 1), fixed, each member gets stuck at 0.39. By inheriting weights and exploring h,
the population comes near 1.2 (Jaderberg et al. 2017, arXiv 1711.09846, figure 2).
"""

import json
from pathlib import Path

import heredity as hd

RATE = 0.01


class Toy(hd.Trainable):
    def setup(self, hparams, seed):
        self.theta = [0.9, 0.9]

    def train(self, steps):
        h = (self.hparams["h0"], self.hparams["h1"])
        for _ in range(steps):
            self.theta = [t - RATE * 2 * hi * t for t, hi in zip(self.theta, h, strict=True)]

    def evaluate(self):
        return 1.2 - sum(t * t for t in self.theta)

    def save(self, directory):
        Path(directory, "theta.json").write_text(json.dumps(self.theta))

    def load(self, directory):
        self.theta = json.loads(Path(directory, "theta.json").read_text())


def study(name, algorithm, storage="runs"):
    """Two members, ready to exploit every 10 of 200 steps; h moves by ±0.2 within [0, 1]."""
    move = hd.Shift(0.2)
    return hd.Study(
        Toy,
        hd.Space(h0=hd.Uniform(0, 1, move=move), h1=hd.Uniform(0, 1, move=move)),
        objective=hd.maximize("q"),
        population=2,
        interval=10,
        budget=hd.Steps(200),
        algorithm=algorithm,
        initial=[{"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0}],
        name=name,
        storage=storage,
        final_evaluations=0,
    )


def main(storage="runs"):
    """Run the four panels of the figure; returns the best q of each."""
    panels = {
        "grid-search": hd.PBT(exploit=None, explore=None, mode="sync"),
        "exploit-only": hd.PBT(explore=None, copy="weights", mode="sync"),
        "explore-only": hd.PBT(copy="hparams", mode="sync"),
        "pbt": hd.PBT(mode="sync"),
    }
    scores = {}
    for panel, algorithm in panels.items():
        result = study(f"figure2-{panel}", algorithm, storage).run(hd.Inline(), live="off")
        scores[panel] = result.best.score
        print(f"{panel:>12}: best q = {result.best.score:.3f} of 1.2")
    return scores


if __name__ == "__main__":
    main()
