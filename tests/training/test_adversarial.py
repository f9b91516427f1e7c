"""Adversarial training: the worked values, reversal against two optimisers, batched against single layers."""

import math

import pytest
import torch
from torch import nn

from xrdatasets.training import (
    HolisticDiscriminator,
    TaskDiscriminators,
    discriminator_loss,
    frozen,
    gradient_reversal,
    task_adversarial_loss,
)

INTERNAL = torch.tensor([True, True, False, False])


def logit(values):
    return torch.logit(torch.tensor(values, dtype=torch.float64))


class TestLoss:
    def test_l3_the_worked_value(self):
        scores = logit([[0.7, 0.5], [0.6, 0.5], [0.4, 0.5], [0.2, 0.5]])
        assert task_adversarial_loss(scores, INTERNAL).item() == pytest.approx(-2.1870292325, abs=5e-10)
        first, second = (task_adversarial_loss(scores[:, [c]], INTERNAL).item() for c in (0, 1))
        assert first == pytest.approx(-0.8007348714, abs=5e-10)
        assert second == pytest.approx(-2 * math.log(2), abs=1e-12)
        assert 0.03 * (first + second) == pytest.approx(-0.0656108770, abs=5e-10)
        assert discriminator_loss(scores, INTERNAL).item() == pytest.approx(2.1870292325, abs=5e-10)

    def test_l4_gradients_of_a_linear_discriminator(self):
        weight = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
        features = torch.tensor([[0.2, 0.1], [0.4, -0.3], [-0.1, 0.3], [0.5, 0.5]], dtype=torch.float64)
        features.requires_grad_()
        scores = (features @ weight + 0.5).unsqueeze(1)
        torch.testing.assert_close(
            scores.sigmoid().squeeze(1).detach(),
            torch.tensor([0.6224593312, 0.8175744762, 0.4501660027, 0.5], dtype=torch.float64),
            rtol=0,
            atol=5e-10,
        )
        task_adversarial_loss(scores, INTERNAL).backward()
        wanted = [
            [0.1887703344, -0.3775406688],
            [0.0912127619, -0.1824255238],
            [-0.2250830013, 0.4501660027],
            [-0.25, 0.5],
        ]
        assert features.grad.tolist() == [pytest.approx(row, abs=5e-10) for row in wanted]
        assert weight.grad.tolist() == pytest.approx([-0.0282525282, -0.2010116955], abs=5e-10)

    def test_l4_reversal_gives_lambda_times_the_gradient(self):
        features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(3, 2, dtype=torch.float64)
        task_adversarial_loss(features @ weight, INTERNAL).backward()
        direct = features.grad.clone()
        features.grad = None
        discriminator_loss(gradient_reversal(features, 0.03) @ weight, INTERNAL).backward()
        torch.testing.assert_close(features.grad, 0.03 * direct, rtol=1e-12, atol=0)

    @pytest.mark.parametrize("internal", [[True] * 4, [False] * 4], ids=["internal", "external"])
    def test_a_domain_without_images_adds_nothing(self, internal):
        scores = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
        sign = -1 if internal[0] else 1
        wanted = nn.functional.softplus(sign * scores.detach()).mean(0).sum()
        loss = discriminator_loss(scores, torch.tensor(internal))
        loss.backward()
        torch.testing.assert_close(loss.detach(), wanted)
        assert scores.grad.isfinite().all()

    def test_an_empty_batch_costs_nothing(self):
        assert discriminator_loss(torch.zeros(0, 2), torch.zeros(0, dtype=torch.bool)) == 0

    def test_it_is_stable_far_from_chance(self):
        scores = torch.tensor([[-800.0], [800.0]], requires_grad=True)
        loss = discriminator_loss(scores, torch.tensor([True, False]))
        loss.backward()
        assert loss.item() == 1600
        assert scores.grad.flatten().tolist() == [-1.0, 1.0]

    def test_gradcheck(self):
        scores = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda s: task_adversarial_loss(s, INTERNAL), scores)

    def test_half_precision_is_summed_in_float32(self):
        scores = torch.randn(4, 2).bfloat16()
        loss = discriminator_loss(scores, INTERNAL)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, discriminator_loss(scores.float(), INTERNAL))

    @pytest.mark.parametrize(
        ("scores", "internal", "name"),
        [
            (torch.zeros(4), INTERNAL, "scores"),
            (torch.zeros(4, 2, dtype=torch.int64), INTERNAL, "scores"),
            (torch.zeros(4, 2), INTERNAL.float(), "internal"),
            (torch.zeros(3, 2), INTERNAL, "internal"),
        ],
    )
    def test_wrong_arguments_are_named(self, scores, internal, name):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            task_adversarial_loss(scores, internal)


