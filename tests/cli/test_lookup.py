from __future__ import annotations

import json

import pytest


def matches(run, *words):
    document = json.loads(run("lookup", *words, "--json").out)
    assert (document["version"], document["command"]) == (1, "lookup")
    return document


def test_a_wider_term_leads_to_two_findings_and_says_who_says_so(run):
    out = run("lookup", "nih_google", "Nodule or mass=YES").out
    assert "nih_google  Nodule or mass=YES  broader   Nodule   [1]\n" in out
    assert "nih_google  Nodule or mass=YES  broader   Mass     [1]\n" in out
    assert "broader: the finding is a kind of the term: a no excludes it, a yes leaves it open\n" in out
    assert "[1] Majkowska 2020 (Radiology 294:421-431)" in out
    assert out.count("YES does not say which of the two; NO excludes both") == 1


@pytest.mark.parametrize("name", ["nih_google", "NIHGoogle", "NIH_GOOGLE", "nih google"])
def test_the_dataset_in_any_spelling(run, name):
    document = matches(run, name, "fracture")
    assert document["dataset"] == "nih_google"
    assert {match["dataset"] for match in document["matches"]} == {"nih_google"}


def test_a_term_in_all_datasets(run):
    document = matches(run, "pleural effusion")
    assert (document["dataset"], document["term"]) == (None, "pleural effusion")
    found = [(match["dataset"], match["term"], match["relation"]) for match in document["matches"]]
    assert ("chexpert", "Pleural Effusion", "exact") in found
    assert ("nih", "Effusion", "exact") in found
    assert ("nih", "No Finding", "negates") in found
    assert all(match["reference"] for match in document["matches"])


def test_a_term_that_is_listed_as_unmapped(run):
    (match,) = matches(run, "nih_google", "Fracture=NO")["matches"]
    assert (match["finding"], match["relation"]) == (None, None)
    out = run("lookup", "nih_google", "Fracture=NO").out
    assert "nih_google  Fracture=NO  unmapped" in out
    assert "unmapped: no label follows\n" in out


def test_a_term_without_a_note(run):
    out = run("lookup", "nih", "Atelectasis").out
    assert "Note" in out
    assert "Note" not in run("lookup", "chexpert", "Consolidation").out.partition("[1]")[0]


def test_an_unknown_term_gets_the_nearest_ones(refused):
    message = refused("lookup", "nih", "emphysemma")
    assert message == "no mapping row of nih speaks of 'emphysemma'. Did you mean 'Emphysema'?"


def test_an_unknown_dataset(refused):
    message = refused("lookup", "nihh", "edema")
    assert message.startswith("no dataset is called 'nihh'. Expected one of: brax, ")
    assert message.endswith("Did you mean 'nih'?")


@pytest.mark.parametrize("name", ["nih", "NIH", "NIHGoogle", "nih_google"])
def test_a_dataset_without_a_term(refused, name):
    message = refused("lookup", name)
    assert message == f"lookup: expected a term, got the dataset {name!r}. Write the term after it."


def test_a_term_that_should_have_been_quoted(refused):
    message = refused("lookup", "nih", "pleural", "effusion")
    assert message == (
        "lookup: expected [DATASET] TERM, got 'nih' 'pleural' 'effusion'. Quote a term that has blanks."
    )
