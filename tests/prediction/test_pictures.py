"""Pictures of where a finding is seen, and their names."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest

from xrdatasets.prediction import heatmap_name, overlay


def test_no_heat_is_the_image():
    grey = np.linspace(0, 1, 256).reshape(16, 16)
    shown = overlay(grey, np.zeros((16, 16)))
    np.testing.assert_array_equal(shown, np.repeat(np.arange(256).reshape(16, 16, 1), 3, axis=2))


def test_full_heat_is_four_tenths_image_and_six_tenths_yellow():
    assert overlay([[0.5]], [[1.0]])[0, 0].tolist() == [
        round(0.4 * 127.5 + 0.6 * 255), round(0.4 * 127.5 + 0.6 * 235), round(0.4 * 127.5),
    ]  # fmt: skip


def test_half_heat_is_half_way_from_red_to_yellow():
    wanted = 0.7 * 255 + 0.3 * np.array([(205 + 255) / 2, 235 / 2, 20])
    assert overlay([[1.0]], [[0.5]])[0, 0].tolist() == np.rint(wanted).tolist()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"heat: expected \(H, W\) as the image, \(2, 2\), got \(1, 2\)"):
        overlay(np.zeros((2, 2)), np.zeros((1, 2)))


class TestNames:
    def test_equal_stems_in_two_folders_differ(self):
        first, second = heatmap_name("a/1.png", "Effusion"), heatmap_name("b/1.png", "Effusion")
        assert first != second
        assert first == f"1-{hashlib.sha256(b'a/1.png').hexdigest()[:10]}-Effusion.png"

    @pytest.mark.parametrize(
        "path",
        ["../../etc/passwd", "..", "/", "a/..png", "c:\\x\\y.png", "a\nb.png", "-rf.png", "x" * 250 + ".png"],
    )
    def test_no_name_leads_out_of_its_folder(self, path):
        name = heatmap_name(path, "Lung Opacity/../x")
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert not name.startswith(".")
        assert len(name) < 200

    def test_a_name_that_is_no_utf8(self):
        name = b"\xff.png"
        wanted = f"_-{hashlib.sha256(name).hexdigest()[:10]}-Mass.png"
        assert heatmap_name(os.fsdecode(name), "Mass") == wanted
