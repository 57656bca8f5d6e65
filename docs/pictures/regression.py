"""Numbers from images: the angle by which a digit was turned."""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from skcnn import ImageRegressor, load_digit_images

X, y = load_digit_images(return_X_y=True)
X = X[np.isin(y, [2, 3, 4, 7])]
rng = np.random.default_rng(0)
angle = rng.uniform(-60, 60, len(X))
turned = np.stack(
    [
        np.asarray(Image.fromarray(x.astype(np.float32)).resize((16, 16), 2).rotate(a, 2))
        for x, a in zip(X, angle, strict=True)
    ]
)
net = ImageRegressor(
    "[CONV-16 -> RELU]*2 -> POOL -> [CONV-32 -> RELU]*2 -> POOL -> FC-50 -> RELU -> FCS",
    random_state=0,
)
net.fit(turned[:500], angle[:500])
predicted = net.predict(turned[500:])

figure, (left, right) = plt.subplots(
    1, 2, figsize=(8.5, 3.2), layout="constrained", width_ratios=[1.6, 1]
)
left.set_axis_off()
for k in range(8):
    ax = left.inset_axes([0.25 * (k % 4), 0.5 - 0.5 * (k // 4), 0.24, 0.42])
    ax.imshow(turned[500 + k], cmap="gray")
    ax.set_title(f"{predicted[k]:.0f}°, was {angle[500 + k]:.0f}°", fontsize=8)
    ax.set_axis_off()
right.plot(angle[500:], predicted, ".", color="#1f5f99", markersize=5)
right.plot([-60, 60], [-60, 60], color="0.6", linewidth=1)
error = np.abs(predicted - angle[500:])
right.set(
    xlabel="Angle (degrees)",
    ylabel="Predicted",
    title=f"{len(predicted)} others: R² {net.score(turned[500:], angle[500:]):.2f}, "
    f"median error {np.median(error):.0f}°",
)
right.title.set_fontsize(9)
right.grid(alpha=0.3)
