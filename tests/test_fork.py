"""Processes that are forked while TensorFlow runs."""

import pytest

CODE = """
import os, pickle, signal, sys
import numpy as np
import skcnn
X, y = (data[:60] for data in skcnn.load_digit_images(return_X_y=True))
strings, answers = skcnn.make_arithmetic(40, operation="+", n_digits=1, random_state=0)
images = skcnn.ImageClassifier("FCS", epochs=1, random_state=0)
reader = skcnn.Seq2SeqRNN(hidden_size=4, epochs=1, random_state=0)
augmenter = skcnn.ImageAugmenter(rotation_range=20)
ran = sys.argv[1] == "ran"
if ran:
    images.fit(X, y)
    reader.fit(strings, answers)
    images.save(sys.argv[2])
    pickled = pickle.dumps(images)
calls = {
    "fit": lambda: skcnn.ImageClassifier("FCS", epochs=1).fit(X, y),
    "fit strings": lambda: skcnn.Seq2SeqRNN(epochs=1).fit(strings, answers),
    "augment": lambda: augmenter.transform(X),
}
if ran:
    calls |= {
        "predict": lambda: images.predict(X),
        "predict_proba": lambda: images.predict_proba(X[:1]),
        "transform": lambda: images.transform(X),
        "predict strings": lambda: reader.predict(strings),
        "partial_fit": lambda: images.partial_fit(X, y),
        "load": lambda: skcnn.load(sys.argv[2]),
        "unpickle": lambda: pickle.loads(pickled),
        "model_": lambda: images.model_,
        "export": lambda: images.export(sys.argv[2] + "2", "tf_saved_model"),
    }
for name, call in calls.items():
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            call()
        except RuntimeError as error:
            print(name, "refused:", "'spawn'" in str(error), "--preload" in str(error), flush=True)
            os._exit(0)
        print(name, "done", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
if ran:
    assert images.predict(X).shape == (60,)
"""


@pytest.mark.parametrize("ran", [True, False])
def test_a_fork_is_noticed_where_it_would_hang(run_python, tmp_path, ran):
    said = run_python(CODE, "ran" if ran else "", str(tmp_path / "a.skcnn")).stdout.splitlines()
    if ran:
        assert len(said) == 12, said
        assert [line for line in said if not line.endswith(" refused: True True")] == []
    else:
        # TensorFlow is imported only, and starts in each child.
        assert [line for line in said if not line.endswith(" done")] == []
        assert len(said) == 3
