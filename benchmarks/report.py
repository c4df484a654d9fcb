"""The report: its time on blood cells, and the size and the speed of a page of 50,000 cells.

Of the blood cells: seconds (wall and processor) from a fitted model and its tables to the page's
text. Of whole runs, the example's and those of real cells: see `benchmarks.walk`. Of 50,000
simulated cells of 35 programs in three layers: as of the blood cells, the size of the page, and
what a reader waits for in Chromium without a window: the first paint, the first map, and the cells
in other colours.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from neuralNMF.evidence.programs import Cells, judge_programs, table_of_programs
from neuralNMF.io.dataset import Dataset, held_dataset
from neuralNMF.io.model import Model
from neuralNMF.io.pages import write_page
from neuralNMF.report.contents import contents_of
from neuralNMF.report.page import page_of
from neuralNMF.report.source import Source

from benchmarks.common import blood_cells, fit_layers, folders, peak_bytes, save, timed
from benchmarks.walk import walked

CELLS, GENES, LAYERS = 50_000, 2000, (20, 10, 5)
PER_PROGRAM = 60  # genes that mark a program
# Milliseconds from a click until the cells are drawn.
LOOK = """
const [done, act] = [arguments[0], () => {%s}];
const map = document.getElementById("map");
const choice = document.getElementById("colour");
delete map.dataset.drawn;
const began = performance.now();
act();
(function wait() {
  if (map.dataset.drawn) requestAnimationFrame(() => done(performance.now() - began));
  else setTimeout(wait, 5);
})();
"""
OPEN = 'document.getElementById("tab-cells").click();'
BY_GENE = """
choice.value = choice.querySelector("option[value^='gene:']").value;
choice.dispatchEvent(new Event("change"));
"""


def source_of(dataset: Dataset, model: Model, labels: dict[str, str]) -> Source:
    """A report's source without the tables that take other jobs."""
    symbols, scale = dataset.var["symbol"].to_numpy(), model.var["gene_scale"].to_numpy()
    judged = judge_programs(
        model.thetas, model.usages, model.betas, symbols, dead=model.dead, gene_scale=scale
    )
    programs = table_of_programs(judged, Cells(dataset.obs["total_counts"].to_numpy()))
    return Source(
        "cells",
        "main",
        model.thetas,
        model.usages,
        model.betas,
        model.dead,
        symbols,
        scale,
        dataset.obs,
        dataset.rows(0, dataset.shape[0]),
        model.info,
        model.history,
        programs,
        genes=pd.DataFrame({"symbol": symbols, "dropped": ""}),
        dataset=dataset.notes,
        labels=labels,
    )


def many_cells() -> tuple[Dataset, Model]:
    """Cells of `LAYERS[0]` kinds, sparse as cells are, with the model that they were drawn from."""
    rng = np.random.default_rng(0)
    fine = LAYERS[0]
    kinds = rng.integers(fine, size=CELLS)
    beta = rng.gamma(0.2, size=(fine, GENES))
    for program in range(fine):
        beta[program, PER_PROGRAM * program : PER_PROGRAM * (program + 1)] += rng.gamma(2.0, 4.0)
    beta /= beta.sum(axis=1, keepdims=True)
    theta = rng.gamma(0.2, 0.3, size=(CELLS, fine))
    theta[np.arange(CELLS), kinds] += 2.0
    theta *= rng.lognormal(6.0, 0.4, size=(CELLS, 1)) / theta.sum(axis=1, keepdims=True)
    parts = [
        sp.csr_matrix(rng.poisson(theta[start : start + 5000] @ beta).astype(np.float32))
        for start in range(0, CELLS, 5000)
    ]
    counts = sp.vstack(parts, format="csr")
    thetas, betas = [theta.astype(np.float32)], [beta]
    for before, after in zip(LAYERS, LAYERS[1:], strict=False):
        up = np.zeros((before, after), dtype=np.float32)
        up[np.arange(before), np.arange(before) * after // before] = 1.0
        thetas.append(up)
        betas.append(up.T @ betas[-1] / up.sum(axis=0)[:, None])
    letters = np.array(list("ACGT"))[rng.integers(4, size=(CELLS, 16))]
    obs = pd.DataFrame(
        {
            "dataset": pd.Categorical([f"donor{each}" for each in rng.integers(8, size=CELLS)]),
            "total_counts": np.asarray(counts.sum(axis=1)).ravel(),
            "celltype": pd.Categorical([f"kind {kind}" for kind in kinds]),
        },
        index=["".join(each) + "-1" for each in letters],
    )
    names = [f"GENE{gene}" for gene in range(GENES)]
    var = pd.DataFrame({"symbol": names, "gene_scale": 1.0}, index=names)
    dataset = held_dataset(counts, obs, var, Path("simulated.h5ad"))
    options = {"beta": "lsq", "consensus": False, "gene_power": 0.5, "loss": "nested"}
    options |= {"normalize": "library", "transform": "log1p"}
    info = {"layer_options": [{"rank": rank} for rank in LAYERS], "options": options, "seed": 0}
    info["versions"] = dict.fromkeys(("neuralNMF", "numpy", "python", "torch"), "0")
    dead = [np.zeros(rank, dtype=bool) for rank in LAYERS]
    return dataset, Model(thetas, betas, dead, obs, var, info=info)


def written(source: Source) -> tuple[str, dict[str, float]]:
    """The page, and what it took."""
    before = time.process_time()
    page, wall = timed(lambda: page_of(contents_of(source)))
    processor = time.process_time() - before
    return page, {
        "seconds": round(wall, 2),
        "processor_seconds": round(processor, 2),
        "megabytes": round(len(page.encode()) / 1e6, 2),
    }


def in_chromium(page: str) -> dict[str, float | str]:
    """Milliseconds that a reader waits for, or that there is no browser."""
    if shutil.which("chromedriver") is None:
        return {"left_out": "there is no chromedriver here"}
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(option)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_page(page, path)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.get(path.as_uri())
            paint = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"
            driver.set_script_timeout(60)
            return {
                "first_paint_ms": round(driver.execute_script(paint)),
                "cells_shown_ms": round(driver.execute_async_script(LOOK % OPEN)),
                "recoloured_by_gene_ms": round(driver.execute_async_script(LOOK % BY_GENE)),
            }
        finally:
            driver.quit()


def main() -> None:
    data, out = folders()
    figures: dict[str, object] = {}
    if (dataset := blood_cells(data, out)) is not None:
        model = fit_layers(dataset, LAYERS, seed=0)
        labels = {"label": "celltype", "coarse_label": "lineage"}
        figures["blood cells"] = written(source_of(dataset, model, labels))[1]
    figures["runs"] = walked(data, out)
    page, figures["50,000 cells"] = written(source_of(*many_cells(), {"label": "celltype"}))
    figures["50,000 cells in Chromium"] = in_chromium(page)
    figures["peak_gigabytes"] = round(peak_bytes() / 1e9, 2)
    save(out, "report", figures)


main()
