"""External localizers: functions in the user's Python files and models of the library anomalib.

Each runs in its own process. The parent starts it, sends images and ends it (:mod:`peer`); the
child (:mod:`worker`) runs a job: :mod:`caller` calls a function, :mod:`anomalib_job` a model.
:mod:`function` and :mod:`detector` are the localizers.
"""
