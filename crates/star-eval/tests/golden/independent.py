"""Writes independent.json: metrics of small random data by SciPy, scikit-learn and pycocotools.

    pip install numpy scipy scikit-learn pycocotools
    python independent.py > independent.json

The file committed was made with NumPy 2.4, SciPy 1.17, scikit-learn 1.9 and pycocotools 2.0.
"""

import contextlib
import io
import json
import sys

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import integrate, spatial, stats
from sklearn import metrics

rng = np.random.default_rng(20230613)


def f32(values, digits=3):
    """Numbers that decimal text and f32 both hold."""
    return np.round(np.asarray(values), digits).astype(np.float32).astype(np.float64)


def curve():
    errors = np.round(np.concatenate([rng.gamma(4.0, 0.012, 59), [0.04, 0.04]]), 6)
    threshold = 0.10
    # The step curve's corners, integrated by trapezia; and the reference's grid by Simpson's rule.
    inside = np.sort(errors[errors <= threshold])
    x, y = [0.0], [0.0]
    for value in np.unique(inside):
        x += [value, value]
        y += [np.mean(errors < value), np.mean(errors <= value)]
    x.append(threshold)
    y.append(np.mean(errors <= threshold))
    grid = np.arange(0.0, threshold + 1e-4, 1e-4)
    shares = [np.mean(errors <= value) for value in grid]
    return {
        "errors": errors.tolist(),
        "threshold": threshold,
        "auc": metrics.auc(x, y) / threshold,
        "auc_simpson": integrate.simpson(shares, dx=1e-4) / threshold,
        "failure_rate": float(np.mean(errors > threshold)),
        "ecdf_at": [[t, float(stats.ecdf(errors).cdf.evaluate(t))] for t in (0.02, 0.04, 0.06)],
        "nmpe": [[q, float(np.percentile(errors, q))] for q in (50, 90, 95, 99)],
    }


def nme():
    truth, predicted = f32(rng.uniform(0, 200, (6, 5, 2))), None
    predicted = f32(truth + rng.normal(0, 4, truth.shape))
    weights = f32(rng.uniform(0, 1, (6, 5)) * (rng.uniform(size=(6, 5)) > 0.2), 2)
    weights[:, 0] = 0.5
    distance = np.linalg.norm(predicted - truth, axis=-1)
    sides = truth.max(1) - truth.min(1)
    lengths = {
        "between_0_and_mean_3_4": np.linalg.norm(truth[:, 0] - truth[:, 3:].mean(1), axis=-1),
        "box_diagonal": np.linalg.norm(sides, axis=-1),
        "box_geometric_mean": stats.gmean(sides, axis=-1),
        "head_size": 0.6 * np.linalg.norm(sides, axis=-1),
    }
    fractions = distance / lengths["box_diagonal"][:, None]
    return {
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "weights": weights.tolist(),
        "nme": {k: (np.average(distance, axis=1, weights=weights) / v).tolist() for k, v in lengths.items()},
        "pck": [[t, float(np.mean(fractions[weights > 0] <= t))] for t in (0.01, 0.03, 0.1)],
        "pck_per_keypoint": [[float(np.mean(fractions[weights[:, k] > 0, k] <= 0.03)) for k in range(5)]],
    }


def bootstrap():
    values = np.round(rng.gamma(3.0, 0.015, 40), 6)
    cases = []
    for name, statistic in (("mean", np.mean), ("median", np.median)):
        result = stats.bootstrap(
            (values,), statistic, n_resamples=399, method="BCa", confidence_level=0.95, vectorized=False, random_state=rng
        )
        left_out = [statistic(np.delete(values, i)) for i in range(len(values))]
        cases.append(
            {
                "statistic": name,
                "estimate": float(statistic(values)),
                "distribution": [float(f"{v:.12g}") for v in result.bootstrap_distribution],
                "left_out": left_out,
                "low": result.confidence_interval.low,
                "high": result.confidence_interval.high,
            }
        )
    # Wide resampling on both sides: the two must agree to Monte Carlo error.
    wide = stats.bootstrap((values,), np.mean, n_resamples=100_000, method="BCa", random_state=rng)
    return {"values": values.tolist(), "cases": cases, "wide_mean": list(wide.confidence_interval)}


def paired():
    cases = []
    for count, digits in ((7, 6), (30, 6), (30, 2), (120, 6)):
        a = np.round(rng.gamma(4.0, 0.012, count), digits)
        b = np.round(a + rng.normal(-0.002, 0.01, count), digits).clip(0)
        d = np.round(b - a, 12)
        tied = len(np.unique(np.abs(d[d != 0]))) < np.count_nonzero(d)
        exact = not tied and np.count_nonzero(d) <= 50
        # Ties of a decimal difference must be ties in binary too: both methods get rounded differences.
        test = stats.wilcoxon(d[d != 0], method="exact" if exact else "asymptotic", correction=False)
        better, worse = int(np.sum(d < 0)), int(np.sum(d > 0))
        cases.append(
            {
                "differences": d.tolist(),
                "exact": bool(exact),
                "smaller_rank_sum": float(test.statistic),
                "p": float(test.pvalue),
                "sign_p": float(stats.binomtest(min(better, worse), better + worse).pvalue),
            }
        )
    return cases


