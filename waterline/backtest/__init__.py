"""Changed rules, prices or settings over kept history: what would have been told, beside what was. Nothing is written anywhere
but into a folder of its own that is deleted at the end.

    table `events` -> kept.py -> course.py (time passes) -> stages.py (the folds of the streams, in memory) -> compare.py
"""
