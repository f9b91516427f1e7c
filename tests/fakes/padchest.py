"""PadChest: seven images of three patients, in 16 bit, with the odd rows of the release."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests import fakes

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
HEAD = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,"
    "Projection,MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,"
    "PixelRepresentation_DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,"
    "WindowCenter_DICOM,WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,"
    "ExposureInuAs_DICOM,ExposureTime,RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,"
    "Localizations,LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
)
SICK = "[' pneumonia', 'pleural effusion']"
SAME = "['unchanged', 'cardiomegaly']"
ROWS = (
    ("101_a-001", 0, "20140915", "9001", "77001", "1930.0", "F", "PA", "No", "['normal']"),
    ("102_a-002", 0, "20150301", "9002", "77001", "1930.0", "F", "PA", "No", SICK),
    ("102_a-003", 0, "20150301", "9002", "77001", "1930.0", "F", "L", "No", SICK),
    ("103_b-001", 17, "20100102", "9003", "77002", "", "M", "AP", "No", "['exclude']"),
    ("104_b-002", 17, "20110102", "9004", "77002", "", "M", "PA", "No", SAME),
    ("105_b-003", 17, "20110102", "9004", "77002", "", "M", "COSTAL", "No", SAME),
    ("106_c-001", 54, "20120506", "9005", "77003", "2010.0", "M", "PA", "PED", ""),
)
IMAGES = sum(row[7] in ("PA", "AP") for row in ROWS)


def line(number: int, row: tuple) -> str:
    image, folder, date, study, patient, birth, sex, view, child, labels = row
    facts = [number, f"{image}.png", folder, date, study, patient, birth, sex, "POSTEROANTERIOR", view]
    facts += ["Manual review of DICOM fields", child, "CR", "ImagingDynamicsCompanyLtd", "MONOCHROME2"]
    cells = [*map(str, facts), *[""] * 13, str(5000 + number), "sin hallazg .", "Physician", f'"{labels}"']
    return ",".join([*cells, *[""] * 4])


def write(root: Path) -> Path:
    fakes.write_table(root / TABLE, HEAD, *(line(number, row) for number, row in enumerate(ROWS)))
    for number, row in enumerate(ROWS):
        path = root / "images" / str(row[1]) / f"{row[0]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 1 << 16, (40, 48), dtype=np.uint16)
        Image.fromarray(pixels).save(path)
    return root
