"""The order of the examples in the gallery."""

ORDER = [
    "quickstart",
    "plot_photos",
    "plot_recipes",
    "plot_mistakes",
    "plot_augmentation_search",
    "plot_architecture_search",
    "plot_transfer",
    "plot_blur",
    "plot_doubtful_labels",
    "plot_own_architecture",
    "plot_saving",
    "plot_scaling_out",
    "plot_subtraction",
    "plot_dates",
    "plot_pronunciation",
]


class GalleryOrder:
    """Sort the examples of a folder; those that are not listed come last."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, filename: str) -> tuple[int, str]:
        name = filename.removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)
