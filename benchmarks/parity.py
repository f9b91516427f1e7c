"""Labels and models of torchxrayvision and of `xrdatasets.legacy`: cell by cell, output by output.

    python benchmarks/parity.py --peer PYTHON [--nih FOLDER] [--chexpert FOLDER] [--padchest FOLDER] ...
    python benchmarks/parity.py --peer PYTHON --models

A folder holds a release's tables under their own names; images are not needed. `--peer` is the interpreter
of an environment with torchxrayvision, which reads the same files. Printed are, for each dataset and way to
open it, the rows of both, the label columns that only one of them has, and how many cells of the rest differ,
image by image (a NaN on both sides is no difference). Rows are matched by the image's name, so that their
order does not count; whether it is the same, the last column says.

With `--models` the peer draws random weights and writes them as it keeps its own: a state dict for networks
without published weights, a pickled module and a state dict under the names of published files for the rest.
Both read the same file and get the same noise at the native size and at another. Printed is the largest
difference of each output, and the largest value in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from labels import PEER_IMPORTS

DUMP = """
import sys, json, numpy as np
F, OUT = sys.argv[1], sys.argv[2]
import logging
ds = {build}
names = ds.csv[{column!r}].astype(str).to_numpy(dtype=object)
np.savez(OUT, labels=np.asarray(ds.labels, dtype=np.float32), names=np.array(names, dtype=str),
         columns=np.array(ds.pathologies, dtype=str))
print(json.dumps(len(ds)))
"""
OURS = "import xrdatasets.legacy as xrv\n"


@dataclass(frozen=True)
class Case:
    """A way to open a release.

    Attributes:
        key: the release.
        title: the way, in words.
        name: the class.
        column: of its table, which names the image.
        options: what it is called with; ``F`` is the folder.
        tables: files that the peer is told of, as it would take those of its own package.
    """

    key: str
    title: str
    name: str
    column: str
    options: str = ""
    tables: tuple[tuple[str, str], ...] = ()


NIH = (("csvpath", "Data_Entry_2017_v2020.csv*"), ("bbox_list_path", "BBox_List_2017.csv*"))
GOOGLE = (("csvpath", "google2019_nih-chest-xray-labels.csv*"),)
CHEX = (("csvpath", "train.csv*"),)
PADCHEST = (("csvpath", "PADCHEST_*.csv*"),)
RSNA = (
    ("csvpath", "stage_2_train_labels.csv*"),
    ("dicomcsvpath", "kaggle_stage_2_train_images_dicom_headers.csv*"),
)
OPENI = (
    ("xmlpath", "NLMCXR_reports.tgz"),
    ("dicomcsv_path", "nlmcxr_dicom_metadata.csv*"),
    ("tsnepacsv_path", "nlmcxr_tsne_pa.csv*"),
)
ALL = "views=['PA', 'AP', 'L', 'AP Supine', 'UNKNOWN', 'COSTAL', 'LL', 'RL'], "
CASES = (
    Case("nih", "PA, unique", "NIH_Dataset", "Image Index", "", NIH),
    Case("nih", "PA, AP", "NIH_Dataset", "Image Index", "views=['PA', 'AP'], unique_patients=False, ", NIH),
    Case("nih", "PA, AP, unique", "NIH_Dataset", "Image Index", "views=['PA', 'AP'], ", NIH),
    Case("nih_google", "PA, unique", "NIH_Google_Dataset", "Image Index", "", GOOGLE),
    Case(
        "nih_google", "all", "NIH_Google_Dataset", "Image Index", "views='*', unique_patients=False, ", GOOGLE
    ),
    Case("chexpert", "PA, unique", "CheX_Dataset", "Path", "", CHEX),
    Case("chexpert", "PA", "CheX_Dataset", "Path", "unique_patients=False, ", CHEX),
    Case("chexpert", "PA, AP, unique", "CheX_Dataset", "Path", "views=['PA', 'AP'], ", CHEX),
    Case("chexpert", "PA, AP", "CheX_Dataset", "Path", "views=['PA', 'AP'], unique_patients=False, ", CHEX),
    Case("padchest", "PA, unique", "PC_Dataset", "ImageID", "", PADCHEST),
    Case("padchest", "all", "PC_Dataset", "ImageID", "views='*', unique_patients=False, ", PADCHEST),
    Case("rsna", "PA", "RSNA_Pneumonia_Dataset", "patientId", "", RSNA),
    Case("rsna", "PA, AP", "RSNA_Pneumonia_Dataset", "patientId", "views=['PA', 'AP'], ", RSNA),
    Case("siim", "all", "SIIM_Pneumothorax_Dataset", "ImageId", "", (("csvpath", "train-rle.csv*"),)),
    Case("vindr", "all", "VinDr_Dataset", "image_id", "", (("csvpath", "train.csv*"),)),
    Case("openi", "PA, unique", "Openi_Dataset", "imageid", "", OPENI),
    Case("openi", "all", "Openi_Dataset", "imageid", "views='*', unique_patients=False, ", OPENI),
    Case("openi", "t-SNE, PA", "Openi_Dataset", "imageid", "use_tsne_derived_view=True, ", OPENI),
    Case("mimic_cxr", "PA, unique", "MIMIC_Dataset", "dicom_id", "", ()),
    Case("mimic_cxr", "all", "MIMIC_Dataset", "dicom_id", "views='*', unique_patients=False, ", ()),
)
MIMIC = "csvpath=F + '/mimic-cxr-2.0.0-chexpert.csv.gz', metacsvpath=F + '/mimic-cxr-2.0.0-metadata.csv.gz', "

# weights that both read, written by the peer: random, with the statistics of a few images, so that numbers
# inside the networks are as large as in a trained one
WRITE = """
import sys, pathlib, torch, torchvision
OUT = pathlib.Path(sys.argv[1])
def drawn(model):
    torch.manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor += 0.1 * torch.randn(len(tensor))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(2048 * torch.rand(4, 1, 224, 224) - 1024)
    return model.eval()
