"""What a user calls: scans, the joint objective, the solver, files, simulation, the command."""