def calibration():
    count = 150
    axes = np.round(rng.uniform(0.5, 4.0, (count, 2)), 3)
    degrees = np.round(rng.uniform(-90, 90, count), 2)
    radians = np.deg2rad(degrees)
    turn = np.stack([np.cos(radians), -np.sin(radians), np.sin(radians), np.cos(radians)], -1).reshape(-1, 2, 2)
    covariance = turn @ (np.eye(2) * (axes**2)[:, None, :]) @ turn.transpose(0, 2, 1)
    drawn = [rng.multivariate_normal([0, 0], 1.7 * c) for c in covariance]
    residual = f32(drawn)
    d2 = np.array([spatial.distance.mahalanobis(r, [0, 0], np.linalg.inv(c)) ** 2 for r, c in zip(residual, covariance)])
    shares = stats.chi2(2).cdf(d2)
    length = 80.0
    nll = -np.mean([stats.multivariate_normal([0, 0], c / length**2).logpdf(r / length) for r, c in zip(residual, covariance)])
    return {
        "axes": axes.tolist(),
        "degrees": degrees.tolist(),
        "residuals": residual.tolist(),
        "length": length,
        "mean": float(np.mean(d2)),
        "median": float(np.median(d2)),
        "largest_gap": float(stats.kstest(d2, stats.chi2(2).cdf).statistic),
        # Against 200,000 evenly spaced quantiles of the uniform distribution.
        "area": float(stats.wasserstein_distance(shares, (np.arange(200_000) + 0.5) / 200_000)),
        "within": [[q, float(np.mean(d2 <= stats.chi2(2).ppf(q)))] for q in (0.05, 0.5, 0.95, 0.99)],
        "nll": float(nll),
    }


def shape():
    base = rng.normal(0, 30, (6, 2))
    a, b = f32(base + rng.normal(0, 2, base.shape)), f32(base * 1.4 + 12 + rng.normal(0, 2, base.shape))
    first, second, disparity = spatial.procrustes(a, b)
    return {"shapes": [a.tolist(), b.tolist()], "disparity": disparity}


def video():
    frames, keypoints = 12, 4
    truth = f32(rng.uniform(50, 250, (1, keypoints, 2)) + rng.normal(0, 3, (frames, keypoints, 2)))
    predicted = f32(truth + rng.normal(0, 1.5, truth.shape))
    error = predicted - truth
    step = np.linalg.norm(np.diff(error, axis=0), axis=-1)
    sides = (truth.max(1) - truth.min(1))[1:]
    j = 100 * step / np.sqrt(sides.prod(-1) / 256**2)[:, None]
    return {
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "nmj": float(j.mean()),
        "nmf": float(np.sqrt(np.mean(j**2))),
        "keypoint_nmf": np.sqrt((j**2).mean(0)).tolist(),
    }


def keypoint_ap():
    keypoints = 5
    sigmas = np.array([0.03, 0.05, 0.08, 0.1, 0.06])
    image_list, annotations, results, similarities = [], [], [], []
    for image in range(1, 26):
        image_list.append({"id": image, "width": 640, "height": 480})
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = np.round([*rng.uniform(0, 400, 2), *rng.uniform(25, 180, 2)], 1)
            points = np.round(np.stack([rng.uniform(x, x + w, keypoints), rng.uniform(y, y + h, keypoints)], -1), 1)
            seen = rng.integers(0, 3, keypoints) if rng.uniform() > 0.1 else np.zeros(keypoints, int)
            flat = np.concatenate([points, seen[:, None]], -1).ravel().tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": flat,
                    "num_keypoints": int(np.count_nonzero(seen)),
                    "area": float(np.round(0.6 * w * h, 1)),
                    "bbox": [x, y, w, h],
                    "iscrowd": int(rng.uniform() < 0.08),
                }
            )
            for _ in range(rng.integers(0, 3)):
                noise = rng.normal(0, rng.choice([0.01, 0.06, 0.3]) * np.sqrt(w * h), points.shape)
                found = np.round(points + noise, 1)
                flat = np.concatenate([found, np.ones((keypoints, 1))], -1).ravel().tolist()
                score = float(np.round(rng.uniform(), 4))
                results.append({"image_id": image, "category_id": 1, "keypoints": flat, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": image_list,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "thing", "keypoints": [str(k) for k in range(keypoints)]}],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    for image in range(1, 26):
        matrix = evaluation.ious.get((image, 1), [])
        similarities.append(np.asarray(matrix).tolist())
    return {
        "sigmas": sigmas.tolist(),
        "images": 25,
        "annotations": [
            {k: a[k] for k in ("image_id", "keypoints", "area", "bbox", "iscrowd")} for a in annotations
        ],
        "results": [{k: r[k] for k in ("image_id", "keypoints", "score")} for r in results],
        "similarities": similarities,
        "stats": evaluation.stats.tolist(),
    }


def main():
    document = {
        "curve": curve(),
        "nme": nme(),
        "bootstrap": bootstrap(),
        "paired": paired(),
        "calibration": calibration(),
        "shape": shape(),
        "video": video(),
        "keypoint_ap": keypoint_ap(),
    }
    json.dump(document, sys.stdout)
    print()


main()