dense = drawn(xrv.models.DenseNet(num_classes=18))
torch.save(dense.state_dict(), OUT / 'dense.pt')
deeper = drawn(xrv.models.DenseNet(**xrv.models.get_densenet_params('densenet169'), num_classes=5))
torch.save(deeper.state_dict(), OUT / 'deeper.pt')
urls = xrv.models.model_urls
torch.save(dense, OUT / urls['densenet121-res224-chex']['weights_url'].rsplit('/')[-1])
resnet = torchvision.models.resnet50(num_classes=18)
resnet.conv1 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
torch.save(drawn(resnet).state_dict(), OUT / urls['resnet50-res512-all']['weights_url'].rsplit('/')[-1])
"""
ANSWER = """
import sys, pathlib, numpy as np, torch
OUT, TO = pathlib.Path(sys.argv[1]), sys.argv[2]
found = {}
def ask(title, model, *sizes, features=('features', 'features2')):
    model.eval()
    torch.manual_seed(1)
    for size in sizes:
        images = 2048 * torch.rand(2, 1, size, size) - 1024
        with torch.inference_mode():
            found[f'{title}|{size}|answers'] = model(images).numpy()
            for name in features:
                found[f'{title}|{size}|{name}'] = getattr(model, name)(images).clone().numpy()
