"""Contestant: a population in hand-written `torch.func`.

Stacked parameters, `vmap` of `grad` of a functional call, SGD with momentum in place, the digits
resident on the device and every member's batch drawn there, with replacement; truncation and
perturbation on the device as well, so the host is never waited for. Nothing is saved.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from digits import BATCH_SIZE, LR, MOMENTUM, build, read_digits
from population import FACTORS, FRACTION, Figures, Work, answer, resident_bytes, timed, told
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy

BOUNDS = {"lr": LR, "momentum": MOMENTUM}


class Population:
    """Everything of the population, stacked, on the device."""

    def __init__(self, work: Work, device: torch.device) -> None:
        digits = read_digits(work.data)
        self.inputs, self.labels = digits.inputs.to(device), digits.labels.to(device)
        self.held = digits.held_inputs.to(device), digits.held_labels.to(device)
        self.members, self.interval, self.device = work.members, work.interval, device
        models = [build(0.1, 0.9)[0] for _ in range(work.members)]
        self.model = models[0].to("meta")
        stacked = stack_module_state([*models[1:], build(0.1, 0.9)[0]])[0]
        self.weights = {name: array.detach().to(device) for name, array in stacked.items()}
        self.momenta = {name: torch.zeros_like(array) for name, array in self.weights.items()}
        low, high = (torch.tensor(bound).log() for bound in LR)
        self.hparams = {
            "lr": torch.empty(work.members, device=device).uniform_(low, high).exp_(),
            "momentum": torch.empty(work.members, device=device).uniform_(*MOMENTUM),
        }
        self.slopes = vmap(grad(self.loss))

    def loss(self, weights: Any, inputs: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(functional_call(self.model, weights, (inputs,)), labels)

    def step(self) -> None:
        shape = (self.members, BATCH_SIZE)
        places = torch.randint(len(self.labels), shape, device=self.device)
        slopes = self.slopes(self.weights, self.inputs[places], self.labels[places])
        for name, array in self.weights.items():
            lr, momentum = (
                self.hparams[h].view(-1, *[1] * (array.ndim - 1)) for h in ("lr", "momentum")
            )
            array.sub_(lr * self.momenta[name].mul_(momentum).add_(slopes[name]))

    def evaluate(self) -> Tensor:
        inputs, labels = self.held
        found = vmap(lambda w: functional_call(self.model, w, (inputs,)))(self.weights)
        return (found.argmax(dim=2) == labels).float().mean(dim=1)

    def take_over(self) -> None:
        count = max(1, int(FRACTION * self.members))
        order = self.scores.argsort(descending=True)
        drawn = torch.randint(count, (count,), device=self.device)
        losers, donors = order[-count:], order[drawn]
        for array in (*self.weights.values(), *self.momenta.values()):
            array[losers] = array[donors]
        factors = torch.tensor(FACTORS, device=self.device)
        for name, values in self.hparams.items():
            turns = factors[torch.randint(2, (count,), device=self.device)]
            values[losers] = (values[donors] * turns).clamp_(*BOUNDS[name])

    def rounds(self, count: int) -> None:
        for _ in range(count):
            for _ in range(self.interval):
                self.step()
            self.scores = self.evaluate()
            if self.members > 1:
                self.take_over()
        self.scores.cpu()


def device_of(work: Work) -> torch.device:
    return torch.device("cuda" if work.device == "gpu" else "cpu")


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


class Memory:
    """How much memory was taken at most since this was made: by PyTorch's allocator on a GPU; on
    the CPU it is how much larger than ever the process became."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.before = device, resident_bytes()

    @property
    def peak_bytes(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resident_bytes() - self.before


@torch.no_grad()
def main() -> None:
    work = told()
    torch.manual_seed(work.seed)
    device = device_of(work)
    memory, began = Memory(device), time.perf_counter()
    population = Population(work, device)
    population.rounds(1)
    first_round_s = time.perf_counter() - began
    rounds, seconds = timed(population.rounds, work.seconds)
    answer(
        Figures(
            rounds=rounds,
            seconds=seconds,
            first_round_s=first_round_s,
            accuracy=float(population.scores.max()),
            peak_bytes=memory.peak_bytes,
            idle_s=None,
            device=device_name(device),
            versions={"torch": str(torch.__version__)},
        )
    )


if __name__ == "__main__":
    main()
