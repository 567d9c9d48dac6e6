"""Face landmarks with covariances, confidence and head pose; weights are in the package."""

from .star_native import Face, Pose, Predictor, Tracker, __version__, nme

__all__ = ["Face", "Pose", "Predictor", "Tracker", "__version__", "nme"]
