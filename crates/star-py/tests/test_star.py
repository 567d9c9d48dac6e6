"""The wheel from outside, on a photograph of public domain."""

from pathlib import Path
import threading

import numpy as np
from PIL import Image
import pytest

import star

PHOTOGRAPH = Path(__file__).parents[2] / "star-predict/tests/data/astronaut.png"


@pytest.fixture(scope="module")
def image():
    return np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))


@pytest.fixture(scope="module")
def predictor():
    return star.Predictor()


def test_a_face_has_points_covariances_confidence_and_pose(predictor, image):
    (face,) = predictor(image)
    assert face.points.shape == (68, 2) and face.points.dtype == np.float32
    assert face.covariances.shape == (68, 2, 2)
    assert (np.linalg.eigvalsh(face.covariances) >= 0).all()
    assert np.array_equal(face.covariances, face.covariances.transpose(0, 2, 1))
    assert face.confidence.shape == (68,) and (0 <= face.confidence).all() and (face.confidence <= 1).all()
    assert 0.9 < face.score <= 1
    assert abs(face.pose.yaw) < 10 and all(deviation > 0 for deviation in face.pose.deviations)
    x, y, width, height = face.box
    assert x < face.points[30, 0] < x + width and y < face.points[30, 1] < y + height
    assert predictor.scheme == "ibug68"
    assert predictor.keypoints[36] == ("right_eye_0", "right_eye")


def test_views_are_as_good_as_copies_and_boxes_stand_for_the_detector(predictor, image):
    bgr = np.ascontiguousarray(image[..., ::-1])
    (face,) = predictor(image)
    (view,) = predictor(bgr[..., ::-1])
    assert np.array_equal(face.points, view.points)
    (given,) = predictor.predict(image, boxes=[face.box])
    assert np.array_equal(face.points, given.points) and given.score is None
    assert predictor(np.zeros((100, 120, 3), np.uint8)) == []


def test_what_cannot_be_meant_is_refused(predictor, image):
    with pytest.raises(ValueError, match=r"\[height, width, 3\]"):
        predictor(image[..., :2].copy())
    with pytest.raises(TypeError):
        predictor(image.astype(np.float32))
    with pytest.raises(ValueError, match="box"):
        predictor(image, boxes=[(9000, 0, 10, 10)])
    with pytest.raises(ValueError, match="nowhere"):
        star.Predictor("nowhere")
    with pytest.raises(ValueError, match="min_score"):
        star.Predictor(min_score=2)
    with pytest.raises(ValueError, match="length"):
        star.nme(np.zeros((68, 2), np.float32), np.zeros((68, 2), np.float32))


def test_the_error_of_a_face_is_a_share_of_the_normalizer(predictor, image):
    truth = predictor(image)[0].points
    moved = truth + np.float32([3, 4])
    eyes = np.linalg.norm(truth[36] - truth[45])
    assert star.nme(moved, truth, scheme="ibug68") == pytest.approx(5 / eyes, rel=1e-4)
    assert star.nme(moved, truth, 50.0) == pytest.approx(0.1, rel=1e-4)


def test_a_tracker_keeps_numbers_and_wants_later_frames(predictor, image):
    tracker = star.Tracker(predictor, smooth=True)
    for frame in range(5):
        ((number, face),) = tracker(image[:, frame:], frame / 30)
        assert number == 0 and face.points.shape == (68, 2)
    with pytest.raises(ValueError, match="later"):
        tracker(image, 0.0)


def test_other_threads_run_while_the_network_does(predictor, image):
    """A thread that only counts gets on while another predicts: the lock is released."""
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1

    counting = threading.Thread(target=count)
    counting.start()
    before = counted[0]
    for _ in range(5):
        predictor(image)
    after = counted[0]
    done.set()
    counting.join()
    assert after - before > 1000
