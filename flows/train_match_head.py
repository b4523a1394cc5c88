"""Trains a match head on labelled pairs of shots, from stored vectors.

    python flows/train_match_head.py run --pairs PAIRS.csv --weights heads/composition.npz

Then declare it: params {weights: heads/composition.npz} of the feature 'shot_head'.
"""

from metaflow import FlowSpec, Parameter, step


class TrainMatchHead(FlowSpec):
    """Labelled pairs in; a weights file and a report of how it does on unseen pairs out."""

    pairs = Parameter("pairs", required=True, help="CSV file, as 'copal evaluate' takes it.")
    weights = Parameter("weights", default="match_head.npz", help="Where the weights go.")
    feature = Parameter("feature", default="shot_composition", help="Whose vectors are turned.")
    outgoing = Parameter("outgoing", default="vector", help="Column of the shot a cut leaves.")
    incoming = Parameter("incoming", default="vector", help="Column of the shot it goes to.")
    dimensions = Parameter("dimensions", default=128, help="Length of the vectors that come out.")
    epochs = Parameter("epochs", default=60)
    seed = Parameter("seed", default=0, help="The same seed and pairs give the same head.")
    project = Parameter("project", default="", help="Folder of registry.yaml; found when empty.")
    store = Parameter("store", default="", help="Instead of the registry's.")

    @step
    def start(self):
        """Look at the pairs: a mistake in them is told before anything is trained."""
        self.count = len(self._examples())
        self.next(self.train)

    @step
    def train(self):
        """Train the head and write it, beside it the report."""
        import json
        from pathlib import Path

        from copal.search.head import Training, train

        how = Training(dimensions=self.dimensions, epochs=self.epochs, seed=self.seed)
        head = train(self._examples(), how)
        path = Path(self.weights)
        head.save(path)
        self.report = head.report | {"feature": self.feature, "weights": str(path.resolve())}
        path.with_suffix(".json").write_text(json.dumps(self.report, indent=1) + "\n")
        self.next(self.end)

    @step
    def end(self):
        """Say how it went."""
        print(f"{self.count:,} pairs of vectors of '{self.feature}'. Average precision on those "
              f"held out: {self.report['average_precision_before']:.3f} before, "
              f"{self.report['average_precision_after']:.3f} after.\n"
              f"Weights: {self.report['weights']}")  # fmt: skip

    def _examples(self):
        from pathlib import Path

        import copal
        from copal.search.head import examples

        lake = copal.open(self.project or None, store=self.store or None)
        return examples(lake.project, Path(self.pairs), self.feature, self.outgoing, self.incoming)


if __name__ == "__main__":
    TrainMatchHead()
