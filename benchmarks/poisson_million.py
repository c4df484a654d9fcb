"""The million cells of `million` by their deviance: `beta: learned, loss: poisson`, [20, 10]."""

from benchmarks.million import both_ways

if __name__ == "__main__":
    both_ways("poisson_million", beta="learned", loss="poisson")
