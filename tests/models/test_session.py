"""Sessions: the classifier's answers and checks, from a classifier or a file, in threads and processes."""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch

from xrdatasets.errors import WeightsError, WeightsNotFoundError
from xrdatasets.models import Classifier, InputSpec, Mini, Network
from xrdatasets.models.inference.onnx_export import carded, export_onnx
from xrdatasets.models.inference.session import Session

SPACE = ("Lung Opacity", "Consolidation", "Pneumonia")


def classifier(**options):
    torch.manual_seed(0)
    network = Network(Mini(width=2), 3)
    defaults = {"inputs": InputSpec(size=32), "operating_points": (0.4, 0.6, 0.5)}
    model = Classifier(network, SPACE, **{**defaults, **options})
    with torch.no_grad():  # so that the answers differ, and are neither 0 nor 1
        network.head.weight /= model.logits(images(8)).std(dim=0).mean()
    return model


def images(count, side=32):
    """Of different brightness."""
    made = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(3))
    return 1024 * (2 * made * torch.linspace(0.3, 1, count).reshape(-1, 1, 1, 1) - 1)


def wanted(count, side=32):
    return classifier()(images(count, side)).detach()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("session") / "tiny.onnx"
    export_onnx(classifier(trained=[True, True, False]), path)
    return path


@pytest.fixture(scope="module")
def session():
    """Of two threads, so that batches are shared out wherever it runs."""
    return Session(classifier(), threads=2)


class TestAnswers:
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
    def test_they_are_the_classifiers_in_the_order_of_the_images(self, session, count):
        torch.testing.assert_close(session(images(count)), wanted(count), rtol=0, atol=1e-5)
        assert wanted(8).std(dim=0).min() > 0.05

    def test_an_array_for_an_array_and_a_tensor_for_a_tensor(self, session):
        array, tensor = session(images(2).numpy()), session(images(2))
        assert (type(array), array.dtype, array.shape) == (np.ndarray, np.float32, (2, 3))
        assert (type(tensor), tensor.dtype, tensor.device.type) == (torch.Tensor, torch.float32, "cpu")
        np.testing.assert_array_equal(array, tensor.numpy())

    def test_float64_and_strided_images(self, session):
        strided = images(8).permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
        for batch in (
            images(8).double(),
            strided,
            images(16)[::2],
            images(8).numpy()[:, :, ::-1][:, :, ::-1],
        ):
            assert session(batch).shape == (8, 3)
        torch.testing.assert_close(session(images(8).double()), wanted(8), rtol=0, atol=1e-5)
        torch.testing.assert_close(session(strided), wanted(8), rtol=0, atol=1e-5)

    def test_no_images_give_no_rows(self, session):
        assert session(images(0)).shape == (0, 3)
        assert session(images(0).numpy()).dtype == np.float32

    def test_colours_are_taken_for_grey(self, session):
        torch.testing.assert_close(session(images(2).expand(-1, 3, -1, -1)), wanted(2), rtol=0, atol=1e-4)

    def test_of_another_size_they_are_resized_as_the_classifier_does(self, session):
        with pytest.warns(UserWarning, match="images of 64 x 64 are resized to 32 x 32"):
            found = session(images(2, 64))
        with pytest.warns(UserWarning, match="resized"):
            torch.testing.assert_close(found, wanted(2, 64), rtol=0, atol=1e-5)

    @pytest.mark.parametrize(
        ("batch", "message"),
        [
            (torch.rand(1, 1, 32, 32), "expected values from -1024 to 1024"),
            (np.zeros((1, 1, 32, 32), np.uint8), "expected a float tensor, got"),
            (images(1)[0], r"expected the shape \(B, 1, H, W\)"),
            ([[1.0]], "expected a float array or tensor, got list"),
            (torch.full((1, 1, 32, 32), torch.nan), "expected values from -1024 to 1024"),
        ],
    )
    def test_what_the_classifier_refuses_is_refused(self, session, batch, message):
        with pytest.raises(ValueError, match=message):
            session(batch)

    def test_the_images_are_left_as_they_are(self, session):
        batch = images(4).requires_grad_()
        before = batch.detach().clone()
        assert not session(batch).requires_grad
        assert torch.equal(batch, before)

    def test_what_it_knows_of_itself(self, session):
        assert session.pathologies == SPACE
        assert session.inputs == InputSpec(size=32)
        assert (session.precision, session.space.name) == ("float32", "custom")
        assert 0 <= session.error <= 1e-5
        assert repr(session) == "Session(3 findings of custom, 32 x 32, float32)"


