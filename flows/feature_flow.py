"""The features of registry.yaml as a flow. Written by 'copal flow write': do not edit.

Steps pass the number of a chunk and counts, never media or vectors. Resources, retries, timeouts
and the schedule come from the registry when the flow starts.
"""

from metaflow import Config, FlowSpec, Parameter, step

from copal.flow import steps
from copal.flow.mutator import from_registry


@from_registry
class FeatureFlow(FlowSpec):
    """What is missing of every feature, chunk by chunk of assets, then of pairs of assets."""

    registry = Config("registry", default="registry.yaml", parser="yaml.safe_load")
    plan_id = Parameter("plan_id", default="", help="A run planned already; plans when empty.")

    asset_features = ["standard_encode", "shots", "shot_stills", "shot_composition", "shot_motion", "shot_embedding", "dedup", "captions", "audio_loudness", "speech_activity", "shot_colour", "shot_silhouette", "shot_head"]
    pair_features = ["match_pairs_composition", "match_pairs_motion", "match_pairs_embedding", "match_pairs_continuity", "match_pairs_colour", "match_pairs_silhouette", "match_pairs_head"]

    @step
    def start(self):
        """Take the plan that was given, or make one."""
        self.tallies = []
        self.run_id, self.asset_chunks = steps.begin(self.plan_id)
        self.next(self.standard_encode, foreach="asset_chunks")

    @step
    def standard_encode(self):
        """One constant-rate 360p encode, a small one for analysis, and 16 kHz mono sound."""
        self.standard_encode_tally = steps.compute("standard_encode", self.run_id, "assets", self.input)
        self.next(self.shots)

    @step
    def shots(self):
        """Shots as half-open frame ranges of the standard encode."""
        self.shots_tally = steps.compute("shots", self.run_id, "assets", self.input)
        self.next(self.shot_stills)

    @step
    def shot_stills(self):
        """WebP pictures of each shot's first, middle and last frames."""
        self.shot_stills_tally = steps.compute("shot_stills", self.run_id, "assets", self.input)
        self.next(self.shot_composition)

    @step
    def shot_composition(self):
        """How each shot's first, middle and last pictures are composed, as vectors."""
        self.shot_composition_tally = steps.compute("shot_composition", self.run_id, "assets", self.input)
        self.next(self.shot_motion)

    @step
    def shot_motion(self):
        """How the camera and what it sees move in each shot, as vectors."""
        self.shot_motion_tally = steps.compute("shot_motion", self.run_id, "assets", self.input)
        self.next(self.shot_embedding)

    @step
    def shot_embedding(self):
        """What a video model makes of each shot, as a vector. Needs the model's weights."""
        self.shot_embedding_tally = steps.compute("shot_embedding", self.run_id, "assets", self.input)
        self.next(self.dedup)

    @step
    def dedup(self):
        """Which shots repeat an earlier camera set-up of their asset."""
        self.dedup_tally = steps.compute("dedup", self.run_id, "assets", self.input)
        self.next(self.captions)

    @step
    def captions(self):
        """Lines of dialogue of every text track, with their frames, speaker and language."""
        self.captions_tally = steps.compute("captions", self.run_id, "assets", self.input)
        self.next(self.audio_loudness)

    @step
    def audio_loudness(self):
        """EBU R 128 loudness of the source's own sound, whole and by shot."""
        self.audio_loudness_tally = steps.compute("audio_loudness", self.run_id, "assets", self.input)
        self.next(self.speech_activity)

    @step
    def speech_activity(self):
        """Frame ranges in which somebody seems to speak."""
        self.speech_activity_tally = steps.compute("speech_activity", self.run_id, "assets", self.input)
        self.next(self.shot_colour)

    @step
    def shot_colour(self):
        """Which colours each shot's first, middle and last pictures have and where, as vectors."""
        self.shot_colour_tally = steps.compute("shot_colour", self.run_id, "assets", self.input)
        self.next(self.shot_silhouette)

    @step
    def shot_silhouette(self):
        """The outline of what stands out in each shot's first, middle and last pictures, as vectors."""
        self.shot_silhouette_tally = steps.compute("shot_silhouette", self.run_id, "assets", self.input)
        self.next(self.shot_head)

    @step
    def shot_head(self):
        """Shot composition turned by a network trained on labelled pairs. Needs its weights."""
        self.shot_head_tally = steps.compute("shot_head", self.run_id, "assets", self.input)
        self.next(self.join_assets)

    @step
    def join_assets(self, inputs):
        """Gather how the cells of assets went."""
        self.run_id = steps.run_of(inputs, self.plan_id)
        self.tallies = steps.gather(inputs, self.asset_features, "assets", self.run_id)
        self.next(self.plan_pairs)

    @step
    def plan_pairs(self):
        """Hand out the chunks of pairs, now that what they need is stored."""
        self.pair_chunks = steps.pair_chunks(self.run_id)
        self.next(self.match_pairs_composition, foreach="pair_chunks")

    @step
    def match_pairs_composition(self):
        """For every pair of assets, its best match cuts by composition."""
        self.match_pairs_composition_tally = steps.compute("match_pairs_composition", self.run_id, "pairs", self.input)
        self.next(self.match_pairs_motion)

    @step
    def match_pairs_motion(self):
        """For every pair of assets, its best match cuts by motion."""
        self.match_pairs_motion_tally = steps.compute("match_pairs_motion", self.run_id, "pairs", self.input)
        self.next(self.match_pairs_embedding)

    @step
    def match_pairs_embedding(self):
        """For every pair of assets, its best match cuts by a video model's embedding."""
        self.match_pairs_embedding_tally = steps.compute("match_pairs_embedding", self.run_id, "pairs", self.input)
        self.next(self.match_pairs_continuity)

    @step
    def match_pairs_continuity(self):
        """For every pair of assets, the match cuts across which a movement goes on."""
        self.match_pairs_continuity_tally = steps.compute("match_pairs_continuity", self.run_id, "pairs", self.input)
        self.next(self.match_pairs_colour)

    @step
    def match_pairs_colour(self):
        """For every pair of assets, its best match cuts by colour."""
        self.match_pairs_colour_tally = steps.compute("match_pairs_colour", self.run_id, "pairs", self.input)
        self.next(self.match_pairs_silhouette)

    @step
    def match_pairs_silhouette(self):
        """For every pair of assets, its best match cuts by the overlap of silhouettes."""
        self.match_pairs_silhouette_tally = steps.compute("match_pairs_silhouette", self.run_id, "pairs", self.input)
        self.next(self.match_pairs_head)

    @step
    def match_pairs_head(self):
        """For every pair of assets, its best match cuts by what a trained head finds alike."""
        self.match_pairs_head_tally = steps.compute("match_pairs_head", self.run_id, "pairs", self.input)
        self.next(self.join_pairs)

    @step
    def join_pairs(self, inputs):
        """Gather how the cells of pairs went."""
        self.run_id = steps.run_of(inputs, self.plan_id)
        self.tallies = steps.tallies_of(inputs) + steps.gather(
            inputs, self.pair_features, "pairs", self.run_id
        )
        self.next(self.end)

    @step
    def end(self):
        """Keep the run's report; fail when a worker died."""
        steps.finish(self.run_id, self.tallies)


if __name__ == "__main__":
    FeatureFlow()
