"""Patients as numbers: who differs from whom, and which way a finding moves an organ."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xrdatasets.phantom.anatomy import FAINT, TRACES, Anatomy, Case

N = 300
NUMBERS = [field.name for field in dataclasses.fields(Anatomy) if field.name != "dome"]
OF_BODY = {"fat", "chest", "bow", "band", "arch", "vessels", "bone", "ribs", "heart_x", "breast"}


def case(number, *, patient=None, female=False, age=50.0, supine=False, **grades):
    key = 77_000 + (number if patient is None else patient)
    grades = {name.replace("_", " "): grade for name, grade in grades.items()}
    return Case(number, key, female=female, age=age, supine=supine, grades=grades)


def anatomies(**options):
    return [Anatomy.of(case(number, **options)) for number in range(N)]


def values(people, name):
    return np.array([getattr(one, name) for one in people])


def domes(people):
    """Height of the diaphragm: greater is higher up in the patient."""
    return -np.array([one.dome for one in people]).mean(axis=1)


@pytest.mark.parametrize("name", NUMBERS)
def test_patients_differ(name):
    found = values(anatomies(female=True), name)
    assert len(np.unique(found)) > 0.9 * N  # what is cut at two deviations is alike
    assert found.std() > 0.002


def test_images_of_a_patient_share_the_body_and_differ_in_the_pose():
    shots = [Anatomy.of(case(number, patient=5, female=True)) for number in range(20)]
    for name in OF_BODY:
        assert len(np.unique(values(shots, name))) == 1, name
    for name in ("midline", "rotation", "apex", "heart_y", "depth", "heart"):
        assert len(np.unique(values(shots, name))) > 15, name
    # a breath moves the diaphragm and the heart; the body makes most of the difference
    people = anatomies(female=True)
    assert values(shots, "heart").std() < 0.5 * values(people, "heart").std()
    assert len(np.unique([one.dome[1] - one.dome[0] for one in shots]).round(9)) < 4


def test_lying_down_the_heart_is_wider_and_the_diaphragm_higher():
    upright, supine = anatomies(), anatomies(supine=True)
    assert values(supine, "heart").mean() > 1.05 * values(upright, "heart").mean()
    assert (domes(supine) - domes(upright)).mean() > 0.04
    assert values(supine, "depth").mean() < values(upright, "depth").mean()
    assert values(supine, "rotation").std() > 1.2 * values(upright, "rotation").std()
    for name in OF_BODY - {"band"}:
        np.testing.assert_array_equal(values(supine, name), values(upright, name))


def test_age_takes_bone_and_widens_the_aorta():
    bones, arches, hearts = (
        np.array([values(anatomies(age=age), name) for age in (20.0, 40.0, 60.0, 80.0, 85.0, 100.0)])
        for name in ("bone", "arch", "heart")
    )
    steps = np.diff(bones, axis=0)
    assert (steps[[0, 4]] == 0).all()  # a young adult has all of it, and 85 is old
    assert (steps[1:4] < 0).all()
    assert 0.5 < bones[-1].mean() / bones[0].mean() < 0.8
    assert (np.diff(arches[1:5], axis=0) > 0).all()
    assert (np.diff(hearts[1:5], axis=0) > 0).all()


def test_women_are_smaller_and_have_breasts():
    men, women = anatomies(), anatomies(female=True)
    assert values(women, "chest").mean() < 0.96 * values(men, "chest").mean()
    assert values(women, "breast").mean() > 2 * values(men, "breast").mean()
    assert values(women, "breast").min() > 0
    assert len(np.unique(values(men, "breast"))) == 1


def test_lungs_heart_and_domes_lie_where_they_do_in_patients():
    for supine in (False, True):
        for one in anatomies(supine=supine):
            right, left = one.dome
            # the right dome is the higher one, by up to 3 cm
            assert 0 < left - right < 3 / 20
            assert one.apex < -0.6 < one.heart_y < right
            assert 0.04 < one.heart_x < 0.14  # most of the heart is left of the midline
            assert 0.6 < one.chest < 0.95  # 24 to 38 cm from side to side
            assert 0.05 < one.arch < 0.14  # an aortic knob of 2 to 5.6 cm
            assert abs(one.rotation) < 1
            assert one.bow > 0


def test_the_wall_closes_at_the_top_and_is_widest_below():
    one = Anatomy.of(case(1))
    heights = np.linspace(-1, 1, 101)
    wall = np.array([one.wall(y) for y in heights])
    assert wall[heights <= one.apex].max() == 0
    np.testing.assert_allclose(wall[heights >= one.widest], one.chest)
    assert (np.diff(wall) >= 0).all()
    assert wall[50] > 0.8 * one.chest


GRADES = (0.05, 0.2, 0.5, 0.8, 1.0)
# finding, what it changes, which way
CHANGES = [
    ("Cardiomegaly", "heart", 1),
    ("Enlarged_Cardiomediastinum", "band", 1),
    ("Enlarged_Cardiomediastinum", "arch", 1),
    ("Edema", "vessels", 1),
    ("Emphysema", "depth", 1),
    ("Emphysema", "heart", -1),
    ("Emphysema", "bow", -1),
    ("Emphysema", "vessels", -1),
]


@pytest.mark.parametrize(("finding", "name", "way"), CHANGES)
def test_findings_change_organs_the_more_the_more_severe_they_are(finding, name, way):
    none = values(anatomies(), name)
    found = np.array([none, *(values(anatomies(**{finding: grade}), name) for grade in GRADES)])
    assert (way * np.diff(found, axis=0) > 0).all()


@pytest.mark.parametrize(("finding", "way"), [("Emphysema", -1), ("Fibrosis", 1)])
def test_emphysema_lowers_the_domes_and_fibrosis_raises_them(finding, way):
    found = np.array([domes(anatomies(**{finding: grade})) for grade in (-1.0, *GRADES)])
    assert (way * np.diff(found, axis=0) > 0).all()
    assert (np.abs(found[-1] - found[0]) > 0.02).all()


def test_nothing_else_is_changed():
    """A finding moves its own organs alone."""
    moved = {finding: {name for other, name, _ in CHANGES if other == finding} for finding, *_ in CHANGES} | {
        "Fibrosis": set(),
        "Effusion": set(),
        "Mass": set(),
    }
    none = Anatomy.of(case(3))
    for finding, names in moved.items():
        one = Anatomy.of(case(3, **{finding: 0.7}))
        assert {name for name in NUMBERS if getattr(one, name) != getattr(none, name)} == names, finding
        assert (one.dome != none.dome) == (finding in {"Emphysema", "Fibrosis"}), finding


def test_a_trace_of_cardiomegaly_lies_between_none_and_the_least():
    grades = (FAINT + 1e-6, -0.25, -0.1, 0.0, 1e-6)
    none = values(anatomies(), "heart")
    found = np.array([none, *(values(anatomies(Cardiomegaly=grade), "heart") for grade in grades)])
    assert (np.diff(found, axis=0) > 0).all()
    assert (found[-1] / none).max() < 1.15  # the least is little
    for grade in (FAINT, -1.0):
        np.testing.assert_array_equal(values(anatomies(Cardiomegaly=grade), "heart"), none)


def test_grades_below_zero_are_none_but_of_traces():
    for name in ("Emphysema", "Fibrosis", "Edema", "Enlarged_Cardiomediastinum"):
        assert Anatomy.of(case(2, **{name: -0.1})) == Anatomy.of(case(2))
        assert Anatomy.of(case(2, **{name: 0.0})) == Anatomy.of(case(2))
    assert set(TRACES) == {"Cardiomegaly", "Effusion"}
    assert case(2, Effusion=-0.2).grade("Effusion") == 0
    assert case(2, Effusion=0.2).grade("Effusion") == 0.2
    assert case(2).grade("Effusion") == 0
