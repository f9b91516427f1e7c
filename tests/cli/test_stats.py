"""Every number here was counted by hand in the rows of tests/fakes."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

CODES = ["positive", "negative", "uncertain", "unmentioned", "unlabelled"]
NIH14 = {
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
}  # fmt: skip
CHEXPERT14 = {
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Effusion", "Pleural Other", "Fracture",
    "Support Devices",
}  # fmt: skip
POLICIES = ["U-Ignore", "U-Zeros", "U-Ones", "U-Ones+LSR", "U-Zeros+LSR"]


@pytest.fixture
def asked(run):
    """The JSON object of stats."""

    def call(*words):
        code, out, err = run("stats", *words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def nih(fake):
    return f"nih={fake('nih')}"


@pytest.fixture
def chexpert(fake):
    return f"chexpert={fake('chexpert')}"


def counts(dataset):
    return {row["finding"]: [row[code] for code in CODES] for row in dataset["findings"]}


def targets(dataset, finding, policy):
    (row,) = (row for row in dataset["findings"] if row["finding"] == finding)
    return row["targets"][policy]


# -- numbers -------------------------------------------------------------------------------------------


def test_nih(asked, nih):
    document = asked(nih)
    assert [document[key] for key in ("version", "command", "space", "split", "closure")] == [
        1, "stats", "labelled", None, None,
    ]  # fmt: skip
    assert document["views"] == ["PA", "AP"]
    (dataset,) = document["datasets"]
    assert (dataset["dataset"], dataset["root"]) == ("nih", nih.removeprefix("nih="))
    assert (dataset["images"], dataset["patients"]) == (5, 3)
    assert "cooccurrence" not in dataset
    once = {
        "Effusion",
        "Hernia",
        "Cardiomegaly",
        "Nodule",
        "Pleural_Thickening",
        "Infiltration",
        "No Finding",
    }
    expected = {name: [int(name in once), 5 - int(name in once), 0, 0, 0] for name in {*NIH14, "No Finding"}}
    assert counts(dataset) == expected
    assert dataset["images_by"] == {
        "view": {"PA": 3, "AP": 2},
        "sex": {"F": 3, "M": 2},
        "age": {"50-59": 2, "70-79": 2, "80-89": 1},
        "split": {"train": 3, "test": 2},
    }
    for policy in POLICIES:
        assert targets(dataset, "Effusion", policy) == {
            "positive": 1,
            "negative": 4,
            "unknown": 0,
            "mean": 0.2,
        }


def test_chexpert(asked, chexpert):
    (dataset,) = asked(chexpert)["datasets"]
    assert (dataset["images"], dataset["patients"]) == (5, 4)
    # 3 rows are negative: two of "No Finding" and the one of the validation set
    expected = {name: [0, 3, 0, 2, 0] for name in CHEXPERT14}
    expected |= {
        "No Finding": [2, 1, 0, 2, 0],
        "Effusion": [0, 2, 2, 1, 0],
        "Fracture": [1, 2, 0, 2, 0],
        "Support Devices": [0, 1, 0, 4, 0],
    }
    assert counts(dataset) == expected
    assert dataset["images_by"] == {
        "view": {"PA": 1, "AP": 4},
        "sex": {"F": 2, "M": 3},
        "age": {"40-49": 1, "60-69": 1, "70-79": 1, "80-89": 1, "unknown": 1},
        "split": {"train": 4, "val": 1},
    }


def test_kermany_and_hannover(asked, fake):
    document = asked(f"kermany={fake('kermany')}", f"hannover={fake('hannover')}")
    kermany, hannover = document["datasets"]
    # the same rows for both: all that one of them labels
    assert counts(kermany) == {"Pneumonia": [3, 3, 0, 0, 0], "COVID-19": [0, 0, 0, 0, 6]}
    assert counts(hannover) == {"Pneumonia": [0, 0, 0, 0, 3], "COVID-19": [3, 0, 0, 0, 0]}
    assert kermany["images_by"]["view"] == {"UNKNOWN": 6}
    assert kermany["images_by"]["split"] == {"train": 4, "val": 1, "test": 1}
    assert kermany["images_by"]["sex"] == {"unknown": 6}
    assert hannover["images_by"]["age"] == {"60-69": 2, "unknown": 1}
    assert (hannover["images"], hannover["patients"]) == (3, 2)
    assert targets(hannover, "Pneumonia", "U-Ones") == {
        "positive": 0, "negative": 0, "unknown": 3, "mean": None,
    }  # fmt: skip


def test_google_with_what_its_wider_term_rules_out(asked, fake):
    (dataset,) = asked(f"nih_google={fake('nih_google')}")["datasets"]
    assert counts(dataset) == {
        "Pneumothorax": [0, 2, 0, 0, 0],
        "Nodule": [0, 1, 0, 0, 1],
        "Mass": [0, 1, 0, 0, 1],
        "Fracture": [1, 1, 0, 0, 0],
        "Lung Opacity": [1, 1, 0, 0, 0],
    }


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("U-Ignore", {"positive": 0, "negative": 2, "unknown": 3, "mean": 0.0}),
        ("U-Zeros", {"positive": 0, "negative": 4, "unknown": 1, "mean": 0.0}),
        ("U-Ones", {"positive": 2, "negative": 2, "unknown": 1, "mean": 0.5}),
    ],
)
def test_what_a_policy_makes_of_two_uncertain_and_one_unmentioned(asked, chexpert, policy, expected):
    document = asked(chexpert)
    assert [known["name"] for known in document["policies"]] == POLICIES
    assert targets(document["datasets"][0], "Effusion", policy) == expected


@pytest.mark.parametrize(("policy", "positive", "low", "high"), [
    ("U-Ones+LSR", 2, 2 * 0.55 / 4, 2 * 0.85 / 4), ("U-Zeros+LSR", 0, 0, 2 * 0.3 / 4),
])  # fmt: skip
def test_what_a_smoothed_policy_makes_of_them(asked, chexpert, policy, positive, low, high):
    found = targets(asked(chexpert)["datasets"][0], "Effusion", policy)
    assert (found["positive"], found["negative"], found["unknown"]) == (positive, 4 - positive, 1)
    assert low < found["mean"] < high


def test_one_policy_that_also_fills_what_is_not_mentioned(asked, chexpert):
    document = asked(chexpert, "--policy", "u_ones", "--unmentioned", "0")
    assert document["policies"] == [{"name": "U-Ones", "uncertain": 1.0, "unmentioned": 0.0}]
    (dataset,) = document["datasets"]
    assert all(list(row["targets"]) == ["U-Ones"] for row in dataset["findings"])
    assert targets(dataset, "Effusion", "U-Ones") == {"positive": 2, "negative": 3, "unknown": 0, "mean": 0.4}
    # 4 are not mentioned and 1 is negative
    assert targets(dataset, "Support Devices", "U-Ones")["negative"] == 5


def test_several_policies_in_their_published_order(asked, chexpert):
    document = asked(chexpert, "--policy", "U-Ones", "--policy", "u-zeros", "--policy", "U-ONES")
    assert [policy["name"] for policy in document["policies"]] == ["U-Zeros", "U-Ones"]


def test_cooccurrence(asked, nih):
    (dataset,) = asked(nih, "--cooccurrence")["datasets"]
    names = dataset["cooccurrence"]["findings"]
    table = dataset["cooccurrence"]["counts"]
    assert names == [row["finding"] for row in dataset["findings"]]
    together = {
        (one, two): table[row][column]
        for row, one in enumerate(names)
        for column, two in enumerate(names)
        if one < two and table[row][column]
    }
    assert together == {("Effusion", "Hernia"): 1, ("Nodule", "Pleural_Thickening"): 1}
    assert [table[number][number] for number in range(15)] == [row["positive"] for row in dataset["findings"]]


# -- what is counted -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "views", "images"),
    [
        (["--views", "*"], ["PA", "AP", "AP_SUPINE", "LATERAL", "UNKNOWN"], 6),
        (["--views", "lateral"], ["LATERAL"], 1),
        (["--views", "LATERAL, PA"], ["LATERAL", "PA"], 2),
        (["--views", "LATERAL", "--views", "AP"], ["LATERAL", "AP"], 5),
        (["--split", "val"], ["PA", "AP"], 1),
    ],
)
def test_views_and_split(asked, chexpert, words, views, images):
    document = asked(chexpert, *words)
    assert document["views"] == views
    assert document["datasets"][0]["images"] == images


def test_closure_adds_what_a_hierarchy_implies(asked, chexpert):
    words = (chexpert, "--views", "LATERAL", "--space", "Edema,Lung Opacity")
    assert counts(asked(*words)["datasets"][0]) == {"Edema": [1, 0, 0, 0, 0], "Lung Opacity": [0, 0, 0, 1, 0]}
    document = asked(*words, "--closure", "irvin2019")
    assert document["closure"] == "irvin2019"
    assert counts(document["datasets"][0])["Lung Opacity"] == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("space", "findings"),
    [
        ("chexpert5", ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion"]),
        ("Pleural effusion, hernia,", ["Effusion", "Hernia"]),
        ("pleural effusion", ["Effusion"]),
    ],
)
def test_spaces(asked, nih, space, findings):
    document = asked(nih, "--space", space)
    assert document["space"] == space
    assert [row["finding"] for row in document["datasets"][0]["findings"]] == findings


def test_the_native_space_is_that_of_each_dataset(asked, nih, fake):
    document = asked(nih, f"kermany={fake('kermany')}", "--space", "native")
    assert [set(counts(dataset)) for dataset in document["datasets"]] == [NIH14, {"Pneumonia"}]


def test_by_default_all_datasets_have_the_same_rows_in_one_order(asked, nih, chexpert):
    first, second = (list(counts(dataset)) for dataset in asked(nih, chexpert)["datasets"])
    assert first == second
    assert set(first) == NIH14 | CHEXPERT14
    swapped = asked(chexpert, nih)["datasets"]
    assert list(counts(swapped[0])) == first


@pytest.mark.parametrize("name", ["nih", "NIH", "Nih"])
def test_the_name_in_any_case(asked, fake, name):
    assert asked(f"{name}={fake('nih')}")["datasets"][0]["dataset"] == "nih"


def test_the_same_release_twice_and_a_root_with_an_equals_sign(asked, fake):
    first = fake("nih")
    second = first.with_name("b=c")
    first.rename(second)
    fake("nih")
    document = asked(f"nih={first}", f"NIH={second}")
    assert [dataset["root"] for dataset in document["datasets"]] == [str(first), str(second)]


def test_rows_without_an_image(run, asked, refused, nih, fake):
    root = nih.removeprefix("nih=")
    Path(root, "images", "00000002_000.png").unlink()
    message = refused("stats", nih)
    assert message == (
        f"nih: 1 of 5 images are not below {root!r}, the first is '00000002_000' (4 image files were found). "
        "Download the rest, or pass --missing drop to go without, --missing keep for labels and tables alone."
    )
    assert asked(nih, "--missing", "keep")["datasets"][0]["images"] == 5
    code, out, err = run("stats", nih, "--missing", "drop", "--json")
    assert (code, json.loads(out)["datasets"][0]["images"]) == (0, 4)
    assert err == (
        f"warning: nih: 1 of 5 images are not below {root!r}, the first is '00000002_000'; they are dropped\n"
    )


# -- tables --------------------------------------------------------------------------------------------


def test_the_tables_of_a_dataset_with_uncertain_labels(run, chexpert):
    code, out, err = run("stats", chexpert)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("Views PA, AP; all splits; space labelled.\n\nchexpert: 5 images of 4 patients in ")
    effusion = [line[1:] for line in lines if line[:1] == ["Effusion"]]
    assert effusion == [
        ["0", "2", "2", "1", "0"],  # the codes
        ["0", "0", "2", "2", "0"],  # positive targets, policy by policy
        ["2", "4", "2", "2", "4"],
        ["3", "1", "1", "1", "1"],
    ]
    heads = [line for line in lines if line[1:2] == ["targets"]]
    assert heads == [[kind, "targets", *POLICIES] for kind in ("Positive", "Negative", "Unknown")]
    assert ["AP", "4", "M", "3", "60-69", "1", "val", "1"] in lines
    assert "Not labelled" not in out
    assert "same image" not in out


def test_the_tables_of_a_dataset_without_uncertain_labels(run, fake):
    out = run("stats", f"kermany={fake('kermany')}", "--split", "val", "--space", "Pneumonia,Edema").out
    assert out.startswith(
        "Views PA, AP; split val; space Pneumonia,Edema.\n\nkermany: 1 image of 1 patient in "
    )
    assert "\nNot labelled: Edema.\n" in out
    assert (
        "\nTargets under U-Ignore, U-Zeros, U-Ones, U-Ones+LSR, U-Zeros+LSR (alike: nothing is uncertain)\n"
        in out
    )
    assert "\nPneumonia         0         1        0  0.000\n" in out


def test_the_table_of_one_policy(run, chexpert):
    out = run("stats", chexpert, "--policy", "U-Ones", "--unmentioned", "0", "--space", "Effusion").out
    assert "\nTargets under U-Ones, unmentioned=0\n" in out
    assert "\nEffusion         2         3        0  0.400\n" in out


def test_the_tables_of_a_dataset_that_labels_nothing_of_the_space(run, fake):
    out = run("stats", f"hannover={fake('hannover')}", "--space", "chexpert5", "--cooccurrence").out
    assert "Not labelled: Atelectasis, Cardiomegaly, Consolidation, Edema, Effusion." in out
    assert "Targets" not in out
    assert out.endswith("Positive on the same image: no finding is positive.\n")


def test_the_table_of_pairs_leaves_out_what_never_is_positive(run, nih):
    out = run("stats", nih, "--cooccurrence").out
    rows = [line.split() for line in out.partition("same image")[2].splitlines() if line[:1].isdigit()]
    names = [row[1] if row[1] != "No" else "No Finding" for row in rows]
    assert set(names) == {
        "Effusion", "Hernia", "Cardiomegaly", "Nodule", "Pleural_Thickening", "Infiltration", "No Finding",
    }  # fmt: skip
    effusion, hernia = names.index("Effusion"), names.index("Hernia")
    assert rows[effusion][2:][hernia] == "1"
    assert sum(int(cell) for cell in rows[effusion][2:]) == 2


def test_the_table_of_pairs_is_cut_to_the_terminal(run, nih, monkeypatch):
    def blocks():
        out = run("stats", nih, "--cooccurrence").out.partition("same image")[2]
        return [[line.split() for line in block.splitlines()[2:]] for block in out.split("\nFinding ")[1:]]

    (whole,) = blocks()
    monkeypatch.setattr("xrdatasets.cli.output.width", lambda: 35)
    first, second = ([row for row in block if row] for block in blocks())
    assert whole == [[*row, *more[-2:]] for row, more in zip(first, second, strict=True)]


def test_the_message_of_the_file_is_the_last_line(run, nih, tmp_path):
    out = run("stats", nih, "--csv", tmp_path / "o.csv").out
    assert out.endswith(f"\nCounts written to {tmp_path / 'o.csv'}\n")


# -- the CSV file --------------------------------------------------------------------------------------


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_file_has_a_row_for_each_dataset_and_finding(run, chexpert, fake, tmp_path):
    path = tmp_path / "out.csv"
    hannover = f"hannover={fake('hannover')}"
    code, out, _ = run("stats", chexpert, hannover, "--csv", path, "--json")
    assert code == 0
    assert json.loads(out)["csv"] == str(path)
    rows = read(path)
    assert len(rows) == 2 * 15
    kinds = ("positive", "negative", "unknown", "mean")
    words = ("u_ignore", "u_zeros", "u_ones", "u_ones_lsr", "u_zeros_lsr")
    assert list(rows[0]) == [
        *("dataset", "root", "images", "finding", *CODES),
        *(f"{word}_{kind}" for word in words for kind in kinds),
    ]
    (effusion,) = (row for row in rows if row["dataset"] == "chexpert" and row["finding"] == "Effusion")
    assert effusion["root"] == chexpert.removeprefix("chexpert=")
    assert [effusion[code] for code in ("images", *CODES)] == ["5", "0", "2", "2", "1", "0"]
    assert [effusion[f"u_ones_{kind}"] for kind in kinds] == ["2", "2", "1", "0.5"]
    assert [effusion[f"u_ones_lsr_{kind}"] for kind in kinds[:3]] == ["2", "2", "1"]
    (covid,) = (row for row in rows if row["dataset"] == "hannover" and row["finding"] == "COVID-19")
    assert [covid[code] for code in CODES] == ["3", "0", "0", "0", "0"]
    (unknown,) = (row for row in rows if row["dataset"] == "hannover" and row["finding"] == "Effusion")
    assert [unknown[f"u_ones_{kind}"] for kind in kinds] == ["0", "0", "3", ""]


def test_file_and_json_agree(run, chexpert, nih, tmp_path):
    path = tmp_path / "out.csv"
    document = json.loads(run("stats", chexpert, nih, "--csv", path, "--json").out)
    rows = iter(read(path))
    for dataset in document["datasets"]:
        for finding in dataset["findings"]:
            row = next(rows)
            assert (row["dataset"], row["finding"]) == (dataset["dataset"], finding["finding"])
            assert [int(row[code]) for code in CODES] == [finding[code] for code in CODES]
            mean = finding["targets"]["U-Zeros+LSR"]["mean"]
            assert row["u_zeros_lsr_mean"] == ("" if mean is None else str(mean))
    assert next(rows, None) is None


def test_a_file_that_is_a_folder(refused, nih, tmp_path):
    message = refused("stats", nih, "--csv", tmp_path)
    assert message == f"--csv: {str(tmp_path)!r} is a folder. Expected the name of a file."


def test_a_file_in_no_folder(refused, nih, tmp_path):
    message = refused("stats", nih, "--csv", tmp_path / "no" / "out.csv")
    assert message == f"--csv: no folder {str(tmp_path / 'no')!r}. Make it first."


def test_a_file_that_is_no_ordinary_one(refused, nih):
    assert refused("stats", nih, "--csv", os.devnull) == (
        f"--csv: {os.devnull!r} is no ordinary file. Expected the name of a file."
    )


def test_a_failure_creates_nothing(refused, nih, tmp_path):
    refused("stats", nih, "kermany=/nowhere", "--csv", tmp_path / "out.csv")
    refused("stats", nih, "--views", "LATERAL", "--csv", tmp_path / "out.csv")
    assert not list(tmp_path.glob("*out*"))


def test_a_file_that_cannot_be_written(refused, nih, tmp_path, monkeypatch):
    def fail(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    assert refused("stats", nih, "--csv", tmp_path / "out.csv") == "No space left on device"
    assert not list(tmp_path.glob("*out*"))


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["nih", "=", "nih=", "=/data", "/data/nih", ""])
def test_a_word_that_is_not_name_and_root(refused, word):
    assert refused("stats", word) == f"expected NAME=ROOT, got {word!r}. For example: nih=/data/nih"


def test_the_same_root_twice(refused, nih):
    assert refused("stats", nih, f"{nih}/.") == f"expected each NAME=ROOT once, got '{nih}/.' again."


def test_an_unknown_home_folder(refused):
    message = refused("stats", "nih=~nobody-is-called-so/nih")
    assert message == "no such home folder in '~nobody-is-called-so/nih'. Write the whole path."


def test_an_unknown_dataset(refused):
    message = refused("stats", "cheXprt=/data")
    assert message.startswith("no dataset is called 'cheXprt'. Expected one of: brax, chestx_det, ")
    assert "Did you mean 'chexpert'" in message


def test_a_root_that_is_not_there(refused):
    message = refused("stats", "nih=/nowhere/at/all")
    assert message.startswith(
        "nih: root '/nowhere/at/all' does not exist. Expected the folder of the download."
    )


def test_a_root_of_another_release(refused, fake):
    root = fake("kermany")
    assert refused("stats", f"nih={root}").startswith(f"nih: no Data_Entry_2017_v2020.csv in {str(root)!r}.")


def test_an_unknown_policy(refused, nih):
    message = refused("stats", nih, "--policy", "U-Twos")
    assert message.startswith("no policy is called 'U-Twos'. Expected one of: U-Ignore, U-Zeros, ")


@pytest.mark.parametrize("word", ["2", "-0.1", "nan", "inf", "none", ""])
def test_a_target_that_is_none(refused, nih, word):
    message = refused("stats", nih, f"--unmentioned={word}")
    assert message == f"--unmentioned: expected a number from 0 to 1, or keep, got {word!r}."


def test_an_unknown_space(refused, nih):
    message = refused("stats", nih, "--space", "nih15")
    assert message.startswith("no label space is called 'nih15'. Expected one of: ")
    assert message.endswith("? Or labelled, native, or findings with commas.")
    assert "Did you mean 'nih14'" in message


def test_an_unknown_finding_among_several(refused, nih):
    message = refused("stats", nih, "--space", "Edema,Emphysemma")
    assert message.startswith("no finding is called 'Emphysemma'. Did you mean 'Emphysema'")


def test_a_space_with_a_finding_twice(refused, nih):
    message = refused("stats", nih, "--space", "Effusion,pleural effusion")
    assert message == "label space 'custom': expected each finding once, got Effusion again."


def test_a_space_of_nothing(refused, nih):
    assert refused("stats", nih, "--space", ",") == "--space: expected a space or findings, got ','."


def test_an_unknown_view(refused, nih):
    message = refused("stats", nih, "--views", "PA,laterl")
    assert message == (
        "--views: expected PA, AP, AP_SUPINE, LATERAL, UNKNOWN or '*', got 'laterl'. Did you mean 'LATERAL'?"
    )


def test_a_view_that_no_image_has(refused, nih):
    assert refused("stats", nih, "--views", "LATERAL,AP_SUPINE") == (
        "nih: --views LATERAL,AP_SUPINE leaves no row. The table has: PA 3, AP 2."
    )


def test_an_unknown_split(refused, nih):
    message = refused("stats", nih, "--split", "valid")
    assert message.startswith("nih: no split 'valid'. It has: train, test.")
    assert "split_by_patient" not in message


def test_an_unknown_hierarchy(refused, nih):
    assert refused("stats", nih, "--closure", "x").startswith("no hierarchy is called 'x'. Expected one of: ")


def test_an_unknown_word_for_missing(refused):
    # before any file is looked for
    assert refused("stats", "nih=/nowhere", "--missing", "skip") == (
        "--missing: expected error, drop, keep, got 'skip'."
    )
