import joblib
import numpy as np
import pytest
import tensorflow as tf
from marks import slow
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skcnn import ImageClassifier, Seq2SeqRNN, _environment, load_digit_images
from skcnn._environment import native_bfloat16
from skcnn.image import estimator

SMALL, Y = (data[:300] for data in load_digit_images(return_X_y=True))
LARGE = SMALL.repeat(2, axis=1).repeat(2, axis=2)
TEST, TEST_Y = (data[300:800] for data in load_digit_images(return_X_y=True))
TEST = TEST.repeat(2, axis=1).repeat(2, axis=2)


def net(**parameters):
    architecture = "CONV-8 -> RELU -> POOL -> CONV-16 -> RELU -> POOL -> FCS"
    defaults = {"architecture": architecture, "epochs": 12, "batch_size": 32, "random_state": 0}
    return ImageClassifier(**{**defaults, **parameters})


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Mock the flags of the processor and the settings of oneDNN."""

    def have(flags, onednn=None):
        description = tmp_path / "cpuinfo"
        description.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
        monkeypatch.setattr(_environment, "CPU_DESCRIPTION", description)
        if onednn is None:
            monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        else:
            monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
        native_bfloat16.cache_clear()

    yield have
    native_bfloat16.cache_clear()


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="asks the GPU")
@pytest.mark.parametrize(
    ("flags", "onednn", "native"),
    [
        ("fpu avx512f avx512_bf16", None, True),
        ("fpu amx_bf16", "1", True),
        ("fpu avx512_bf16", "0", False),
        ("fpu avx2 avx512f", None, False),
    ],
)
def test_bfloat16_is_native_where_the_processor_and_onednn_have_it(
    processor, flags, onednn, native
):
    processor(flags, onednn)
    assert native_bfloat16() is native


def test_bfloat16_is_not_native_on_an_unknown_processor(monkeypatch, processor):
    processor("")
    monkeypatch.setattr(_environment, "CPU_DESCRIPTION", _environment.CPU_DESCRIPTION / "missing")
    if not tf.config.list_physical_devices("GPU"):
        assert native_bfloat16() is False


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ([(8, 0)], True),
        ([(9, 0), (8, 6)], True),
        ([(7, 5)], False),
        ([(8, 0), (7, 0)], False),
        ([None], False),
    ],
)
def test_bfloat16_is_native_on_graphics_cards_from_ampere_on(
    monkeypatch, processor, capabilities, native
):
    processor("" if native else "avx512_bf16")
    details = [{"compute_capability": each} if each else {} for each in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: details)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: device)
    assert native_bfloat16() is native


@pytest.mark.parametrize("native", [False, True])
def test_auto_precision_uses_native_bfloat16_except_for_tiny_images(monkeypatch, native):
    monkeypatch.setattr(estimator, "native_bfloat16", lambda: native)
    chosen = "mixed_bfloat16" if native else "float32"
    small = net(architecture="FCS", epochs=1)
    assert clone(small).fit(LARGE, Y).precision_ == chosen
    assert clone(small).fit(SMALL, Y).precision_ == "float32"
    for precision, images in (("mixed_bfloat16", SMALL), ("float32", LARGE)):
        given = clone(small).set_params(precision=precision)
        assert given.fit(images, Y).precision_ == precision
    strings = [f"{number:02}" for number in range(30)]
    assert (
        Seq2SeqRNN(cell="simple_rnn", decoder="repeat", epochs=1).fit(strings, strings).precision_
        == "float32"
    )


@pytest.mark.parametrize("batch_norm", [False, True])
def test_mixed_precision_learns_as_well_and_predicts_in_float32(batch_norm):
    scores = {}
    for precision in ("float32", "mixed_bfloat16"):
        fitted = net(precision=precision, batch_norm=batch_norm).fit(LARGE, Y)
        assert fitted.predict_proba(TEST).dtype == np.float32
        assert {weight.dtype for weight in fitted.model_.weights} == {"float32"}
        assert {layer.compute_dtype for layer in fitted.model_.layers} == {"float32"}
        scores[precision] = fitted.score(TEST, TEST_Y)
    assert min(scores.values()) > 0.8
    assert abs(scores["float32"] - scores["mixed_bfloat16"]) < 0.04


def test_mixed_precision_computes_in_bfloat16():
    losses = [
        net(precision=precision, epochs=1).fit(LARGE, Y).history_["loss"][0]
        for precision in ("float32", "mixed_bfloat16", "mixed_bfloat16")
    ]
    assert losses[1] == losses[2]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_checkpoint_of_another_precision_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(estimator, "native_bfloat16", lambda: False)
    net(epochs=1, checkpoint_dir=tmp_path).fit(LARGE, Y)
    monkeypatch.setattr(estimator, "native_bfloat16", lambda: True)
    with pytest.raises(ValueError, match="precision"):
        net(epochs=1, checkpoint_dir=tmp_path).fit(LARGE, Y)


def threads():
    import skcnn.base  # noqa: F401

    return (
        tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(),
    )


def test_search_workers_limit_their_threads():
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=3):
        assert joblib.Parallel()(joblib.delayed(threads)() for _ in range(2)) == [(3, 3)] * 2
        scores = cross_val_score(net(), SMALL, Y, cv=2)
    assert scores.min() > 0.8
    assert threads() == (0, 0)  # this process is as it was


@pytest.mark.parametrize("share", ["1", *slow("nonsense")])
def test_omp_num_threads_alone_does_not_limit_threads(run_python, share):
    # Neither in a worker in which TensorFlow is initialized, nor in the process itself. TensorFlow
    # is imported once for both: it starts with the first operation.
    code = """
import multiprocessing
import tensorflow as tf

def work():
    tf.constant(1) + 1
    import skcnn.base
    print(tf.config.threading.get_intra_op_parallelism_threads(), flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    import skcnn.base
    print(tf.config.threading.get_intra_op_parallelism_threads())
"""
    assert run_python(code, OMP_NUM_THREADS=share).stdout == "0\n0\n"
