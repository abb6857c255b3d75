"""From raw data as a beamline leaves it to a scan."""
