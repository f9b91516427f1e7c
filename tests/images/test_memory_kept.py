"""The C library keeps the memory of one image for the next."""

import platform
import subprocess
import sys

import pytest

CODE = """
import io, resource
import numpy as np
from PIL import Image
from xrdatasets.images import read_image
file = io.BytesIO()
Image.fromarray(np.random.default_rng(0).integers(0, 65_536, (1500, 1500), np.uint16)).save(file, "PNG")
for _ in range(3):
    read_image(file.getvalue())
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    read_image(file.getvalue())
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they do")
def test_the_next_image_takes_the_memory_of_the_last():
    """Ten images of 4.5 MB would be some 11,000 pages asked for anew."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000
