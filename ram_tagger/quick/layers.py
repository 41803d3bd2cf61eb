"""The two layers that both networks are made of, on mapped weights."""

from __future__ import annotations

from dataclasses import dataclass

from photoindex.tagger import Floats
from ram_tagger.quick.arithmetic import layer_norm
from ram_tagger.quick.tensors import MappedTensors


@dataclass(frozen=True, slots=True)
class Linear:
    """weight: (outputs, inputs); bias: (outputs,)."""

    weight: Floats
    bias: Floats

    @classmethod
    def of(cls, tensors: MappedTensors, name: str, inputs: int, outputs: int) -> Linear:
        """Raises CheckpointError."""
        weight = tensors.floats(f"{name}.weight", outputs, inputs)
        return cls(weight, tensors.floats(f"{name}.bias", outputs))

    def __call__(self, x: Floats) -> Floats:
        """(…, inputs) to (…, outputs)."""
        y: Floats = x @ self.weight.T
        y += self.bias
        return y


@dataclass(frozen=True, slots=True)
class Norm:
    """weight, bias: (width,)."""

    weight: Floats
    bias: Floats
    epsilon: float

    @classmethod
    def of(cls, tensors: MappedTensors, name: str, width: int, epsilon: float) -> Norm:
        """Raises CheckpointError."""
        weight = tensors.floats(f"{name}.weight", width)
        return cls(weight, tensors.floats(f"{name}.bias", width), epsilon)

    def __call__(self, x: Floats) -> Floats:
        """(…, width), the same shape."""
        return layer_norm(x, self.weight, self.bias, self.epsilon)