class TestThreads:
    def test_from_several_threads_at_once(self, session):
        counts = [1, 8, 3, 11, 5, 2] * 4
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda count: session(images(count)), counts))
        for count, answers in zip(counts, found, strict=True):
            torch.testing.assert_close(answers, wanted(count), rtol=0, atol=1e-5)

    def test_a_batch_is_shared_out_and_a_few_images_are_not(self, session, monkeypatch):
        seen, run = [], Session._engine

        def engine(self, threads):
            seen.append(threads)
            return run(self, threads)

        monkeypatch.setattr(Session, "_engine", engine)
        session(images(3))
        session(images(4))
        assert seen == [2, 1]

    def test_one_thread_makes_no_others(self, file):
        alone = Session.open(file, threads=1)
        before = threading.active_count()
        alone(images(8))
        assert threading.active_count() == before


class TestProcesses:
    def test_it_goes_by_pickle_and_copy(self, session):
        for other in (pickle.loads(pickle.dumps(session)), copy.deepcopy(session)):
            assert not other._engines
            torch.testing.assert_close(other(images(5)), session(images(5)), rtol=0, atol=1e-6)


class TestFiles:
    def test_a_file_is_its_classifier(self, file):
        opened = Session.open(file)
        assert opened.pathologies == SPACE
        assert opened.inputs == InputSpec(size=32)
        model = classifier(trained=[True, True, False])
        torch.testing.assert_close(
            opened(images(5)), model(images(5)).detach(), rtol=0, atol=1e-5, equal_nan=True
        )
        assert opened(images(1)).isnan().tolist() == [[False, False, True]]

    def test_a_session_writes_its_file(self, session, tmp_path):
        session.save(tmp_path / "again.onnx")
        other = Session.open(str(tmp_path / "again.onnx"), threads=1)
        torch.testing.assert_close(other(images(3)), session(images(3)), rtol=0, atol=1e-6)

    def test_a_file_needs_no_exporter(self, file, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnx", None)
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        assert Session.open(file)(images(1)).shape == (1, 3)

    def test_a_fixed_batch_is_asked_for(self, tmp_path):
        export_onnx(classifier(), tmp_path / "two.onnx", batch=2)
        opened = Session.open(tmp_path / "two.onnx")
        torch.testing.assert_close(opened(images(2)), wanted(2), rtol=0, atol=1e-5)
        with pytest.raises(
            ValueError, match="images: expected 2 at once, as the file was exported for, got 3"
        ):
            opened(images(3))

    def test_no_such_file(self, tmp_path):
        with pytest.raises(WeightsNotFoundError, match=r"no file .*none\.onnx"):
            Session.open(tmp_path / "none.onnx")

    @pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"\x80" * 500])
    def test_a_damaged_file_is_named(self, file, tmp_path, damage):
        path = tmp_path / "damaged.onnx"
        path.write_bytes(damage(file.read_bytes()))
        with pytest.raises(WeightsError, match=r"cannot open '.*damaged\.onnx'"):
            Session.open(path)

    def test_a_file_of_others_is_refused(self, file, tmp_path):
        model = onnx.load_from_string(file.read_bytes())
        del model.metadata_props[:]
        path = tmp_path / "plain.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(WeightsError, match="its metadata lacks the card"):
            Session.open(path)

    @pytest.mark.parametrize("change", [{"inputs": {"size": -1}}, {"pathologies": 3}, {"error": "small"}])
    def test_a_card_that_makes_no_sense_is_refused(self, file, tmp_path, change):
        from xrdatasets.models.inference.onnx_export import card_of

        model = onnx.load_from_string(file.read_bytes())
        card = card_of({each.key: each.value for each in model.metadata_props}, "it")
        path = tmp_path / "odd.onnx"
        path.write_bytes(carded(model, card | change))
        with pytest.raises(WeightsError, match="its card does not describe a classifier"):
            Session.open(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"providers": ["NoSuchProvider"]}, "providers: expected some of .*CPUExecutionProvider"),
        ({"providers": "CPUExecutionProvider"}, "providers: expected some of"),
        ({"providers": []}, "providers: expected some of"),
        ({"threads": 0}, "threads: expected a whole number of at least 1, got 0"),
        ({"precision": "int4"}, "precision: expected one of float32, int8, got 'int4'"),
        ({"precision": "int8"}, "calibration: expected images for precision='int8'"),
        ({"calibration": torch.zeros(8, 1, 32, 32)}, "calibration: expected images for precision='int8'"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Session(classifier(), **options)


def test_what_is_not_installed_is_named(monkeypatch, file):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'need onnxruntime, which .* pip install "xrdatasets\[onnx\]"'):
        Session.open(file)
