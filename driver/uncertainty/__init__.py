"""Error bars of a result: samples of what else the data and the priors allow."""
