"""CheXpert, small: the rows of the golden table, a lateral view, and the validation set."""

from pathlib import Path

from tests import fakes

LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other",
    "Fracture", "Support Devices",
)  # fmt: skip
FOLDER = "CheXpert-v1.0-small"
ROWS = (
    ("train", 1, 1, "view1_frontal", "Female,68,Frontal,AP", {"No Finding": 1}),
    ("train", 2, 1, "view1_frontal", "Male,0,Frontal,PA", {"Pleural Effusion": -1}),
    ("train", 2, 2, "view1_frontal", "Male,83,Frontal,AP", {"No Finding": 1, "Pleural Effusion": -1}),
    ("train", 2, 2, "view2_lateral", "Male,83,Lateral,", {"Edema": 1, "Support Devices": 1}),
    ("train", 3, 1, "view1_frontal", "Female,41,Frontal,AP", {}),
    ("valid", 64541, 1, "view1_frontal", "Male,73,Frontal,AP", dict.fromkeys(LABELS, 0) | {"Fracture": 1}),
)
IMAGES = sum("lateral" not in row[3] for row in ROWS)


def line(prefix: str, row: tuple) -> str:
    split, patient, study, view, facts, codes = row
    path = f"{prefix}/{split}/patient{patient:05d}/study{study}/{view}.jpg"
    return ",".join([path, facts, *(f"{codes[label]:.1f}" if label in codes else "" for label in LABELS)])


def write(root: Path) -> Path:
    folder = root / FOLDER
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(LABELS)
    for split in ("train", "valid"):
        fakes.write_table(
            folder / f"{split}.csv", head, *(line(FOLDER, row) for row in ROWS if row[0] == split)
        )
    for number, (split, patient, study, view, *_) in enumerate(ROWS):
        fakes.write_image(
            folder / split / f"patient{patient:05d}" / f"study{study}" / f"{view}.jpg",
            size=(40, 50),
            seed=number,
        )
    return root


def write_full(root: Path) -> Path:
    """The full-size release: tables and valid/ in batch 1, patients without a train/ level in batch 2."""
    first, second = root / "CheXpert-v1.0 batch 1 (validate & csv)", root / "CheXpert-v1.0 batch 2 (train 1)"
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(LABELS)
    for split in ("train", "valid"):
        fakes.write_table(
            first / f"{split}.csv", head, *(line("CheXpert-v1.0", row) for row in ROWS if row[0] == split)
        )
    for number, (split, patient, study, view, *_) in enumerate(ROWS):
        top = second if split == "train" else first / "valid"
        fakes.write_image(
            top / f"patient{patient:05d}" / f"study{study}" / f"{view}.jpg", size=(80, 100), seed=number
        )
    return root
