"""How good a retrieval was, where the relevant documents are known (M9).

    recall@k          the share of the relevant documents of which a chunk is among the first k returned
    reciprocal rank   1 / the place of the first chunk of a relevant document, 0 when there is none; its mean is the MRR

Chunks stand in the order of their `rank`, those of one rank as they were told; k counts chunks, since chunks are what a model
is given. Documents that are labelled twice count once. MRR: E. M. Voorhees, "The TREC-8 question answering track report", 1999.
"""

from collections.abc import Collection, Sequence

from waterline.schemas.events import Event, Retrieved


def ranked(retrieved: Sequence[Retrieved]) -> list[str]:
    """The documents of the chunks, best first."""
    return [chunk.doc_id for chunk in sorted(retrieved, key=lambda chunk: chunk.rank)]


def recall(documents: Sequence[str], relevant: Collection[str], k: int) -> float | None:
    """recall@k; None where nothing is labelled relevant."""
    wanted = set(relevant)
    return len(wanted.intersection(documents[:k])) / len(wanted) if wanted else None


def reciprocal_rank(documents: Sequence[str], relevant: Collection[str]) -> float | None:
    """None where nothing is labelled relevant."""
    wanted = set(relevant)
    if not wanted:
        return None
    return next((1 / place for place, document in enumerate(documents, 1) if document in wanted), 0.0)


def quality(event: Event, k: int) -> tuple[float, float] | None:
    """recall@k and reciprocal rank of one retrieval event; None where it carries no labels."""
    documents = ranked(event.retrieved)
    found, first = recall(documents, event.relevant, k), reciprocal_rank(documents, event.relevant)
    return None if found is None or first is None else (found, first)
