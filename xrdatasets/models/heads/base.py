"""Models, step 2: what every head is: one vector of an image to what is said of each finding."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

__all__ = ["Head", "check_count"]


class Head(nn.Module):
    """Base of the last layers.

    `forward` gives what the head's loss is computed on; `logits` and `probabilities` read one number for each
    finding from that.

    Args:
        in_features: length F of an image's vector.
        outputs: number L of findings.

    Attributes:
        kind: under which `xrdatasets.models.head` makes it.
        in_features: as given.
        outputs: as given.

    Raises:
        ValueError: a number is no whole number of at least 1.
    """

    kind: ClassVar[str]

    def __init__(self, in_features: int, outputs: int) -> None:
        super().__init__()
        check_count("in_features", in_features, least=1)
        check_count("outputs", outputs, least=1)
        self.in_features, self.outputs = in_features, outputs

    def logits(self, output: Any) -> Tensor:
        """Log-odds of each finding: their sigmoid is `probabilities`.

        Args:
            output: what `forward` gave.

        Returns:
            (B, L).
        """
        return output  # type: ignore[no-any-return]

    def probabilities(self, output: Any) -> Tensor:
        """Probability of each finding.

        Args:
            output: what `forward` gave.

        Returns:
            (B, L) in [0, 1].
        """
        return torch.sigmoid(self.logits(output))

    def config(self) -> dict[str, Any]:
        """The arguments of `xrdatasets.models.head` that make the same head, fit for JSON."""
        return {"kind": self.kind, "in_features": self.in_features, "outputs": self.outputs}


def check_count(name: str, value: object, *, least: int) -> None:
    """Refuse what is no whole number, or too small.

    Args:
        name: of the argument, for the message.
        value: what the caller passed.
        least: the smallest that is fine.

    Raises:
        ValueError: it is either.

    Example:
        >>> check_count("epochs", 3, least=1)
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = f"{name}: expected a whole number of at least {least}, got {value!r}."
        raise ValueError(msg)
