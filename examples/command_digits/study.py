"""Evolve the hyperparameters of a training script that knows nothing of it.

`train.py` is told what to do by its flags, and its scores are read from what it prints.

    python examples/command_digits/study.py
"""

from pathlib import Path

import heredity as hd

train = hd.Command(
    "{python} train.py --lr {lr} --momentum {momentum} --epochs {stop} --seed {seed} "
    "--out {save} [--resume {restore}/last.npz]",
    metrics={
        "accuracy": "val accuracy ([0-9.]+)",
        "test_accuracy": "test accuracy ([0-9.]+)",
    },
    step="epoch ([0-9]+)",
    cwd=Path(__file__).parent,
)

study = hd.Study(
    train,
    hd.Space(lr=hd.LogUniform(1e-4, 1.0), momentum=hd.Uniform(0.0, 0.99)),
    objective=hd.maximize("accuracy"),
    population=6,
    interval=2,
    budget=hd.Steps(8),
    name="command-digits",
    storage="runs",
    seed=0,
)

if __name__ == "__main__":
    result = study.run()
    best = result.best
    print(f"validation accuracy {best.score:.3f}, held-out {best.metrics['test_accuracy']:.3f}")
    print(result.schedule())
    print(f"go on with: --resume {best.checkpoint / 'last.npz'}")
