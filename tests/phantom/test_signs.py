"""Signs of the findings, and their mimics: where they are, which way they go, what leaves them alone."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import affine_transform, binary_dilation, center_of_mass, label

from xrdatasets.phantom import mimics
from xrdatasets.phantom.anatomy import FAINT, TRACES, Anatomy, Case
from xrdatasets.phantom.beam import radiograph
from xrdatasets.phantom.bones import rib_y
from xrdatasets.phantom.grid import Grid
from xrdatasets.phantom.hospitals import HOSPITALS
from xrdatasets.phantom.layers import Layers
from xrdatasets.phantom.population import LASTING, SIGNS
from xrdatasets.phantom.signs import DEVICES, DRAWN
from xrdatasets.phantom.thorax import Thorax

# no noise, no blur, the same exposure each time: two images differ by what is drawn alone
QUIET = dataclasses.replace(
    HOSPITALS["A"].detector, noise=0.0, exposure=0.0, scatter=0.0, blur=0.0, letter_size=0.02
)
SIZE = 96
N = 10  # cases of each sign, half of them lying down
CENTIMETRE = 0.05
KINDS = tuple(DEVICES)
# these change the anatomy that others are drawn into
ORGANS = {"Cardiomegaly", "Enlarged Cardiomediastinum", "Emphysema", "Fibrosis", "Edema", "Atelectasis"}
DENSE = {
    "Edema", "Infiltration", "Pneumonia", "Consolidation", "Atelectasis", "Nodule", "Mass", "Tuberculosis",
    "Fibrosis", "Pleural_Thickening", "Pleural Other", "Effusion", "Cardiomegaly",
    "Enlarged Cardiomediastinum", "Support Devices",
}  # fmt: skip
LIGHT = {"Emphysema", "Pneumothorax"}

signs = pytest.mark.parametrize("sign", DRAWN)
views = pytest.mark.parametrize("supine", [False, True])


def a_case(number, *, patient=None, supine=None, devices=None, **grades):
    key = 77_000 + (number if patient is None else patient)
    supine = number % 2 == 1 if supine is None else supine
    devices = (KINDS[number % len(KINDS)],) if devices is None else devices
    return Case(1000 + number, key, number % 3 == 0, 30.0 + number % 5 * 12, supine, grades, devices)


@cache
def drawn(number, sign, grade):
    """The image of a case with one finding, as numbers, and the finding's mask."""
    pixels, masks = radiograph(a_case(number, **{sign: grade}), QUIET, SIZE, [sign])
    return pixels.astype(int), masks[sign]


def change(number, sign, grade):
    """What one finding changes in the image."""
    return drawn(number, sign, grade)[0] - drawn(number, "Mass", -1.0)[0]


def layers(sign, grade, number, size=SIZE, **options):
    """The layers with one finding drawn."""
    case = a_case(number, **options, **{sign: grade})
    found = Layers(Thorax(Grid.of(size), Anatomy.of(case), case), [sign])
    DRAWN[sign](found, grade)
    return found


class Place:
    """Where a mask lies in its patient."""

    def __init__(self, sign, grade, number, **options):
        self.layers = layers(sign, grade, number, **options)
        thorax = self.thorax = self.layers.thorax
        self.anatomy, self.pixel = thorax.anatomy, thorax.grid.pixel
        self.mask = self.layers.masks[sign]
        self.lung = thorax.air > 0.02
        rows, columns = np.nonzero(self.mask)
        self.x, self.y = thorax.x[0, columns], thorax.grid.y[rows, 0]
        tall = thorax.grid.y[self.lung.any(axis=1), 0]
        self.down = (self.y - tall[0]) / (tall[-1] - tall[0])  # 0 at the top of the lungs, 1 at the bottom
        self.across = thorax.across[rows, columns]
        self.from_edge = np.minimum(thorax.wall[rows, columns] - np.abs(self.x), self.y - self.anatomy.apex)
        self.in_lung = (self.mask & self.lung).sum() / self.mask.sum()

    @property
    def sides(self):
        return set(np.sign(self.x[np.abs(self.x) > 0.06]))


