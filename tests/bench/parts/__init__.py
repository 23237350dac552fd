"""The parts: one module each; a function takes the folder with the workload and returns one sample a name."""
