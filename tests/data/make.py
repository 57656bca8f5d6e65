"""Write the files that later versions must load, with what they predict.

Run once for each version of the format; what an earlier version has written stays.
"""

import json
from pathlib import Path

import skcnn

HERE = Path(__file__).parent


def main():
    X, y = skcnn.load_digit_images(return_X_y=True)
    image = skcnn.ImageClassifier(
        "CONV-2 -> RELU -> DROPOUT-0.1 -> POOL -> FCS",
        epochs=5,
        optimizer__beta_1=0.8,
        augmentation=skcnn.ImageAugmenter(width_shift_range=0.1),
        random_state=0,
    ).fit(X, y.astype(str))
    questions, answers = skcnn.make_arithmetic(55, operation="+", n_digits=1, random_state=0)
    strings = skcnn.Seq2SeqRNN(cell="gru", hidden_size=4, epochs=5, random_state=0)
    strings.fit(questions, answers)
    for name, net, inputs in (("image", image, X[:5]), ("strings", strings, questions[:5])):
        net.save(HERE / f"{name}-{skcnn.__version__}.skcnn")
        expected = {
            "inputs": inputs.tolist(),
            "probabilities": net.predict_proba(inputs).tolist(),
            "predictions": net.predict(inputs).tolist(),
            "parameters": {k: repr(v) for k, v in sorted(net.get_params(deep=False).items())},
        }
        with open(HERE / f"{name}-{skcnn.__version__}.json", "w") as file:
            json.dump(expected, file)


if __name__ == "__main__":
    main()