def places(sign, grade, **options):
    return [Place(sign, grade, number, **options) for number in range(3 * N)]


def test_every_sign_is_drawn():
    assert set(DRAWN) == set(SIGNS)
    assert DENSE | LIGHT | {"Hernia", "Fracture"} == set(DRAWN)


@signs
def test_the_effect_grows_with_the_severity(sign):
    effect = np.array(
        [[np.abs(change(number, sign, grade)).mean() for grade in (0.2, 0.5, 0.9)] for number in range(N)]
    )
    assert (effect[:, 0] < effect[:, 2]).all()
    assert (effect[:, 0] > 0).all()
    low, middle, high = effect.mean(axis=0)
    assert low < middle < high
    assert high > 1.2 * low


@signs
def test_the_image_changes_where_the_mask_is(sign):
    for number in range(N):
        moved, mask = np.abs(change(number, sign, 0.9)), drawn(number, sign, 0.9)[1]
        assert mask.any()
        near = binary_dilation(mask, iterations=3)
        if sign not in ORGANS | {"Fracture", "Pneumothorax"}:
            assert moved[near].sum() > 0.85 * moved.sum()
        # a fresh fracture bleeds beside it; what is left of a lung is denser, the air beside it is marked
        assert moved[mask].mean() > 2 * moved[~near].mean()


@signs
def test_opacities_are_bright_and_lost_tissue_is_dark(sign):
    lung = np.array([change(number, sign, 0.9)[drawn(number, sign, 0.9)[1]].mean() for number in range(N)])
    if sign in DENSE:
        assert lung.min() > 2
    elif sign in LIGHT:
        assert lung.max() < -2
    else:  # both: gas and a wall, a gap and callus
        moved = [change(number, sign, 0.9)[drawn(number, sign, 0.9)[1]] for number in range(N)]
        assert max(found.max() for found in moved) > 2
        assert max(found.min() for found in moved) < -2


@signs
def test_nothing_is_drawn_of_what_is_not_there(sign):
    for number in range(2):
        nothing = radiograph(a_case(number), QUIET, SIZE)[0]
        for grade in (-1.0, FAINT, *(() if sign in TRACES else (-0.2, 0.0))):
            pixels, mask = drawn(number, sign, grade)
            np.testing.assert_array_equal(pixels, nothing)
            assert not mask.any()
            assert mask.shape == (SIZE, SIZE)


@pytest.mark.parametrize("sign", TRACES)
def test_traces_show_a_little_and_have_no_mask(sign):
    for number in range(N):
        grades = (-0.3, -0.15, 0.0, 0.15, 0.4)
        effect = [np.abs(change(number, sign, grade)).mean() for grade in grades]
        assert (np.diff(effect) > 0).all()
        assert effect[0] >= 0
        assert [drawn(number, sign, grade)[1].any() for grade in grades] == [False] * 3 + [True] * 2
    # a trace is seen before the finding begins
    assert np.mean([np.abs(change(number, sign, -0.05)).max() for number in range(N)]) > 2


@signs
def test_layers_stay_float32_and_within_bounds(sign):
    for number in range(N):
        found = layers(sign, 1.0, number, 64)
        assert {found.open.dtype, found.added.dtype, found.vessels.dtype} == {np.dtype("float32")}
        assert found.masks[sign].dtype == bool
        for share in (found.open, found.vessels):
            assert -1e-6 <= share.min() <= share.max() <= 1 + 1e-6
        assert np.isfinite(found.added).all()


