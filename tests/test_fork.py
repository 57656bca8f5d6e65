"""Processes that are forked while TensorFlow runs."""

CODE = """
import os, pickle, signal, sys
import skcnn
X, y = (data[:60] for data in skcnn.load_digit_images(return_X_y=True))
strings, answers = skcnn.make_arithmetic(40, operation="+", n_digits=1, random_state=0)
images = skcnn.ImageClassifier("FCS", epochs=1, random_state=0)
quick = {"cell": "simple_rnn", "decoder": "repeat", "hidden_size": 4, "epochs": 1}
reader = skcnn.Seq2SeqRNN(**quick)
augmenter = skcnn.ImageAugmenter(rotation_range=20)


def in_children(calls):
    for name, call in calls.items():
        child = os.fork()
        if not child:
            signal.alarm(60)
            try:
                call()
            except RuntimeError as error:
                print(name, "refused:", "'spawn'" in str(error), "--preload" in str(error))
            else:
                print(name, "done")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


calls = {
    "fit": lambda: skcnn.ImageClassifier("FCS", epochs=1).fit(X, y),
    "fit strings": lambda: skcnn.Seq2SeqRNN(**quick).fit(strings, answers),
    "augment": lambda: augmenter.transform(X),
}
in_children(calls)  # TensorFlow is imported only, and starts in each child
images.fit(X, y)
reader.fit(strings, answers)
images.save(sys.argv[1])
pickled = pickle.dumps(images)
in_children(
    calls
    | {
        "predict": lambda: images.predict(X),
        "predict_proba": lambda: images.predict_proba(X[:1]),
        "transform": lambda: images.transform(X),
        "predict strings": lambda: reader.predict(strings),
        "partial_fit": lambda: images.partial_fit(X, y),
        "load": lambda: skcnn.load(sys.argv[1]),
        "unpickle": lambda: pickle.loads(pickled),
        "model_": lambda: images.model_,
        "export": lambda: images.export(sys.argv[1] + "2", "tf_saved_model"),
    }
)
assert images.predict(X).shape == (60,)
"""


def test_fork_raises_instead_of_hanging(run_python, tmp_path):
    said = run_python(CODE, str(tmp_path / "a.skcnn")).stdout.splitlines()
    assert said[:3] == ["fit done", "fit strings done", "augment done"]
    assert [line for line in said[3:] if not line.endswith(" refused: True True")] == []
    assert len(said) == 3 + 12
