"""Boxes, outlines and run lengths on images that were cropped and resized."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image, ImageDraw

import xrdatasets as xr
from tests.fakes import nih
from xrdatasets.datasets.masks import (
    BOX_COLUMNS,
    POLYGON_COLUMNS,
    RUN_COLUMNS,
    MaskTable,
    as_numbers,
    box_masks,
    check_boxes,
    check_polygons,
    check_runs,
    polygon_masks,
    run_masks,
)
from xrdatasets.datasets.polygons import fill_polygon
from xrdatasets.images import Frame

FILE = Path("marks.csv")
TRIANGLE = [[0, 0], [4, 0], [0, 4]]
STAR = [[50, 0], [80, 90], [0, 35], [100, 35], [20, 90]]


def boxes(*rows, size=(100, 200)):
    return pd.DataFrame([("i", *row, *size) for row in rows], columns=list(BOX_COLUMNS))


def polygons(*rows, size=(100, 200)):
    rows = [("i", name, np.array(points, dtype=float), *size) for name, points in rows]
    return pd.DataFrame(rows, columns=list(POLYGON_COLUMNS))


def runs(*rows, size=(100, 200)):
    rows = [("i", name, np.array(counts), *size) for name, counts in rows]
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS))


def corners(x, y, w, h):
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def inside(points, x, y):
    """Even-odd by a ray to the left, side after side: the definition, slowly."""
    odd = False
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        odd ^= (y1 <= y) != (y2 <= y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) <= x
    return odd


class TestBoxes:
    def test_crop_moves_the_box(self):
        """200 rows by 100 columns: the square keeps rows 50 to 149."""
        mask = box_masks(boxes(("Mass", 10, 60, 20, 40)), ["Mass"], (200, 100), Frame.of((200, 100), size=50))
        expected = np.zeros((50, 50), dtype=np.uint8)
        expected[5:25, 5:15] = 1
        np.testing.assert_array_equal(mask[0], expected)

    def test_box_that_was_cropped_away_leaves_nothing(self):
        mask = box_masks(boxes(("Mass", 0, 0, 30, 40)), ["Mass"], (200, 100), Frame.of((200, 100), size=50))
        assert not mask.any()

    def test_tiny_box_keeps_a_pixel(self):
        mask = box_masks(
            boxes(("Nodule", 40.2, 100.2, 1, 1)), ["Nodule"], (200, 100), Frame.of((200, 100), size=10)
        )
        assert np.argwhere(mask[0]).tolist() == [[5, 4]]

    def test_several_boxes_and_findings(self):
        rows = [("Mass", 0, 50, 50, 50), ("Mass", 50, 100, 50, 50), ("Effusion", 0, 0, 100, 200)]
        mask = box_masks(boxes(*rows), ["Mass"], (200, 100), Frame.of((200, 100), size=4))
        assert mask.tolist() == [[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]]

    def test_native_size_and_squeezed(self):
        box = boxes(("Mass", 25, 50, 50, 100))
        assert box_masks(box, ["Mass"], (200, 100), Frame.of((200, 100))).sum() == 50 * 100
        squeezed = box_masks(box, ["Mass"], (200, 100), Frame.of((200, 100), size=4, crop=False))
        assert squeezed[0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]

    @pytest.mark.parametrize("scale", [0.25, 0.5, 2])
    def test_area_is_kept_under_scale(self, scale):
        shape = (int(200 * scale), int(100 * scale))
        mask = box_masks(boxes(("Mass", 20, 80, 40, 60)), ["Mass"], shape, Frame.of(shape))
        assert mask.sum() == pytest.approx(40 * 60 * scale**2)

    def test_without_a_size_the_pixels_are_those_on_disk(self):
        blank = boxes(("Mass", 1, 2, 3, 4), size=(np.nan, np.nan))
        mask = box_masks(blank, ["Mass"], (10, 10), Frame.of((10, 10)))
        assert np.argwhere(mask[0])[[0, -1]].tolist() == [[2, 1], [5, 3]]


class TestPolygons:
    def test_pixels_whose_centre_lies_inside(self):
        assert fill_polygon(np.array(TRIANGLE), (3, 5)).tolist() == [
            [1, 1, 1, 0, 0],
            [1, 1, 0, 0, 0],
            [1, 0, 0, 0, 0],
        ]

    def test_it_is_moved_cut_and_scaled_as_the_image(self):
        """200 rows by 100 columns: the square keeps rows 50 to 149; two native pixels make one."""
        shape = (200, 100)
        square = polygons(("Mass", corners(10, 40, 20, 60)))
        mask = polygon_masks(square, ["Mass"], shape, Frame.of(shape, size=50))
        expected = np.zeros((50, 50), dtype=np.uint8)
        expected[0:25, 5:15] = 1
        np.testing.assert_array_equal(mask[0], expected)

    def test_it_was_drawn_on_a_larger_image(self):
        mask = polygon_masks(
            polygons(("Mass", corners(20, 80, 40, 60))), ["Mass"], (50, 25), Frame.of((50, 25))
        )
        expected = np.zeros((50, 25), dtype=np.uint8)
        expected[20:35, 5:15] = 1
        np.testing.assert_array_equal(mask[0], expected)

    def test_a_line_that_crosses_itself_leaves_its_middle_open(self):
        mask = fill_polygon(np.array(STAR), (100, 100))
        assert mask[45, 50] == 0
        assert mask[10, 50] == mask[38, 10] == 1

    def test_pillow_agrees_but_for_the_line_itself(self):
        image = Image.new("L", (100, 100))
        outline = [(x - 0.5, y - 0.5) for x, y in STAR]  # pillow's coordinates are those of centres
        ImageDraw.Draw(image).polygon(outline, fill=1)
        border = Image.new("L", (100, 100))
        ImageDraw.Draw(border).line([*outline, outline[0]], fill=1, width=3)
        differ = fill_polygon(np.array(STAR), (100, 100)) != np.asarray(image)
        assert not (differ & (np.asarray(border) == 0)).any()

    @given(
        st.lists(st.tuples(*[st.integers(-8, 24).map(lambda n: n / 2)] * 2), min_size=3, max_size=8),
        st.integers(1, 9),
        st.integers(1, 9),
    )
    def test_law_the_definition_agrees(self, points, height, width):
        centres = [[inside(points, x + 0.5, y + 0.5) for x in range(width)] for y in range(height)]
        mask = fill_polygon(np.array(points), (height, width))
        if any(map(any, centres)):
            assert mask.tolist() == [[int(odd) for odd in row] for row in centres]
        else:
            assert mask.sum() <= 1

    @pytest.mark.parametrize(
        "points",
        [
            corners(4.1, 5.2, 0.2, 0.2),  # between four centres
            [[4.1, 5.2], [4.1, 5.2], [4.1, 5.2]],  # a point
        ],
    )
    def test_tiny_outline_keeps_a_pixel(self, points):
        assert np.argwhere(fill_polygon(np.array(points), (8, 8))).tolist() == [[5, 4]]

    def test_a_thin_line_keeps_a_pixel_that_it_touches(self):
        """A hook between two rows of centres: the middle of the box around it is far from its line."""
        hook = [[1, 1.1], [19, 1.1], [19, 19], [19.2, 19], [19.2, 1.2], [1, 1.2]]
        places = np.argwhere(fill_polygon(np.array(hook), (20, 20)))
        assert len(places) == 1
        assert places[0][0] == 1 or places[0][1] == 19

    def test_a_thin_line_across_the_whole_image_keeps_a_pixel(self):
        across = [[-50, 3.1], [60, 3.1], [60, 3.2], [-50, 3.2]]
        assert np.argwhere(fill_polygon(np.array(across), (8, 8))).tolist() in ([[3, 3]], [[3, 4]])

    @pytest.mark.parametrize("x", [-9, -1, 8])
    def test_an_outline_beside_the_image_leaves_nothing(self, x):
        assert not fill_polygon(np.array(corners(x, 2.0, 1, 0.1)), (8, 8)).any()

    def test_several_are_united(self):
        rows = [("Mass", corners(0, 0, 2, 1)), ("Mass", corners(1, 0, 2, 1)), ("Effusion", TRIANGLE)]
        mask = polygon_masks(polygons(*rows, size=(4, 2)), ["Mass", "Nodule"], (2, 4), Frame.of((2, 4)))
        assert mask.tolist() == [[[1, 1, 1, 0], [0, 0, 0, 0]], [[0] * 4] * 2]


@given(
    st.tuples(st.integers(16, 28), st.integers(0, 12)),  # within the square that a crop keeps
    st.tuples(*[st.integers(8, 20)] * 2),  # and wide enough to hold a centre
    st.sampled_from([None, 8, 16, 32]),
    st.booleans(),
)
def test_law_a_box_is_its_outline_and_its_runs(place, size, side, crop):
    (x, y), (w, h), shape = place, size, (32, 64)
    marked = np.zeros(shape, dtype=np.uint8)
    marked[y : y + h, x : x + w] = 1
    flat = marked.T.ravel()
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat, prepend=0))), len(flat)])
    frame = Frame.of(shape, size=side, crop=crop)
    labels = ["Effusion", "Mass"]
    box = box_masks(boxes(("Mass", x, y, w, h), size=(64, 32)), labels, shape, frame)
    outline = polygon_masks(polygons(("Mass", corners(x, y, w, h)), size=(64, 32)), labels, shape, frame)
    run = run_masks(runs(("Mass", counts), size=(64, 32)), labels, shape, frame)
    np.testing.assert_array_equal(outline, box)
    np.testing.assert_array_equal(run, box)


class TestMaskTable:
    frame = Frame.of((2, 4))

    def masks(self, table, image_id="i", codes=(np.nan, np.nan, 0)):
        labels = ["Mass", "Nodule", "Effusion"]
        return table.masks(image_id, labels, np.array(codes, dtype=np.float32), (2, 4), self.frame)

    def test_all_three_kinds_are_united(self):
        table = MaskTable(
            boxes(("Mass", 0, 0, 1, 1), size=(4, 2)),
            polygons(("Mass", corners(1, 0, 1, 1)), size=(4, 2)),
            runs(("Mass", [7, 1]), ("Nodule", [0, 1]), size=(4, 2)),
        )
        found = self.masks(table)
        assert found["mask"][0].tolist() == [[1, 1, 0, 0], [0, 0, 0, 1]]
        assert found["mask"][1].tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
        assert found["mask_known"].tolist() == [True, True, True]

    def test_known_is_what_was_drawn_or_is_not_there(self):
        found = self.masks(MaskTable(polygons=polygons(("Mass", TRIANGLE), size=(4, 2))))
        assert found["mask_known"].tolist() == [True, False, True]

    @pytest.mark.parametrize("table", [MaskTable(), MaskTable(boxes(), polygons(), runs())])
    def test_a_release_without_any(self, table):
        found = self.masks(table)
        assert found["mask"].shape == (3, 2, 4)
        assert found["mask"].dtype == np.uint8
        assert found["mask_known"].tolist() == [False, False, True]

    def test_another_image(self):
        found = self.masks(MaskTable(boxes(("Mass", 0, 0, 1, 1))), image_id="j")
        assert not found["mask"].any()
        assert found["mask_known"].tolist() == [False, False, True]


class TestChecks:
    def test_findings_become_canonical(self):
        checked = [
            check_boxes(boxes(("lung mass", 1, 1, 2, 2)), path=FILE, dataset="own"),
            check_polygons(polygons(("lung mass", TRIANGLE)), path=FILE, dataset="own"),
            check_runs(runs(("lung mass", [1, 2])), path=FILE, dataset="own"),
        ]
        assert [table["finding"].tolist() for table in checked] == [["Mass"]] * 3
        assert checked[1]["points"][0].dtype == np.float64
        assert checked[2]["counts"][0].dtype == np.int64

    def test_no_rows_pass(self):
        assert check_boxes(boxes(), path=FILE, dataset="own").empty
        assert check_polygons(polygons(), path=FILE, dataset="own").empty
        assert check_runs(runs(), path=FILE, dataset="own").empty

    @pytest.mark.parametrize(
        ("check", "table"),
        [
            (check_boxes, boxes(("Mass", 1, 1, 2, 2), ("Mas", 1, 1, 2, 2))),
            (check_polygons, polygons(("Mass", TRIANGLE), ("Mas", TRIANGLE))),
            (check_runs, runs(("Mass", [1]), ("Mas", [1]))),
        ],
    )
    def test_an_unknown_finding_is_named(self, check, table):
        with pytest.raises(xr.TableError, match=r"own: 'marks.csv', row 2: .*'Mas'.* Did you mean 'Mass'"):
            check(table, path=FILE, dataset="own")

    @pytest.mark.parametrize(
        "points",
        [
            [[1, 2], [3, 4]],
            [[1, 2, 3]] * 3,
            [1, 2, 3],
            [[1, 2], [3], [4, 5]],
            [[1, "a"]] * 3,
            None,
            [[1, np.nan]] * 3,
        ],
    )
    def test_what_is_no_outline(self, points):
        table = polygons(("Mass", TRIANGLE)).assign(points=pd.Series([points], dtype=object))
        with pytest.raises(xr.TableError, match=r"row 1: expected three or more corners.*\(image 'i'\)"):
            check_polygons(table, path=FILE, dataset="own")

    @pytest.mark.parametrize("counts", [[1, -1], [1.5], [[1, 2]], ["a"], None, [np.inf], [3, 100 * 200]])
    def test_what_are_no_run_lengths(self, counts):
        table = runs(("Mass", [1])).assign(counts=pd.Series([counts], dtype=object))
        with pytest.raises(
            xr.TableError, match=r"row 1: expected whole numbers from 0 that add up to at most"
        ):
            check_runs(table, path=FILE, dataset="own")

    def test_a_long_cell_is_cut_in_the_message(self):
        with pytest.raises(xr.TableError) as error:
            check_runs(runs(("Mass", [-1] * 1000)), path=FILE, dataset="own")
        assert len(str(error.value)) < 300

    @pytest.mark.parametrize(
        "box", [(1, 1, 0, 2), (1, 1, 2, np.nan), (100, 1, 2, 2), (-3, 1, 2, 2), ("a", 1, 2, 2)]
    )
    def test_what_is_no_box(self, box):
        with pytest.raises(xr.TableError, match=r"own: 'marks.csv', row 2: expected x, y, w, h of a box"):
            check_boxes(boxes(("Mass", 1, 1, 2, 2), ("Mass", *box)), path=FILE, dataset="own")

    @pytest.mark.parametrize("size", [(0, 200), (100, -1), (100, np.nan), ("a", "b"), (np.inf, 5)])
    def test_what_is_no_size(self, size):
        tables = [
            (check_boxes, boxes(("Mass", 1, 1, 2, 2), size=size)),
            (check_polygons, polygons(("Mass", TRIANGLE), size=size)),
            (check_runs, runs(("Mass", [1]), size=size)),
        ]
        for check, table in tables:
            with pytest.raises(xr.TableError, match=re.escape(f"width={size[0]}")):
                check(table, path=FILE, dataset="own")

    @pytest.mark.parametrize("blank", [np.nan, None])
    def test_a_blank_size_passes(self, blank):
        size = (blank, blank)
        for checked in (
            check_boxes(boxes(("Mass", 900, 1, 2, 2), size=size), path=FILE, dataset="own"),
            check_polygons(polygons(("Mass", TRIANGLE), size=size), path=FILE, dataset="own"),
            check_runs(runs(("Mass", [10**6, 1]), size=size), path=FILE, dataset="own"),
        ):
            assert checked["width"].dtype == np.float64
            assert checked["width"].isna().all()


def marked(table):
    """A release with run lengths for two of NIH's images."""

    class Marked(xr.NIH):
        def read_boxes(self):
            return None

        def read_runs(self):
            return check_runs(table, path=self.root / "runs.csv", dataset=self.name)

    return Marked