@signs
def test_other_findings_do_not_move_it(sign):
    others = {other: 0.8 for other in DRAWN if other not in ORGANS | {sign}}
    for number in range(N):
        case = a_case(number, **{sign: 0.6}, **others)
        thorax = Thorax(Grid.of(SIZE), Anatomy.of(case), case)
        forward, backward = Layers(thorax, DRAWN), Layers(thorax, DRAWN)
        for other in (sign, *others):
            DRAWN[other](forward, case.grade(other))
        for other in reversed(list(DRAWN)):
            if case.grade(other):
                DRAWN[other](backward, case.grade(other))
        alone = layers(sign, 0.6, number)
        np.testing.assert_array_equal(forward.masks[sign], alone.masks[sign])
        for other in (sign, *others):
            np.testing.assert_array_equal(forward.masks[other], backward.masks[other])
        assert {tuple(dataclasses.astuple(one)) for one in forward.breaks} == {
            tuple(dataclasses.astuple(one)) for one in backward.breaks
        }


@signs
def test_what_lasts_is_at_one_place_on_all_images_of_a_patient(sign):
    def centres(patient):
        found = []
        for number in range(6):
            one = Place(sign, 0.8, number, patient=patient, supine=False, devices=KINDS[:3])
            found.append((one.x.mean(), one.y.mean()))
        return np.ptp(found, axis=0).max()

    spread = np.array([centres(patient) for patient in range(10)])
    if sign in LASTING:
        assert spread.max() < 0.2
    elif sign != "Edema":  # which is in both lungs
        assert np.median(spread) > 0.2


@signs
def test_the_same_place_at_any_size(sign):
    for number in range(3 * N):
        coarse = layers(sign, 0.8, number, 80).masks[sign]
        fine = layers(sign, 0.8, number, 160).masks[sign].reshape(80, 2, 80, 2).any(axis=(1, 3))
        for one, other in ((coarse, fine), (fine, coarse)):
            near = binary_dilation(other, np.ones((3, 3)), iterations=2)
            assert one[near].sum() > 0.8 * one.sum()


class Recorded(Layers):
    """Layers that remember which shares of air were filled."""

    def fill(self, sign, box, share):
        self.__dict__.setdefault("shares", []).append(np.array(share))
        super().fill(sign, box, share)


