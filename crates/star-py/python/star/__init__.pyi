from collections.abc import Sequence
from os import PathLike
from typing import Optional, Union

import numpy as np
from numpy.typing import NDArray

__version__: str

Box = tuple[float, float, float, float]
Image = NDArray[np.uint8]

class Pose:
    """How a head is turned, in degrees; all 0 is frontal and upright."""

    @property
    def yaw(self) -> float:
        """To the head's left positive."""
    @property
    def pitch(self) -> float:
        """Up positive."""
    @property
    def roll(self) -> float:
        """Towards the head's right shoulder positive."""
    @property
    def deviations(self) -> tuple[float, float, float]:
        """Standard deviations of yaw, pitch and roll."""

class Face:
    """A face in an image; lengths in pixels."""

    @property
    def box(self) -> Box:
        """x, y, width and height of the box that its crop was made from."""
    @property
    def score(self) -> Optional[float]:
        """The probability that this is a face; None where the box was given."""
    @property
    def points(self) -> NDArray[np.float32]:
        """[K, 2], x and y."""
    @property
    def covariances(self) -> NDArray[np.float32]:
        """[K, 2, 2], pixels squared."""
    @property
    def confidence(self) -> Optional[NDArray[np.float32]]:
        """[K], the probability of a small error; None for weights that were not calibrated."""
    @property
    def pose(self) -> Optional[Pose]:
        """None for keypoints whose place on a head is not known."""

class Predictor:
    """Finds faces and their landmarks. One predictor serves many threads."""

    def __init__(
        self,
        weights: Union[str, PathLike[str]] = "builtin",
        *,
        min_score: float = 0.1,
        any_rotation: bool = False,
        threads: Optional[int] = None,
    ) -> None:
        """weights: a folder or file, or "builtin" (68 landmarks). min_score: the least probability that counts as a face.
        any_rotation: look for faces on their side or head too. threads: of the network, all cores by default."""
    def __call__(self, image: Image, boxes: Optional[Sequence[Box]] = None) -> list[Face]:
        """The faces of an RGB image [H, W, 3], or those in the boxes."""
    def predict(self, image: Image, boxes: Optional[Sequence[Box]] = None) -> list[Face]:
        """The same."""
    @property
    def scheme(self) -> str:
        """Name of the markup, such as "ibug68"."""
    @property
    def keypoints(self) -> list[tuple[str, str]]:
        """Name and group of each landmark."""

class Tracker:
    """Follows faces through a video."""

    def __init__(self, predictor: Predictor, *, smooth: bool = False) -> None: ...
    def __call__(self, image: Image, seconds: float) -> list[tuple[int, Face]]:
        """The faces of the next frame by their numbers, which stay; seconds from the video's start."""

def nme(
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    length: Optional[float] = None,
    *,
    scheme: Optional[str] = None,
) -> float:
    """Normalised mean error of one face, a fraction: divided by `length`, or by the normalizer of a scheme such as "300w"."""
