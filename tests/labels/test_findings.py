from __future__ import annotations

import copy
import pickle

import pytest

from xrdatasets.errors import LabelNotFoundError, MappingError
from xrdatasets.labels import Finding, all_findings, finding
from xrdatasets.labels.findings import near, plain, read_glossary

HEAD = "finding,kind,cui,definition,synonyms,source\n"
# the 18 of Cohen 2020 in their order, then the rest
NAMES = (
    "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis",
    "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion",
    "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum", "Pleural Other", "Support Devices",
    "Tuberculosis", "COVID-19", "No Finding",
)  # fmt: skip


@pytest.fixture
def glossary(tmp_path):
    def read(body):
        file = tmp_path / "findings.csv"
        file.write_text(HEAD + body, encoding="utf-8")
        return read_glossary(file)

    return read


def test_there_is_one_spelling_of_each_finding():
    assert all_findings() == NAMES


def test_only_devices_and_the_absence_are_not_findings():
    kinds = {name: name.kind for name in all_findings() if name.kind != "finding"}
    assert kinds == {"Support Devices": "device", "No Finding": "absence"}


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Pleural Effusion", "Effusion"),
        ("pleural effusion", "Effusion"),
        ("EFFUSION", "Effusion"),
        ("Pleural Thickening", "Pleural_Thickening"),
        ("pleural-thickening", "Pleural_Thickening"),
        ("  pleural   thickening ", "Pleural_Thickening"),
        ("Airspace opacity", "Lung Opacity"),
        ("Opacity", "Lung Opacity"),
        ("Lesion", "Lung Lesion"),
        ("lung_opacity", "Lung Opacity"),
        ("covid 19", "COVID-19"),
        ("no finding", "No Finding"),
        ("support_devices", "Support Devices"),
        ("Infiltrate", "Infiltration"),
        ("Oedema", "Edema"),
    ],
)
def test_names_and_synonyms_lead_to_the_finding(name, canonical):
    assert finding(name) == canonical


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_synonym_resolves_in_any_spelling(name):
    for word in (name, *finding(name).synonyms):
        for spelling in (word, word.upper(), word.lower().replace(" ", "_"), word.replace(" ", "-")):
            assert finding(spelling) == name


def test_a_finding_is_its_name_and_carries_its_facts():
    found = finding("pleural effusion")
    assert isinstance(found, str)
    assert (found.kind, found.cui, found.synonyms[0]) == ("finding", "C0032227", "Pleural Effusion")
    assert {found: 1}["Effusion"] == 1
    assert found.definition.startswith("Fluid in the pleural space")


@pytest.mark.parametrize("again", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy])
def test_a_finding_pickles_and_copies_with_its_facts(again):
    before = finding("Effusion")
    after = again(before)
    assert (type(after), after) == (Finding, "Effusion")
    assert vars(after) == vars(before)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Efusion", "Effusion"),
        ("Nodul", "Nodule"),
        ("plural thickening", "Pleural_Thickening"),
        ("Oedem", "Oedema"),
    ],
)
def test_an_unknown_name_gives_the_nearest_ones(name, nearest):
    with pytest.raises(
        LabelNotFoundError, match=rf"no finding is called '{name}'\. Did you mean .*'{nearest}'"
    ):
        finding(name)


def test_a_name_that_is_near_to_nothing_gives_all():
    with pytest.raises(LabelNotFoundError, match=r"Expected one of: Atelectasis, .*, No Finding\.$"):
        finding("xyzzy")


def test_plain_knows_case_blanks_underscores_and_hyphens():
    assert plain(" Pleural_-Thickening\t") == "pleural thickening"
    assert plain("COVID-19") == plain("covid_19") != plain("COVID19")


def test_near_says_nothing_when_nothing_is_near():
    assert near("xyzzy", ["Edema"]) == ""
    assert near("edma", ["Edema", "Hernia"]) == "Did you mean 'Edema'?"


def test_a_glossary_is_read_in_order(glossary):
    read = glossary("Edema,finding,C1,fluid,Wet Lung | Oedema,book\nWire,device,,,,\n")
    assert read.findings == ("Edema", "Wire")
    assert read.names["wet lung"].synonyms == ("Wet Lung", "Oedema")
    assert sorted(read.names) == ["edema", "oedema", "wet lung", "wire"]
    assert (read.findings[1].kind, read.findings[1].synonyms) == ("device", ())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "Edema,finding,,,Wet lung,\nEffusion,finding,,,wet_LUNG,\n",
            r"findings\.csv, line 3: expected a name that leads to one finding, "
            r"got 'wet_LUNG \(also Edema\)'\.$",
        ),
        ("Edema,finding,,,,\nMass,finding,,,edema,\n", r"line 3: expected a name that leads to one finding"),
        ("Edema,sign,,,,\n", r"line 2: expected kind to be finding, device or absence, got 'sign'"),
        ("Edema,,,,,\n", r"line 2: expected kind to be finding, device or absence, got ''"),
        ("Edema,finding,,,\n", r"line 2: expected 6 cells"),
    ],
    ids=["synonym of two", "synonym is a name", "kind", "no kind", "cells"],
)
def test_a_wrong_glossary_is_refused(glossary, body, message):
    with pytest.raises(MappingError, match=message):
        glossary(body)


def test_a_finding_that_stands_twice_is_refused(glossary):
    with pytest.raises(MappingError, match="line 3"):
        glossary("Edema,finding,C1,fluid,,\nEdema,device,C2,a wire,,\n")


def test_a_finding_without_a_name_is_refused(glossary):
    with pytest.raises(MappingError, match="line 2"):
        glossary(",finding,C1,fluid,,\n")
