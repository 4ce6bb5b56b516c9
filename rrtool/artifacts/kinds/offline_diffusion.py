"""Offline diffusion: the solution of every vertex, kept sparse."""

from typing import TYPE_CHECKING

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class OfflineDiffusion(Artifact):
    """Solutions of every vertex, from ``diffuse --prepare``."""

    KIND = "offline-diffusion"
    OPTIONS = {"alpha": (int, float)}
    names = Texts("n", "of the images")
    residuals = Column("float64", "v", "of the solver")
    n_iterations = Column("int32", "v", "of the solver")
    columns_ = Column("int32", "e", "vertices, ascending in each row", name="columns", ids_of="v")
    values = Column("float32", "e", "the positive entries of the solution")
    offsets = Column("int64", "v+1", "entries of each vertex", offsets_of="values")

    def solutions(self) -> "csr_array":
        """One a row, ``(v, v)`` float32.

        Raises:
            ArtifactError: the datasets are no sparse matrix.
        """
        from scipy.sparse import csr_array  # what takes its time is imported where it is used

        n = self.lengths["v"]
        try:
            solutions = csr_array((self.values, self.columns_, self.offsets), shape=(n, n))
            solutions.check_format(full_check=True)
        except ValueError as error:
            raise self.damaged(error) from None
        return solutions
