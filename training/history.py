"""What an epoch came to, and how it is told and kept."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class EpochRecord:
    """A line of epochs.csv; loss on training batches, all else on `val`.

    Attributes:
        eer: mean over the conditions of validation.
        accuracy: at the threshold of equal errors (the score is not calibrated yet).
    """

    epoch: int
    loss: float
    auc: float
    accuracy: float
    eer: float
    learning_rate: float
    seconds: float


def epoch_line(record: EpochRecord, best: bool) -> str:
    """An epoch for the console."""
    return (
        f"epoch {record.epoch:3d}  loss {record.loss:.4f}  val AUC {record.auc:.4f}  "
        f"accuracy {record.accuracy:.4f}  EER {record.eer:.4f}  {record.seconds:.0f} s"
        f"{'  *' if best else ''}"
    )


def epochs_csv(records: Sequence[EpochRecord]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(records[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return text.getvalue()


def lowest_eer(text: str) -> float:
    """The lowest EER, 0 ... 1, of all epochs in the text of an epochs.csv.

    Raises:
        ValueError: it holds no epoch.
    """
    return min(float(row["eer"]) for row in csv.DictReader(io.StringIO(text)))
