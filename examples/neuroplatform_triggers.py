"""Tell from its spikes which trigger a culture was given: python examples/neuroplatform_triggers.py.

With access to FinalSpark's platform, give neuroplatform:// and put your token into INMATERIA_NEUROPLATFORM_TOKEN.
"""

import asyncio
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from inmateria import connect


async def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "neuroplatform://emulated?triggers=4&step=1.0&seed=1"
    async with connect(uri) as culture:
        given = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 25))
        response = await culture.stimulate(culture.info.stimulus(np.eye(len(culture.info.inputs))[given]))
    assert response.signal is not None
    score = cross_val_score(LogisticRegression(C=0.01, max_iter=1000), response.signal[:, 0], given, cv=5).mean()
    print(f"{culture.info.id}: trigger read from the counts {score:.2f}, chance 0.25")


if __name__ == "__main__":
    asyncio.run(main())
