"""VinDr-CXR as on PhysioNet: four images of train with three readers each, two of test with one consensus."""

from pathlib import Path

from tests import fakes

TERMS = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture",
    "Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity",
    "Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion", "Pleural thickening",
    "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion", "COPD", "Lung tumor", "Pneumonia",
    "Tuberculosis", "No finding", "Other diseases",
)  # fmt: skip
# image, reader: what the reader marked
TRAIN = (
    ("5a01", "R9", "Cardiomegaly|Pleural effusion"),
    ("5a01", "R10", "Cardiomegaly"),
    ("5a01", "R8", "No finding"),
    ("5a02", "R8", "No finding"),
    ("5a02", "R9", "No finding"),
    ("5a02", "R10", "No finding"),
    ("5a03", "R1", "Rib fracture|Nodule/Mass"),
    ("5a03", "R2", "Clavicle fracture|Nodule/Mass"),
    ("5a03", "R3", "Other diseases"),
    ("5a04", "R1", "Lung tumor|COPD|Tuberculosis"),
    ("5a04", "R2", "Lung cavity|ILD"),
    ("5a04", "R3", "Pneumonia|Pneumothorax"),
)
TEST = (("7b01", "Pneumonia|Other diseases"), ("7b02", "No finding"))
BOXES = (
    "image_id,rad_id,class_name,x_min,y_min,x_max,y_max",
    "5a01,R9,Cardiomegaly,16.0,32.0,48.0,56.0",
    "5a01,R10,Cardiomegaly,20.0,32.0,52.0,56.0",
    "5a01,R9,Pleural effusion,0.0,48.0,8.0,64.0",
    "5a01,R8,No finding,,,,",
    "5a03,R1,Nodule/Mass,8.0,8.0,16.0,16.0",
    "5a03,R1,Rib fracture,0.0,0.0,4.0,4.0",
)
IMAGES = 6
INVERTED = "5a02"


def line(image: str, marked: str, *reader: str) -> str:
    return ",".join([image, *reader, *("1" if term in marked.split("|") else "0" for term in TERMS)])


def write(root: Path) -> Path:
    head = ",".join(TERMS)
    train = (line(image, marked, reader) for image, reader, marked in TRAIN)
    fakes.write_table(root / "annotations" / "image_labels_train.csv", f"image_id,rad_id,{head}", *train)
    test = (line(image, marked) for image, marked in TEST)
    head = head.replace("Other diseases", "Other disease")
    fakes.write_table(root / "annotations" / "image_labels_test.csv", f"image_id,{head}", *test)
    fakes.write_table(root / "annotations" / "annotations_train.csv", *BOXES)
    boxes = ("image_id,class_name,x_min,y_min,x_max,y_max", "7b02,No finding,,,,")
    fakes.write_table(root / "annotations" / "annotations_test.csv", *boxes)
    for number, image in enumerate(dict.fromkeys(row[0] for row in TRAIN + TEST)):
        kind = {"PhotometricInterpretation": "MONOCHROME1"} if image == INVERTED else {}
        facts = {"PatientSex": "MF"[number % 2], "PatientAge": f"{40 + number:03}Y"}
        folder = root / ("train" if image.startswith("5") else "test")
        fakes.write_dicom(folder / f"{image}.dicom", seed=number, BitsStored=12, **kind, **facts)
    return root