points = torch.linspace(0.01, 0.9, 18)
points[3] = torch.nan
dense = xrv.models.DenseNet(num_classes=18)
dense.load_state_dict(torch.load(OUT / 'dense.pt'))
ask('DenseNet-121, logits', dense, 224, 192)
dense.apply_sigmoid = True
ask('DenseNet-121, sigmoid', dense, 224, 192, features=())
dense.op_threshs = points
ask('DenseNet-121, op_norm', dense, 224, 192, features=())
deeper = xrv.models.DenseNet(**xrv.models.get_densenet_params('densenet169'), num_classes=5)
deeper.load_state_dict(torch.load(OUT / 'deeper.pt'))
ask('DenseNet-169, logits', deeper, 224)
chex = xrv.models.get_model('densenet121-res224-chex', cache_dir=str(OUT))
ask('densenet121-res224-chex', chex, 224, 300, features=('features2',))
resnet = xrv.models.ResNet('resnet50-res512-all', cache_dir=str(OUT))
ask('resnet50-res512-all', resnet, 512, 300, features=('features',))
resnet.op_threshs = None
ask('resnet50-res512-all, logits', resnet, 512, features=())
found['targets'] = np.array([*chex.targets, *resnet.targets])
np.savez(TO, **found)
"""


def compare_models(peer: str, folder: Path) -> None:
    """Print a line for each network and output."""
    run(peer, PEER_IMPORTS + WRITE, folder)
    found = []
    for python, before in ((peer, PEER_IMPORTS), (sys.executable, OURS)):
        out = folder / f"answers{len(found)}.npz"
        run(python, before + ANSWER, folder, out)
        found.append(dict(np.load(out)))
    theirs, ours = found
    print("targets:", "same" if (theirs.pop("targets") == ours.pop("targets")).all() else "other")
    print(f"{'network':30}{'images':>8}  {'output':12}{'largest difference':>20}{'largest value':>16}")
    for key, expected in theirs.items():
        title, size, output = key.split("|")
        apart, most = np.abs(ours[key] - expected).max(), np.abs(expected).max()
        print(f"{title:30}{size:>8}  {output:12}{apart:>20.1e}{most:>16.3g}")


def run(python: str, code: str, *arguments: Path) -> str:
    """What a program prints."""
    done = subprocess.run(
        [python, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def load(python: str, before: str, case: Case, folder: Path, out: Path) -> dict[str, np.ndarray]:
    """Labels, names of images and names of columns, by one of the two."""
    given = "".join(
        f"{name}={str(next(iter(folder.glob(pattern))))!r}, " for name, pattern in case.tables
    ) or (MIMIC if case.key == "mimic_cxr" else "")
    build = f"xrv.datasets.{case.name}(F, {given}{case.options})"
    code = before + DUMP.format(build=build, column=case.column)
    json.loads(run(python, code, folder, out).splitlines()[-1])
    return dict(np.load(out))


def stems(names: np.ndarray) -> list[str]:
    """Names without folder of the release and without extension."""
    found = (name.split("CheXpert-v1.0-small/")[-1] for name in names)
    return [name.rsplit(".", 1)[0] if name.endswith((".png", ".jpg")) else name for name in found]


def compare(case: Case, peer: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> str:
    """A line of the table."""
    names, own = stems(peer["names"]), stems(ours["names"])
    columns = [name for name in peer["columns"] if name in set(ours["columns"])]
    alone = [f"-{name}" for name in peer["columns"] if name not in columns]
    alone += [f"+{name}" for name in ours["columns"] if name not in columns]
    order = "same" if names == own else "other"
    # of an image with several rows, row by row
    first, second = (
        sorted(range(len(listed)), key=lambda row: (listed[row], row)) for listed in (names, own)
    )
    cells = "other images"
    if sorted(names) == sorted(own):
        pick = [[list(side["columns"]).index(name) for name in columns] for side in (peer, ours)]
        theirs, mine = peer["labels"][first][:, pick[0]], ours["labels"][second][:, pick[1]]
        different = ~((theirs == mine) | (np.isnan(theirs) & np.isnan(mine)))
        cells = f"{int(different.sum()):,} of {different.size:,}"
    else:
        cells += (
            f" ({len(set(names) - set(own)):,} of the peer's alone, {len(set(own) - set(names)):,} of ours)"
        )
    same = list(peer["columns"]) == list(ours["columns"])
    spelled = "same" if same else ", ".join(alone) or "other order"
    return f"{case.key:11}{case.title:16}{len(names):>9,}{len(own):>9,}  {spelled:28}{cells:>24}  {order}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="python of an environment with torchxrayvision")
    parser.add_argument("--models", action="store_true", help="compare models")
    for key in dict.fromkeys(case.key for case in CASES):
        parser.add_argument(
            f"--{key.replace('_', '-')}", dest=key, type=Path, help=f"folder of the tables of {key}"
        )
    arguments = vars(parser.parse_args())
    if arguments["models"]:
        with tempfile.TemporaryDirectory() as temporary:
            compare_models(arguments["peer"], Path(temporary))
        return
    print(
        f"{'dataset':11}{'opened':16}{'rows':>9}{'ours':>9}  {'columns':28}{'cells that differ':>24}  order"
    )
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "labels.npz"
        for case in CASES:
            if folder := arguments[case.key]:
                peer = load(arguments["peer"], PEER_IMPORTS, case, folder.absolute(), out)
                ours = load(sys.executable, OURS, case, folder.absolute(), out)
                print(compare(case, peer, ours), flush=True)


if __name__ == "__main__":
    main()
