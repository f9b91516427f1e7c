"""Tables of the shape of a release, for `labels.py`: its rows, ids, blanks and lengths, no word of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other",
    "Fracture", "Support Devices",
)  # fmt: skip
CELLS, SHARES = ("", "1.0", "-1.0", "0.0"), (0.77, 0.16, 0.045, 0.025)

# CheXpert (Irvin 2019): images and patients, images and studies of train.csv, views
CHEXPERT_IMAGES_PER_PATIENT = 223_414 / 64_540
CHEXPERT_SAME_STUDY = 1 - 187_641 / 223_414
FRONTAL = 191_027 / 223_414
AP = 161_590 / 191_027

# MIMIC-CXR-JPG (Johnson 2019)
MIMIC_IMAGES, MIMIC_STUDIES, MIMIC_PATIENTS = 377_110, 227_827, 65_379
MIMIC_VIEWS = ("AP", "PA", "LATERAL", "LL", "")
MIMIC_VIEW_SHARES = (0.39, 0.255, 0.218, 0.094, 0.043)

# PadChest (Bustos 2020): images, studies, patients, distinct lists of labels
PADCHEST_IMAGES, PADCHEST_STUDIES, PADCHEST_PATIENTS, PADCHEST_LISTS = 160_861, 109_931, 67_625, 28_808
PADCHEST_VIEWS = ("PA", "L", "AP_horizontal", "AP", "COSTAL")
PADCHEST_VIEW_SHARES = (0.57, 0.308, 0.089, 0.029, 0.004)


def write_chexpert(folder: Path, rows: int) -> None:
    """``train.csv`` of CheXpert."""
    rng = np.random.default_rng(0)
    images = rng.geometric(1 / CHEXPERT_IMAGES_PER_PATIENT, rows)
    patient = np.repeat(np.arange(1, rows + 1), images)[:rows]
    again = np.append(False, patient[1:] == patient[:-1]) & (rng.random(rows) < CHEXPERT_SAME_STUDY * 1.4)
    first = np.flatnonzero(np.append(True, patient[1:] != patient[:-1]))
    starts = np.repeat(first, np.diff(np.append(first, rows)))
    study = np.cumsum(~again) - np.cumsum(~again)[starts] + 1
    opened = np.flatnonzero(~again)
    view = np.arange(rows) - np.repeat(opened, np.diff(np.append(opened, rows))) + 1
    frontal, ap = rng.random(rows) < FRONTAL, rng.random(rows) < AP
    age, male = rng.integers(18, 91, rows), rng.random(rows) < 0.59
    cells = np.array(CELLS)[rng.choice(4, p=SHARES, size=(rows, len(LABELS)))]
    with (folder / "train.csv").open("w") as file:
        file.write("Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(LABELS) + "\n")
        for i in range(rows):
            side = "frontal" if frontal[i] else "lateral"
            path = (
                f"CheXpert-v1.0-small/train/patient{patient[i]:05d}/study{study[i]}/view{view[i]}_{side}.jpg"
            )
            position = f"{side.capitalize()},{('AP' if ap[i] else 'PA') if frontal[i] else ''}"
            file.write(f"{path},{'Male' if male[i] else 'Female'},{age[i]},{position},{','.join(cells[i])}\n")


def write_mimic(folder: Path, rows: int, *, split: bool = False) -> None:
    """The tables of labels, metadata and, if asked for, splits of MIMIC-CXR-JPG, gzipped as released."""
    rng = np.random.default_rng(0)
    studies = max(1, round(rows * MIMIC_STUDIES / MIMIC_IMAGES))
    patients = max(1, round(rows * MIMIC_PATIENTS / MIMIC_IMAGES))
    subject = np.sort(rng.integers(0, patients, studies)) + 10_000_032
    study = rng.permutation(50_000_000 + np.arange(studies) * 40)
    image = np.sort(np.concatenate([np.arange(studies), rng.integers(0, studies, rows - studies)]))
    words = rng.integers(0, 2**32, (rows, 5), dtype=np.uint64)
    ids = ["-".join(f"{word:08x}" for word in row) for row in words.tolist()]
    cells = np.array(CELLS)[rng.choice(4, p=SHARES, size=(studies, len(LABELS)))]
    labels = pd.DataFrame(cells, columns=sorted(LABELS))
    labels.insert(0, "study_id", study)
    labels.insert(0, "subject_id", subject)
    view = np.array(MIMIC_VIEWS)[rng.choice(len(MIMIC_VIEWS), p=MIMIC_VIEW_SHARES, size=rows)]
    dates = pd.date_range("2110-01-01", "2208-12-31", unit="s").strftime("%Y%m%d").to_numpy()
    metadata = {
        "dicom_id": ids, "subject_id": subject[image], "study_id": study[image],
        "PerformedProcedureStepDescription": "CHEST (PORTABLE AP)", "ViewPosition": view, "Rows": 3056,
        "Columns": 2544, "StudyDate": dates[rng.integers(0, len(dates), rows)],
        "StudyTime": rng.integers(0, 235_959_999, rows) / 1000,
        "ProcedureCodeSequence_CodeMeaning": "CHEST (PORTABLE AP)",
        "ViewCodeSequence_CodeMeaning": "antero-posterior",
        "PatientOrientationCodeSequence_CodeMeaning": "Erect",
    }  # fmt: skip
    of_patient = rng.choice(3, p=(0.978, 0.008, 0.014), size=patients)
    words = np.array(["train", "validate", "test"])[of_patient][subject[image] - 10_000_032]
    tables = {
        "chexpert": labels,
        "metadata": pd.DataFrame(metadata),
    }
    if split:
        tables["split"] = pd.DataFrame(
            {"dicom_id": ids, "study_id": study[image], "subject_id": subject[image], "split": words}
        )
    for name, table in tables.items():
        table.to_csv(folder / f"mimic-cxr-2.0.0-{name}.csv.gz", index=False, compression={"method": "gzip"})


def write_padchest(folder: Path, rows: int) -> None:
    """The label table of PadChest, with as many distinct lists in proportion."""
    from xrdatasets.labels import LabelTable

    rng = np.random.default_rng(0)
    terms = np.array([term.source for term in LabelTable.load("padchest").terms if term.column == "*"])
    weights = 1 / np.arange(1, len(terms) + 1)
    weights /= weights.sum()
    lists = max(1, round(rows * PADCHEST_LISTS / PADCHEST_IMAGES))
    texts = [
        str(list(map(str, rng.choice(terms, size=rng.integers(1, 7), replace=False, p=weights))))
        for _ in range(lists)
    ]
    # most lists are rare: half of the images have one of the ten commonest
    drawn = np.where(rng.random(rows) < 0.5, rng.integers(0, 10, rows), rng.integers(0, lists, rows))
    drawn[:lists] = np.arange(lists)
    study = rng.integers(0, max(1, round(rows * PADCHEST_STUDIES / PADCHEST_IMAGES)), rows)
    patient = study * PADCHEST_PATIENTS // PADCHEST_STUDIES
    number = np.arange(rows)
    labels = np.array(texts)[drawn]
    dates = pd.date_range("2007-05-01", "2017-11-30").strftime("%Y%m%d").to_numpy()
    shares = np.array(PADCHEST_VIEW_SHARES) / sum(PADCHEST_VIEW_SHARES)
    words = {  # in the order of the table; ids of the release have 38 digits
        "ImageID": [f"2{i:037d}_{i % 1000:03d}.png" for i in number.tolist()],
        "ImageDir": number % 51, "StudyDate_DICOM": dates[study % len(dates)],
        "StudyID": [f"2{i:037d}" for i in study.tolist()],
        "PatientID": [f"8{i:035d}" for i in patient.tolist()],
        "PatientBirth": 1_920.0 + patient % 90, "PatientSex_DICOM": np.array(["M", "F"])[patient % 2],
        "ViewPosition_DICOM": "POSTEROANTERIOR",
        "Projection": np.array(PADCHEST_VIEWS)[rng.choice(5, p=shares, size=rows)],
        "MethodProjection": "Manual review of DICOM fields", "Pediatric": "No", "Modality_DICOM": "CR",
        "Manufacturer_DICOM": "ImagingDynamicsCompanyLtd", "PhotometricInterpretation_DICOM": "MONOCHROME2",
        "PixelRepresentation_DICOM": 0, "PixelAspectRatio_DICOM": "None", "SpatialResolution_DICOM": "None",
        "BitsStored_DICOM": 12, "WindowCenter_DICOM": 2092, "WindowWidth_DICOM": 2251, "Rows_DICOM": 1728,
        "Columns_DICOM": 1872, "XRayTubeCurrent_DICOM": 250, "Exposure_DICOM": 2, "ExposureInuAs_DICOM": 2500,
        "ExposureTime": 10, "RelativeXRayExposure_DICOM": -1.42, "ReportID": 4_765_777 + study,
        "Report": np.array(["sin hallazg patolog " * n for n in range(1, 7)])[number % 6],
        "MethodLabel": np.where(number % 4, "RNN_model", "Physician"), "Labels": labels,
        "Localizations": "['loc right', 'loc basal']",
        "LabelsLocalizationsBySentence": "[" + pd.Series(labels) + ", ['loc right']]",
        "labelCUIS": "['C0000001']", "LocalizationsCUIS": "['C0000002']",
    }  # fmt: skip
    path = folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    pd.DataFrame(words).to_csv(path, compression={"method": "gzip", "compresslevel": 6})
