"""Conjugate gradients in torch, for CUDA; the steps are those of ``conjugate_gradients_numba``."""

import warnings

import numpy as np
import torch
from scipy import sparse


class Operator:
    """``A = I − αW`` on a device, for ``iterate``."""

    def __init__(self, matrix: sparse.csr_array, alpha: float, device: str) -> None:
        self.device = torch.device(device)
        with warnings.catch_warnings():  # that CSR tensors are in beta
            warnings.simplefilter("ignore", UserWarning)
            self.exact_weights = torch.sparse_csr_tensor(
                torch.from_numpy(matrix.indptr.astype(np.int64)),
                torch.from_numpy(matrix.indices.astype(np.int64)),
                torch.from_numpy(alpha * matrix.data.astype(np.float64)),
                size=matrix.shape,
                device=self.device,
            )
        self.weights = self.exact_weights.to(torch.float32)

    def residual(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``b − A x`` in float64, ``(n, m)``."""
        wide = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)).to(self.device)
        product = wide - self.exact_weights @ wide
        return b - product.cpu().numpy()

    def residual_norms(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``‖b − A x‖`` of each column, in float64, ``(m,)``."""
        return np.linalg.norm(self.residual(b, x), axis=0)


def iterate(
    operator: Operator,
    b: np.ndarray,
    tolerance: float | np.ndarray,
    max_iterations: int | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """As ``conjugate_gradients_numba.iterate``."""
    m = b.shape[1]
    r = torch.from_numpy(b.copy(order="C")).to(operator.device)
    x, p = torch.zeros_like(r), r.clone()
    n_iterations = np.zeros(m, dtype=np.int32)
    limits = np.broadcast_to(max_iterations, m)
    rho = _inner(r, r)
    while (active := (np.sqrt(rho) > tolerance) & (n_iterations < limits)).any():
        ap = p - operator.weights @ p
        curvature = _inner(p, ap)
        step = np.where(active & (curvature > 0), rho / np.where(curvature > 0, curvature, 1), 0)
        factor = torch.from_numpy(step.astype(np.float32)).to(operator.device)
        x.addcmul_(factor, p)
        r.addcmul_(factor, ap, value=-1)
        rho_next = _inner(r, r)
        ratio = (rho_next / np.where(rho > 0, rho, 1)).astype(np.float32)
        p = torch.addcmul(r, torch.from_numpy(ratio).to(operator.device), p)
        rho = np.where(active, rho_next, rho)
        n_iterations += active
    return x.cpu().numpy(), n_iterations


def _inner(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Inner products of the columns, ``(m,)`` float64."""
    return (first * second).sum(dim=0, dtype=torch.float64).cpu().numpy()
