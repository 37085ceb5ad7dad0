"""External localizers: functions in the user's Python files and models of the library anomalib.

Each runs in a process of its own. Our side starts it, sends images and ends it (:mod:`peer`); the
other side (:mod:`worker`) runs a job: :mod:`caller` calls a function, :mod:`anomalib_job` a model.
:mod:`function` and :mod:`detector` are the localizers.
"""
