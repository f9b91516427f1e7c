import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Tensors this small are slower on several threads, and far slower where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def draw():
    """A generator of a given seed."""
    return lambda seed=0: torch.Generator().manual_seed(seed)


@pytest.fixture
def noise():
    """Images without any symmetry, over the whole range of an intensity."""

    def make(batch=3, height=20, width=30, intensity="xrv", seed=0):
        images = torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(seed))
        return images * 2048 - 1024 if intensity == "xrv" else images

    return make
