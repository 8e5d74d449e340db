"""Data quality of frames, by rules in DQDL (Data Quality Definition Language).

`dqdl.py` reads rulesets, `conditions.py` says what their conditions mean, `rules.py` and `references.py` what each rule measures, `evaluate.py` measures
as many of them as it can in one pass, and `transforms.py` is what scripts import. Source: AWS Glue developer guide, "DQDL reference".
"""
