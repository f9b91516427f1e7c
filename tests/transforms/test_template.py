"""Templates: scores against scikit-image and numpy, and places that were planted."""

import numpy as np
import pytest
import torch
from skimage.feature import match_template as reference

from xrdatasets.transforms import CenterCrop, Compose, RandomHorizontalFlip
from xrdatasets.transforms.template import TemplateCrop, match_template, mean_template


def by_hand(image, template):
    """The definition, place by place, in float64."""
    height, width = template.shape
    rows, columns = image.shape[0] - height + 1, image.shape[1] - width + 1
    sought, scores = template - template.mean(), np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            part = image[row : row + height, column : column + width]
            part = part - part.mean()
            norm = np.sqrt((part**2).sum() * (sought**2).sum())
            scores[row, column] = (part * sought).sum() / norm if norm else 0
    return scores


def noise_of(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_planted_patch_is_found():
    """P11: with another contrast and brightness, which the score ignores."""
    image = np.random.RandomState(0).rand(12, 12)  # as the worked example is drawn
    template = torch.tensor(3 * image[2:9, 4:11] + 5)
    scores = match_template(torch.tensor(image)[None, None], template)
    assert scores.shape == (1, 6, 6)
    assert divmod(scores.argmax().item(), 6) == (2, 4)
    assert scores.max().item() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(scores[0], by_hand(image, template.numpy()), rtol=0, atol=1e-12)


def test_there_are_33_by_33_places():
    """P11, of the paper's sizes."""
    scores = match_template(noise_of(1, 1, 256, 256), noise_of(224, 224, seed=1))
    assert scores[0].numel() == 1089


@pytest.mark.parametrize(
    ("sides", "of_template"),
    [((64, 64), (48, 48)), ((40, 57), (31, 20)), ((33, 20), (33, 1)), ((20, 21), (20, 21)), ((9, 9), (1, 3))],
)
def test_scores_are_those_of_scikit_image(sides, of_template):
    images, template = noise_of(3, 1, *sides), noise_of(*of_template, seed=1)
    images[:, :, : sides[0] // 2] += 3  # a slope, as every chest X-ray has
    got = match_template(images * 2048 - 1024, template)
    for scores, image in zip(got, images, strict=True):
        np.testing.assert_allclose(scores, by_hand(image[0].numpy(), template.numpy()), rtol=0, atol=1e-11)
        np.testing.assert_allclose(scores, reference(image[0].numpy(), template.numpy()), rtol=0, atol=1e-9)


def test_a_constant_part_scores_0():
    """P11: it has no spread to divide by; running sums leave a little of one."""
    images = noise_of(4, 1, 64, 64) * 2048 - 1024
    images[:, :, 5:40, 7:45] = 300.3
    scores = match_template(images, noise_of(30, 30, seed=1))
    assert (scores[:, 5:11, 7:16] == 0).all()
    assert (scores != 0).sum() == 4 * (35 * 35 - 6 * 9)
    assert (match_template(torch.full((2, 1, 8, 8), 0.1), noise_of(5, 5)) == 0).all()


def test_of_equal_places_the_first_is_taken():
    """P11: row by row; sums of the same pixels at two places differ in the last bits."""
    patch = noise_of(5, 5)
    images = torch.zeros(3, 1, 20, 20)
    for image, places in zip(images, [[(3, 9), (3, 2)], [(12, 1), (4, 14)], [(15, 15)]], strict=True):
        for row, column in places:
            image[0, row : row + 5, column : column + 5] = patch
    marks = torch.zeros(3, 1, 20, 20, dtype=torch.uint8)
    for mark, (row, column) in zip(marks, [(3, 2), (4, 14), (15, 15)], strict=True):
        mark[0, row, column] = 1
    made = TemplateCrop(patch)({"img": images, "mask": marks, "idx": torch.arange(3)})
    assert torch.equal(made["img"], patch.float().expand(3, 1, 5, 5))
    assert (made["mask"][:, 0, 0, 0] == 1).all()
    assert made["idx"].tolist() == [0, 1, 2]


def test_a_blank_image_gives_its_first_part():
    image = torch.zeros(1, 1, 6, 6)
    assert TemplateCrop(noise_of(4, 4))(image).shape == (1, 1, 4, 4)
    marks = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6)
    made = TemplateCrop(noise_of(4, 4))({"img": image, "mask": marks})
    assert made["mask"][0, 0, 0, 0] == 0


def test_a_shifted_chest_is_cut_where_it_lies(noise):
    whole = noise(1, 256, 256)
    template = CenterCrop(224)(whole)[0, 0]
    shifted = whole.roll((-9, 13), (2, 3)) * 0.4
    made = TemplateCrop(template)(shifted)
    torch.testing.assert_close(made[0, 0], 0.4 * template)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_type_of_the_images_stays(dtype, noise):
    images = noise(2, 20, 30).to(dtype)
    made = TemplateCrop(noise_of(10, 12))(images)
    assert made.dtype == dtype
    assert made.shape == (2, 1, 10, 12)


def test_it_is_the_same_inside_autocast(noise):
    images, crop = noise(2, 20, 30), TemplateCrop(noise_of(10, 12))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(crop(images), crop.apply(images, None, torch.zeros(2))[0])
        scores = match_template(images, noise_of(10, 12))
    assert torch.equal(scores, match_template(images, noise_of(10, 12)))


def test_each_image_is_cut_by_itself(noise):
    images, crop = noise(5, 20, 30), TemplateCrop(noise_of(10, 12))
    assert torch.equal(crop(images), torch.cat([crop(image[None]) for image in images]))
    assert crop(images[:0]).shape == (0, 1, 10, 12)


def test_it_goes_with_other_transforms(noise):
    both = Compose([RandomHorizontalFlip(p=0.5), TemplateCrop(noise_of(10, 12))])
    assert both(noise(4, 20, 30)).shape == (4, 1, 10, 12)
    assert not both.keeps_shape


def test_the_mean_template_is_that_of_the_centres(noise):
    images = noise(5, 20, 31)
    want = CenterCrop((8, 6))(images).double().mean((0, 1)).float()
    assert torch.equal(mean_template(images, (8, 6)), want)
    torch.testing.assert_close(mean_template((images[:2], images[2:]), (8, 6)), want)
    assert mean_template(torch.zeros(1, 1, 256, 256)).shape == (224, 224)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TemplateCrop(torch.ones(4, 4)),
            "template: expected finite numbers that are not all the same",
        ),
        (lambda: TemplateCrop(torch.tensor([[0.0, torch.nan]])), "template: expected finite numbers"),
        (
            lambda: TemplateCrop(torch.rand(1, 4, 4)),
            r"template: expected a float tensor of shape \(h, w\), got",
        ),
        (lambda: TemplateCrop(torch.ones(4, 4).int()), "template: expected a float tensor .*int32"),
        (lambda: TemplateCrop(np.ones((4, 4))), "template: expected a float tensor .*ndarray"),
        (
            lambda: TemplateCrop(torch.rand(5, 4))(torch.zeros(1, 1, 4, 4)),
            "images: expected at least the template's 5 x 4 pixels, got 4 x 4",
        ),
        (
            lambda: match_template(torch.zeros(4, 4), torch.rand(2, 2)),
            r"images: expected \(B, 1, H, W\), got",
        ),
        (lambda: mean_template(torch.zeros(0, 1, 8, 8), 4), "images: expected at least one, got none"),
        (lambda: mean_template([], 4), "images: expected at least one, got none"),
        (lambda: mean_template(torch.zeros(1, 1, 8, 8), 9), "images: expected at least 9 x 9 pixels"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_what_the_processor_gives(noise):
    images, template = noise(8, 64, 64), noise_of(40, 40)
    torch.testing.assert_close(
        match_template(images.cuda(), template).cpu(), match_template(images, template)
    )
    assert torch.equal(TemplateCrop(template)(images.cuda()).cpu(), TemplateCrop(template)(images))
