"""The data sets of T0's mixture (P3): from the name of a template to its data set and cluster.

``adversarial_qa_dbert_answer_the_following_q`` is the template ``answer_the_following_q`` of ``adversarial_qa_dbert``,
which T0 counts among extractive question answering. The table says for each set its task by T0's convention
(https://github.com/bigscience-workshop/t-zero), which is our cluster.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

CLUSTERS: dict[str, tuple[str, ...]] = {
    "bias_and_fairness": ("crows_pairs", "jigsaw_toxicity_pred", "super_glue_axg", "wino_bias"),
    "coreference": ("super_glue_wsc.fixed", "winogrande_winogrande_xl"),
    "inference": ("super_glue_cb", "super_glue_rte", "anli"),
    "paraphrase": ("glue_mrpc", "glue_qqp", "paws_labeled_final"),
    "closed_book_qa": (
        "ai2_arc_ARC-Challenge",
        "ai2_arc_ARC-Easy",
        "kilt_tasks_hotpotqa",
        "trivia_qa_unfiltered",
        "web_questions",
        "wiki_qa",
    ),
    "extractive_qa": (
        "adversarial_qa_dbidaf",
        "adversarial_qa_dbert",
        "adversarial_qa_droberta",
        "duorc_SelfRC",
        "duorc_ParaphraseRC",
        "ropes",
        "squad_v2",
        "super_glue_record",
        "quoref",
    ),
    "multiple_choice_qa": (
        "commonsense_qa",  # in T0's list as cos_e v1.11, which is the same set with explanations
        "cos_e_v1.11",
        "cosmos_qa",
        "dream",
        "openbookqa_main",
        "qasc",
        "quail",
        "quarel",
        "quartz",
        "race_high",
        "race_middle",
        "sciq",
        "social_i_qa",
        "super_glue_boolq",
        "super_glue_copa",
        "super_glue_multirc",
        "wiki_hop_original",
        "wiqa",
        "piqa",
    ),
    "sentiment": ("amazon_polarity", "app_reviews", "imdb", "rotten_tomatoes", "yelp_review_full"),
    "story_completion": ("story_cloze_2016", "hellaswag"),
    "structure_to_text": ("common_gen", "wiki_bio"),
    "summarization": ("cnn_dailymail_3.0.0", "gigaword", "multi_news", "samsum", "xsum"),
    "topic_classification": ("ag_news", "dbpedia_14", "trec"),
    "word_sense": ("super_glue_wic",),
}


class Origin(NamedTuple):
    """Where a row of P3 comes from."""

    data_set: str
    template: str
    cluster: str
    """Empty where T0's list does not name the set."""


@lru_cache(maxsize=65536)
def origin(name: str) -> Origin:
    """The data set, template and cluster of a template's full name. Of an unknown set all is the template's name."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name)
    for known, data_set, cluster in _PREFIXES:
        if plain == known or plain.startswith(known + "_"):
            return Origin(data_set, plain[len(known) + 1 :].strip("_") or "plain", cluster)
    return Origin(plain.strip("_") or "unnamed", "plain", "")


_PREFIXES = sorted(
    (
        (re.sub(r"[^A-Za-z0-9]+", "_", data_set), re.sub(r"[^A-Za-z0-9]+", "_", data_set), cluster)
        for cluster, sets in CLUSTERS.items()
        for data_set in sets
    ),
    key=lambda entry: -len(entry[0]),
)
"""The longest first, for one set's name may begin another's."""
