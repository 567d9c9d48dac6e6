"""Writes one_euro.json: sequences filtered by the authors' Python program (PyPI package OneEuroFilter 0.2.1).

    pip install numpy OneEuroFilter
    python one_euro.py > one_euro.json
"""

import json

import numpy as np
from OneEuroFilter import OneEuroFilter

rng = np.random.default_rng(2012)
cases = []
for fps, min_cutoff, beta in ((30.0, 1.0, 0.0), (30.0, 1.0, 0.5), (60.0, 0.3, 4.0)):
    samples = np.round(np.sin(np.arange(40) / 6.0) * 3.0 + rng.normal(0, 0.2, 40), 4)
    one = OneEuroFilter(freq=fps, mincutoff=min_cutoff, beta=beta, dcutoff=1.0)
    filtered = [one.filter(float(value)) for value in samples]
    cases.append(
        {"fps": fps, "min_cutoff": min_cutoff, "beta": beta, "samples": samples.tolist(), "filtered": filtered}
    )
print(json.dumps(cases))
