"""Trials of a search: proposed and pruned by Optuna from what the folder holds, and run.

A study of Optuna is made in memory whenever one is needed. The folder is the only thing that lasts.
"""

import math
import time
import warnings
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from inmateria.desk.claims import Owner, claim_point, this_process
from inmateria.desk.search_folder import Ending, SearchFolder, Trial
from inmateria.desk.search_space import Dimension
from inmateria.desk.worker import run_point
from inmateria.protocols.gains import gain_of
from inmateria.protocols.outcome import Score
from inmateria.protocols.runs import read_run

if TYPE_CHECKING:
    import optuna

__all__ = ["distribution_of", "importances_of", "objective_of", "require_optuna", "run_trial", "study_of"]

_LOOK = 0.2
_ATTEMPTS = 5
"""Processes that may die while they run a trial, before it counts as failed."""
_BEFORE_PRUNING = 5
"""Finished trials before the first is pruned."""
_TREES = 32


def require_optuna() -> None:
    """Refuse to go on without Optuna.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("a search needs Optuna; pip install 'inmateria[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def distribution_of(dimension: Dimension) -> Any:
    """Return a dimension as a distribution of Optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.kind == "choice":
        return CategoricalDistribution(dimension.choices)
    if dimension.kind == "whole":
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def study_of(folder: SearchFolder, number: int | None = None) -> "optuna.Study":
    """Make a study of Optuna from the trials of a folder.

    Parameters
    ----------
    folder : SearchFolder
    number : int, optional
        Of the trial that is to be proposed, which seeds the sampler together with the search's own seed.
    """
    require_optuna()
    import optuna

    search = folder.search
    seed = int(np.random.SeedSequence([search.seed, number or 0]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: optuna.samplers.BaseSampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if search.sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {each.name: distribution_of(each) for each in search.over}
    study.add_trials(
        [
            _frozen(trial, distributions)
            for trial in folder.trials()
            if trial.number != number and trial.parameters and (trial.ending is None or trial.ending.state != "failed")
        ]
    )
    return study


def _frozen(trial: Trial, distributions: dict[str, Any]) -> "optuna.trial.FrozenTrial":
    from optuna.trial import TrialState, create_trial

    ending = trial.ending
    state = TrialState.RUNNING
    if ending is not None:
        state = TrialState.COMPLETE if ending.state == "complete" else TrialState.PRUNED
    return create_trial(
        state=state,
        value=None if ending is None or ending.state != "complete" else ending.value,
        params=trial.parameters,
        distributions=distributions,
        intermediate_values={} if ending is None else _means(ending.values),
        user_attrs={"number": trial.number},
    )


def _means(values: Sequence[float]) -> dict[int, float]:
    """Return the mean so far, after each repeat."""
    return {k: sum(values[: k + 1]) / (k + 1) for k in range(len(values))}


def importances_of(folder: SearchFolder) -> dict[str, float]:
    """Return the importance of each dimension, the largest first; empty with fewer than four finished trials.

    Functional analysis of variance of a random forest (Hutter, Hoos and Leyton-Brown, ICML 2014), as Optuna does it.
    """
    study = study_of(folder)
    import optuna

    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, max_depth=16, seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(value) for name, value in found.items()}


def _propose(folder: SearchFolder, number: int) -> dict[str, Any]:
    """Propose the values of a trial."""
    trial = study_of(folder, number).ask({each.name: distribution_of(each) for each in folder.search.over})
    return {each.name: each.value(trial.params[each.name]) for each in folder.search.over}


def _is_poor(folder: SearchFolder, number: int, parameters: dict[str, Any], values: Sequence[float]) -> bool:
    """Return whether a trial's mean so far is below the median of the finished trials' after as many repeats."""
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING)
    distributions = {each.name: distribution_of(each) for each in folder.search.over}
    trial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=parameters,
        distributions=distributions,
        # Only the last mean: the pruner would take the best of all, which a lucky first seed makes too good.
        intermediate_values=dict([list(_means(values).items())[-1]]),
    )
    return pruner.prune(study_of(folder, number), trial)


def run_trial(folder: SearchFolder, number: int, owner: Owner | None = None) -> bool:
    """Run a trial if it is neither over nor claimed; return whether it was run."""
    if number in folder.ended():
        return False
    owner = owner or this_process()
    name = folder.claim_name(number)
    claim = claim_point(folder.claims, name, owner)
    if claim is None:
        return False
    with claim:
        if number not in folder.ended():
            try:
                if claim.attempt >= _ATTEMPTS:
                    ending = Ending(state="failed", error=f"the process that ran it died, {claim.attempt} times")
                else:
                    ending = _run(folder, number, owner)
            except BaseException:  # interrupted: what was run of it stays
                claim.give_back()
                raise
            folder.end(number, ending)
        claim.complete()
    return True


def _run(folder: SearchFolder, number: int, owner: Owner) -> Ending:
    search = folder.search
    parameters = folder.parameters_of(number)
    if parameters is None:
        parameters = folder.begin(number, _propose(folder, number))
    values: list[float] = []
    for repeat in range(search.repeats):
        try:
            digest = folder.add_point(parameters, repeat)
        except (LookupError, ValueError) as error:
            return Ending(state="failed", values=tuple(values), error=" ".join(str(error).split()))
        while not (folder.is_done(digest) or folder.has_failed(digest)):
            if not run_point(folder, digest, owner):
                time.sleep(_LOOK)  # another worker has the same point, or the device
        if not folder.is_done(digest):
            return Ending(state="failed", values=tuple(values), error=_error(folder, digest))
        value = objective_of(search.objective, read_run(folder.runs / digest).outcome.scores)
        if value is None or not math.isfinite(value):
            lacking = "control" if search.objective == "gain" else "score with noise of reading"
            why = (
                f"there is no {lacking}; search for the score"
                if value is None
                else f"the {search.objective} is {value}"
            )
            return Ending(state="failed", values=tuple(values), error=why)
        values.append(value)
        more = repeat + 1 < search.repeats and not folder.is_done(folder.add_point(parameters, repeat + 1))
        if search.prune and more and _is_poor(folder, number, parameters, values):
            return Ending(state="pruned", values=tuple(values))
    return Ending(state="complete", values=tuple(values))


def objective_of(name: str, scores: Sequence[Score]) -> float | None:
    """Return what is to be as large as possible of the scores of a run; None if they lack it."""
    if name == "noisy":
        noisy = next((score.noisy for score in scores if not score.control), ())
        return fmean(noisy) if noisy else None
    gain = gain_of(scores)
    return gain.gain if name == "gain" else gain.score


def _error(folder: SearchFolder, digest: str) -> str:
    failures = [each.error for each in folder.failures() if each.point.digest == digest]
    return failures[0] if failures else "its run failed"