class TestDiscriminators:
    def test_l11_seven_of_width_128(self):
        model = TaskDiscriminators(7, 128)
        assert sum(parameter.numel() for parameter in model.parameters()) == 232_071

    def test_they_are_so_many_separate_ones(self):
        torch.manual_seed(0)
        model = TaskDiscriminators(3, 4, width=5).double()
        features = torch.randn(6, 3, 4, dtype=torch.float64)
        for finding in range(3):
            layers = []
            for weight, bias in zip(model.weights, model.biases, strict=True):
                layer = nn.Linear(weight.shape[1], weight.shape[2]).double()
                layer.weight.data, layer.bias.data = weight[finding].T.clone(), bias[finding].clone()
                layers += [layer, nn.LeakyReLU(0.2)]
            alone = nn.Sequential(*layers[:-1])
            torch.testing.assert_close(model(features)[:, finding], alone(features[:, finding]).squeeze(1))

    def test_the_holistic_one_reads_the_whole_vector(self):
        model = HolisticDiscriminator(6, width=4)
        assert model(torch.zeros(5, 6)).shape == (5, 1)
        with pytest.raises(ValueError, match=r"features: expected the shape \(B, 1, 6\), got \(5, 1, 7\)"):
            model(torch.zeros(5, 7))

    def test_it_learns_to_tell_domains_apart(self):
        torch.manual_seed(0)
        model, features = TaskDiscriminators(2, 3), torch.randn(64, 2, 3)
        internal = torch.arange(64) < 32
        features[:32, 0] += 2.0  # the first finding's features tell, the second's do not
        optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
        for _ in range(60):
            loss = discriminator_loss(model(features), internal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        right = (model(features) > 0) == internal.unsqueeze(1)
        assert right[:, 0].float().mean() > 0.9
        assert right[:, 0].float().mean() > right[:, 1].float().mean()

    def test_autocast(self):
        model = TaskDiscriminators(2, 4)
        with torch.autocast("cpu", torch.bfloat16):
            loss = discriminator_loss(model(torch.randn(4, 2, 4)), INTERNAL)
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_a_gpu_gives_what_the_processor_gives(self):
        model, features = TaskDiscriminators(2, 4), torch.randn(4, 2, 4)
        wanted = discriminator_loss(model(features), INTERNAL)
        found = discriminator_loss(model.cuda()(features.cuda()), INTERNAL.cuda())
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("arguments", [(0, 4), (2, 0), (2, 1.5), (True, 4)])
    def test_wrong_numbers_are_named(self, arguments):
        with pytest.raises(ValueError, match="expected a whole number of at least 1"):
            TaskDiscriminators(*arguments)
        with pytest.raises(ValueError, match="width: expected a whole number"):
            TaskDiscriminators(2, 4, width=0)

    @pytest.mark.parametrize("shape", [(5, 3, 4), (5, 2, 3), (5, 8)])
    def test_other_features_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"features: expected the shape \(B, 2, 4\)"):
            TaskDiscriminators(2, 4)(torch.zeros(shape))


def test_frozen_parameters_gain_nothing_and_come_back():
    model = TaskDiscriminators(2, 4)
    model.biases[0].requires_grad_(False)
    features = torch.randn(4, 2, 4, requires_grad=True)
    with frozen(model):
        task_adversarial_loss(model(features), INTERNAL).backward()
    assert features.grad.any()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()].count(False) == 1


@pytest.mark.parametrize("strength", [-1, math.nan, math.inf, "1"])
def test_a_reversal_needs_a_strength(strength):
    with pytest.raises(ValueError, match="strength: expected"):
        gradient_reversal(torch.ones(1), strength)
