"""Heatmaps: Grad-CAM by hand, and that the place of the evidence lights up."""

import pytest
import torch

from xrdatasets.models import Classifier, InputSpec, Mini, Network
from xrdatasets.models.heatmaps import grad_cam


def network(outputs=2):
    torch.manual_seed(0)
    return Network(Mini(width=2), outputs).eval()


def images(count=2, rows=32, columns=24):
    return 1024 * (2 * torch.rand(count, 1, rows, columns, generator=torch.Generator().manual_seed(1)) - 1)


def test_it_is_the_equation_of_the_paper():
    net, batch = network(), images()
    maps = net.maps(batch).detach()
    weight = net.head.weight[1].double()
    means, maxima = weight.chunk(2)
    # by hand: the mean's gradient is w / (h w) everywhere, the maximum's is w at its place
    cells = maps.shape[2] * maps.shape[3]
    alpha = (means + maxima) / cells
    heat = (alpha.reshape(1, -1, 1, 1) * maps.double()).sum(1, keepdim=True).relu()
    heat = torch.nn.functional.interpolate(heat, (32, 24), mode="bilinear")[:, 0]
    wanted = heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-30)
    torch.testing.assert_close(grad_cam(net, batch, 1).double(), wanted, rtol=1e-4, atol=1e-5)


def test_the_place_of_the_evidence_lights_up():
    net, batch = network(1), torch.full((1, 1, 64, 64), -1024.0)
    batch[..., 8:24, 40:56] = 1024
    with torch.no_grad():  # a map speaks for the finding as far as it answers to the square
        maps = net.maps(batch)[0]
        net.head.weight.zero_()
        net.head.weight[0, :16] = maps[:, 2, 6] - maps[:, 6, 2]
    row, column = divmod(int(grad_cam(net, batch, 0)[0].argmax()), 64)
    assert 4 <= row < 28
    assert 36 <= column < 60


def test_nothing_that_speaks_for_it_is_all_zero():
    net = network(1)
    with torch.no_grad():
        net.head.weight.fill_(-1.0)
    heat = grad_cam(net, images(), 0)
    assert heat.isfinite().all()
    assert not heat.any()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_callers_mode_does_not_matter(mode):
    net, batch = network(), images()
    wanted = grad_cam(net, batch, 0)
    with mode():
        heat = grad_cam(net, images(), 0)
    torch.testing.assert_close(heat, wanted)
    assert not heat.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_classifier_takes_synonyms_and_refuses_what_was_not_trained():
    model = Classifier(network(), ["Effusion", "Nodule"], inputs=InputSpec(size=32), trained=["Effusion"])
    heat = model.heatmap(images(3, 32, 32), "pleural effusion")
    assert heat.shape == (3, 32, 32)
    assert (heat.amax((1, 2)) - 1).abs().max() < 1e-6
    with pytest.raises(ValueError, match="the output of 'Nodule' was not trained"):
        model.heatmap(images(1, 32, 32), "Nodule")
    with pytest.raises(LookupError, match="'Hernia' is not in the space"):
        model.heatmap(images(1, 32, 32), "Hernia")
