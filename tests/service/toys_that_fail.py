"""A trainable that workers import and that never gets anywhere."""

from __future__ import annotations

from toys import Toy


class Failing(Toy):
    def train(self, steps: int) -> None:
        raise ValueError(f"out of luck at {self.hparams['lr']}")
