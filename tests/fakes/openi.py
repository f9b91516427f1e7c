"""Open-i: the official archive of reports and PNGs, with Kaggle's table of projections beside them."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests import fakes

# uid, caption, images, major headings, automatic terms
REPORTS = (
    (1, "Xray Chest PA and Lateral", ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"),
     ("Cardiomegaly/borderline", "Pulmonary Artery/enlarged"), ("Cardiomegaly",)),
    (2, "CHEST 2V FRONTAL/LATERAL", ("CXR2_IM-0652-1001", "CXR2_IM-0652-2001"), ("normal",), ()),
    (3, "PA and lateral views of the chest", ("CXR3_IM-1384-1001",),
     ("Opacity/lung/base/left", "Costophrenic Angle/left/blunted", "Thoracic vertebrae/degenerative"),
     ("opacity", "Pleural Effusion")),
    (10, "AP portable chest", ("CXR10_IM-0002-1001",), ("No Indexing",), ()),
    (11, "PA chest XXXX", (), ("Nodule/thorax/left", "Opacity"), ()),
)  # fmt: skip
PROJECTIONS = (
    "uid,filename,projection",
    "1,1_IM-0001-4001.dcm.png,Frontal",
    "1,1_IM-0001-3001.dcm.png,Lateral",
    "2,2_IM-0652-1001.dcm.png,Frontal",
    "2,2_IM-0652-2001.dcm.png,Lateral",
    "3,3_IM-1384-1001.dcm.png,Frontal",
)
IMAGES = 3


def report(uid, caption, images, major, automatic) -> bytes:
    figures = "".join(
        f'<parentImage id="{name}"><figureId>F{number}</figureId><caption>{caption}</caption></parentImage>'
        for number, name in enumerate(images, start=1)
    )
    mesh = "".join(f"<major>{term}</major>" for term in major)
    mesh += "".join(f"<automatic>{term}</automatic>" for term in automatic)
    text = f'<AbstractText Label="FINDINGS">Report {uid}.</AbstractText><AbstractText Label="IMPRESSION"/>'
    body = f'<uId id="CXR{uid}"/><Abstract>{text}</Abstract><MeSH>{mesh}</MeSH>{figures}'
    return f'<?xml version="1.0" encoding="utf-8"?>\n<eCitation>{body}</eCitation>'.encode()


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write(root: Path) -> Path:
    members = {f"ecgen-radiology/{row[0]}.xml": report(*row) for row in REPORTS}
    write_archive(root / "NLMCXR_reports.tgz", members)
    fakes.write_table(root / "indiana_projections.csv", *PROJECTIONS)
    for number, name in enumerate(name for row in REPORTS for name in row[2]):
        fakes.write_image(root / "images" / f"{name}.png", size=(48, 40 + number), seed=number)
        grey = np.asarray(Image.open(root / "images" / f"{name}.png"))
        Image.fromarray(np.stack([grey] * 3, axis=-1)).save(root / "images" / f"{name}.png")
    return root
