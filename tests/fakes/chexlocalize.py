"""CheXlocalize: four validation images, three test images, masks as words and as lists."""

import json
from pathlib import Path

from tests import fakes
from tests.fakes.chexpert import LABELS

VAL = (  # patient, view, facts, codes
    (64541, "view1_frontal", "Male,73,Frontal,AP", {"Cardiomegaly": 1, "Lung Opacity": 1}),
    (64542, "view1_frontal", "Female,0,Frontal,PA", {"No Finding": 1}),
    (64542, "view2_lateral", "Female,0,Lateral,", {"No Finding": 1}),
    (64543, "view1_frontal", "Female,36,Frontal,AP", {"Pleural Effusion": 1, "Support Devices": 1}),
)
TEST = (
    (64741, "view1_frontal", "", {"Edema": 1, "Fracture": 1}),
    (64741, "view2_lateral", "", {"Edema": 1, "Fracture": 1}),
    (64742, "view1_frontal", "", {"Atelectasis": 1}),
)
# masks of 12 rows and 10 columns; a letter is 48 + 32 (if another follows) + five bits
EMPTY = "h3"  # 120 zeros = 24 + 3 * 32
COLUMNS = "T1h0l1"  # columns 3 and 4: 36 zeros = 4 + 32, 24 ones, 60 zeros = 28 + 32
MASKS = {
    "val": {
        "patient64541_study1_view1_frontal": {
            "Cardiomegaly": {"size": [12, 10], "counts": COLUMNS},
            "Airspace Opacity": {"size": [12, 10], "counts": [0, 24, 96]},
            "Edema": {"size": [12, 10], "counts": EMPTY},
        },
        "patient64543_study1_view1_frontal": {
            "Pleural Effusion": {"size": [12, 10], "counts": [60, 60]},
            "Support Devices": {"size": [12, 10], "counts": EMPTY},
        },
    },
    "test": {"patient64741_study1_view1_frontal": {"Edema": {"size": [12, 10], "counts": [1, 1, 118]}}},
}
IMAGES = sum("lateral" not in row[1] for row in VAL + TEST)


def write(root: Path) -> Path:
    for split, path, rows in (("val", "CheXpert-v1.0/valid", VAL), ("test", "test", TEST)):
        facts = "Sex,Age,Frontal/Lateral,AP/PA," if split == "val" else ""
        lines = [
            ",".join(
                [
                    f"{path}/patient{patient}/study1/{view}.jpg",
                    *filter(None, [words]),
                    *(f"{codes.get(label, 0):.1f}" for label in LABELS),
                ]
            )
            for patient, view, words, codes in rows
        ]
        fakes.write_table(
            root / "CheXpert" / f"{split}_labels.csv", f"Path,{facts}" + ",".join(LABELS), *lines
        )
        masks = root / "CheXlocalize" / f"gt_segmentations_{split}.json"
        fakes.write_table(masks, json.dumps(MASKS[split]))
        for number, (patient, view, *_) in enumerate(rows):
            folder = root / "CheXpert" / split / f"patient{patient}" / "study1"
            fakes.write_image(folder / f"{view}.jpg", size=(48, 40), seed=number)
    return root