class TestAirspace:
    @pytest.mark.parametrize("sign", ["Infiltration", "Pneumonia", "Consolidation", "Atelectasis", "Edema"])
    def test_it_is_in_the_lungs_alone(self, sign):
        assert min(place.in_lung for place in places(sign, 0.8)) == 1

    def test_consolidation_and_atelectasis_are_on_one_side_and_edema_on_both(self):
        for sign in ("Consolidation", "Atelectasis"):
            sides = [place.sides for place in places(sign, 0.8)]
            assert all(len(side) == 1 for side in sides)
            assert set().union(*sides) == {-1, 1}
        assert all(place.sides == {-1, 1} for place in places("Edema", 0.8))

    def test_atelectasis_is_at_a_base(self):
        for place in places("Atelectasis", 0.8):
            assert place.down.min() > 0.4
            assert place.down.mean() > 0.65

    def test_edema_is_around_the_hila(self):
        for place in places("Edema", 0.8):
            lung = place.thorax.out[0, np.nonzero(place.lung)[1]]
            assert np.abs(place.x).mean() < lung.mean() + 0.03
            assert 0.4 < place.down.mean() < 0.75

    def test_edema_has_short_lines_at_the_outer_edge_of_the_bases(self):
        for number in range(N):
            few, many = (layers("Edema", grade, number, 160) for grade in (0.2, 1.0))
            assert 0 < few.added.sum() < many.added.sum()
            rows, columns = np.nonzero(many.added > 1e-4)
            assert len(rows) < 0.05 * (many.thorax.air > 0.05).sum()
            assert many.thorax.across[rows, columns].min() > 0.5
            assert np.abs(many.grid.y[rows, 0] - many.thorax.anatomy.dome[0]).max() < 0.3

    def test_infiltration_of_both_sides_is_not_the_same_twice(self):
        pairs = 0
        for number in range(3 * N):
            case = a_case(number, Infiltration=0.9)
            found = Recorded(Thorax(Grid.of(192), Anatomy.of(case), case))
            DRAWN["Infiltration"](found, 0.9)
            if len(found.shares) == 2:
                one, other = found.shares
                scale = np.array(one.shape) / other.shape
                other = affine_transform(other, 1 / scale, output_shape=one.shape, order=1)
                middle = tuple(slice(length // 4, -length // 4) for length in one.shape)
                assert np.corrcoef(one[middle].ravel(), other[middle].ravel())[0, 1] < 0.9
                pairs += 1
        assert 0.2 < pairs / (3 * N) < 0.7

    def test_pneumonia_has_more_patches_the_more_severe_it_is(self):
        area = [np.mean([place.mask.mean() for place in places("Pneumonia", g)]) for g in (0.1, 0.5, 1.0)]
        assert area[0] * 1.3 < area[1] < area[2]

    def test_vessels_show_through_infiltration_and_not_through_consolidation(self):
        for number in range(N):
            assert layers("Infiltration", 0.9, number).vessels.min() == 1
            assert layers("Consolidation", 0.9, number).vessels.min() < 0.4


class TestChronic:
    def test_fibrosis_is_low_and_at_the_outer_edge_of_both_lungs(self):
        for place in places("Fibrosis", 0.8):
            assert place.sides == {-1, 1}
            assert place.in_lung == 1
            assert place.down.mean() > 0.6
            rows, columns = np.nonzero(place.lung)
            assert place.across.mean() > place.thorax.across[rows, columns].mean() + 0.03

    def test_emphysema_is_all_of_the_lungs_and_takes_their_vessels(self):
        for place in places("Emphysema", 0.8):
            np.testing.assert_array_equal(place.mask, place.lung)
            assert place.layers.vessels[place.lung].mean() < 0.99

    def test_bullae_are_hollow_and_have_thin_walls(self):
        found = [layers("Emphysema", 0.9, number, 192) for number in range(N)]
        for one in found:
            hollow = (one.vessels < 0.15) & (one.thorax.air > 0.1)
            assert hollow.any()
            assert np.median(one.added[hollow]) < 0
            assert one.added.max() > 0  # the walls
            assert (one.added > 0.01).sum() < (one.added < -0.01).sum()
        assert layers("Emphysema", 0.05, 1).vessels.min() == 1


def diameters(sign, grade, number, size=256):
    """Of each ball, in centimetres, from its area."""
    case = a_case(number, **{sign: grade})
    found = Recorded(Thorax(Grid.of(size), Anatomy.of(case), case))
    DRAWN[sign](found, grade)
    return [2 * np.sqrt((share > 0).sum() / np.pi) * (2 / size) / CENTIMETRE for share in found.shares]


class TestFocal:
    def test_nodules_are_smaller_than_3_cm_and_masses_larger(self):
        nodules = {g: [diameters("Nodule", g, n) for n in range(40)] for g in (0.05, 0.5, 1.0)}
        masses = {g: [diameters("Mass", g, n) for n in range(40)] for g in (0.05, 0.5, 1.0)}
        assert {len(found) for found in nodules[0.05]} == {1}
        assert {len(found) for found in nodules[1.0]} == {1, 2, 3}
        assert {len(found) for found in masses[1.0]} == {1}
        # to a pixel
        assert 1 < min(map(min, nodules[0.05])) < max(map(max, nodules[1.0])) < 3 + 0.2
        assert min(map(min, masses[0.05])) > 3
        assert 5 < max(map(max, masses[1.0])) < 9
        for found in (nodules, masses):
            means = [np.mean(np.concatenate(found[grade])) for grade in found]
            assert (np.diff(means) > 0).all()

    def test_so_are_their_masks(self):
        for number in range(40):
            one = layers("Nodule", 0.2, number, 256)
            mask, pixel = one.masks["Nodule"], one.grid.pixel / CENTIMETRE
            rows, columns = np.nonzero(mask)
            assert label(mask, np.ones((3, 3)))[1] == 1
            assert max(np.ptp(rows), np.ptp(columns)) * pixel < 3
            assert mask.sum() > 0.6 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # round
            large = layers("Mass", 0.2, number, 256).masks["Mass"]
            rows, columns = np.nonzero(large)
            assert (max(np.ptp(rows), np.ptp(columns)) + 1) * pixel > 3

    def test_they_are_in_a_lung_and_not_behind_the_heart(self):
        for sign in ("Nodule", "Mass"):
            for place in places(sign, 0.7):
                assert place.in_lung == 1
                assert np.abs(place.x).min() > 0.05

    def test_tuberculosis_is_in_the_upper_half_of_one_lung(self):
        for place in places("Tuberculosis", 0.8):
            assert len(place.sides) == 1
            assert (place.down < 0.5).mean() > 0.98
            assert place.down.mean() < 0.4
            assert place.in_lung > 0.8

    def test_severe_tuberculosis_has_a_cavity_with_a_wall(self):
        for number in range(N):
            one = layers("Tuberculosis", 0.95, number, 192)
            hollow, filled = (one.vessels < 0.05), (one.open < 0.9)
            assert label(hollow)[1] == 1
            row, column = (round(place) for place in center_of_mass(hollow))
            ring = binary_dilation(hollow, iterations=8) & ~hollow
            assert one.open[row, column] > 0.95
            assert filled[ring].mean() > 0.5
            # marked as a whole, hole and all
            assert one.masks["Tuberculosis"][hollow].all()
        assert layers("Tuberculosis", 0.15, 1).vessels.min() == 1

    def test_a_hernia_is_behind_the_heart_with_air_over_fluid(self):
        for place in places("Hernia", 0.8, size=192):
            assert np.abs(place.x).mean() < 0.15
            assert np.abs(place.x).max() < 0.35
            assert place.anatomy.dome[1] - 0.45 < place.y.min() < place.y.max() < place.anatomy.dome[1] + 0.12
            rows = np.flatnonzero(place.mask.any(axis=1))
            middle = round(np.nonzero(place.mask)[1].mean())
            line = place.layers.added[rows[0] : rows[-1] + 1, middle]
            gas, fluid = line < -0.05, line > 0.02
            assert gas.any()
            assert np.flatnonzero(gas).max() < np.flatnonzero(fluid).max()
            assert np.flatnonzero(gas).mean() < len(line) / 2


class TestPleura:
    def test_fluid_fills_the_angle_first_and_climbs_the_wall(self):
        for number in range(0, 3 * N, 2):
            few, some, much = (Place("Effusion", grade, number) for grade in (0.1, 0.5, 1.0))
            for place in (few, some, much):
                assert place.in_lung == 1
                assert place.across.max() > 0.85
                assert place.down.max() > 0.9
            # one side can have little where the other has much: the top of all
            assert few.down.min() > 0.65
            assert few.down.min() > some.down.min() > much.down.min() > 0.2
            assert few.mask.sum() < some.mask.sum() < much.mask.sum()
            # highest at the wall
            assert some.down[some.across > 0.7].min() < some.down[np.abs(some.across) < 0.2].min()

    def test_lying_down_fluid_veils_the_lung(self):
        for number in range(N):
            flat, up = (
                layers("Effusion", 0.8, number, supine=supine, patient=number) for supine in (True, False)
            )
            lung = flat.thorax.air > 0.1
            veiled, dry = ((found.open < 0.97)[lung].mean() for found in (flat, up))
            assert veiled > 1.3 * dry
            assert flat.open.min() > up.open.min()

    def test_some_effusions_are_on_both_sides(self):
        both = np.mean([len(place.sides) == 2 for place in places("Effusion", 0.9)])
        assert 0.1 < both < 0.65

    def test_air_is_outside_of_the_lung_and_widest_at_the_top(self):
        for place in places("Pneumothorax", 0.7):
            assert place.in_lung == 1
            assert len(place.sides) == 1
            side = place.sides.pop()
            lung = place.lung & (place.thorax.x * side > 0.06)
            for row in np.flatnonzero(place.mask.any(axis=1)):
                edge = np.abs(place.thorax.x[0])[place.mask[row]].min()
                rest = np.abs(place.thorax.x[0])[lung[row] & ~place.mask[row]]
                assert rest.max(initial=0) < edge + place.pixel
            wide = place.mask.sum(axis=1) * place.pixel
            rows = np.flatnonzero(lung.any(axis=1))
            third = len(rows) // 3
            assert wide[rows[:third]].mean() > wide[rows[-third:]].mean()

    def test_there_are_no_vessels_in_it(self):
        for number in range(N):
            found = layers("Pneumothorax", 0.7, number)
            assert found.vessels[found.masks["Pneumothorax"]].max() < 0.5
            other = ~binary_dilation(found.masks["Pneumothorax"], iterations=3)
            assert found.vessels[other].mean() > 0.99

    def test_thickening_is_along_the_wall(self):
        found = places("Pleural_Thickening", 0.9)
        for place in found:
            assert place.in_lung == 1
            assert len(place.sides) == 1
            assert place.from_edge.max() < 0.25
            assert np.median(place.from_edge) < 0.12
        # along the side, or as a cap on the top
        caps = np.mean([place.down.max() < 0.4 for place in found])
        assert 0.1 < caps < 0.7

    def test_plaques_are_over_both_lungs_and_on_a_dome(self):
        found = places("Pleural Other", 0.8)
        assert min(place.in_lung for place in found) > 0.85
        assert np.mean([place.sides == {-1, 1} for place in found]) > 0.8
        for place in found:
            assert np.abs(place.x).min() > 0.15
            domes = place.anatomy.dome
            assert domes[0] - 0.08 < place.y.max() < domes[1] + 0.08


class TestOrgans:
    def test_the_heart_is_marked(self):
        for place in places("Cardiomegaly", 0.6):
            box, heart = place.thorax.heart()
            assert place.mask[box].sum() == place.mask.sum()
            np.testing.assert_array_equal(place.mask[box], heart > 0)

    def test_the_great_vessels_are_marked(self):
        found = places("Enlarged Cardiomediastinum", 0.6)
        for place in found:
            assert np.abs(place.x).mean() < 0.15
            assert np.abs(place.x).max() < 0.35
        arches = [place.x[np.abs(place.y - place.anatomy.apex - 0.40) < 0.05] for place in found]
        assert np.mean([arch.max() + arch.min() for arch in arches]) > 0.02  # on the left


class TestHardware:
    def test_neighbouring_ribs_of_one_side_are_broken(self):
        counts = set()
        for number in range(3 * N):
            for grade in (0.1, 1.0):
                found = layers("Fracture", grade, number, 192)
                breaks, a = found.breaks, found.thorax.anatomy
                counts.add((grade, len(breaks)))
                assert len({one.side for one in breaks}) == 1
                assert (np.diff([one.rib for one in breaks]) == 1).all()
                assert 3 <= breaks[0].rib <= breaks[-1].rib <= 10
                for one in breaks:
                    row = round((rib_y(a, one.out, one.rib) + 1) / found.grid.pixel - 0.5)
                    column = round((one.side * one.out + a.midline + 1) / found.grid.pixel - 0.5)
                    assert found.masks["Fracture"][min(row, 191), column]
                    assert 0.3 * a.chest < one.out < a.chest
        assert counts == {(0.1, 3), (1.0, 5)}

    def test_old_fractures_have_callus_and_fresh_ones_blood(self):
        kinds = [
            ((found.added > 0.02).any(), (found.open < 0.98).any())
            for found in (layers("Fracture", 0.8, number) for number in range(3 * N))
        ]
        assert set(kinds) == {(True, False), (False, True)}

    @pytest.mark.parametrize("kind", KINDS)
    @views
    def test_metal_and_plastic_are_brighter_than_before(self, kind, supine):
        sign = "Support Devices"
        for number in range(6):
            grades = {sign: 0.5}
            pixels, masks = radiograph(
                a_case(number, supine=supine, devices=(kind,), **grades), QUIET, 128, [sign]
            )
            before = radiograph(a_case(number, supine=supine), QUIET, 128)[0]
            moved = pixels.astype(int) - before
            assert moved.min() >= 0
            assert moved[masks[sign]].mean() > 3
            assert moved[~binary_dilation(masks[sign], iterations=4)].max(initial=0) <= 2
            assert 20 < masks[sign].sum() < 0.1 * masks[sign].size

    def test_each_kind_is_where_it_belongs(self):
        def place(kind):
            return places("Support Devices", 0.8, devices=(kind,), size=128)

        for one in place("tube"):
            assert np.abs(one.x).max() < 0.35
            assert one.y.min() < -0.95  # from the mouth
        for one in place("wires"):
            assert np.abs(one.x).max() < 0.12
            assert np.ptp(one.y) > 0.4
        for one in place("line"):
            end = one.x[(one.y > one.y.max() - 0.1) & (one.x > -0.4)]
            assert -0.2 < end.mean() < -0.02  # the upper vena cava is right of the midline
        for one in place("port"):
            assert one.x.min() < -0.35
        for one in place("drain"):
            assert np.abs(one.x).max() > 0.8  # through the wall
        for one in place("electrodes"):
            assert one.y.max() > 0.9  # to the monitor
        left = [one.x[np.abs(one.x) > 0.3].mean() > 0 for one in place("pacemaker")]
        assert 0.6 < np.mean(left) <= 1

    def test_severe_cases_have_more_kinds_of_those_that_the_hospital_has(self, monkeypatch):
        made = []
        stubs = {kind: lambda *_, kind=kind: made.append(kind) for kind in KINDS}
        monkeypatch.setattr("xrdatasets.phantom.signs.hardware.DEVICES", stubs)
        counts = {}
        for supine in (False, True):
            for grade in (0.1, 1.0):
                for devices in (KINDS[:4], KINDS[:1]):
                    made.clear()
                    layers("Support Devices", grade, 3, supine=supine, devices=devices)
                    assert set(made) <= set(devices)
                    assert len(set(made)) == len(made)
                    counts[supine, grade, len(devices)] = len(made)
        assert counts[False, 0.1, 4] == counts[True, 0.1, 4] == 1
        assert 1 < counts[False, 1.0, 4] < counts[True, 1.0, 4]
        assert {counts[key] for key in counts if key[2] == 1} == {1}


class TestLayers:
    def test_only_what_is_wanted_is_marked_and_only_if_it_is_there(self):
        case = a_case(0, Effusion=0.5, Cardiomegaly=-0.2)
        found = Layers(Thorax(Grid.of(32), Anatomy.of(case), case), ["Effusion", "Cardiomegaly", "Mass"])
        everywhere = (slice(None), slice(None))
        one = np.ones((32, 32), dtype=np.float32)
        for sign in ("Effusion", "Cardiomegaly", "Mass", "Edema"):
            found.mark(sign, everywhere, one > 0)
            found.add(sign, everywhere, one)
            found.fill(sign, everywhere, 0.5 * one)
        assert {sign: mask.all() for sign, mask in found.masks.items()} == {
            "Effusion": True,
            "Cardiomegaly": False,
            "Mass": False,
        }
        np.testing.assert_allclose(found.open, 0.5**4)
        np.testing.assert_allclose(found.added, 4)

    def test_a_sign_is_marked_where_it_has_a_quarter_of_its_strength_in_the_lung(self):
        case = a_case(0, Mass=0.5)
        found = Layers(Thorax(Grid.of(32), Anatomy.of(case), case), ["Mass"])
        everywhere = (slice(None), slice(None))
        share = np.linspace(0, 0.8, 32, dtype=np.float32) * np.ones((32, 1), dtype=np.float32)
        found.fill("Mass", everywhere, share)
        lung = found.thorax.air > 0.02
        np.testing.assert_array_equal(found.masks["Mass"], lung & (share > 0.2))
        np.testing.assert_array_equal(found.lung(everywhere), lung)

    def test_a_box_off_the_detector_is_no_matter(self):
        case = a_case(0, Mass=0.5)
        found = Layers(Thorax(Grid.of(32), Anatomy.of(case), case), ["Mass"])
        box, dx, dy = found.grid.around(3.0, 0.0, 0.1)
        found.fill("Mass", box, dx * dx + dy * dy)
        found.add("Mass", box, dx * dx + dy * dy)
        assert not found.masks["Mass"].any()


CHANCES = {"_nipples": 0.18, "_fat": 0.15, "_companions": 0.15, "_crowding": 0.20}


class TestMimics:
    @views
    def test_they_are_as_frequent_as_said(self, monkeypatch, supine):
        made = []
        names = [*CHANCES, "_fold"]
        for name in names:
            monkeypatch.setattr(mimics, name, lambda _, name=name: made.append(name))
        n = 4000
        case = a_case(0, supine=supine)
        grid, anatomy = Grid.of(1), Anatomy.of(case)
        for number in range(n):
            mimics.draw_mimics(Layers(Thorax(grid, anatomy, a_case(number, supine=supine))))
        for name in names:  # standard error at most 0.0063
            expected = CHANCES.get(name, 0.14 if supine else 0.04)
            assert made.count(name) / n == pytest.approx(expected, abs=0.022), name

    @pytest.mark.parametrize("name", [*CHANCES, "_fold"])
    def test_they_are_dense_and_where_they_belong(self, name):
        for number in range(N):
            case = a_case(number)
            found = Layers(Thorax(Grid.of(128), Anatomy.of(case), case), DRAWN)
            getattr(mimics, name)(found)
            dense = found.added + (1 - found.open) * found.thorax.air
            assert dense.min() >= 0
            assert dense.max() > 0.005
            assert found.added.dtype == found.open.dtype == np.float32
            assert found.vessels.min() == 1  # none of them hides a vessel
            a, (row, column) = found.thorax.anatomy, center_of_mass(dense)
            x, y = column * found.grid.pixel - 1 - a.midline, row * found.grid.pixel - 1
            if name == "_nipples":
                assert label(dense > 0)[1] == 2
                assert abs(x) < 0.06
                assert 0.1 < y < 0.4
            if name == "_fat":
                assert abs(y - a.dome[1]) < 0.15
                assert 0.1 < abs(x) < 0.6
            if name == "_companions":
                assert y < a.apex + 0.42
                assert abs(x) < 0.1
            if name == "_crowding":
                assert a.dome[0] - 0.42 < y < a.dome[0] + 0.2
            if name == "_fold":
                assert 0.2 < abs(x) < 0.75
                assert np.ptp(np.flatnonzero(dense.any(axis=1))) * found.grid.pixel > 0.3
            assert not any(mask.any() for mask in found.masks.values())

    def test_they_are_in_no_mask_and_belong_to_the_patient_or_the_shot(self):
        body, shot = set(), set()
        for number in range(60):
            found = []
            for key in (number, number + 1000):
                case = Case(key, number, False, 40.0, False, {})
                layer = Layers(Thorax(Grid.of(32), Anatomy.of(a_case(0)), case), DRAWN)
                mimics.draw_mimics(layer)
                assert not any(mask.any() for mask in layer.masks.values())
                found.append((layer.added.tobytes(), layer.open.tobytes()))
            (body if found[0] == found[1] else shot).add(found[0])
        # most pairs have the same or nothing; some have what belongs to one shot
        assert len(shot) > 5
        assert len(body) > 5