def test_run_lengths_of_a_release_reach_its_samples(tmp_path):
    ids = ["00000002_000", "00000003_001"]
    counts = [np.array([0, 64]), np.array([64 * 63, 64])]  # the first column, the last one
    table = pd.DataFrame(
        {"image_id": ids, "finding": "Cardiomegaly", "counts": counts, "width": 64, "height": 64}
    )
    ds = marked(table)(nih.write(tmp_path), masks=True, size=32, space=["Cardiomegaly"])
    assert ds[2]["mask"][0].nonzero()[:, 1].unique().tolist() == [0]
    assert not ds[0]["mask"].any()
    assert ds[0]["mask_known"].tolist() == [True]
    # a column between the centres that are kept is there all the same
    assert torch.equal(ds[4]["mask"][0].nonzero()[:, 1].unique(), torch.tensor([31]))


def test_run_lengths_that_do_not_fit_the_image_on_disk(tmp_path):
    table = pd.DataFrame(
        {"image_id": ["00000002_000"], "finding": "Mass", "counts": [np.array([1024 * 1024 - 1, 1])]}
    ).assign(width=np.nan, height=np.nan)
    ds = marked(table)(nih.write(tmp_path), masks=True)
    with pytest.raises(
        xr.TableError, match=r"Mass on image '00000002_000': .* use the image in its first size"
    ):
        ds[2]


def test_whole_numbers_of_json_have_any_length():
    assert as_numbers(pd.Series([10**400, 2, [1], None], dtype=object)).tolist()[:2] == [np.inf, 2.0]
    box = pd.DataFrame([["a", "Mass", 10**400, 1, 2, 3, 64, 64]], columns=list(BOX_COLUMNS))
    with pytest.raises(xr.TableError, match=r"expected x, y, w, h of a box"):
        check_boxes(box, path=Path("t.json"), dataset="own")
    runs = pd.DataFrame([["a", "Mass", [10**400], 64, 64]], columns=list(RUN_COLUMNS), dtype=object)
    with pytest.raises(xr.TableError, match=r"expected whole numbers"):
        check_runs(runs, path=Path("t.json"), dataset="own")
