"""The drawn truth: frozen numbers, laws of its causes and of the trees, and the rates that were promised."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from xrdatasets.labels import LabelSpace, Tree
from xrdatasets.phantom.hospitals import HOSPITALS, Hospital
from xrdatasets.phantom.population import INFLUENCES, LASTING, SIGNS, Population, severities

N = 60_000
ARRAYS = ("patient", "number", "patient_key", "key", "sex", "age", "view", "grades")
KEYS = tuple(HOSPITALS)


@pytest.fixture(scope="module")
def people():
    return {key: Population.of(key, N, seed=1) for key in KEYS}


def signs(population):
    return dict(zip(SIGNS, population.grades > 0, strict=True))


def findings(population):
    return dict(zip(population.findings, population.truth, strict=True))


def lift(one, two):
    return (one & two).mean() / one.mean() / two.mean()


hospitals = pytest.mark.parametrize("hospital", KEYS)


@hospitals
@pytest.mark.parametrize("n", [1, 2, 3, 999])
def test_a_population_is_the_beginning_of_every_larger_one(hospital, n):
    few, many = Population.of(hospital, n, seed=5), Population.of(hospital, 2000, seed=5)
    assert len(few) == n
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[..., :n], err_msg=name)
    np.testing.assert_array_equal(few.truth, many.truth[:, :n])


@pytest.mark.parametrize(
    ("hospital", "seed", "stored"),
    [
        ("A", 0, "3af2f9a3cdced4bc"),
        ("B", 0, "7d601b552a5585ec"),
        ("C", 0, "767cc1f88f13b225"),
        ("C", -7, "4230c8ac407a2c7e"),
    ],
)
def test_a_population_never_changes(hospital, seed, stored):
    population = Population.of(hospital, 2000, seed=seed)
    whole = hashlib.blake2b(digest_size=8)
    for name in ARRAYS:
        array = getattr(population, name)
        text = array.dtype.kind == "U"
        whole.update("".join(array).encode() if text else array.astype(array.dtype.newbyteorder("<")))
    assert whole.hexdigest() == stored


def test_types_shapes_and_ranges(people):
    for population in people.values():
        assert (population.patient.dtype, population.number.dtype) == (np.int64, np.int64)
        assert (population.key.dtype, population.patient_key.dtype) == (np.uint64, np.uint64)
        assert (population.age.dtype, population.grades.dtype) == (np.float32, np.float32)
        assert (population.grades.shape, population.truth.shape) == ((19, N), (21, N))
        assert set(population.sex) == {"F", "M"}
        assert set(population.view) == {"PA", "AP"}
        assert 18 <= population.age.min() < 20
        assert 85 < population.age.max() <= 100
        assert (population.age == np.floor(population.age)).all()
        assert population.grades.min() == -1
        assert 0.99 < population.grades.max() <= 1
        assert population.findings == LabelSpace.load("union21").labels


@pytest.mark.parametrize("name", [*ARRAYS, "truth", "severity"])
def test_arrays_are_read_only(people, name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(people["A"], name)[0] = getattr(people["A"], name)[0]


def test_every_image_and_patient_has_a_key_of_its_own(people):
    more = [*people.values(), Population.of("A", N, seed=2)]
    keys = np.concatenate([population.key for population in more])
    assert len(np.unique(keys)) == 4 * N
    patients = [population.patient_key[population.number == 0] for population in more]
    every = np.concatenate(patients)
    assert len(np.unique(every)) == len(every) == sum(population.patient[-1] + 1 for population in more)
    assert len(np.intersect1d(keys, every)) == 0


def test_hospitals_and_seeds_are_independent_of_each_other(people):
    one = people["A"].grades[:, : N // 2] > 0
    for other in (people["B"], people["C"], Population.of("A", N, seed=2)):
        for name, mine, theirs in zip(SIGNS, one, other.grades > 0, strict=True):
            # standard error 1 / sqrt(30,000) = 0.006, more for what lasts
            assert abs(np.corrcoef(mine, theirs[: N // 2])[0, 1]) < 0.035, name


@hospitals
def test_patients_have_one_to_six_images(people, hospital):
    population = people[hospital]
    steps = np.diff(population.patient)
    assert set(steps) == {0, 1}
    assert (population.number[0], population.patient[0]) == (0, 0)
    np.testing.assert_array_equal(population.number[1:], np.where(steps, 0, population.number[:-1] + 1))
    images = np.bincount(population.patient)
    share = np.bincount(images)[1:] / len(images)
    np.testing.assert_allclose(share, [0.55, 0.20, 0.10, 0.07, 0.05, 0.03], atol=0.01)


@hospitals
def test_what_lasts_is_on_all_images_of_a_patient(people, hospital):
    population = people[hospital]
    same = np.flatnonzero(np.diff(population.patient) == 0)
    assert (np.diff(population.age)[same] >= 0).all()
    assert (np.diff(population.age)[same] > 0).any()
    assert (population.sex[same] == population.sex[same + 1]).all()
    for sign, grades in zip(SIGNS, population.grades, strict=True):
        before, after = grades[same], grades[same + 1]
        if sign in LASTING:
            np.testing.assert_array_equal(before > 0, after > 0, err_msg=sign)
            assert np.abs(after - before).max() <= 0.1 + 1e-6, sign
            assert (after != before).any(), sign
        else:
            assert 0.5 < ((before > 0) == (after > 0)).mean() < 0.97, sign
            both = (before > 0) & (after > 0)
            assert abs(np.corrcoef(before[both], after[both])[0, 1]) < 0.2, sign


@hospitals
def test_each_sign_is_on_5_to_30_percent_of_the_images(people, hospital):
    for sign, there in signs(people[hospital]).items():
        assert 0.05 < there.mean() < 0.30, sign
    healthy = 1 - (people[hospital].grades > 0).any(axis=0).mean()
    assert 0.24 < healthy < 0.40


def test_hospitals_differ(people):
    share = {
        key: {sign: there.mean() for sign, there in signs(population).items()}
        for key, population in people.items()
    }
    for sign in SIGNS:
        values = [share[key][sign] for key in KEYS]
        assert max(values) > 1.25 * min(values), sign
    most = {
        "B": ("Tuberculosis", "Nodule", "Emphysema", "Fibrosis"),
        "C": ("Support Devices", "Edema", "Effusion", "Atelectasis", "Pneumothorax", "Cardiomegaly"),
    }
    for key, names in most.items():
        for sign in names:
            assert max(KEYS, key=lambda other, sign=sign: share[other][sign]) == key, sign


@pytest.mark.parametrize(
    ("hospital", "ap", "female", "median"),
    [("A", 0.30, 0.435, 50), ("B", 0.10, 0.52, 49), ("C", 0.65, 0.41, 63)],
)
def test_views_sexes_and_ages(people, hospital, ap, female, median):
    population = people[hospital]
    assert (population.view == "AP").mean() == pytest.approx(ap, abs=0.012)
    assert (population.sex == "F").mean() == pytest.approx(female, abs=0.015)
    assert np.median(population.age[population.number == 0]) == pytest.approx(median, abs=1.5)


@hospitals
@pytest.mark.parametrize(
    ("one", "two", "least"),
    [
        ("Effusion", "Atelectasis", 1.3),
        ("Effusion", "Consolidation", 1.3),
        ("Cardiomegaly", "Edema", 1.5),
        ("Cardiomegaly", "Effusion", 1.5),
        ("Pneumothorax", "Emphysema", 1.3),
        ("Pneumothorax", "Fracture", 1.5),
        ("Pneumonia", "Consolidation", 1.5),
        ("Mass", "Nodule", 1.5),
        ("Tuberculosis", "Fibrosis", 1.5),
        ("Support Devices", "Edema", 1.5),
    ],
)
def test_what_goes_together(people, hospital, one, two, least):
    there = signs(people[hospital])
    assert lift(there[one], there[two]) > least


@hospitals
def test_what_has_nothing_to_do_with_each_other_does_not_go_together(people, hospital):
    there = signs(people[hospital])
    assert lift(there["Tuberculosis"], there["Hernia"]) == pytest.approx(1, abs=0.2)
    assert lift(there["Emphysema"], people[hospital].sex == "F") == pytest.approx(1, abs=0.08)


@hospitals
def test_age_and_view_have_their_effects(people, hospital):
    population, there = people[hospital], signs(people[hospital])
    assert lift(there["Support Devices"], population.view == "AP") > 1.2
    old = population.age >= 70
    for sign in ("Hernia", "Cardiomegaly"):
        assert there[sign][old].mean() > 1.15 * there[sign][population.age < 60].mean(), sign


@hospitals
def test_the_truth_respects_the_trees(people, hospital):
    truth = findings(people[hospital])
    edges = {(edge.child, edge.parent) for name in ("irvin2019", "luo2020") for edge in Tree.load(name).edges}
    broken = {(child, parent) for child, parent in edges if (truth[child] & ~truth[parent]).any()}
    assert broken == {("Fibrosis", "Pleural Other")}
    # and no parent is its children alone, or the same as one of them
    for child, parent in edges - broken:
        assert (truth[parent] & ~truth[child]).any()


def test_a_finding_is_made_of_its_signs():
    made = {}
    for number, sign in enumerate(SIGNS):
        grades = np.full((19, 1), -1, dtype=np.float32)
        grades[number] = 0.25
        found = severities(grades)[:, 0]
        assert set(found) == {np.float32(-1), np.float32(0.25)}
        made[sign] = {
            name for name, value in zip(LabelSpace.load("union21").labels, found, strict=True) if value > 0
        }
    opacity = {"Lung Opacity"}
    assert made == {sign: {sign} for sign in SIGNS} | {
        "Pneumonia": {"Pneumonia", "Consolidation"} | opacity,
        "Nodule": {"Nodule", "Lung Lesion"} | opacity,
        "Mass": {"Mass", "Lung Lesion"} | opacity,
        "Pleural_Thickening": {"Pleural_Thickening", "Pleural Other"},
        "Cardiomegaly": {"Cardiomegaly", "Enlarged Cardiomediastinum"},
    } | {
        sign: {sign} | opacity
        for sign in ("Atelectasis", "Consolidation", "Edema", "Infiltration", "Fibrosis", "Tuberculosis")
    }


def test_the_severity_of_a_finding_is_the_greatest_of_its_signs():
    grades = np.full((19, 1), -1, dtype=np.float32)
    grades[SIGNS.index("Nodule")], grades[SIGNS.index("Mass")] = 0.2, 0.7
    found = dict(zip(LabelSpace.load("union21").labels, severities(grades)[:, 0].tolist(), strict=True))
    assert found["Lung Lesion"] == found["Lung Opacity"] == pytest.approx(0.7)
    assert found["Nodule"] == pytest.approx(0.2)


@hospitals
@pytest.mark.parametrize("sign", ["Cardiomegaly", "Effusion"])
def test_two_signs_have_traces_that_do_not_count(people, hospital, sign):
    grades = people[hospital].grades[SIGNS.index(sign)]
    absent = grades[grades <= 0]
    traces = absent[absent > -0.5]
    assert len(traces) / len(absent) == pytest.approx(0.08, abs=0.01)
    assert -0.35 <= traces.min() < -0.34
    assert -0.01 < traces.max() <= 0
    assert set(absent[absent <= -0.5]) == {-1}
    # as many on each side of the truth's threshold: a continuum
    near = np.histogram(grades, [-0.3, 0, 0.3])[0]
    assert 0.3 < near[0] / near[1] < 3.5
    assert not people[hospital].truth[people[hospital].findings.index(sign)][grades <= 0].any()


@hospitals
def test_other_signs_are_there_or_not(people, hospital):
    for sign, grades in zip(SIGNS, people[hospital].grades, strict=True):
        if sign not in ("Cardiomegaly", "Effusion"):
            assert set(grades[grades <= 0]) == {-1}, sign
            assert 0.03 < grades[grades > 0].min() < 0.16, sign
            assert 0.5 < grades[grades > 0].mean() < 0.6, sign


def test_causes_come_before_what_they_cause_and_last_as_long():
    known = {"old age"}
    for name, causes in INFLUENCES.items():
        assert set(causes) <= known, name
        if name in LASTING:
            assert set(causes) <= LASTING, name
        assert all(0 < weight < 1 for weight in causes.values()), name
        known.add(name)
    assert known.issuperset({*SIGNS, *LASTING, "AP"})
    for hospital in HOSPITALS.values():
        assert set(hospital.base) == set(INFLUENCES)
        assert all(0 < share < 1 for share in hospital.base.values())


def test_the_chance_of_a_sign_is_a_noisy_or(people):
    for key, population in people.items():
        base, weight = HOSPITALS[key].base, INFLUENCES["Fracture"]["trauma"]
        # its one cause has none itself
        expected = base["Fracture"] + (1 - base["Fracture"]) * weight * base["trauma"]
        assert signs(population)["Fracture"].mean() == pytest.approx(expected, abs=0.005)
        # all causes of Fibrosis in the young are signs, so the formula is seen in each combination of them
        there = signs(population)
        tuberculosis, emphysema, young = there["Tuberculosis"], there["Emphysema"], population.age < 60
        for first, second in itertools.product([False, True], repeat=2):
            rows = young & (tuberculosis == first) & (emphysema == second)
            expected = 1 - (1 - base["Fibrosis"]) * 0.75**first * 0.85**second
            spread = np.sqrt(expected / len(np.unique(population.patient[rows])))
            assert there["Fibrosis"][rows].mean() == pytest.approx(expected, abs=6 * spread)


@pytest.mark.parametrize(
    ("arguments", "seed", "message"),
    [
        (("D", 5), 0, r"^hospital: expected one of A, B, C, got 'D'\.$"),
        ((0, 5), 0, r"^hospital: expected one of A, B, C, got 0\.$"),
        (("A", 0), 0, r"^n: expected at least 1 image, got 0\.$"),
        (("A", -3), 0, r"^n: expected at least 1 image, got -3\.$"),
        (("A", 2.0), 0, r"^n: expected a whole number, got 2\.0\.$"),
        (("A", True), 0, r"^n: expected a whole number, got True\.$"),
        (("A", 5), 0.5, r"^seed: expected a whole number, got 0\.5\.$"),
        (("A", 5), None, r"^seed: expected a whole number, got None\.$"),
    ],
)
def test_wrong_arguments_are_refused(arguments, seed, message):
    with pytest.raises(ValueError, match=message):
        Population.of(*arguments, seed=seed)


def test_any_whole_number_is_a_seed():
    numbers = [Population.of("B", 50, seed=seed).key for seed in (0, 1, -1, 2**80, np.int64(7))]
    assert len(np.unique(np.concatenate(numbers))) == 250
    np.testing.assert_array_equal(numbers[0], Population.of("B", 50).key)


def test_a_case_is_the_column_of_an_image(people):
    population = people["C"]
    for index in (0, 1, 777):
        case = population.case(index)
        assert (case.key, case.patient_key) == (population.key[index], population.patient_key[index])
        assert (case.female, case.supine) == (population.sex[index] == "F", population.view[index] == "AP")
        assert case.age == population.age[index]
        assert list(case.grades) == list(SIGNS)
        assert list(case.grades.values()) == population.grades[:, index].tolist()


def test_hospitals_are_found_by_key_and_cannot_be_changed():
    assert [Hospital.of(key).key for key in KEYS] == ["A", "B", "C"]
    with pytest.raises(TypeError):
        HOSPITALS["D"] = HOSPITALS["A"]
    with pytest.raises(TypeError):
        HOSPITALS["A"].base["Edema"] = 1
