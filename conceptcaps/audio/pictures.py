"""Pictures of clips; apart from the spectra, which served models read and which need no figures."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from conceptcaps.audio import spectrum


def spectra(rows: pd.DataFrame) -> Figure:
    """Log-mel spectra of clips, with their tags."""
    figure = Figure(figsize=(12, 2.6 * len(rows)), layout="constrained")
    for axes, row in zip(np.atleast_1d(figure.subplots(len(rows), 1)), rows.to_dict("records"), strict=True):
        picture = spectrum.spectrum(row["audio"]["bytes"]).T
        axes.imshow(
            picture, origin="lower", aspect="auto", cmap="magma", extent=(0, row["duration"], 0, spectrum.BANDS)
        )
        axes.set_title(", ".join(row["tags"]), fontsize=9)
        axes.set(xlabel="time (s)", ylabel="mel band")
    return figure
