"""The card: what it takes, shows and keeps."""

import json

import pytest

from xrdatasets.models import Card


def test_it_survives_json():
    card = Card(
        "a", trained_on=("nih", "rsna"), metrics={"auc": {"Nodule": 0.7}}, provenance={"sha256": "ab"}
    )
    assert Card.of(json.loads(json.dumps(card.config()))) == card


def test_lists_become_tuples():
    assert Card(trained_on=["nih"], notes=["one"]) == Card(trained_on=("nih",), notes=("one",))


def test_fields_of_a_later_version_are_kept():
    assert Card.of({"name": "a", "colour": "blue", "provenance": {"url": "u"}}).provenance == {
        "url": "u",
        "colour": "blue",
    }


def test_what_is_empty_is_not_shown():
    text = str(Card("tiny", notes=("It has seen drawings alone.",), metrics={"auc": 0.7}))
    assert text.splitlines() == [
        "tiny",
        "intended use: Research. Not a medical device: no diagnosis and no decision about a patient may rest "
        "on it.",
        "auc: 0.7",
        "note: It has seen drawings alone.",
    ]
    assert str(Card(intended_use="")) == "no name"


@pytest.mark.parametrize(
    "fields",
    [{"name": 3}, {"trained_on": "nih"}, {"notes": (1,)}, {"metrics": []}, {"provenance": "x"}],
    ids=lambda fields: next(iter(fields)),
)
def test_wrong_fields_are_named(fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}: expected"):
        Card(**fields)
