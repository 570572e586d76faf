"""The information bottleneck: Gaussian in closed form, from a stream, and nonlinear by kernels."""
