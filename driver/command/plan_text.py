"""What `ptyxrf plan` prints."""

from __future__ import annotations

import math

from ptyxrf.driver.data.units import bytes_text, percent_text, time_text
from ptyxrf.driver.planning.plan import RANKS_PER_NODE, THRESHOLDS, Plan


def plan_text(plan: Plan) -> str:
    """Return a plan as text: a table, and advice below it."""
    problem, load, seconds = plan.problem, plan.load, plan.seconds
    rows, columns = problem.grid
    side = math.sqrt(load.owned.mean())
    maps = f", {problem.elements} maps ({problem.sampling})" if problem.method != "ptychography" else ""
    assumed = "" if plan.nodes_given else f" ({RANKS_PER_NODE} on a node assumed: --nodes sets it)"
    computing, halo, reductions = (
        percent_text(part / seconds.total) for part in (seconds.computing, seconds.halo, seconds.reductions)
    )
    lines = [
        f"{problem.method}, {problem.precision} precision: {problem.count:,} patterns of {problem.m} x "
        f"{problem.m}, object {rows:,} x {columns:,}{maps}",
        f"ranks        {plan.ranks:,} on {plan.nodes:,} node(s){assumed}",
        f"positions    {load.positions.min():,} to {load.positions.max():,} a rank, balance "
        f"{plan.partition.balance:.3f} (most over mean); {percent_text(load.inner.sum() / problem.count)} "
        "touch no halo",
        f"tiles        {side:,.0f} x {side:,.0f} pixels on average, with halo {_overhead(plan):.3g} times as "
        "many",
        f"messages     {load.messages.mean():.3g} a rank and product, {bytes_text(load.bytes.mean())} "
        f"(most {load.messages.max():,}, {bytes_text(load.bytes.max())})",
        f"memory       {bytes_text(plan.memory.mean())} a rank (most {bytes_text(plan.memory.max())}), "
        f"{bytes_text(plan.memory.sum() / plan.nodes)} a node, above what an idle program takes",
        *_fitting(plan),
        f"time         {time_text(seconds.total)} a Hessian product, {time_text(plan.one_rank.total)} on "
        f"one rank: {computing} computing, {halo} halo, {reductions} dot products",
        f"efficiency   {percent_text(plan.efficiency)} of {plan.ranks:,} ranks (constants: "
        f"{plan.machine.name})",
        "",
        _overlap_advice(plan),
        *_loss_advice(plan),
        *_ranks_advice(plan),
    ]
    return "\n".join(lines)


def _fitting(plan: Plan) -> list[str]:
    """Return which settings fit the memory of a node, and how many nodes the others need."""
    lines = [
        f"             in {bytes_text(plan.node_memory)} a node (--node-memory sets it), idle ranks included:"
    ]
    for each in plan.memory_settings:
        held = f"{bytes_text(each.node_bytes)} a node"
        if each.disk_bytes:
            held += f" and {bytes_text(each.disk_bytes)} of its disk"
        more = "no number of nodes has it" if each.nodes is None else f"about {each.nodes:,} nodes have it"
        words = f"--solver {each.solver:12} --memory {each.memory:6} --precision {each.precision}"
        lines.append(
            f"             {words}  {f'fits: {held}' if each.fits else f'does not fit: {held}; {more}'}"
        )
    return lines


def _overhead(plan: Plan) -> float:
    """Return the covered pixels of all ranks over the owned ones."""
    return plan.load.covered.sum() / max(plan.load.owned.sum(), 1)


def _overlap_advice(plan: Plan) -> str:
    """Return whether computing hides the exchange of halos."""
    inner, count = plan.load.inner.sum(), plan.problem.count
    if plan.ranks == 1:
        return "One rank: nothing is exchanged."
    if inner == 0:
        return (
            f"No pattern lies within a single tile: with {count / plan.ranks:.3g} positions a rank nothing "
            f"hides the halo, which is {_overhead(plan) - 1:.3g} times the pixels that a rank owns."
        )
    return f"{percent_text(inner / count)} of the positions lie within their tile and hide the halo exchange."


def _loss_advice(plan: Plan) -> list[str]:
    """Return the largest cost besides the work on patterns."""
    if plan.ranks == 1:
        return []
    problem, seconds = plan.problem, plan.seconds
    pixels = plan.load.covered.max() * problem.channels * plan.machine.pixel_seconds[problem.precision]
    losses = {
        "the pixels of the halo, which are computed more than once": pixels
        * (1 - 1 / max(_overhead(plan), 1)),
        "the halo exchange": seconds.halo,
        "the dot products, for which all ranks wait": seconds.reductions,
    }
    patterns = percent_text(max(seconds.computing - pixels, 0.0) / seconds.total)
    name = max(losses, key=lambda key: losses[key])
    return [
        f"Work on patterns is {patterns} of a product; the largest loss is {name} "
        f"({percent_text(losses[name] / seconds.total)})."
    ]


def _ranks_advice(plan: Plan) -> list[str]:
    """Return how many ranks the problem scales to."""
    count = plan.problem.count
    high, low = (plan.most_ranks(level) for level in THRESHOLDS)
    words = [
        f"Up to about {high:,} ranks ({count / high:.3g} positions each) reach 80 % of the ideal speed, up "
        f"to about {low:,} ({count / low:.3g} each) 50 %; beyond, more ranks gain little."
    ]
    if plan.ranks > count:
        words.append(f"{plan.ranks - count:,} ranks have no position: use at most {count:,}.")
    return words
