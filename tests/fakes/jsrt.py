"""JSRT: two nodules and two without, of each one as released and one as a PNG that others made of it."""

from pathlib import Path

import numpy as np

from tests import fakes

SIDE = 2048
NODULES = (
    "JPCLN001.IMG\t5\t15\t53\tmale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer\t",
    "JPCLN002.IMG\t3\t35\t?\tfemale\t100\t1090\tbenign\tr.upper lobe(S5)\t\tpulmonary hematoma",
)
OTHERS = (
    "JPCNN001.IMG   21  female   non-nodule",
    "JPCNN002.IMG   34  male   non-nodule",
)
IMAGES = len(NODULES) + len(OTHERS)


def write_raw(path: Path, *, side: int = SIDE) -> Path:
    """A film as it is stored: dark (high) in the middle, bright at the edge, 12 bits, big-endian."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.minimum(np.arange(side), np.arange(side)[::-1])
    values = np.minimum(ramp[:, None], ramp[None, :]) * (4095 // ramp.max())
    values.astype(">u2").tofile(path)
    return path


def write(root: Path) -> Path:
    info = root / "Clinical_Information"
    info.mkdir(parents=True)
    (info / "CLNDAT_EN.txt").write_bytes("\r".join((*NODULES, "", "")).encode())
    (info / "CNNDAT_EN.TXT").write_bytes("\r".join((*OTHERS, "")).encode())
    for number, name in enumerate(("JPCLN001", "JPCNN002")):
        fakes.write_image(root / "All247images" / f"{name}.png", size=(64, 64), seed=number)
    for name in ("JPCLN002", "JPCNN001"):
        write_raw(root / "All247images" / f"{name}.IMG")
    return root
