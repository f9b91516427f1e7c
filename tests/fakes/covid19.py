"""COVID-19 image data collection: five frontal radiographs of four patients, one lateral, one CT slice."""

from pathlib import Path

from tests import fakes

HEAD = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,"
    "lymphocyte_count,view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)
ROWS = (
    (
        "2",
        "0",
        "M",
        "65",
        "Pneumonia/Viral/COVID-19",
        "PA",
        "X-ray",
        "images",
        "auntminnie-a.2020_01_28.jpeg",
    ),
    (
        "2",
        "3",
        "M",
        "65",
        "Pneumonia/Viral/COVID-19",
        "AP Erect",
        "X-ray",
        "images",
        "auntminnie-b.pdf-000.png",
    ),
    ("2", "3", "M", "65", "Pneumonia/Viral/COVID-19", "L", "X-ray", "images", "auntminnie-c.jpg"),
    ("2", "4", "M", "65", "Pneumonia/Viral/COVID-19", "Axial", "CT", "volumes", "auntminnie-d.nii.gz"),
    ("7", "", "F", "29", "Pneumonia/Bacterial/Klebsiella", "AP", "X-ray", "images", "klebsiella-1.jpg"),
    ("8", "", "", "", "Pneumonia/Viral/Herpes ", "PA", "X-ray", "images", "herpes-1.png"),
    ("102", "", "F", "40", "todo", "PA", "X-ray", "images", "todo-1.JPG"),
)
IMAGES = 5


def line(patient, offset, sex, age, finding, view, modality, folder, filename) -> str:
    facts = ",".join(
        [patient, offset, sex, age, finding, *[""] * 13, view, modality, "2020", '"Hanoi, Vietnam"']
    )
    return f"{facts},{folder},{filename},,https://example.org,CC BY,A note,,"


def write(root: Path) -> Path:
    fakes.write_table(root / "metadata.csv", HEAD, *(line(*row) for row in ROWS))
    for number, row in enumerate(row for row in ROWS if row[6] == "X-ray"):
        fakes.write_image(root / "images" / row[8], size=(40 + number, 50), seed=number)
    fakes.write_image(root / "annotations" / "lungVAE-masks" / "klebsiella-1_mask.png")
    return root
