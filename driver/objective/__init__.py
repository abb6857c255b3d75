"""The joint objective of a scan as a function of one real vector, on many ranks."""
